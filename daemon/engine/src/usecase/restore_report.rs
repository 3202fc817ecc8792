//! What a restore has done, as it is told.

use serde::Serialize;

use crate::usecase::delta::DeltaReport;
use crate::usecase::runs_again::RunsAgain;

/// What was restored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RestoreReport {
    /// Which snapshot.
    pub snapshot: String,
    /// Where it went.
    pub target: String,
    /// Regular files.
    pub files: u64,
    /// Apparent bytes.
    pub bytes: u64,
    /// Bytes that came from the store.
    pub fetched_bytes: u64,
    /// Every byte was checked against its hash.
    pub verified: bool,
    /// How long it took.
    pub seconds: f64,
    /// All entries.
    pub entries: u64,
    /// What alone was restored; all of it if empty.
    pub paths: Vec<String>,
    /// The run.
    pub run: String,
    /// What a person should know, a line each.
    pub warnings: Vec<String>,
    /// Where the previous content is, if it was kept.
    pub previous: Option<String>,
    /// Containers that run again.
    pub started: Vec<String>,
    /// How these are.
    pub health: Vec<RunsAgain>,
    /// What a delta restore found to differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<DeltaReport>,
}
