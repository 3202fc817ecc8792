//! What a policy has to do now: wait, run, or let a slot pass.
//!
//! The caller asks again at `until`, and at least once a minute by a clock that nobody sets; it writes down what it is
//! told *before* it acts on it, and asks with what it wrote. Then this is always true:
//!
//! * However many slots passed while nothing could run, one run makes up for all of them.
//! * A slot that comes while a run is on is not queued: it is reported, and the next one counts.
//! * A clock that is set back by up to two hours starts nothing twice.
//! * A clock that was wrong by years, forward or back, silences nothing: at most the slots of those two hours.
//!
//! A start is delayed by the jitter of host and policy; a run that makes up for missed slots is delayed by as much
//! after `watching_since`, since hosts that come back together after a power cut would start together.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::schedule::{Jitter, Schedule};

/// How far ahead of the clock the last slot may lie and still be believed: a clock was set back by that much.
const SET_BACK_MOST: SignedDuration = SignedDuration::from_hours(2);

/// Counting missed slots ends here; a second-by-second line and a clock of next year are no reason to count all night.
const MISSED_MOST: usize = 1000;

/// What is known of a policy on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Every slot up to here is dealt with: the last slot that was started or skipped, or, for a policy that is new or
    /// has a new schedule, the moment when that was noticed.
    pub dealt_with: Timestamp,
    /// When this process began to ask.
    pub watching_since: Timestamp,
    /// Whether a run of this policy is on.
    pub running: bool,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing before `until`, when `slot` starts, if the clock is not set meanwhile.
    Wait {
        /// With jitter.
        until: Timestamp,
        /// Without.
        slot: Timestamp,
    },
    /// Start a run, with `slot` dealt with.
    Run {
        /// The newest slot that has come.
        slot: Timestamp,
        /// How many slots before it this run makes up for; counting ends at 1000.
        missed: usize,
    },
    /// Report that the run that is on overlaps `slot`, with `slot` dealt with.
    SkipOverlap {
        /// The newest slot that has come.
        slot: Timestamp,
        /// How many slots before it pass as well.
        missed: usize,
    },
    /// The clock was far ahead when the last slot was started. Report it, take `restart` as dealt with, ask again.
    ClockWasAhead {
        /// What was dealt with, far in the future.
        dealt_with: Timestamp,
        /// Now.
        restart: Timestamp,
    },
    /// No slot will come any more: it is past 2100.
    Over,
}

/// What to do at `now`.
#[must_use]
pub fn decide(
    schedule: &Schedule,
    zone: &TimeZone,
    jitter: Jitter,
    now: Timestamp,
    standing: &Standing,
) -> Due {
    let Standing { dealt_with, watching_since, running } = *standing;
    if dealt_with.duration_since(now) > SET_BACK_MOST {
        return Due::ClockWasAhead { dealt_with, restart: now };
    }
    let start = |slot: Timestamp| {
        let to_next = schedule.next_after(slot, zone).map(|next| next.duration_since(slot));
        let delay = jitter.delay(to_next);
        let prompt = later(slot, delay);
        // Of a process that began in the future, which a clock set back can do, nothing follows.
        let late = prompt < watching_since && watching_since <= now;
        if late { later(watching_since, delay) } else { prompt }
    };
    let wait = |slot| Due::Wait { until: start(slot), slot };
    let newest = schedule.previous_at_or_before(now, zone).filter(|slot| *slot > dealt_with);
    let Some(slot) = newest else {
        return schedule.next_after(dealt_with.max(now), zone).map_or(Due::Over, wait);
    };
    if start(slot) > now {
        return wait(slot);
    }
    let until = slot - SignedDuration::from_secs(1);
    let missed = schedule.slots_between(dealt_with, until, zone).take(MISSED_MOST).count();
    if running { Due::SkipOverlap { slot, missed } } else { Due::Run { slot, missed } }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
