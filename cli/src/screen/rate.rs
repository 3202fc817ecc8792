//! How fast a deed moves now, and how long it will take: over the last seconds, not since it began, so that
//! a slow start or a sudden stall shows.

use std::collections::VecDeque;
use std::time::Duration;

/// So far back the rate looks.
const WINDOW: Duration = Duration::from_secs(10);

/// Samples closer than this replace one another, which bounds their number.
const SPACING: Duration = Duration::from_millis(250);

/// Bytes seen at moments.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    samples: VecDeque<(Duration, u64)>,
}

impl Rate {
    /// Notes how many bytes were done at `now`.
    pub(crate) fn note(&mut self, now: Duration, bytes: u64) {
        let long = self.samples.len();
        if long >= 2 && now.saturating_sub(self.samples[long - 2].0) < SPACING {
            self.samples.pop_back();
        }
        self.samples.push_back((now, bytes));
        while self.samples.len() > 2 && now.saturating_sub(self.samples[0].0) > WINDOW {
            self.samples.pop_front();
        }
    }

    /// Bytes a second; `None` until there is something to compare.
    pub(crate) fn per_second(&self) -> Option<u64> {
        let ((from, before), (to, after)) = (self.samples.front()?, self.samples.back()?);
        let millis = to.saturating_sub(*from).as_millis();
        if millis < SPACING.as_millis() {
            return None;
        }
        u64::try_from(u128::from(after.saturating_sub(*before)) * 1000 / millis).ok()
    }

    /// Time for `bytes` more at that rate; `None` when it stands still.
    pub(crate) fn time_for(&self, bytes: u64) -> Option<Duration> {
        let rate = self.per_second().filter(|rate| *rate > 0)?;
        Some(Duration::from_secs(bytes.div_ceil(rate)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_the_last_seconds() {
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(), None);
        rate.note(Duration::ZERO, 0);
        assert_eq!(rate.per_second(), None);
        rate.note(Duration::from_secs(2), 200);
        assert_eq!(rate.per_second(), Some(100));
        assert_eq!(rate.time_for(1000), Some(Duration::from_secs(10)));
        for second in 3..40 {
            rate.note(Duration::from_secs(second), 200);
        }
        assert_eq!((rate.per_second(), rate.time_for(1)), (Some(0), None), "a stall shows");
    }

    #[test]
    fn samples_are_bounded() {
        let mut rate = Rate::default();
        for millis in 0..100_000 {
            rate.note(Duration::from_millis(millis), millis);
        }
        assert!(rate.samples.len() < 50, "{}", rate.samples.len());
        assert_eq!(rate.per_second(), Some(1000));
    }
}
