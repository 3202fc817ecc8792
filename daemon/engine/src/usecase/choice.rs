//! Which snapshot a restore means: the numbered one, the newest by a time, or the newest.
//!
//! Always true: one that is newer than the chosen one and would fit is passed over only for what is known of it, and then
//! the plan says so; one of which nothing is known, since its manifest cannot be read, ends the choice.

use crate::catalog::{SnapshotRow, VerifiedResult};
use crate::failure::{Class, Failure};
use crate::format::names::Lineage;
use crate::usecase::host::Host;
use crate::usecase::opened::{nothing_of, snapshot_id};
use crate::usecase::restore::RestoreRequest;
use crate::usecase::snapshots::{Refreshed, refresh};
use crate::usecase::unread;
use crate::words::SnapshotName;

/// The choice.
pub(crate) struct Chosen {
    pub(crate) name: SnapshotName,
    /// In words why it is this one.
    pub(crate) why: String,
    /// What a person should know of those that were passed over.
    pub(crate) warnings: Vec<String>,
}

/// What becomes of a snapshot that was found damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damaged {
    /// An older one that is whole is better.
    PassOver,
    /// Whoever judges snapshots judges the newest, whatever was said of it before.
    Take,
}

/// Chooses. By a time, order is that of recorded times, never of dates in the store.
pub(crate) async fn choose(
    host: &Host,
    request: &RestoreRequest,
    damaged: Damaged,
) -> Result<Chosen, Failure> {
    let whose = request.host.clone().unwrap_or_else(|| host.settings().host.clone());
    let name = |number| SnapshotName {
        host: Some(whose.clone()),
        source: request.source.clone(),
        number: Some(number),
    };
    if let Some(number) = request.number {
        return Ok(Chosen { name: name(number), why: "it was named".to_owned(), warnings: Vec::new() });
    }
    let store = host.reading().await?;
    let lineage = Lineage { host: whose.clone(), source: request.source.clone() };
    let Refreshed { mut rows, unread, .. } = refresh(host, &*store, &lineage).await?;
    rows.retain(|row| row.deleted_at.is_none());
    let rows = in_order(rows, request);
    let picked = pick(&rows, request, damaged);
    unread::refuse(unread, &rows, request.at, picked.map(|row| row.key.number))?;
    let Some(row) = picked else { return Err(none(&rows, &lineage, request, host)) };
    let newer =
        rows.iter().rev().filter(|newer| fits(newer, request)).take_while(|newer| newer.key != row.key);
    let (mut partial, mut broken, mut warnings) = (false, false, Vec::new());
    for newer in newer {
        match newer.verified.filter(|found| found.result == VerifiedResult::Damaged) {
            None => partial = true,
            Some(_) if damaged == Damaged::Take => partial = true,
            Some(found) => {
                broken = true;
                let id = snapshot_id(host, &lineage, newer.key.number);
                warnings.push(format!(
                    "`{id}` is newer, and was damaged when it was last read back, at {:.0}: `backupctl verify {id}` says \
                     what of it, and `--snapshot {}` restores it all the same",
                    found.at, newer.key.number
                ));
            }
        }
    }
    let lacks = match (partial, broken) {
        (false, false) => "",
        (true, false) => "is not partial",
        (false, true) => "is not damaged",
        (true, true) => "is neither partial nor damaged",
    };
    let why = match (request.at, lacks) {
        (None, "") => "it is the newest".to_owned(),
        (None, lacks) => format!("it is the newest that {lacks}"),
        (Some(at), "") => format!("it is the newest that was taken by {at:.0}"),
        (Some(at), lacks) => format!("it is the newest that was taken by {at:.0} and {lacks}"),
    };
    Ok(Chosen { name: name(row.key.number), why, warnings })
}

fn fits(row: &SnapshotRow, request: &RestoreRequest) -> bool {
    request.at.is_none_or(|at| row.taken_at <= at)
}

/// The newest that fits and is whole, as far as anybody knows; else one that was found damaged, since most of it may be
/// there; else any, which says itself what it lacks.
fn pick<'a>(rows: &'a [SnapshotRow], request: &RestoreRequest, damaged: Damaged) -> Option<&'a SnapshotRow> {
    let fitting = || rows.iter().rev().filter(|row| fits(row, request));
    let has_all = |row: &&SnapshotRow| !row.partial || request.accept_partial;
    let broken = |row: &SnapshotRow| {
        damaged == Damaged::PassOver
            && row.verified.is_some_and(|found| found.result == VerifiedResult::Damaged)
    };
    fitting()
        .find(|row| has_all(row) && !broken(row))
        .or_else(|| fitting().find(has_all))
        .or_else(|| fitting().next())
}

fn none(rows: &[SnapshotRow], lineage: &Lineage, request: &RestoreRequest, host: &Host) -> Failure {
    let Some(oldest) = rows.first() else { return nothing_of(lineage, host) };
    Failure::new(Class::NotFound, format!("no snapshot of `{}` is that old", request.source))
        .hint(format!("the oldest is of {:.0}: `backupctl snapshots {}`", oldest.taken_at, request.source))
}

/// The newest last. Without a time that is the one that was committed last: a clock that was wrong for a night by years
/// must not give out what was taken then for the newest, years on.
fn in_order(mut rows: Vec<SnapshotRow>, request: &RestoreRequest) -> Vec<SnapshotRow> {
    if request.at.is_none() {
        rows.sort_by_key(|row| row.key.number);
    }
    rows
}
