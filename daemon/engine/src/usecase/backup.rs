//! Back up.
#![expect(missing_docs, reason = "types only; replaced by the use case")]
use serde::Serialize;

use super::host::Host;
use super::watch::Watch;
use crate::failure::Failure;
use crate::format::manifest::SnapshotKind;
use crate::words::SourceName;

pub struct BackupRequest {
    pub source: SourceName,
    pub by_hand: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct BackupReport {
    pub snapshot: String,
    pub source: String,
    pub kind: SnapshotKind,
    pub files: u64,
    pub bytes: u64,
    pub sent_bytes: u64,
    pub freeze_seconds: f64,
    pub seconds: f64,
    pub warnings: Vec<String>,
    pub partial: bool,
    pub entries: u64,
    pub run: String,
}

pub async fn backup(_host: &Host, _request: &BackupRequest, _watch: &dyn Watch) -> Result<BackupReport, Failure> {
    Err(Failure::failed("not in this build"))
}
