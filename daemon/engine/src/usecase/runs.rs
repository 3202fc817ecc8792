//! What this host is doing and did.

use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::{RunRow, Verb};
use crate::failure::{Class, Failure};
use crate::format::names::Lineage;
use crate::lock::LockOn;
use crate::usecase::host::{Host, catalog_failure};
use crate::words::RunId;

/// One run, for a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunLine {
    /// Its id.
    pub run: String,
    /// What it does.
    pub verb: String,
    /// To what.
    pub source: String,
    /// How far it is, or how it ended.
    pub state: String,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The snapshot that it made or used.
    pub snapshot: Option<String>,
    /// Entries so far.
    pub entries: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// Why it did not end well.
    pub message: String,
    /// A process works on it now.
    pub live: bool,
}

/// The newest runs, newest first.
pub fn runs(host: &Host, limit: usize) -> Result<Vec<RunLine>, Failure> {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let rows = host.catalog().runs(limit).map_err(|e| catalog_failure("list runs", e))?;
    Ok(rows.into_iter().map(|row| line(host, row)).collect())
}

/// One of them.
pub fn run_of(host: &Host, run: &RunId) -> Result<RunLine, Failure> {
    let row = host.catalog().run(run).map_err(|e| catalog_failure(format!("look up run `{run}`"), e))?;
    Ok(line(host, row))
}

fn line(host: &Host, row: RunRow) -> RunLine {
    let live = row.ended_at.is_none() && is_held(host, &row);
    let state = match (row.outcome, live) {
        (Some(outcome), _) => outcome.word().to_owned(),
        (None, true) => row.state.word().to_owned(),
        (None, false) => format!("{} (cut off)", row.state.word()),
    };
    let source = row.source.as_ref().map(ToString::to_string).unwrap_or_default();
    RunLine {
        run: row.id.to_string(),
        verb: row.verb.word().to_owned(),
        snapshot: row.snapshot.map(|number| format!("{source}@{number}")),
        source,
        state,
        began_at: row.began_at,
        ended_at: row.ended_at,
        entries: row.progress.entries,
        bytes: row.progress.bytes,
        message: row.message.unwrap_or_default(),
        live,
    }
}

/// Whether the lock of an unfinished run is held. A lock that cannot be looked at counts as held: better to
/// recover later than to disturb a run that lives.
pub(crate) fn is_held(host: &Host, row: &RunRow) -> bool {
    lock_of(row).is_some_and(|on| host.locks().is_held(&on).unwrap_or(true))
}

/// What a run holds as long as its process lives, if it is about one source.
pub(crate) fn lock_of(row: &RunRow) -> Option<LockOn> {
    let lineage = Lineage { host: row.host.clone(), source: row.source.clone()? };
    Some(match row.verb {
        Verb::Drill => LockOn::Drill(lineage),
        Verb::Backup
        | Verb::Import
        | Verb::Restore
        | Verb::Verify
        | Verb::Export
        | Verb::Delete
        | Verb::Prune
        | Verb::Rebuild
        | Verb::Recover
        | Verb::Undo => LockOn::Lineage(lineage),
    })
}

/// Asks a run to stop; it undoes what it began and ends as interrupted.
pub fn cancel(host: &Host, run: &RunId) -> Result<(), Failure> {
    let what = || format!("cancel run `{run}`");
    let row = host.catalog().run(run).map_err(|e| catalog_failure(what(), e))?;
    if row.ended_at.is_some() || !is_held(host, &row) {
        return Err(Failure::new(Class::NotFound, format!("run `{run}` is not running"))
            .hint("`backupctl runs` shows what is"));
    }
    host.catalog().request_cancel(run).map_err(|e| catalog_failure(what(), e))?;
    Ok(())
}
