//! What was acknowledged: numbers that rise, kept as ranges.
//!
//! A number that was said and not acknowledged is in no range: it may be there after a restore, or not.

use std::fmt;
use std::ops::RangeInclusive;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    ranges: Vec<RangeInclusive<u64>>,
}

impl Ledger {
    /// Notes the next one.
    pub fn add(&mut self, number: u64) {
        match self.ranges.last_mut() {
            Some(last) if *last.end() + 1 == number => *last = *last.start()..=number,
            Some(_) | None => self.ranges.push(number..=number),
        }
    }

    /// Its ranges, in order.
    pub fn ranges(&self) -> &[RangeInclusive<u64>] {
        &self.ranges
    }

    /// The newest.
    pub fn last(&self) -> u64 {
        self.ranges.last().map_or(0, |range| *range.end())
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|range| range.end() - range.start() + 1).sum()
    }

    /// `1-17 20-30`, as arguments for a checker.
    pub fn words(&self) -> Vec<String> {
        self.ranges.iter().map(|range| format!("{}-{}", range.start(), range.end())).collect()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_one_range() {
        let mut ledger = Ledger::default();
        assert_eq!((ledger.count(), ledger.last()), (0, 0));
        [1, 2, 3, 7, 8].into_iter().for_each(|number| ledger.add(number));
        assert_eq!((ledger.to_string().as_str(), ledger.count(), ledger.last()), ("1-3 7-8", 5, 8));
    }
}
