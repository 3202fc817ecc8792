//! Export.
#![expect(missing_docs, reason = "types only; replaced by the use case")]
use std::io::Write;

use serde::Serialize;

use super::host::Host;
use super::watch::Watch;
use crate::failure::Failure;
use crate::words::SnapshotName;

#[derive(Debug, Serialize)]
pub struct ExportReport {
    pub snapshot: String,
    pub bytes: u64,
    pub blake3: String,
}

pub enum ExportAs {
    Tar,
    TarZst,
}

pub async fn export(
    _host: &Host,
    _name: &SnapshotName,
    _what: ExportAs,
    _out: &mut (dyn Write + Send),
    _watch: &dyn Watch,
) -> Result<ExportReport, Failure> {
    Err(Failure::failed("not in this build"))
}
