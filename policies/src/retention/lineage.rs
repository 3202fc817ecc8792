//! What retention has to know of a lineage.
//!
//! Always true: times are those that were recorded when a snapshot was taken; names and dates of objects play no part.

use jiff::Timestamp;

use crate::retention::guard::Flag;

/// A snapshot's number in its lineage.
pub type Number = u64;

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Unlike any other of the lineage.
    pub number: Number,
    /// As its manifest says.
    pub taken_at: Timestamp,
    /// Asked for by a person, not by a schedule.
    pub by_hand: bool,
    /// Something of the source is missing in it.
    pub partial: bool,
    /// Verified or drilled.
    pub proven: bool,
    /// Somebody said that it stays.
    pub pinned: bool,
    /// Without these it cannot be restored; empty where packs are shared and counted.
    pub needs: Vec<Number>,
    /// When it was deleted, if it can still be undeleted.
    pub deleted_at: Option<Timestamp>,
}

impl Snapshot {
    /// Newer is greater.
    pub(super) fn age_key(&self) -> (Timestamp, Number) {
        (self.taken_at, self.number)
    }

    pub(super) fn is_live(&self) -> bool {
        self.deleted_at.is_none()
    }
}

/// All snapshots of one source on one host, in any order, and what casts doubt on them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lineage {
    /// Live ones, and deleted ones that were not purged.
    pub snapshots: Vec<Snapshot>,
    /// When the last run that failed began.
    pub failed_at: Option<Timestamp>,
    /// What the guard has said of which snapshot, where nobody has acknowledged it.
    pub flags: Vec<(Number, Flag)>,
}

/// The time, as two witnesses tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// The host's.
    pub now: Timestamp,
    /// The store's, where it tells one.
    pub store: Option<Timestamp>,
}
