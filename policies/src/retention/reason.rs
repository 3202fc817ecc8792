//! Why a snapshot stays, goes or waits, as values that print as plain sentences.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::retention::bucket::Rule;
use crate::retention::guard::Flag;
use crate::retention::lineage::Number;

/// Why a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Of all.
    Newest,
    /// The newest that is not partial, where the newest is.
    NewestWhole,
    /// The newest that was verified or drilled.
    NewestProven,
    /// Somebody said so.
    Pinned,
    /// Newer than the last run that failed.
    AfterFailure {
        /// When that began.
        failed_at: Timestamp,
    },
    /// Dated later than the clock says that it is.
    Future,
    /// It stands for a bucket.
    Counted {
        /// Of which count.
        rule: Rule,
        /// From 1, which is the newest bucket.
        place: u32,
        /// How many buckets are counted.
        of: u32,
        /// Which.
        bucket: String,
        /// It is partial, and nothing whole is in the bucket.
        partial: bool,
    },
    /// Not much older than the newest.
    Within {
        /// How much older it may be.
        within: SignedDuration,
    },
    /// Made by hand, not long before the newest.
    ByHand {
        /// For how long it stays.
        stays: SignedDuration,
    },
    /// One that stays cannot be restored without it.
    NeededBy {
        /// The newest that needs it.
        number: Number,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => write!(f, "the newest"),
            Self::NewestWhole => write!(f, "the newest whole one"),
            Self::NewestProven => write!(f, "the newest proven one"),
            Self::Pinned => write!(f, "pinned"),
            Self::AfterFailure { failed_at } => {
                write!(f, "newer than the run that failed at {}", minute(*failed_at))
            }
            Self::Future => write!(f, "dated in the future"),
            Self::Counted { rule: Rule::Last, place, of, partial, .. } => {
                write!(f, "last {place} of {of}{}", if *partial { ", partial" } else { "" })
            }
            Self::Counted { rule, place, of, bucket, partial } => {
                let partial = if *partial { ", partial, nothing whole is there" } else { "" };
                write!(f, "{rule} {place} of {of} ({bucket}){partial}")
            }
            Self::Within { within } => write!(f, "within {} of the newest", span(*within)),
            Self::ByHand { stays } => write!(f, "made by hand, stays for {}", span(*stays)),
            Self::NeededBy { number } => write!(f, "@{number} needs it"),
        }
    }
}

/// Why a snapshot goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Another stands for its bucket.
    Replaced {
        /// In which count.
        rule: Rule,
        /// Which bucket.
        bucket: String,
        /// The other.
        by: Number,
    },
    /// No count of `keep` reaches back to it.
    Beyond,
    /// Made by hand, and its time is over.
    ByHandOver {
        /// For how long it stayed.
        stayed: SignedDuration,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced { rule, bucket, by } => write!(f, "@{by} stands for {bucket} ({rule})"),
            Self::Beyond => write!(f, "older than all that `keep` counts"),
            Self::ByHandOver { stayed } => {
                write!(f, "made by hand, more than {} before the newest", span(*stayed))
            }
        }
    }
}

/// Why a snapshot that should go stays for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// The guard holds all deleting in the lineage.
    Flagged {
        /// The snapshot that it flagged.
        number: Number,
        /// What it saw.
        flag: Flag,
    },
    /// Host and store do not agree about the time.
    Clock {
        /// How far the host is ahead; behind, if negative.
        ahead: SignedDuration,
    },
    /// It is deleted, and can be undeleted.
    InGrace {
        /// That long.
        until: Timestamp,
    },
    /// It is deleted, and one that is not purged cannot be restored without it.
    NeededBy {
        /// The newest that needs it.
        number: Number,
    },
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flagged { number, flag } => write!(f, "@{number} {flag}; until somebody acknowledges it"),
            Self::Clock { ahead } => {
                let side = if ahead.is_negative() { "behind" } else { "ahead of" };
                write!(f, "the clock of this host is {} {side} the store's", span(ahead.abs()))
            }
            Self::InGrace { until } => write!(f, "deleted, can be undeleted until {}", minute(*until)),
            Self::NeededBy { number } => write!(f, "deleted, but @{number} needs it"),
        }
    }
}

/// `2026-11-20 14:00 UTC`
pub(super) fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `90 d`, `36 h`, `12 min`: the largest unit that says it exactly, down to minutes.
pub(super) fn span(span: SignedDuration) -> String {
    let minutes = span.as_mins();
    match minutes {
        0 => format!("{} s", span.as_secs()),
        m if m % (24 * 60) == 0 => format!("{} d", m / (24 * 60)),
        m if m % 60 == 0 => format!("{} h", m / 60),
        m => format!("{m} min"),
    }
}
