//! Look into snapshots.
#![expect(missing_docs, reason = "types only; replaced by the use case")]
use std::io::{self, Write};

use archive::entry::Entry;
use archive::path::TreePath;
use serde::Serialize;

use super::host::Host;
use super::snapshots::Wanted;
use crate::failure::Failure;
use crate::words::SnapshotName;

pub async fn ls(
    _host: &Host,
    _name: &SnapshotName,
    _at: &TreePath,
    _recursive: bool,
    _each: &mut (dyn FnMut(&Entry) -> io::Result<()> + Send),
) -> Result<u64, Failure> {
    Err(Failure::failed("not in this build"))
}

pub async fn cat(
    _host: &Host,
    _name: &SnapshotName,
    _path: &TreePath,
    _out: &mut (dyn Write + Send),
) -> Result<u64, Failure> {
    Err(Failure::failed("not in this build"))
}

pub struct Found {
    pub snapshot: String,
    pub entry: Entry,
}

pub async fn find(
    _host: &Host,
    _glob: &str,
    _wanted: &Wanted,
    _each: &mut (dyn FnMut(&Found) -> io::Result<()> + Send),
) -> Result<u64, Failure> {
    Err(Failure::failed("not in this build"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Change {
    Added,
    Removed,
    Changed,
    Attributes,
}

pub struct Difference {
    pub path: TreePath,
    pub change: Change,
    pub before: Option<u64>,
    pub after: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct DiffTotals {
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
    pub attributes: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
}

pub async fn diff(
    _host: &Host,
    _a: &SnapshotName,
    _b: &SnapshotName,
    _each: &mut (dyn FnMut(&Difference) -> io::Result<()> + Send),
) -> Result<DiffTotals, Failure> {
    Err(Failure::failed("not in this build"))
}
