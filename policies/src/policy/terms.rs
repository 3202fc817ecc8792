//! What a policy promises for the sources that it has: when, how consistent, how long kept, how proven.
//!
//! Always true: every value here has passed the bounds of `keys.rs`; later code never checks again.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use crate::level::Level;
use crate::policy::dump::Dump;
use crate::retention::{self, KeepError};
use crate::schedule::Schedule;

/// An enum whose variants people write as words: one list for parser, schema and messages.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$what])* $variant,)+ }

        impl $name {
            /// All of them, in the order of [`Self::WORDS`].
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As people write them.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// As people write it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

words! {
    /// How the files of one snapshot come to be of one moment.
    Mode {
        /// They do not: writers run on.
        Live = "live",
        /// Writers are frozen by the kernel while the last changes are read.
        Pause = "pause",
        /// Writers are stopped and started again.
        Stop = "stop",
        /// Commands inside the container say when files may be read.
        Hooks = "hooks",
        /// PostgreSQL's backup mode, with the log that belongs to it.
        Postgres = "postgres",
        /// MySQL or MariaDB, frozen at a moment from which it recovers.
        Mysql = "mysql",
        /// Redis or Valkey: no file is rewritten while it is read.
        Redis = "redis",
        /// RRD files: what the daemon holds back is written first, then writers are frozen.
        Rrd = "rrd",
        /// What programs of the policy say becomes files of the snapshot.
        Dump = "dump",
    }
}

words! {
    /// What to do where a writer cannot be frozen.
    OnUnfreezable {
        /// The run fails.
        Refuse = "refuse",
        /// Files are read while the writer runs, and the snapshot says so.
        Live = "live",
    }
}

words! {
    /// Which files an incremental snapshot reads.
    Reread {
        /// Those whose size, times or inode changed.
        Changed = "changed",
        /// All of them, for writers that put times back.
        Always = "always",
    }
}

words! {
    /// What somebody is told of.
    Event {
        /// A run failed.
        Failure = "failure",
        /// The first good run after a failure.
        Recovery = "recovery",
        /// No good snapshot where the schedule wants one.
        Overdue = "overdue",
        /// A source shrank or changed its identity, and pruning is held.
        Guard = "guard",
        /// A source is not there any more, and nobody said that this is meant.
        Vanished = "vanished",
    }
}

/// Everything a policy says, apart from which sources it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// When it runs.
    pub schedule: Schedule,
    /// The zone in which `schedule` is meant; UTC if none was said.
    pub time_zone: TimeZone,
    /// Somebody said so: a zone that was named means something to who reads times, one that is there because none was
    /// named does not.
    pub time_zone_named: bool,
    /// Runs begin up to this much later, so that hosts do not begin all at once.
    pub jitter: Duration,
    /// Where its snapshots live; in the store of the settings if `None`.
    pub store: Option<String>,
    /// How files come to be of one moment.
    pub consistency: Consistency,
    /// What is kept; everything if `None`.
    pub keep: Option<Keep>,
    /// What looks so wrong that nothing is pruned.
    pub guard: Guard,
    /// Rehearsed restores, if any.
    pub drill: Option<Drill>,
    /// How much of the host runs may take.
    pub limits: Limits,
    /// Who is told.
    pub notify: Notify,
    /// How snapshots are packed.
    pub pack: Pack,
}

/// `[consistency]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// How.
    pub mode: Mode,
    /// Sources of one compose project are frozen at one moment and restored under one id.
    pub set: bool,
    /// How long writers may stand still.
    pub max_freeze: Duration,
    /// What to do where they cannot.
    pub on_unfreezable: OnUnfreezable,
    /// For mode `hooks`, a program and its arguments; never a line for a shell.
    pub before: Vec<String>,
    /// As `before`; runs whatever happened in between.
    pub after: Vec<String>,
    /// Which files are read.
    pub reread: Reread,
    /// For mode `dump`: the source's own files are left out.
    pub only: bool,
    /// For mode `dump`: what becomes a file.
    pub dumps: Vec<Dump>,
}

/// `[keep]`: each number counts the buckets that hold snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// The newest so many.
    pub last: u32,
    /// One an hour.
    pub hourly: u32,
    /// One a day.
    pub daily: u32,
    /// One a week.
    pub weekly: u32,
    /// One a month.
    pub monthly: u32,
    /// One a year.
    pub yearly: u32,
    /// All that are at most this much older than the newest.
    pub within: Option<Duration>,
    /// How long those made by hand are kept. They use up no count.
    pub by_hand: Duration,
    /// How long a deleted one can be undeleted.
    pub grace: Duration,
}

