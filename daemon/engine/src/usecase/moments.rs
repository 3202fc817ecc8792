//! The moments at which writers are held for a second pass, where one of them may be in the middle of an update.
//!
//! Nobody can say beforehand whether one will be, so they are held, and let go again if one is: often enough for a burst of
//! updates to pass, and all in all no longer than they may be held at once. A pure value: whoever holds them says how long.

use std::time::Duration;

/// A program that updates all the time, and is held in the middle of it each time, is not waited for for ever.
const TRIED_MAX: u32 = 20;

/// So much longer they are left alone before each moment.
const ALONE: Duration = Duration::from_millis(50);

/// Those that were tried.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    /// So many.
    pub(super) tried: u32,
    /// For how long writers were held at all of them.
    pub(super) held: Duration,
}

impl Moments {
    /// One more was tried.
    pub(super) fn count(&mut self, held: Duration) {
        self.tried += 1;
        self.held += held;
    }

    /// For how long writers are to be left alone before the next; `None` if there is none.
    pub(super) fn next(&self, max_freeze: Duration) -> Option<Duration> {
        (self.tried < TRIED_MAX && self.held < max_freeze).then(|| ALONE * self.tried)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_end_when_they_are_many_or_were_long() {
        let max = Duration::from_secs(60);
        for (held, want) in [(1, 20), (2990, 20), (3200, 19), (30_000, 2), (59_999, 2), (60_000, 1)] {
            let mut moments = Moments::default();
            let mut alone = Duration::ZERO;
            loop {
                moments.count(Duration::from_millis(held));
                let Some(next) = moments.next(max) else { break };
                assert!(next > alone, "{moments:?}");
                alone = next;
            }
            assert_eq!(moments.tried, want, "of {held} ms");
        }
    }
}
