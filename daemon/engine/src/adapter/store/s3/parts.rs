//! How large the parts of an upload are, and how many of them are in memory.
//!
//! The length is not known when an upload begins, and the number of parts is bounded: so parts grow, in ten steps of
//! as many parts. Whatever is sent has to be in memory until the server has it. Most of the parts are spent on the first
//! TiB, so that they need not be larger than 128 MiB for 350 GiB, and 256 MiB for 1,100 GiB; what few streams get to,
//! up to the 5 TiB of an object, is left with parts that are too large to have two of.

use super::super::limits::{Limits, PART_BYTES_MAX, PARTS_MAX};

/// So many times the first size, for a tenth of the parts each.
const STEPS: [u64; 10] = [1, 4, 8, 16, 16, 32, 32, 32, 256, 512];

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
        let step = (number - 1) / (self.cap / 10).max(1);
        let times = STEPS.get(step as usize).or(STEPS.last())?;
        Some(self.first.saturating_mul(*times).min(PART_BYTES_MAX))
    }

    /// How many parts of that size may be in memory: in flight, or being filled. One that goes up while the next is
    /// filled is worth its memory, as long as it is not larger than all that may be.
    pub(super) fn held(limits: &Limits, size: u64) -> usize {
        let fitting = usize::try_from(limits.held_bytes / size.max(1)).unwrap_or(usize::MAX);
        let least = if size <= limits.held_bytes { 2 } else { 1 };
        fitting.clamp(least, limits.parts_held.max(least))
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

    /// How much an upload can hold, once so many bytes were sent.
    fn held_after(sizes: PartSizes, limits: &Limits, bytes: u64) -> u64 {
        let mut sent = 0;
        for size in (1..).map_while(|number| sizes.size(number)) {
            sent += size;
            if sent >= bytes {
                return size * PartSizes::held(limits, size) as u64;
            }
        }
        panic!("{bytes} bytes do not fit");
    }

    #[test]
    fn parts_grow_so_that_the_allowed_number_is_enough() {
        let limits = Limits::default();
        let amazon = PartSizes::new(&limits, None);
        assert_eq!(amazon.size(1), Some(8 * MIB));
        assert_eq!(amazon.size(1_000), Some(8 * MIB));
        assert_eq!(amazon.size(1_001), Some(32 * MIB));
        assert_eq!(amazon.size(10_000), Some(4 * GIB));
        assert_eq!(amazon.size(10_001), None);
        assert!(sum(amazon) > 5 * TIB);

        let capped = PartSizes::new(&limits, Some(1_000));
        assert_eq!(capped.size(1_000), Some(PART_BYTES_MAX));
        assert_eq!(capped.size(1_001), None);
        assert!(sum(capped) > TIB);
        // A number that ten does not divide has a last step that is a little longer.
        assert!(PartSizes::new(&limits, Some(1_009)).size(1_009).is_some());
        for sizes in [amazon, capped] {
            let all: Vec<u64> = (1..).map_while(|number| sizes.size(number)).collect();
            assert!(all.is_sorted() && all.iter().all(|size| (5 * MIB..=PART_BYTES_MAX).contains(size)));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let limits = Limits::default();
        for (size, parts) in [(8 * MIB, 4), (64 * MIB, 4), (128 * MIB, 2), (256 * MIB, 2), (4 * GIB, 1)] {
            assert_eq!(PartSizes::held(&limits, size), parts, "{size}");
        }
        let amazon = PartSizes::new(&limits, None);
        for (sent, most) in
            [(7 * GIB, 32 * MIB), (350 * GIB, 256 * MIB), (TIB, 512 * MIB), (2 * TIB, 2 * GIB)]
        {
            assert_eq!(held_after(amazon, &limits, sent), most, "{sent}");
        }
    }
}
