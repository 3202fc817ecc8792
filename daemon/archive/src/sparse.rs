//! Where the data of a file lies, and where its holes are.
//!
//! A file that has fewer blocks than its size asks for is asked with `SEEK_DATA` and `SEEK_HOLE`. Where the
//! file system answers "all data" although less than half is allocated, it knows no such seeks; then the
//! file is read once more and runs of zeros count as holes. (A file system that compresses may pay for that
//! second read in vain.) In all other files zeros are data: a preallocated file stays allocated.
//!
//! Always true of a map: regions ascend, do not touch, lie within the size, begin at multiples of 512 and
//! end there or at the size; and there are at most [`REGIONS_MAX`], so that a row and a map stay readable.

use std::io;

use rustix::fd::BorrowedFd;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::pax::{BLOCK_BYTES, padding};
use crate::stat::Stat;

/// Beyond this many regions the smallest holes are carried as zeros.
const REGIONS_MAX: usize = 1 << 18;

/// A run of zeros counts as a hole in pieces of this size, where the file system tells no holes.
const GRAIN_BYTES: usize = 64 << 10;

/// A piece of a file that is data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: u64,
    pub(crate) length: u64,
}

/// Reads at an offset; fewer bytes than asked only at the end.
pub(crate) type ReadAt<'a> = &'a mut dyn FnMut(&mut [u8], u64) -> io::Result<usize>;

/// The data regions of a file; `None` if all of it is data.
pub(crate) fn regions(
    file: BorrowedFd<'_>,
    stat: &Stat,
    read_at: ReadAt<'_>,
) -> io::Result<Option<Vec<Region>>> {
    if stat.allocated >= stat.size {
        return Ok(None);
    }
    let mut map = Map::new(stat.size, REGIONS_MAX);
    seek_regions(file, &mut map)?;
    if map.is_all_data() {
        if stat.allocated >= stat.size / 2 || stat.size < 2 * GRAIN_BYTES as u64 {
            return Ok(None);
        }
        map = Map::new(stat.size, REGIONS_MAX);
        scan_regions(read_at, &mut map)?;
    }
    Ok((!map.is_all_data()).then_some(map.regions))
}

fn seek_regions(file: BorrowedFd<'_>, map: &mut Map) -> io::Result<()> {
    let mut at = 0;
    while at < map.size {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => at,
            Err(other) => return Err(other.into()),
        };
        let end = match rustix::fs::seek(file, SeekFrom::Hole(start)) {
            Ok(end) if end > start => end,
            // Cut shorter meanwhile: reading will find out.
            Ok(_) | Err(Errno::NXIO | Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => map.size,
            Err(other) => return Err(other.into()),
        };
        map.push(start, end);
        at = end;
    }
    Ok(())
}

fn scan_regions(read_at: ReadAt<'_>, map: &mut Map) -> io::Result<()> {
    let mut buffer = vec![0; 16 * GRAIN_BYTES];
    let mut at = 0;
    while at < map.size {
        let n = read_at(&mut buffer, at)?;
        if n == 0 {
            break;
        }
        for grain in buffer[..n].chunks(GRAIN_BYTES) {
            let end = at + grain.len() as u64;
            if grain.iter().any(|byte| *byte != 0) {
                map.push(at, end);
            }
            at = end;
        }
    }
    Ok(())
}

struct Map {
    size: u64,
    regions_max: usize,
    regions: Vec<Region>,
    /// Shorter holes are carried as data; grows when the regions become too many.
    least_hole: u64,
}

impl Map {
    fn new(size: u64, regions_max: usize) -> Self {
        Self { size, regions_max, regions: Vec::new(), least_hole: 1 }
    }

    fn push(&mut self, start: u64, end: u64) {
        let start = start - start % BLOCK_BYTES as u64;
        let end = end.min(self.size);
        let end = end.saturating_add(padding(end) as u64).min(self.size);
        if start >= end {
            return;
        }
        if self.regions.len() == self.regions_max {
            self.coarsen();
        }
        match self.regions.last_mut() {
            Some(last) if start.saturating_sub(last.start + last.length) < self.least_hole => {
                last.length = end.max(last.start + last.length) - last.start;
            }
            Some(_) | None => self.regions.push(Region { start, length: end - start }),
        }
    }

