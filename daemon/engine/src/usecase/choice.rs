//! Which snapshot a restore means: the numbered one, the newest by a time, or the newest.

use crate::catalog::SnapshotRow;
use crate::failure::{Class, Failure};
use crate::format::names::Lineage;
use crate::usecase::host::Host;
use crate::usecase::opened::nothing_of;
use crate::usecase::restore::RestoreRequest;
use crate::usecase::snapshots::refresh;
use crate::words::SnapshotName;

/// The snapshot, and in words why it is this one. By a time, order is that of recorded times, never of dates in the store.
pub(crate) async fn choose(host: &Host, request: &RestoreRequest) -> Result<(SnapshotName, String), Failure> {
    let whose = request.host.clone().unwrap_or_else(|| host.settings().host.clone());
    let name = |number| SnapshotName {
        host: Some(whose.clone()),
        source: request.source.clone(),
        number: Some(number),
    };
    if let Some(number) = request.number {
        return Ok((name(number), "it was named".to_owned()));
    }
    let store = host.reading().await?;
    let lineage = Lineage { host: whose.clone(), source: request.source.clone() };
    let mut rows = refresh(host, &*store, &lineage).await?.rows;
    rows.retain(|row| row.deleted_at.is_none());
    if rows.is_empty() {
        return Err(nothing_of(&lineage, host));
    }
    let rows = in_order(rows, request);
    let fits = |row: &&SnapshotRow| request.at.is_none_or(|at| row.taken_at <= at);
    let whole = |row: &&SnapshotRow| !row.partial || request.accept_partial;
    let newest = rows.iter().rfind(fits);
    let chosen = rows.iter().rfind(|row| fits(row) && whole(row)).or(newest);
    let passed_over = |row: &SnapshotRow| newest.is_some_and(|newest| newest.key != row.key);
    match (chosen, request.at) {
        (Some(row), None) if passed_over(row) => {
            Ok((name(row.key.number), "it is the newest that is not partial".to_owned()))
        }
        (Some(row), None) => Ok((name(row.key.number), "it is the newest".to_owned())),
        (Some(row), Some(at)) => {
            let whole = if passed_over(row) { " and is not partial" } else { "" };
            Ok((name(row.key.number), format!("it is the newest that was taken by {at:.0}{whole}")))
        }
        (None, _) => {
            Err(Failure::new(Class::NotFound, format!("no snapshot of `{}` is that old", request.source))
                .hint(format!(
                    "the oldest is of {:.0}: `backupctl snapshots {}`",
                    rows[0].taken_at, request.source
                )))
        }
    }
}

/// The newest last. Without a time that is the one that was committed last: a clock that was wrong for a night by years
/// must not give out what was taken then for the newest, years on.
fn in_order(mut rows: Vec<SnapshotRow>, request: &RestoreRequest) -> Vec<SnapshotRow> {
    if request.at.is_none() {
        rows.sort_by_key(|row| row.key.number);
    }
    rows
}
