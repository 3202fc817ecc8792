//! What was backed up so far, for whoever draws it: the newest snapshots of each source, and the newest runs.
//!
//! Always true: it asks the catalog alone, so it is quick, and tells nothing while the store or Docker are away that
//! it does not tell otherwise; it is bounded, however many snapshots there are.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::catalog::{SnapshotRow, VerifiedResult};
use crate::failure::Failure;
use crate::format::manifest::SnapshotKind;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::opened::snapshot_id;
use crate::usecase::runs::{RunLine, runs};
use crate::words::SourceName;

/// Snapshots of one source, at most.
const SNAPSHOTS: u32 = 60;

/// Runs, at most.
const RUNS: usize = 20;

/// What was backed up so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// By source, the oldest first.
    pub snapshots: BTreeMap<SourceName, Vec<Point>>,
    /// The newest first.
    pub runs: Vec<RunLine>,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// As people type it.
    pub id: String,
    /// When reading began.
    pub taken_at: Timestamp,
    /// Apparent bytes of its files.
    pub bytes: u64,
    /// What it added to the store.
    pub sent_bytes: u64,
    /// Full or incremental.
    pub kind: SnapshotKind,
    /// How it stands.
    pub worth: Worth,
}

/// What a snapshot is worth, as far as anybody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// Whole, and nobody has read it back.
    Whole,
    /// It was read back, and was good.
    Proven,
    /// Something that should be in it is not.
    Partial,
    /// It was read back, and something was missing or changed.
    Damaged,
}

/// What this host backed up so far.
pub fn history(host: &Host) -> Result<History, Failure> {
    let own = &host.settings().host;
    let rows = host.catalog().newest_snapshots(own, SNAPSHOTS);
    let rows = rows.map_err(|e| catalog_failure("look up what was backed up", e))?;
    let mut snapshots: BTreeMap<SourceName, Vec<Point>> = BTreeMap::new();
    for row in rows {
        let point = point(host, &row);
        snapshots.entry(row.key.source).or_default().push(point);
    }
    Ok(History { snapshots, runs: runs(host, RUNS)? })
}

fn point(host: &Host, row: &SnapshotRow) -> Point {
    Point {
        id: snapshot_id(host, &row.key.lineage(), row.key.number),
        taken_at: row.taken_at,
        bytes: row.totals.bytes,
        sent_bytes: row.sent_bytes,
        kind: row.kind,
        worth: match row.verified.map(|verified| verified.result) {
            Some(VerifiedResult::Damaged) => Worth::Damaged,
            Some(VerifiedResult::Good) | None if row.partial => Worth::Partial,
            Some(VerifiedResult::Good) => Worth::Proven,
            None => Worth::Whole,
        },
    }
}
