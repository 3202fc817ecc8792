//! Which bytes of a file are still to come.
//!
//! Begins as the file's stored extents, joined where they touch. Every piece that arrives takes its bytes
//! away; bytes that are not there to take were never promised, or came before. When nothing is left, every
//! stored byte arrived exactly once.

use std::collections::BTreeMap;

use crate::entry::Extent;

/// What one run of bytes takes in memory, roughly, for the books.
pub(crate) const RUN_BYTES: usize = 40;

/// The bytes of a file that have not arrived.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// Start to end of each run; runs neither touch nor overlap.
    runs: BTreeMap<u64, u64>,
}

impl Coverage {
    /// What the extents promise, and how many bytes that is.
    pub(crate) fn of(content: &[Extent]) -> (Self, u64) {
        let mut runs = Vec::new();
        let (mut at, mut total) = (0, 0);
        for extent in content {
            let end = at + extent.length();
            if let Extent::Stored { length, .. } = extent {
                total += length;
                match runs.last_mut() {
                    Some((_, last)) if *last == at => *last = end,
                    _ => runs.push((at, end)),
                }
            }
            at = end;
        }
        (Self { runs: runs.into_iter().collect() }, total)
    }

    /// Takes `length` bytes from `offset` away; false, and nothing is taken, when not all of them are awaited.
    #[must_use]
    pub(crate) fn take(&mut self, offset: u64, length: u64) -> bool {
        let Some(end) = offset.checked_add(length) else { return false };
        let Some((start, run_end)) = self.runs.range(..=offset).next_back().map(|(s, e)| (*s, *e)) else {
            return false;
        };
        if length == 0 || end > run_end {
            return false;
        }
        self.runs.remove(&start);
        if start < offset {
            self.runs.insert(start, offset);
        }
        if end < run_end {
            self.runs.insert(end, run_end);
        }
        true
    }

    /// Whether everything arrived.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Runs left.
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Bytes left.
    pub(crate) fn bytes(&self) -> u64 {
        self.runs.iter().map(|(start, end)| end - start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(length: u64) -> Extent {
        Extent::Stored { pack: 1, position: 0, length }
    }

    fn hole(length: u64) -> Extent {
        Extent::Hole { length }
    }

    #[track_caller]
    fn check(name: &str, content: &[Extent], pieces: &[(u64, u64, bool)], left: u64) {
        let (mut coverage, _) = Coverage::of(content);
        for (offset, length, want) in pieces {
            assert_eq!(coverage.take(*offset, *length), *want, "{name}: {offset}+{length}");
        }
        assert_eq!(coverage.bytes(), left, "{name}");
    }

    #[test]
    fn every_byte_is_taken_once() {
        check("whole", &[stored(10)], &[(0, 10, true)], 0);
        check("twice", &[stored(10)], &[(0, 10, true), (0, 10, false)], 0);
        check("overlap", &[stored(10)], &[(0, 6, true), (5, 5, false)], 4);
        check("middle first", &[stored(10)], &[(3, 4, true), (7, 3, true), (0, 3, true)], 0);
        check("over two extents", &[stored(5), stored(5)], &[(2, 6, true)], 4);
        check("into a hole", &[stored(5), hole(5), stored(5)], &[(0, 6, false), (10, 5, true)], 5);
        check("only a hole", &[hole(5)], &[(0, 1, false)], 0);
        check("beyond the end", &[stored(5)], &[(4, 2, false), (5, 1, false)], 5);
        check("beyond 64 bits", &[stored(5)], &[(u64::MAX, 2, false)], 5);
        check("nothing", &[stored(5)], &[(0, 0, false)], 5);
    }

    proptest! {
        #[test]
        fn any_cut_in_any_order_covers(mut cuts in proptest::collection::vec(1..1000_u64, 0..20), seed: usize) {
            cuts.extend([0, 1000]);
            cuts.sort_unstable();
            cuts.dedup();
            let mut pieces: Vec<_> = cuts.windows(2).map(|w| (w[0], w[1] - w[0])).collect();
            let n = pieces.len();
            for i in 0..n {
                pieces.swap(i, seed.wrapping_mul(i + 7) % n);
            }
            let (mut coverage, total) = Coverage::of(&[stored(400), stored(600)]);
            prop_assert_eq!(total, 1000);
            for (offset, length) in pieces {
                prop_assert!(!coverage.is_empty());
                prop_assert!(coverage.take(offset, length));
            }
            prop_assert!(coverage.is_empty());
        }
    }
}
