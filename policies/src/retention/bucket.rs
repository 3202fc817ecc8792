//! Buckets: the hour, day, ISO week, month or year of a snapshot on the clocks of a zone.
//!
//! Always true: two snapshots are in one bucket of a rule exactly if their labels are the same. An hour that repeats
//! when clocks are set back is two hours, so its label holds the offset.

use std::fmt;

use jiff::tz::TimeZone;

use crate::retention::lineage::Snapshot;

/// A count of `keep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Every snapshot is its own bucket.
    Last,
    /// `2026-11-20 14:00 +01:00`
    Hourly,
    /// `2026-11-20`
    Daily,
    /// `2026-W47`
    Weekly,
    /// `2026-11`
    Monthly,
    /// `2026`
    Yearly,
}

impl Rule {
    /// From fine to coarse.
    pub const ALL: [Self; 6] =
        [Self::Last, Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    /// The bucket that a snapshot is in.
    pub(super) fn label(self, snapshot: &Snapshot, zone: &TimeZone) -> String {
        let format = match self {
            Self::Last => return format!("@{}", snapshot.number),
            Self::Hourly => "%Y-%m-%d %H:00 %:z",
            Self::Daily => "%Y-%m-%d",
            // The year of the week, which is not always that of the day.
            Self::Weekly => "%G-W%V",
            Self::Monthly => "%Y-%m",
            Self::Yearly => "%Y",
        };
        snapshot.taken_at.to_zoned(zone.clone()).strftime(format).to_string()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        })
    }
}