    /// Joins regions over the smallest holes until half the room is free.
    fn coarsen(&mut self) {
        while self.regions.len() > self.regions_max / 2 {
            self.least_hole = (self.least_hole * 2).max(4096);
            let least_hole = self.least_hole;
            self.regions.dedup_by(|next, before| {
                let joined = next.start - (before.start + before.length) < least_hole;
                if joined {
                    before.length = next.start + next.length - before.start;
                }
                joined
            });
        }
    }

    fn is_all_data(&self) -> bool {
        self.regions == [Region { start: 0, length: self.size }]
    }
}

/// The map of a GNU sparse file, version 1.0: decimal lines, padded to whole blocks.
pub(crate) fn map_text(regions: &[Region], size: u64) -> Vec<u8> {
    let ends_in_hole = regions.last().is_none_or(|last| last.start + last.length < size);
    let mut text = format!("{}\n", regions.len() + usize::from(ends_in_hole)).into_bytes();
    for region in regions {
        text.extend_from_slice(format!("{}\n{}\n", region.start, region.length).as_bytes());
    }
    if ends_in_hole {
        text.extend_from_slice(format!("{size}\n0\n").as_bytes());
    }
    text.resize(text.len() + padding(text.len() as u64), 0);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(start: u64, length: u64) -> Region {
        Region { start, length }
    }

    #[track_caller]
    fn check(size: u64, pushed: &[(u64, u64)], want: &[Region]) {
        let mut map = Map::new(size, 4);
        pushed.iter().for_each(|(start, end)| map.push(*start, *end));
        assert_eq!(map.regions, want);
    }

    #[test]
    fn regions_lie_on_blocks_and_never_touch() {
        check(10_000, &[(4096, 8192)], &[region(4096, 4096)]);
        check(10_000, &[(4100, 4200), (9000, 12_000)], &[region(4096, 512), region(8704, 1296)]);
        check(10_000, &[(0, 512), (512, 1024)], &[region(0, 1024)]);
        check(10_000, &[(20_000, 30_000)], &[]);
    }

    #[test]
    fn too_many_regions_give_up_their_smallest_holes() {
        let pages: Vec<_> =
            (0..100).map(|i| (i * 8192, i * 8192 + 4096)).chain([(1 << 30, (1 << 30) + 4096)]).collect();
        let mut map = Map::new(2 << 30, 4);
        pages.iter().for_each(|(start, end)| map.push(*start, *end));
        assert_eq!(map.regions, [region(0, 99 * 8192 + 4096), region(1 << 30, 4096)]);
    }

    #[test]
    fn zeros_are_holes_where_the_file_system_tells_none() {
        let mut content = vec![0; 10 * GRAIN_BYTES + 7];
        content[3 * GRAIN_BYTES + 5] = 1;
        content[10 * GRAIN_BYTES + 6] = 1;
        let mut map = Map::new(content.len() as u64, REGIONS_MAX);
        let mut read_at = |buffer: &mut [u8], at: u64| {
            let rest = &content[usize::try_from(at).unwrap().min(content.len())..];
            let n = rest.len().min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        };
        scan_regions(&mut read_at, &mut map).unwrap();
        let grain = GRAIN_BYTES as u64;
        assert_eq!(map.regions, [region(3 * grain, grain), region(10 * grain, 7)]);
    }

    #[test]
    fn a_map_ends_where_the_file_ends() {
        let text = |regions: &[Region], size| String::from_utf8(map_text(regions, size)).unwrap();
        assert_eq!(text(&[], 9).trim_end_matches('\0'), "1\n9\n0\n");
        assert_eq!(text(&[region(512, 512)], 1024).trim_end_matches('\0'), "1\n512\n512\n");
        assert_eq!(text(&[region(0, 512)], 1024).trim_end_matches('\0'), "2\n0\n512\n1024\n0\n");
        assert_eq!(text(&[], 9).len(), BLOCK_BYTES);
    }
}
