//! A snapshot, as the catalog remembers it.

use std::fmt;

use archive::channel::Totals;
use archive::frame::Hash;
use archive::layout::hex_hash;
use jiff::Timestamp;
use serde::Serialize;

use crate::format::manifest::{Consistency, SnapshotKind};
use crate::format::names::Lineage;
use crate::words::{HostName, Number, RunId, SourceName};

/// Which snapshot of all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SnapshotKey {
    /// The store's name, as `ReadStore::name` gives it.
    pub store: String,
    /// Whose.
    pub host: HostName,
    /// Of what.
    pub source: SourceName,
    /// Its number.
    pub number: Number,
}

impl SnapshotKey {
    /// Host and source.
    pub fn lineage(&self) -> Lineage {
        Lineage { host: self.host.clone(), source: self.source.clone() }
    }
}

/// `host/source@42`, as people type it.
impl fmt::Display for SnapshotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.host, self.source, self.number)
    }
}

/// What this host found when it last read all of a snapshot back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// When.
    pub at: Timestamp,
    /// What.
    pub result: VerifiedResult,
}

/// How a verification ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifiedResult {
    /// Every byte is there.
    Good,
    /// Something is missing or changed.
    Damaged,
}

/// A snapshot in the index. `deleted_at`, `verified` and `seen_at` are this host's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotRow {
    /// Which.
    pub key: SnapshotKey,
    /// The run that made it.
    pub run: RunId,
    /// When reading began.
    pub taken_at: Timestamp,
    /// Full or incremental.
    pub kind: SnapshotKind,
    /// How writers were held.
    pub consistency: Consistency,
    /// Made by hand.
    pub by_hand: bool,
    /// What it holds.
    pub totals: Totals,
    /// What it added to the store.
    pub sent_bytes: u64,
    /// Entries that should be there are missing.
    pub partial: bool,
    /// BLAKE3 of the whole manifest object.
    #[serde(with = "hex_hash")]
    pub manifest_hash: Hash,
    /// Soft-deleted, and since when this host knows.
    pub deleted_at: Option<Timestamp>,
    /// Read back.
    pub verified: Option<Verified>,
    /// When this host last saw it in the store. Decides nothing.
    #[serde(skip)]
    pub seen_at: Timestamp,
}

/// Which snapshots to list; `None` is all of them.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one store.
    pub store: Option<String>,
    /// Of one host.
    pub host: Option<HostName>,
    /// Of one source.
    pub source: Option<SourceName>,
    /// Soft-deleted ones too.
    pub deleted: bool,
}

impl Filter {
    /// Of one lineage, soft-deleted ones too.
    pub fn of(store: &str, lineage: &Lineage) -> Self {
        Self {
            store: Some(store.to_owned()),
            host: Some(lineage.host.clone()),
            source: Some(lineage.source.clone()),
            deleted: true,
        }
    }
}

pub(super) fn kind_word(kind: SnapshotKind) -> &'static str {
    match kind {
        SnapshotKind::Full => "full",
        SnapshotKind::Incremental => "incremental",
    }
}

pub(super) fn kind_parse(word: &str) -> Option<SnapshotKind> {
    [SnapshotKind::Full, SnapshotKind::Incremental].into_iter().find(|kind| kind_word(*kind) == word)
}

pub(super) fn consistency_parse(word: &str) -> Option<Consistency> {
    Consistency::ALL.into_iter().find(|one| one.word() == word)
}

pub(super) fn verified_word(result: VerifiedResult) -> &'static str {
    match result {
        VerifiedResult::Good => "good",
        VerifiedResult::Damaged => "damaged",
    }
}

pub(super) fn verified_parse(word: &str) -> Option<VerifiedResult> {
    [VerifiedResult::Good, VerifiedResult::Damaged].into_iter().find(|one| verified_word(*one) == word)
}
