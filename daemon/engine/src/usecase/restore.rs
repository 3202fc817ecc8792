//! Restore.
#![expect(missing_docs, reason = "types only; replaced by the use case")]
use archive::path::TreePath;
use jiff::Timestamp;
use serde::Serialize;

use super::host::Host;
use super::watch::Watch;
use crate::failure::Failure;
use crate::format::manifest::Consistency;
use crate::words::{HostName, Number, SourceName};

pub struct RestoreRequest {
    pub source: SourceName,
    pub host: Option<HostName>,
    pub number: Option<Number>,
    pub at: Option<Timestamp>,
    pub into: Option<String>,
    pub paths: Vec<TreePath>,
    pub keep_previous: bool,
    pub accept_partial: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct PlannedStop {
    pub container: String,
    pub image: String,
    pub running: bool,
}

#[derive(Serialize)]
pub struct RestorePlan {
    pub snapshot: String,
    pub taken_at: Timestamp,
    pub age_seconds: i64,
    pub why: String,
    pub consistency: Consistency,
    pub proven_at: Option<Timestamp>,
    pub target: String,
    pub target_exists: bool,
    pub creates_volume: bool,
    pub in_place: bool,
    pub replaces_entries: u64,
    pub files: u64,
    pub entries: u64,
    pub bytes: u64,
    pub fetch_bytes: u64,
    pub free_bytes: Option<u64>,
    pub stops: Vec<PlannedStop>,
    pub warnings: Vec<String>,
    #[serde(skip)]
    #[expect(dead_code, reason = "types only; replaced by the use case")]
    steps: Vec<String>,
}

pub async fn plan_restore(_host: &Host, _request: &RestoreRequest) -> Result<RestorePlan, Failure> {
    Err(Failure::failed("not in this build"))
}

#[derive(Debug, Clone, Serialize)]
pub struct RestoreReport {
    pub snapshot: String,
    pub target: String,
    pub files: u64,
    pub bytes: u64,
    pub fetched_bytes: u64,
    pub verified: bool,
    pub seconds: f64,
    pub entries: u64,
    pub run: String,
    pub warnings: Vec<String>,
    pub previous: Option<String>,
    pub started: Vec<String>,
}

pub async fn restore(_host: &Host, _plan: RestorePlan, _watch: &dyn Watch) -> Result<RestoreReport, Failure> {
    Err(Failure::failed("not in this build"))
}
