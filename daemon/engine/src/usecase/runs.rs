//! Runs.
#![expect(missing_docs, reason = "types only; replaced by the use case")]
use jiff::Timestamp;
use serde::Serialize;

use super::host::Host;
use crate::failure::Failure;
use crate::words::RunId;

#[derive(Debug, Serialize, Clone)]
pub struct RunLine {
    pub run: String,
    pub verb: String,
    pub source: String,
    pub state: String,
    pub began_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub snapshot: Option<String>,
    pub entries: u64,
    pub bytes: u64,
    pub message: String,
    pub live: bool,
}

pub fn runs(_host: &Host, _limit: usize) -> Result<Vec<RunLine>, Failure> {
    Err(Failure::failed("not in this build"))
}

pub fn cancel(_host: &Host, _run: &RunId) -> Result<(), Failure> {
    Err(Failure::failed("not in this build"))
}
