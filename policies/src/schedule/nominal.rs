//! Nominal times: readings of a clock that nobody sets. The only code that names `cron` and `chrono`.
//!
//! A nominal time is a civil date and time. `cron` is asked about it as if it were UTC, where no hour is missing and
//! none comes twice, so that its ideas about daylight saving never matter. Its ideas about days do not either: where
//! day-of-month *or* weekday is enough, two of its schedules are asked, one for each, and the nearer answer counts.
//!
//! Always true: a value of this type names at least one time between 1970 and 2100.

use std::collections::BTreeSet;

use chrono::{DateTime as OnAxis, Utc};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::schedule::field::Values;

/// The nominal times of a line: those that any of these has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nominal(Vec<cron::Schedule>);

impl Nominal {
    /// From second, minute, hour, day-of-month, month and weekday; `None` where the days never come.
    pub(super) fn of(values: &[Values]) -> Option<Self> {
        let [second, minute, hour, day, month, weekday] = values else { return None };
        let line = |days: &str, weekdays: &str| {
            let [second, minute, hour, month] = [second, minute, hour, month].map(|v| listed(&v.set));
            format!("{second} {minute} {hour} {days} {month} {weekdays}").parse::<cron::Schedule>().ok()
        };
        let days = listed(&day.set);
        // Its weekdays count from 1, which is Sunday.
        let weekdays = listed(&weekday.set.iter().map(|day| day + 1).collect());
        let lines = if day.restricted && weekday.restricted {
            vec![line(&days, "*")?, line("*", &weekdays)?]
        } else {
            vec![line(&days, &weekdays)?]
        };
        let nominal = Self(lines);
        nominal.next_on_axis(START_S - 1).is_some().then_some(nominal)
    }

    pub(super) fn next_after(&self, time: DateTime) -> Option<DateTime> {
        self.next_on_axis(on_axis(time)).and_then(off_axis)
    }

    pub(super) fn previous_at_or_before(&self, time: DateTime) -> Option<DateTime> {
        // It knows `before` only.
        let before = OnAxis::<Utc>::from_timestamp(on_axis(time) + 1, 0)?;
        let times = self.0.iter().filter_map(|line| line.after(&before).next_back());
        times.map(|time| time.timestamp()).max().and_then(off_axis)
    }

    fn next_on_axis(&self, second: i64) -> Option<i64> {
        let after = OnAxis::<Utc>::from_timestamp(second, 0)?;
        self.0.iter().filter_map(|line| line.after(&after).next()).map(|time| time.timestamp()).min()
    }
}

/// The first second of 1970, and the first of 2101.
const START_S: i64 = 0;
const END_S: i64 = 4_133_980_800;

/// A civil time as seconds of days that are all as long; asked about years that it does not know, `cron` would lose its way.
fn on_axis(time: DateTime) -> i64 {
    time.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).as_secs().clamp(START_S - 1, END_S - 1)
}

fn off_axis(second: i64) -> Option<DateTime> {
    Timestamp::from_second(second).ok().map(|time| Offset::UTC.to_datetime(time))
}

fn listed(set: &BTreeSet<u32>) -> String {
    set.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
