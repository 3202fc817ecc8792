//! What drills found, for those who list snapshots and sources.

use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::{DrillResult, DrillRow, SnapshotKey};
use crate::failure::Failure;
use crate::usecase::host::{Host, catalog_failure};
use crate::words::SourceName;

/// One drill, for a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillLine {
    /// Its run.
    pub run: String,
    /// Which snapshot.
    pub snapshot: String,
    /// When it ended.
    pub at: Timestamp,
    /// Who judged.
    pub checker: String,
    /// What was found.
    pub result: DrillResult,
    /// In words.
    pub what: String,
    /// How long the restore took, if it came to its end.
    pub restore_seconds: Option<f64>,
    /// How long all of it took.
    pub seconds: f64,
}

impl From<&DrillRow> for DrillLine {
    fn from(row: &DrillRow) -> Self {
        Self {
            run: row.run.to_string(),
            snapshot: format!("{}@{}", row.key.source, row.key.number),
            at: row.at,
            checker: row.checker.clone(),
            result: row.result,
            what: row.what.clone(),
            restore_seconds: row.restore_ms.map(seconds),
            seconds: seconds(row.ms),
        }
    }
}

pub(super) fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

/// The newest drill of a source of this host, and the end of what its programs said; `None` where none was made.
pub fn last(host: &Host, source: &SourceName) -> Result<Option<(DrillLine, String)>, Failure> {
    let what = || format!("look up the drills of `{source}`");
    let (own, store) = (&host.settings().host, host.indexed_name()?);
    let rows = host.catalog().drills(&store, Some(own), Some(source));
    let Some(row) = rows.map_err(|e| catalog_failure(what(), e))?.pop() else { return Ok(None) };
    let output = host.catalog().drill_output(&row.run).map_err(|e| catalog_failure(what(), e))?;
    Ok(Some((DrillLine::from(&row), output)))
}

/// Whether the last drill that judged a snapshot found it bad. Then reading its bytes back proves nothing.
pub fn refuted(host: &Host, key: &SnapshotKey) -> Result<bool, Failure> {
    let judged = host.catalog().judged(&key.store, Some(&key.host), Some(&key.source));
    let judged = judged.map_err(|e| catalog_failure(format!("look up the drills of `{key}`"), e))?;
    Ok(judged.get(key).is_some_and(|row| row.result == DrillResult::Unproven))
}