/// `[guard]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// A source that lost more than this share of its bytes is suspicious; 100 is never.
    pub shrink_percent: u32,
    /// The same for its files.
    pub file_loss_percent: u32,
    /// A database that became another one is suspicious.
    pub identity: bool,
}

/// `[drill]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// At least this often.
    pub every: Duration,
    /// Another image than the recorded one.
    pub image: Option<String>,
    /// What the server is started with beside our own: settings that are neither in the volume nor in the image.
    pub arguments: Vec<String>,
    /// What the database may use.
    pub memory_bytes: u64,
    /// When it counts as failed.
    pub timeout: Duration,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Sources of this policy at once.
    pub concurrency: u32,
    /// Bytes a second to the store, of each run.
    pub bandwidth: Option<u64>,
    /// Scheduling priority of helpers, as nice(1): 0 to 19.
    pub nice: u32,
}

/// `[notify]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notify {
    /// Where events are posted: `https://…`, or what holds that URL: `file:///…`, or `credential:NAME` of systemd.
    pub webhook: Option<String>,
    /// A program and its arguments on the host.
    pub command: Vec<String>,
    /// A URL that is asked for after every good run, written as `webhook` is.
    pub heartbeat: Option<String>,
    /// Of what.
    pub on: Vec<Event>,
}

/// `[pack]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// How hard to compress; as the settings say if `None`.
    pub level: Option<Level>,
    /// A full snapshot at least this often.
    pub full_every: Duration,
    /// A full snapshot when more packs than this are behind one.
    pub max_packs: Option<u32>,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Consistency {
    /// `mode` has no default: a file must say it.
    fn default() -> Self {
        Self {
            mode: Mode::Live,
            set: false,
            max_freeze: Duration::from_secs(60),
            on_unfreezable: OnUnfreezable::Refuse,
            before: Vec::new(),
            after: Vec::new(),
            reread: Reread::Changed,
            only: true,
            dumps: Vec::new(),
        }
    }
}

impl Default for Keep {
    fn default() -> Self {
        let [last, hourly, daily, weekly, monthly, yearly] = [0; 6];
        Self { last, hourly, daily, weekly, monthly, yearly, within: None, by_hand: DAY * 90, grace: DAY * 7 }
    }
}

impl Keep {
    /// Neither a count nor a time keeps anything.
    pub(crate) fn keeps_nothing(&self) -> bool {
        [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly].iter().all(|n| *n == 0)
            && self.within.is_none()
    }

    /// As retention takes it.
    ///
    /// # Errors
    ///
    /// None for what a file said: its bounds are the same.
    pub fn counted(&self) -> Result<retention::Keep, KeepError> {
        let span = |time: Duration| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        retention::Keep::new(retention::Terms {
            last: self.last,
            hourly: self.hourly,
            daily: self.daily,
            weekly: self.weekly,
            monthly: self.monthly,
            yearly: self.yearly,
            within: span(self.within.unwrap_or_default()),
            by_hand: span(self.by_hand),
            grace: span(self.grace),
            ..retention::Terms::default()
        })
    }
}

impl Notify {
    /// It names somebody who is told of events; a heartbeat is none.
    pub fn tells_somebody(&self) -> bool {
        self.webhook.is_some() || !self.command.is_empty()
    }
}

impl Guard {
    /// As the guard judges by them.
    pub fn limits(&self) -> retention::guard::Limits {
        let percent = |share: u32| u8::try_from(share).ok().filter(|share| *share < 100);
        retention::guard::Limits {
            shrink_percent: percent(self.shrink_percent),
            file_loss_percent: percent(self.file_loss_percent),
            identity: self.identity,
        }
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self { shrink_percent: 50, file_loss_percent: 50, identity: true }
    }
}

impl Default for Drill {
    /// `every` has no default: a file must say it.
    fn default() -> Self {
        let timeout = Duration::from_secs(1_800);
        Self { every: DAY, image: None, arguments: Vec::new(), memory_bytes: 1 << 30, timeout }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrency: 1, bandwidth: None, nice: 10 }
    }
}

impl Default for Pack {
    fn default() -> Self {
        Self { level: None, full_every: DAY * 30, max_packs: None }
    }
}
