//! What a key is: its name, what it means in a sentence, and the shape of its value with the way into the
//! draft. The table itself is `keys.rs`; parser and schema both walk it.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::level::Level;
use crate::policy::terms::{Consistency, Drill, Guard, Keep, Limits, Notify, Pack};
use crate::schedule::Schedule;
use crate::select::Select;

/// A key of a policy file.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// For the schema, and behind complaints about bounds.
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
}

/// Takes a text into the draft, or says what it must be: `must be …`.
pub(crate) type PutText = fn(&mut Draft, &str) -> Result<(), String>;

/// What stands behind a key, and where it goes.
pub(crate) enum Kind {
    /// Walked; all others are taken.
    Table(&'static [Key]),
    /// A list of tables: their keys, those that each must have, and what begins the next one in the draft.
    Tables(&'static [Key], &'static [&'static str], fn(&mut Draft)),
    Flag(fn(&mut Draft, bool)),
    Whole(RangeInclusive<u32>, fn(&mut Draft, u32)),
    Level(fn(&mut Draft, Level)),
    /// Seconds.
    Time(RangeInclusive<u64>, fn(&mut Draft, Duration)),
    Bytes(RangeInclusive<u64>, fn(&mut Draft, u64)),
    Speed(RangeInclusive<u64>, fn(&mut Draft, u64)),
    Text(PutText),
    /// Each is put on its own.
    Texts(PutText),
    /// One of these, by its place among them.
    Word(&'static [&'static str], fn(&mut Draft, usize)),
    /// Some of these.
    Words(&'static [&'static str], fn(&mut Draft, usize)),
}

impl Kind {
    /// The keys of the table that it is, if it is one.
    pub(crate) fn table(&self) -> Option<&'static [Key]> {
        if let Self::Table(keys) = self { Some(keys) } else { None }
    }
}

/// A policy that is being read.
pub(crate) struct Draft {
    pub(crate) nothing: Option<String>,
    pub(crate) select: Select,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) time_zone: TimeZone,
    pub(crate) jitter: Duration,
    pub(crate) store: Option<String>,
    pub(crate) consistency: Consistency,
    pub(crate) keep: Keep,
    pub(crate) guard: Guard,
    pub(crate) drill: Drill,
    pub(crate) limits: Limits,
    pub(crate) notify: Notify,
    pub(crate) pack: Pack,
    /// The keys that the file has, by their paths: `keep`, `keep.daily`.
    pub(crate) seen: BTreeMap<String, Seen>,
}

/// Where a key stands.
pub(crate) struct Seen {
    pub(crate) span: Range<usize>,
    /// Nothing was wrong with its value.
    pub(crate) fine: bool,
}

impl Draft {
    /// What holds where a file says nothing.
    pub(crate) fn new() -> Self {
        Self {
            nothing: None,
            select: Select::default(),
            schedule: None,
            time_zone: TimeZone::UTC,
            jitter: Duration::ZERO,
            store: None,
            consistency: Consistency::default(),
            keep: Keep::default(),
            guard: Guard::default(),
            drill: Drill::default(),
            limits: Limits::default(),
            notify: Notify::default(),
            pack: Pack::default(),
            seen: BTreeMap::new(),
        }
    }

    /// Where a key stands, if the file has it.
    pub(crate) fn at(&self, path: &str) -> Option<Range<usize>> {
        self.seen.get(path).map(|seen| seen.span.clone())
    }

    /// As [`Self::at`], if its value could be read: a rule about a value that could not would only repeat it.
    pub(crate) fn fine(&self, path: &str) -> Option<Range<usize>> {
        self.seen.get(path).filter(|seen| seen.fine).map(|seen| seen.span.clone())
    }
}
