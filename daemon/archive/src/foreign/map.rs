//! Where the data of a file with holes lies, in the four ways in which GNU tar has ever said it.
//!
//! Always true of a map that was checked: regions ascend, do not overlap, lie within the file, and add up to the bytes
//! that the archive has of it. There are at most [`REGIONS_MAX`].

use super::header::{Block, number};
use super::records::decimal;

/// Files with more pieces than this are refused.
pub(super) const REGIONS_MAX: usize = 1 << 18;

/// A piece of a file that is data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) start: u64,
    pub(super) length: u64,
}

/// Whether a map can be one of a file of `size` bytes of which `stored` follow. Regions of nothing, which mark the end, are
/// taken out.
pub(super) fn check(mut regions: Vec<Region>, size: u64, stored: u64) -> Result<Vec<Region>, &'static str> {
    regions.retain(|region| region.length > 0);
    let mut end = 0;
    let mut sum: u64 = 0;
    for region in &regions {
        if region.start < end {
            return Err("its map of holes overlaps itself");
        }
        end = region
            .start
            .checked_add(region.length)
            .filter(|end| *end <= size)
            .ok_or("its map of holes leaves it")?;
        sum += region.length;
    }
    if sum != stored { Err("its map of holes does not add up to what follows") } else { Ok(regions) }
}

/// Pieces from a header of the GNU dialect, or from a block that continues it: whether another follows.
pub(super) fn add_old(
    block: &Block,
    at: usize,
    count: usize,
    more_at: usize,
    regions: &mut Vec<Region>,
) -> Option<bool> {
    for piece in block[at..at + 24 * count].chunks_exact(24) {
        // A piece that is all NUL ends them.
        if piece[..12].iter().all(|byte| *byte == 0) {
            break;
        }
        let field = |from, to| number(&piece[from..to]).and_then(|number| u64::try_from(number).ok());
        regions.push(Region { start: field(0, 12)?, length: field(12, 24)? });
    }
    (regions.len() <= REGIONS_MAX).then_some(block[more_at] != 0)
}

/// A map of version 1.0, which lies before the data: numbers, a line each, first how many pairs there are.
#[derive(Debug, Default)]
pub(super) struct Lines {
    text: Vec<u8>,
    lines: usize,
}

impl Lines {
    /// Takes the next block; the regions, once it was the last one.
    pub(super) fn add(&mut self, block: &Block) -> Result<Option<Vec<Region>>, &'static str> {
        const NO_LIST: &str = "its map of holes is no list of numbers";
        self.text.extend_from_slice(block);
        self.lines += block.iter().filter(|byte| **byte == b'\n').count();
        let mut numbers = self.text.split(|byte| *byte == b'\n').map(decimal);
        let count = numbers.next().flatten().ok_or(NO_LIST)?;
        let count = usize::try_from(count).ok().filter(|count| *count <= REGIONS_MAX);
        let lines = 1 + 2 * count.ok_or("it has too many holes")?;
        if self.lines < lines {
            // A number has twenty digits at most.
            return if self.text.len() > 21 * lines { Err(NO_LIST) } else { Ok(None) };
        }
        let numbers: Option<Vec<u64>> = numbers.take(lines - 1).collect();
        let numbers = numbers.ok_or(NO_LIST)?;
        Ok(Some(numbers.as_chunks().0.iter().map(|&[start, length]| Region { start, length }).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_map(pairs: &[(u64, u64)], size: u64, stored: u64, want: Result<usize, &str>) {
        let regions = pairs.iter().map(|&(start, length)| Region { start, length }).collect();
        assert_eq!(check(regions, size, stored).map(|regions| regions.len()), want, "{pairs:?}");
    }

    #[test]
    fn a_map_lies_within_its_file_and_adds_up() {
        check_map(&[(0, 10), (20, 5), (30, 0)], 30, 15, Ok(2));
        check_map(&[], 1 << 60, 0, Ok(0));
        check_map(&[(20, 5), (0, 10)], 30, 15, Err("its map of holes overlaps itself"));
        check_map(&[(0, 10), (9, 5)], 30, 15, Err("its map of holes overlaps itself"));
        check_map(&[(28, 5)], 30, 5, Err("its map of holes leaves it"));
        check_map(&[(u64::MAX, 5)], 30, 5, Err("its map of holes leaves it"));
        check_map(&[(0, 10)], 30, 11, Err("its map of holes does not add up to what follows"));
    }

    fn lines(text: &[u8]) -> Result<Option<Vec<Region>>, &'static str> {
        let mut lines = Lines::default();
        let mut read = Ok(None);
        for part in text.chunks(512) {
            let mut block = [0; 512];
            block[..part.len()].copy_from_slice(part);
            read = lines.add(&block);
            if read != Ok(None) {
                break;
            }
        }
        read
    }

    #[test]
    fn a_list_of_lines_is_read_to_the_block_in_which_it_ends() {
        let long: Vec<u8> = (0..100).flat_map(|i| format!("{}\n7\n", i * 10_000_000).into_bytes()).collect();
        let long = [b"100\n".as_slice(), &long].concat();
        assert_eq!(lines(&long).unwrap().unwrap().len(), 100);
        assert_eq!(lines(&long[..600]), Ok(None));
        assert_eq!(lines(b"1\n512\n51\n"), Ok(Some(vec![Region { start: 512, length: 51 }])));
        assert_eq!(lines(b"0\n"), Ok(Some(Vec::new())));
        for bad in [
            b"1\n-5\n5\n".as_slice(),
            b"99999999\n",
            &[b'1'; 1024],
            &[b"1\n".as_slice(), &[b'1'; 510]].concat(),
        ] {
            assert!(lines(bad).is_err(), "{bad:?}");
        }
    }
}
