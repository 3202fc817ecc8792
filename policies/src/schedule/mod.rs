//! When a policy runs: a crontab(5) line, read in a time zone.
//!
//! Five fields, `minute hour day-of-month month weekday`, or six with seconds in front; `*`, lists, ranges and
//! steps; names of months and weekdays; `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`,
//! `@annually`. The `cron` crate finds the next nominal time; it disagrees with crontab(5) in four ways, and
//! this module is the one place that owns them:
//!
//! 1. *Seconds.* It demands them. Here five fields run at second 0.
//! 2. *Weekdays.* Its 1 is Sunday. Here 0 and 7 are Sunday and 1 is Monday, and a range may go over the end of
//!    the week: `FRI-MON`, `5-7`, `6-1`.
//! 3. *Day-of-month and weekday.* It wants both to fit. Here, as in Vixie cron, a day fits if *either* fits
//!    when both fields are restricted. A field that begins with `*` does not count as restricted, whatever
//!    follows: with `*/2` or `*,13` in one of the fields both must fit. So `0 0 13 * FRI` is every 13th and
//!    every Friday, and `0 0 */2 * FRI` is the Fridays with an odd date.
//! 4. *Daylight saving.* It runs twice in a repeated hour and never in a missing one. So it is only asked about
//!    nominal times, readings of a clock that nobody sets, and `zone` places these in time:
//!    * every nominal time has exactly one **slot**, the instant at which it runs;
//!    * a nominal time that the clock skips runs at the first instant after the gap;
//!    * a nominal time that the clock shows twice runs when it is first shown;
//!    * nominal times with one instant are one slot. In Berlin in March `*/15 * * * *` runs once at 03:00,
//!      for 02:00, 02:15, 02:30, 02:45 and 03:00; in October it pauses for the hour that repeats.
//!
//! Always true: slots come in order and no slot comes twice; a line that can never run is an error; and a time
//! zone and the time are arguments. Slots exist from 1970 to 2100, which is what `cron` knows.

mod due;
mod error;
mod field;
mod jitter;
mod line;
mod nominal;
mod zone;

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use due::{Due, Standing, decide};
pub use error::ScheduleError;
pub use field::Field;
pub use jitter::Jitter;
use nominal::Nominal;

/// A crontab line that was understood and that will run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    nominal: Nominal,
}

impl Schedule {
    /// Reads a line; blanks around it do not matter.
    ///
    /// # Errors
    ///
    /// What is wrong and at which column of `text`, also where the line is fine but its day never comes.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let nominal = line::parse(text)?;
        Ok(Self { text: text.trim().to_owned(), nominal })
    }

    /// The first slot later than `instant`; `None` after the year 2100.
    #[must_use]
    pub fn next_after(&self, instant: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let nominal = self.nominal.next_after(zone::shown_until(instant, zone))?;
        zone::first_instant(nominal, zone)
    }

    /// The last slot that is not later than `instant`; `None` before the year 1970.
    #[must_use]
    pub fn previous_at_or_before(&self, instant: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let nominal = self.nominal.previous_at_or_before(zone::shown_until(instant, zone))?;
        zone::first_instant(nominal, zone)
    }

    /// The slots later than `after` and not later than `until`, in order.
    pub fn slots_between(
        &self,
        after: Timestamp,
        until: Timestamp,
        zone: &TimeZone,
    ) -> impl Iterator<Item = Timestamp> {
        let next = |slot: &Timestamp| self.next_after(*slot, zone);
        std::iter::successors(self.next_after(after, zone), next).take_while(move |slot| *slot <= until)
    }
}

/// The line as it was written.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
