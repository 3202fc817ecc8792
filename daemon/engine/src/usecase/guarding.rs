//! The guard at work: each new snapshot is judged against the last one that nobody doubts, and a person acknowledges.
//!
//! Always true: what the guard says is written down before the snapshot is committed, so no crash lets one in
//! unflagged; and until somebody acknowledges it, retention deletes nothing of the lineage.

use policies::retention::guard::{Flag, Limits, Totals, judge};
use serde::Serialize;

use crate::catalog::{CatalogError, Filter, Flagged};
use crate::failure::Failure;
use crate::format::manifest::Manifest;
use crate::format::names::Lineage;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::opened::snapshot_id;
use crate::words::SourceName;

/// Judges a snapshot that is about to be committed, and writes down what looks wrong.
pub(crate) async fn guard(
    host: &Host,
    lineage: &Lineage,
    new: &Manifest,
    parent: Option<&Manifest>,
    limits: &Limits,
) -> Result<(), Failure> {
    let key = host.snapshot_key(lineage, new.number).await?;
    let what = || format!("compare `{}@{}` with what was before", lineage.source, new.number);
    let before = match parent {
        Some(parent) => {
            let before = undoubted(host, &key.store, lineage, parent);
            Some(before.map_err(|e| catalog_failure(what(), e))?)
        }
        None => None,
    };
    let flags = before.map_or_else(Vec::new, |before| judge(&before, &totals(new), limits));
    let noted = host.catalog().set_flags(&key, &flags, host.clock().now());
    noted.map_err(|e| catalog_failure(what(), e))
}

/// The newest snapshot that is whole and not flagged; the one before where none is.
fn undoubted(host: &Host, store: &str, lineage: &Lineage, parent: &Manifest) -> Result<Totals, CatalogError> {
    let flagged = standing(host, store, lineage)?;
    let is_fine = |number| !flagged.iter().any(|flagged| flagged.key.number == number);
    if !parent.is_partial() && is_fine(parent.number) {
        return Ok(totals(parent));
    }
    let filter = Filter::of(store, lineage);
    let rows = host.catalog().snapshots(&filter)?;
    let fine = rows.iter().filter(|row| !row.partial && is_fine(row.key.number));
    let newest = fine.max_by_key(|row| row.key.number);
    // Which database an older one holds the catalog does not know; the flag that stands says that it changed.
    Ok(newest.map_or_else(
        || totals(parent),
        |row| Totals { files: row.totals.files, bytes: row.totals.bytes, identity: None },
    ))
}

fn totals(manifest: &Manifest) -> Totals {
    let archive::channel::Totals { files, bytes, .. } = manifest.totals;
    Totals { files, bytes, identity: manifest.identity.clone() }
}

/// Flags of a lineage that nobody has acknowledged.
pub(crate) fn standing(host: &Host, store: &str, lineage: &Lineage) -> Result<Vec<Flagged>, CatalogError> {
    let mut flags = host.catalog().flags(store, lineage)?;
    flags.retain(|flagged| flagged.acknowledged_at.is_none());
    Ok(flags)
}

/// The same, of snapshots that exist: what was flagged and then never committed holds nothing.
pub(crate) fn committed(host: &Host, store: &str, lineage: &Lineage) -> Result<Vec<Flagged>, CatalogError> {
    let mut flags = standing(host, store, lineage)?;
    if flags.is_empty() {
        return Ok(flags);
    }
    let filter = Filter::of(store, lineage);
    let rows = host.catalog().snapshots(&filter)?;
    flags.retain(|flagged| rows.iter().any(|row| row.key == flagged.key));
    Ok(flags)
}

/// What the guard says of a snapshot, for the person who made it.
pub(crate) fn warning(source: &SourceName, flag: &Flag) -> String {
    format!("it {flag}; nothing of `{source}` is pruned until `backupctl acknowledge {source}`")
}

/// A flag that somebody has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    /// The snapshot.
    pub snapshot: String,
    /// What looked wrong.
    pub flag: String,
}

/// Says that all that the guard has flagged in a source is as it should be; gives what that was.
pub async fn acknowledge(host: &Host, source: &SourceName) -> Result<Vec<Acknowledged>, Failure> {
    let lineage = Lineage { host: host.settings().host.clone(), source: source.clone() };
    let store = host.reading().await?.name();
    let seen = host.catalog().acknowledge(&store, &lineage, host.clock().now());
    let seen = seen.map_err(|e| catalog_failure(format!("acknowledge `{source}`"), e))?;
    let told = |flagged: Flagged| Acknowledged {
        snapshot: snapshot_id(host, &lineage, flagged.key.number),
        flag: flagged.flag.to_string(),
    };
    Ok(seen.into_iter().map(told).collect())
}
