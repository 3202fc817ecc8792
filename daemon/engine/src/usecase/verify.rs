//! Verify.
#![expect(missing_docs, reason = "types only; replaced by the use case")]
use serde::Serialize;

use super::host::Host;
use super::watch::Watch;
use crate::failure::Failure;
use crate::words::SnapshotName;

pub struct VerifyRequest {
    pub names: Vec<SnapshotName>,
    pub quick: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct Damage {
    pub snapshot: String,
    pub object: String,
    pub frame: Option<u64>,
    pub files: Vec<String>,
    pub what: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    pub snapshots: u64,
    pub frames: u64,
    pub bytes: u64,
    pub damaged: Vec<Damage>,
    pub seconds: f64,
}

pub async fn verify(_host: &Host, _request: &VerifyRequest, _watch: &dyn Watch) -> Result<VerifyReport, Failure> {
    Err(Failure::failed("not in this build"))
}
