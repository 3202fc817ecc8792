//! How large the parts of an upload are.
//!
//! The length is not known when an upload begins, and the number of parts is bounded: so parts grow. Every tenth
//! of the allowed number their size doubles. What is in flight then grows with what has been sent already: for
//! the first 56 GiB it is parts of at most 32 MiB.

use super::super::limits::{Limits, PART_BYTES_MAX, PARTS_MAX};

/// The sizes for one store.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartSizes {
    first: u64,
    cap: u32,
}

impl PartSizes {
    /// Where only 1,000 parts are allowed they start twice as large, to pass 1 TiB.
    pub(super) fn new(limits: &Limits, cap: Option<u32>) -> Self {
        let cap = cap.unwrap_or(PARTS_MAX);
        let first = if cap < PARTS_MAX / 2 { limits.part_bytes * 2 } else { limits.part_bytes };
        Self { first, cap }
    }

    /// The size of part `number`, which counts from 1; `None` when no more parts are allowed.
    pub(super) fn size(self, number: u32) -> Option<u64> {
        if number == 0 || number > self.cap {
            return None;
        }
        let doublings = (number - 1) / (self.cap / 10).max(1);
        Some(self.first.saturating_mul(1 << doublings).min(PART_BYTES_MAX))
    }

    /// How many parts of that size may be in flight.
    pub(super) fn in_flight(limits: &Limits, size: u64) -> usize {
        let fitting = usize::try_from(limits.flight_bytes / size.max(1)).unwrap_or(usize::MAX);
        fitting.clamp(1, limits.parts_in_flight.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::limits::{GIB, MIB};
    use super::*;

    const TIB: u64 = 1024 * GIB;

    fn sum(sizes: PartSizes) -> u64 {
        (1..).map_while(|number| sizes.size(number)).sum()
    }

    #[test]
    fn parts_grow_so_that_the_allowed_number_is_enough() {
        let limits = Limits::default();
        let amazon = PartSizes::new(&limits, None);
        assert_eq!(amazon.size(1), Some(8 * MIB));
        assert_eq!(amazon.size(1_000), Some(8 * MIB));
        assert_eq!(amazon.size(1_001), Some(16 * MIB));
        assert_eq!(amazon.size(10_000), Some(4 * GIB));
        assert_eq!(amazon.size(10_001), None);
        assert!(sum(amazon) > 5 * TIB);

        let capped = PartSizes::new(&limits, Some(1_000));
        assert_eq!(capped.size(1_000), Some(PART_BYTES_MAX));
        assert_eq!(capped.size(1_001), None);
        assert!(sum(capped) > TIB);
        for sizes in [amazon, capped] {
            let all: Vec<u64> = (1..).map_while(|number| sizes.size(number)).collect();
            assert!(all.is_sorted() && all.iter().all(|size| (5 * MIB..=PART_BYTES_MAX).contains(size)));
        }
    }

    #[test]
    fn memory_in_flight_is_bounded() {
        let limits = Limits::default();
        for (size, parts) in [(8 * MIB, 4), (64 * MIB, 4), (128 * MIB, 2), (256 * MIB, 1), (4 * GIB, 1)] {
            assert_eq!(PartSizes::in_flight(&limits, size), parts);
        }
    }
}
