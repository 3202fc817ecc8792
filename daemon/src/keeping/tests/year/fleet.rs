//! What the year's host has: policies in several zones, and what each means, said a second time by hand.
//!
//! Always true: nothing here comes from the code under test. A schedule is a question asked of each minute, a
//! rule is a handful of numbers.

use std::collections::BTreeSet;

use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// A policy.
pub(super) struct Job {
    pub(super) name: &'static str,
    pub(super) volumes: &'static [&'static str],
    pub(super) line: &'static str,
    pub(super) zone: &'static str,
    pub(super) jitter_minutes: i64,
    /// As a policy says it; empty keeps everything.
    pub(super) keep: &'static str,
    /// What `line` means.
    pub(super) fits: fn(DateTime) -> bool,
    /// What `keep` means.
    pub(super) rule: Option<Rule>,
}

/// What is kept, in numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// Last, hourly, daily, weekly, monthly, yearly.
    pub(super) counts: [usize; 6],
    pub(super) within_days: i64,
    pub(super) grace_days: i64,
}

fn shows(time: DateTime, hour: i8, minute: i8) -> bool {
    (time.hour(), time.minute()) == (hour, minute)
}

/// All policies. Their slots meet every odd thing that clocks do in their zones.
pub(super) fn fleet() -> Vec<Job> {
    vec![
        Job {
            name: "berlin",
            volumes: &["db"],
            line: "30 2 * * *",
            zone: "Europe/Berlin",
            jitter_minutes: 20,
            keep: "daily = 7\nweekly = 4\nmonthly = 3\n",
            fits: |time| shows(time, 2, 30),
            rule: Some(Rule { counts: [0, 0, 7, 4, 3, 0], within_days: 0, grace_days: 7 }),
        },
        Job {
            name: "york",
            volumes: &["web"],
            line: "30 1 * * *",
            zone: "America/New_York",
            jitter_minutes: 0,
            keep: "last = 3\n",
            fits: |time| shows(time, 1, 30),
            rule: Some(Rule { counts: [3, 0, 0, 0, 0, 0], within_days: 0, grace_days: 7 }),
        },
        Job {
            name: "howe",
            volumes: &["metrics"],
            line: "15,45 1-2 * * SUN",
            zone: "Australia/Lord_Howe",
            jitter_minutes: 5,
            keep: "hourly = 6\nyearly = 2\nwithin = \"20d\"\ngrace = \"3d\"\n",
            fits: |time| {
                time.weekday() == Weekday::Sunday
                    && matches!(time.hour(), 1 | 2)
                    && matches!(time.minute(), 15 | 45)
            },
            rule: Some(Rule { counts: [0, 6, 0, 0, 0, 2], within_days: 20, grace_days: 3 }),
        },
        Job {
            name: "odd",
            volumes: &["mail", "wiki"],
            line: "20 5 */2 * *",
            zone: "UTC",
            jitter_minutes: 45,
            keep: "last = 2\nmonthly = 12\ngrace = \"1d\"\n",
            fits: |time| shows(time, 5, 20) && time.day() % 2 == 1,
            rule: Some(Rule { counts: [2, 0, 0, 0, 12, 0], within_days: 0, grace_days: 1 }),
        },
        Job {
            name: "friday",
            volumes: &["papers"],
            line: "0 6 13 * FRI",
            zone: "UTC",
            jitter_minutes: 0,
            keep: "",
            fits: |time| shows(time, 6, 0) && (time.day() == 13 || time.weekday() == Weekday::Friday),
            rule: None,
        },
    ]
}

impl Job {
    /// Its file.
    pub(super) fn text(&self) -> String {
        let Self { line, zone, jitter_minutes, keep, .. } = self;
        let keep = if keep.is_empty() { String::new() } else { format!("[keep]\n{keep}") };
        let volumes = self.volumes.join("\", \"");
        format!(
            "schedule = \"{line}\"\ntime_zone = \"{zone}\"\njitter = \"{jitter_minutes}m\"\n\
             consistency.mode = \"live\"\n[select]\nvolumes = [\"{volumes}\"]\n{keep}"
        )
    }

    pub(super) fn tz(&self) -> TimeZone {
        TimeZone::get(self.zone).unwrap()
    }

    /// Adds the slots from `from` to `until`, minute by minute: one is where the clock on the wall shows, for the
    /// first time, a time that fits, or jumps over one.
    pub(super) fn slots(&self, from: Timestamp, until: Timestamp, into: &mut BTreeSet<Timestamp>) {
        let zone = self.tz();
        // No clock is set back by more than three hours.
        let before = from - SignedDuration::from_hours(3);
        let mut minute = before - SignedDuration::from_secs(before.as_second().rem_euclid(60));
        let mut shown = zone.to_datetime(minute);
        while minute < until {
            minute += MINUTE;
            let now = zone.to_datetime(minute);
            let mut passed = false;
            while shown < now {
                shown += MINUTE;
                passed |= (self.fits)(shown);
            }
            if passed && minute >= from {
                into.insert(minute);
            }
        }
    }
}
