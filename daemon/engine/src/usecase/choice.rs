//! Which snapshot a restore means: the numbered one, the newest by a time, or the newest.

use crate::catalog::{Filter, SnapshotRow};
use crate::failure::{Class, Failure};
use crate::format::names::Lineage;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::opened::nothing_of;
use crate::usecase::restore::RestoreRequest;
use crate::usecase::snapshots::refresh;
use crate::words::SnapshotName;

/// The snapshot, and in words why it is this one. Order is that of recorded times, never of names or dates in
/// the store.
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
    refresh(host, &*store, &lineage).await?;
    let filter = Filter { deleted: false, ..Filter::of(&store.name(), &lineage) };
    let rows = host.catalog().snapshots(&filter).map_err(|e| catalog_failure("list snapshots", e))?;
    if rows.is_empty() {
        return Err(nothing_of(&lineage, host));
    }
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
