//! Doctor.
#![expect(missing_docs, reason = "types only; replaced by the use case")]
use serde::Serialize;

use super::host::Host;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    Good,
    Warning,
    Bad,
}

#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub what: String,
    pub verdict: Verdict,
    pub found: String,
    pub fix: Option<String>,
}

pub async fn doctor(_host: &Host) -> Vec<Check> {
    Vec::new()
}
