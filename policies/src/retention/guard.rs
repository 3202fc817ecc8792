//! The guard: does a new snapshot look like its source, or like what an accident left of it?
//!
//! A volume that was re-initialised, emptied or swapped for another still backs up without an error, and retention would
//! then delete the last good snapshots one by one. So the new snapshot is taken, compared with the one before, and
//! what looks wrong is flagged; a flag holds all deleting in the lineage until a person acknowledges it.
//!
//! Always true: the judgement depends on nothing but the two totals and the limits. Loss is measured in hundredths of
//! what was there before, and only more than the limit is a flag; a source that lost everything is flagged whatever the
//! limits are, unless they are switched off.

use std::fmt;

/// What a snapshot holds, in sum.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Files.
    pub files: u64,
    /// Their lengths.
    pub bytes: u64,
    /// What says which database this is: a system identifier, a server UUID. `None` where nothing was found.
    pub identity: Option<String>,
}

/// How much a source may lose from one snapshot to the next; `None` where nobody minds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of its bytes, in percent.
    pub shrink_percent: Option<u8>,
    /// Of its files, in percent.
    pub file_loss_percent: Option<u8>,
    /// Whether its identity must stay.
    pub identity: bool,
}

impl Default for Limits {
    /// Half of the bytes, half of the files, and the identity stays.
    fn default() -> Self {
        Self { shrink_percent: Some(50), file_loss_percent: Some(50), identity: true }
    }
}

/// What looks wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flag {
    /// Far fewer bytes.
    Shrunk {
        /// Before.
        from: u64,
        /// Now.
        to: u64,
        /// Percent that may go.
        limit: u8,
    },
    /// Far fewer files.
    FilesLost {
        /// Before.
        from: u64,
        /// Now.
        to: u64,
        /// Percent that may go.
        limit: u8,
    },
    /// Another database, or none where one was.
    IdentityChanged {
        /// Before.
        from: String,
        /// Now.
        to: Option<String>,
    },
}

/// Compares a new snapshot with the last one that nobody doubts: the newest before it that is whole and not flagged.
#[must_use]
pub fn judge(before: &Totals, new: &Totals, limits: &Limits) -> Vec<Flag> {
    let mut flags = Vec::new();
    if let Some(limit) = limits.shrink_percent.filter(|limit| lost(before.bytes, new.bytes, *limit)) {
        flags.push(Flag::Shrunk { from: before.bytes, to: new.bytes, limit });
    }
    if let Some(limit) = limits.file_loss_percent.filter(|limit| lost(before.files, new.files, *limit)) {
        flags.push(Flag::FilesLost { from: before.files, to: new.files, limit });
    }
    if let Some(from) =
        before.identity.as_ref().filter(|_| limits.identity && before.identity != new.identity)
    {
        flags.push(Flag::IdentityChanged { from: from.clone(), to: new.identity.clone() });
    }
    flags
}

fn lost(from: u64, to: u64, limit: u8) -> bool {
    let gone = u128::from(from.saturating_sub(to));
    gone * 100 > u128::from(from) * u128::from(limit) || (to == 0 && from > 0)
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shrunk { from, to, limit } => {
                let (percent, from, to) = (percent(*from, *to), size(*from), size(*to));
                write!(f, "shrank from {from} to {to}, by {percent} %, and {limit} % are allowed")
            }
            Self::FilesLost { from, to, limit } => {
                let percent = percent(*from, *to);
                write!(f, "has {to} files after {from}, {percent} % fewer, and {limit} % are allowed")
            }
            Self::IdentityChanged { from, to: Some(to) } => {
                write!(f, "is another database: `{}` after `{}`", to.escape_debug(), from.escape_debug())
            }
            Self::IdentityChanged { from, to: None } => {
                write!(f, "holds no database any more: it was `{}`", from.escape_debug())
            }
        }
    }
}

/// How much is gone, rounded down: `100 %` is said only of all.
fn percent(from: u64, to: u64) -> u128 {
    u128::from(from.saturating_sub(to)) * 100 / u128::from(from.max(1))
}

/// `1.5 GiB`
fn size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let Some((unit, shift)) = units.into_iter().find(|(_, shift)| bytes >> shift > 0) else {
        return format!("{bytes} B");
    };
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(files: u64, bytes: u64, identity: Option<&str>) -> Totals {
        Totals { files, bytes, identity: identity.map(str::to_owned) }
    }

    #[track_caller]
    fn check(before: &Totals, new: &Totals, limits: &Limits, want: &[&str]) {
        let got: Vec<_> = judge(before, new, limits).iter().map(Flag::to_string).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn what_an_accident_leaves_is_flagged() {
        let before = totals(1000, 10 << 30, Some("mysql 7d44"));
        let limits = Limits::default();
        check(&before, &before, &limits, &[]);
        // The re-initialised volume: smaller, fewer, and another server.
        check(
            &before,
            &totals(120, 190 << 20, Some("mysql 09ab")),
            &limits,
            &[
                "shrank from 10.0 GiB to 190.0 MiB, by 98 %, and 50 % are allowed",
                "has 120 files after 1000, 88 % fewer, and 50 % are allowed",
                "is another database: `mysql 09ab` after `mysql 7d44`",
            ],
        );
        let empty = [
            "shrank from 10.0 GiB to 0 B, by 100 %, and 50 % are allowed",
            "has 0 files after 1000, 100 % fewer, and 50 % are allowed",
            "holds no database any more: it was `mysql 7d44`",
        ];
        check(&before, &totals(0, 0, None), &limits, &empty);
    }

    #[test]
    fn only_more_than_the_limit_counts_and_growth_never_does() {
        let limits = Limits { shrink_percent: Some(20), file_loss_percent: Some(0), identity: false };
        let before = totals(10, 1000, Some("a"));
        check(&before, &totals(10, 800, Some("b")), &limits, &[]);
        check(
            &before,
            &totals(10, 799, None),
            &limits,
            &["shrank from 1000 B to 799 B, by 20 %, and 20 % are allowed"],
        );
        check(
            &before,
            &totals(9, 1000, None),
            &limits,
            &["has 9 files after 10, 10 % fewer, and 0 % are allowed"],
        );
        check(&before, &totals(99, 9999, None), &limits, &[]);
        check(&totals(0, 0, None), &totals(0, 0, Some("a")), &Limits::default(), &[]);
        let big = totals(u64::MAX, u64::MAX, None);
        check(&big, &big, &Limits::default(), &[]);
        // Losing everything is within 100 percent, and a flag all the same.
        let all = Limits { shrink_percent: Some(100), file_loss_percent: None, identity: true };
        check(
            &before,
            &totals(0, 0, Some("a")),
            &all,
            &["shrank from 1000 B to 0 B, by 100 %, and 100 % are allowed"],
        );
        let off = Limits { shrink_percent: None, file_loss_percent: None, identity: false };
        check(&before, &totals(0, 0, None), &off, &[]);
    }
}
