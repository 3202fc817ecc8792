//! How much to keep: what a policy says, checked once.
//!
//! Always true: a `Keep` keeps something, and none of its spans is negative.

use jiff::SignedDuration;

use crate::retention::bucket::Rule;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What a policy asks for; what it does not mention is as in `Terms::default()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How many of the newest.
    pub last: u32,
    /// How many hours that hold snapshots.
    pub hourly: u32,
    /// How many days.
    pub daily: u32,
    /// How many ISO weeks, Monday to Sunday.
    pub weekly: u32,
    /// How many months.
    pub monthly: u32,
    /// How many years.
    pub yearly: u32,
    /// Everything that is this much older than the newest, or less; zero for nothing.
    pub within: SignedDuration,
    /// For how long one that was made by hand stays, by the time of the newest.
    pub by_hand: SignedDuration,
    /// For how long after a failed run everything newer than it stays, by the time of the newest.
    pub after_failure: SignedDuration,
    /// For how long a deleted one can be undeleted, by the clock.
    pub grace: SignedDuration,
}

impl Default for Terms {
    /// No counts; by hand 90 days, after a failure 14 days, grace 7 days.
    fn default() -> Self {
        Self {
            last: 0,
            hourly: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
            yearly: 0,
            within: SignedDuration::ZERO,
            by_hand: DAY * 90,
            after_failure: DAY * 14,
            grace: DAY * 7,
        }
    }
}

/// Terms that make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep(Terms);

/// Why terms make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// Every count is 0.
    #[error("`keep` keeps nothing; say how much, as in `keep = {{ daily = 7, weekly = 4, monthly = 12 }}`")]
    Nothing,
    /// A count that nobody means.
    #[error("`{rule}` is {count}, at most {most} are counted; `within` keeps all of a time")]
    TooMany {
        /// Which.
        rule: Rule,
        /// How many were asked for.
        count: u32,
        /// How many may be.
        most: u32,
    },
    /// A span below zero or beyond a century.
    #[error("`{name}` must be between 0 and 36500 days")]
    Span {
        /// Which, as a policy calls it.
        name: &'static str,
    },
}

impl Keep {
    /// The most that a count may be.
    pub const COUNT_MOST: u32 = 10_000;

    /// Checks the terms.
    ///
    /// # Errors
    ///
    /// Where they keep nothing, or more than anybody means.
    pub fn new(terms: Terms) -> Result<Self, KeepError> {
        let keep = Self(terms);
        for rule in Rule::ALL {
            let (count, most) = (keep.count(rule), Self::COUNT_MOST);
            if count > most {
                return Err(KeepError::TooMany { rule, count, most });
            }
        }
        let spans = [
            ("within", terms.within),
            ("by_hand", terms.by_hand),
            ("after_failure", terms.after_failure),
            ("grace", terms.grace),
        ];
        if let Some((name, _)) = spans.iter().find(|(_, span)| span.is_negative() || *span > DAY * 36_500) {
            return Err(KeepError::Span { name });
        }
        if terms.within.is_zero() && Rule::ALL.iter().all(|rule| keep.count(*rule) == 0) {
            return Err(KeepError::Nothing);
        }
        Ok(keep)
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.0
    }

    /// How many buckets of a rule.
    pub(super) fn count(&self, rule: Rule) -> u32 {
        match rule {
            Rule::Last => self.0.last,
            Rule::Hourly => self.0.hourly,
            Rule::Daily => self.0.daily,
            Rule::Weekly => self.0.weekly,
            Rule::Monthly => self.0.monthly,
            Rule::Yearly => self.0.yearly,
        }
    }
}
