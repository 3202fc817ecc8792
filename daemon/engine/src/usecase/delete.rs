//! Delete and undelete.
#![expect(missing_docs, reason = "types only; replaced by the use case")]
use jiff::Timestamp;
use serde::Serialize;

use super::host::Host;
use super::watch::Watch;
use crate::failure::Failure;
use crate::words::SnapshotName;

#[derive(Debug, Clone, Serialize)]
pub struct DeletePlan {
    pub snapshot: String,
    pub taken_at: Timestamp,
    pub newest: bool,
    pub purge: bool,
    pub frees_bytes: u64,
    pub objects: Vec<String>,
    pub warnings: Vec<String>,
}

pub async fn plan_delete(_host: &Host, _name: &SnapshotName, _purge: bool) -> Result<DeletePlan, Failure> {
    Err(Failure::failed("not in this build"))
}

pub async fn delete(_host: &Host, _plan: DeletePlan, _watch: &dyn Watch) -> Result<(), Failure> {
    Err(Failure::failed("not in this build"))
}

pub async fn undelete(_host: &Host, _name: &SnapshotName) -> Result<(), Failure> {
    Err(Failure::failed("not in this build"))
}
