//! List, show, rebuild.
#![expect(missing_docs, reason = "types only; replaced by the use case")]
use jiff::Timestamp;
use serde::Serialize;

use super::host::Host;
use super::watch::Watch;
use crate::failure::Failure;
use crate::format::manifest::{Consistency, Manifest, SnapshotKind};
use crate::words::{HostName, SnapshotName, SourceName};

pub enum WantedHost {
    This,
    Named(HostName),
    All,
}

pub struct Wanted {
    pub host: WantedHost,
    pub source: Option<SourceName>,
    pub deleted: bool,
}

#[derive(Debug, Serialize, Clone)]
pub struct SnapshotLine {
    pub id: String,
    pub source: SourceName,
    pub host: HostName,
    pub number: u64,
    pub taken_at: Timestamp,
    pub kind: SnapshotKind,
    pub consistency: Consistency,
    pub files: u64,
    pub bytes: u64,
    pub sent_bytes: u64,
    pub proven_at: Option<Timestamp>,
    pub pinned: bool,
    pub set: Option<String>,
    pub partial: bool,
    pub deleted_at: Option<Timestamp>,
    pub by_hand: bool,
}

pub async fn snapshots(_host: &Host, _wanted: &Wanted) -> Result<Vec<SnapshotLine>, Failure> {
    Err(Failure::failed("not in this build"))
}

pub enum Trust {
    Signed { by: String },
}

pub struct Shown {
    pub line: SnapshotLine,
    pub manifest: Manifest,
    pub trusted: Trust,
}

pub async fn show(_host: &Host, _name: &SnapshotName) -> Result<Shown, Failure> {
    Err(Failure::failed("not in this build"))
}

#[derive(Debug, Serialize)]
pub struct Rebuilt {
    pub hosts: u64,
    pub lineages: u64,
    pub snapshots: u64,
    pub unreadable: Vec<String>,
}

pub async fn catalog_rebuild(_host: &Host, _watch: &dyn Watch) -> Result<Rebuilt, Failure> {
    Err(Failure::failed("not in this build"))
}

#[derive(Debug, Serialize)]
pub struct Checked {
    pub snapshots: u64,
    pub differences: Vec<String>,
}

pub async fn catalog_check(_host: &Host) -> Result<Checked, Failure> {
    Err(Failure::failed("not in this build"))
}
