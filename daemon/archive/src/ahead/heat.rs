//! How much the walk waits for the disk, as one number that forgets.

use std::time::Duration;

/// A look at a name that the kernel knows takes one or two microseconds, and as much again on a busy machine.
const LOOK_MICROS: u64 = 6;

/// What a file that was not in memory is taken to cost, and what one that was takes from it.
const MISS_MICROS: u64 = 100;
const HIT_MICROS: u64 = 20;

/// From here on looking ahead is worth it.
const HOT_MICROS: u64 = 800;

/// However long the disk was waited for, after so much without it is forgotten.
const MOST_MICROS: u64 = 8000;

/// Microseconds of waiting, less what is ordinary.
#[derive(Debug, Default)]
pub(super) struct Heat(u64);

impl Heat {
    /// One look, which took this long.
    pub(super) fn look(&mut self, took: Duration) {
        self.add(micros(took));
        self.0 = self.0.saturating_sub(LOOK_MICROS);
    }

    /// Waiting that somebody else did.
    pub(super) fn add(&mut self, micros: u64) {
        self.0 = self.0.saturating_add(micros).min(MOST_MICROS);
    }

    /// So many files had to come from the disk.
    pub(super) fn miss(&mut self, times: u64) {
        self.add(times.saturating_mul(MISS_MICROS));
    }

    /// A file had not, or nobody wanted it.
    pub(super) fn hit(&mut self) {
        self.0 = self.0.saturating_sub(HIT_MICROS);
    }

    pub(super) fn is_hot(&self) -> bool {
        self.0 >= HOT_MICROS
    }
}

/// What a look waited beyond what is ordinary.
pub(super) fn waited(took: Duration) -> u64 {
    micros(took).saturating_sub(LOOK_MICROS)
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(MOST_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_of_scouts_that_wait_for_nothing_keep_nobody_looking() {
        let mut heat = Heat::default();
        heat.add(MOST_MICROS);
        for _ in 0..2000 {
            heat.look(Duration::from_micros(1));
            // A name that is a folder has them look at many more.
            (0..256).for_each(|_| heat.add(waited(Duration::from_micros(2))));
        }
        assert!(!heat.is_hot(), "{heat:?}");
        heat.add(waited(Duration::from_millis(2)));
        assert!(heat.is_hot(), "{heat:?}");
    }

    #[track_caller]
    fn check(looks: impl IntoIterator<Item = u64>, want: bool) {
        let mut heat = Heat::default();
        looks.into_iter().for_each(|micros| heat.look(Duration::from_micros(micros)));
        assert_eq!(heat.is_hot(), want, "{heat:?}");
    }

    #[test]
    fn looks_that_wait_are_seen_also_where_few_of_many_do() {
        check([2; 10_000], false);
        check([15; 1000], true);
        // A disk gives hundreds of inodes at once: then one look waits for all of them.
        check((0..10_000).map(|i| if i % 256 == 0 { 3000 } else { 1 }), true);
        // Once all is in memory it is over.
        check([15; 1000].into_iter().chain([1; 2000]), false);
    }

    #[test]
    fn one_file_in_ten_is_too_few_to_read_ahead_for() {
        let mut heat = Heat::default();
        for i in 0..1000 {
            if i % 10 == 0 { heat.miss(1) } else { heat.hit() }
        }
        assert!(!heat.is_hot(), "{heat:?}");
        for i in 0..1000 {
            if i % 3 == 0 { heat.miss(1) } else { heat.hit() }
        }
        assert!(heat.is_hot(), "{heat:?}");
    }
}
