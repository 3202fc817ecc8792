//! Where the content of a file of the base lies, and which of it may stand for the file as it is now.
//!
//! Always true: what is given tiles the range that was asked for; where the file has data now there is something
//! stored; and where it has a hole now there is a hole.

use crate::entry::{Chunks, Entry, Extent, Kind, ShortHash};
use crate::pages::CHUNK_BYTES;
use crate::sparse::Region;

/// The content of one file, found by position.
#[derive(Debug)]
pub(crate) struct Laid {
    pub(crate) size: u64,
    pub(crate) chunks: Chunks,
    extents: Vec<Extent>,
    /// Where in the file each extent begins.
    starts: Vec<u64>,
}

impl Laid {
    /// Of a regular file; `None` for all else.
    pub(crate) fn new(entry: &Entry) -> Option<Self> {
        let Kind::File { size, content } = &entry.kind else { return None };
        let starts = content.iter().scan(0, |at, extent| Some(std::mem::replace(at, *at + extent.length())));
        let starts = starts.collect();
        Some(Self { size: *size, chunks: entry.witness.chunks.clone(), extents: content.clone(), starts })
    }

    /// Whether there is a chunk at `start` with this length and hash.
    pub(crate) fn has_chunk(&self, start: u64, length: u64, hash: &ShortHash) -> bool {
        let number = usize::try_from(start / CHUNK_BYTES as u64);
        let there = number.ok().and_then(|number| self.chunks.hashes.get(number));
        there == Some(hash) && self.size.saturating_sub(start).min(CHUNK_BYTES as u64) == length
    }

    /// The extents of a range, if they may stand for a file that has data at `regions` now: these ascend, lie
    /// in a file of their own, and the range begins there at `at`.
    pub(crate) fn reuse(
        &self,
        start: u64,
        length: u64,
        at: u64,
        regions: &[Region],
        shuns: impl Fn(u64) -> bool,
    ) -> Option<Vec<Extent>> {
        let mut out = Vec::new();
        let mut done = 0;
        for region in clip(regions, at, length) {
            push_hole(&mut out, region.start - at - done);
            done = region.start - at;
            while done < region.start - at + region.length {
                let (extent, within) = self.at(start + done)?;
                let Extent::Stored { pack, position, length } = extent else { return None };
                if shuns(pack) {
                    return None;
                }
                let n = (length - within).min(region.start - at + region.length - done);
                push(&mut out, Extent::Stored { pack, position: position + within, length: n });
                done += n;
            }
        }
        push_hole(&mut out, length - done);
        Some(out)
    }

    /// In how many pieces the file lies from a position on.
    pub(crate) fn pieces_from(&self, position: u64) -> usize {
        self.starts.len() - self.starts.partition_point(|start| *start < position)
    }

    /// The extent at a position of the file, and how far in it that is.
    fn at(&self, position: u64) -> Option<(Extent, u64)> {
        let index = self.starts.partition_point(|start| *start <= position).checked_sub(1)?;
        let within = position - self.starts[index];
        (within < self.extents[index].length()).then(|| (self.extents[index], within))
    }
}

/// The parts of regions that lie in a range. Regions ascend and do not overlap.
pub(crate) fn clip(regions: &[Region], start: u64, length: u64) -> impl Iterator<Item = Region> {
    let end = start + length;
    let from = regions.partition_point(|region| region.start + region.length <= start);
    regions[from..].iter().take_while(move |region| region.start < end).map(move |region| {
        let from = region.start.max(start);
        Region { start: from, length: (region.start + region.length).min(end) - from }
    })
}

/// Appends a hole, which may be empty.
pub(crate) fn push_hole(extents: &mut Vec<Extent>, length: u64) {
    if length > 0 {
        push(extents, Extent::Hole { length });
    }
}

/// Appends an extent, to the last one where it goes on from there.
pub(crate) fn push(extents: &mut Vec<Extent>, next: Extent) {
    match (extents.last_mut(), next) {
        (Some(Extent::Hole { length }), Extent::Hole { length: more }) => *length += more,
        (
            Some(Extent::Stored { pack, position, length }),
            Extent::Stored { pack: next_pack, position: next_position, length: more },
        ) if *pack == next_pack && *position + *length == next_position => *length += more,
        (_, next) => extents.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(pack: u64, position: u64, length: u64) -> Extent {
        Extent::Stored { pack, position, length }
    }

    fn hole(length: u64) -> Extent {
        Extent::Hole { length }
    }

    fn region(start: u64, length: u64) -> Region {
        Region { start, length }
    }

    fn laid(content: &[Extent]) -> Laid {
        let size = content.iter().map(Extent::length).sum();
        Laid::new(&Entry {
            path: crate::path::TreePath::root(),
            kind: Kind::File { size, content: content.to_vec() },
            mode: 0,
            uid: 0,
            gid: 0,
            modified: crate::entry::Stamp::default(),
            xattrs: vec![],
            witness: crate::entry::Witness::default(),
        })
        .unwrap()
    }

    #[test]
    fn a_range_is_reused_only_where_data_stands_for_data() {
        let file = laid(&[stored(4, 1000, 100), hole(100), stored(8, 0, 100)]);
        #[track_caller]
        fn check(file: &Laid, at: (u64, u64, u64), regions: &[Region], want: Option<&[Extent]>) {
            let got = file.reuse(at.0, at.1, at.2, regions, |pack| pack == 12);
            assert_eq!(got.as_deref(), want, "{at:?}");
        }
        check(&file, (10, 50, 10), &[region(0, 300)], Some(&[stored(4, 1010, 50)]));
        check(&file, (10, 50, 7010), &[region(7000, 300)], Some(&[stored(4, 1010, 50)]));
        check(&file, (0, 300, 0), &[region(0, 300)], None);
        let same = [stored(4, 1000, 100), hole(100), stored(8, 0, 100)];
        check(&file, (0, 300, 0), &[region(0, 100), region(200, 100)], Some(&same));
        check(&file, (0, 300, 0), &[region(0, 10)], Some(&[stored(4, 1000, 10), hole(290)]));
        check(&file, (0, 300, 0), &[], Some(&[hole(300)]));
        check(&file, (250, 100, 250), &[region(0, 900)], None);
        check(&laid(&[stored(12, 0, 100)]), (0, 100, 0), &[region(0, 100)], None);
        check(&laid(&[stored(12, 0, 100)]), (0, 100, 0), &[], Some(&[hole(100)]));
        let joined = laid(&[stored(4, 0, 50), stored(4, 50, 50)]);
        check(&joined, (0, 100, 0), &[region(0, 100)], Some(&[stored(4, 0, 100)]));
    }

    #[test]
    fn extents_that_go_on_are_one() {
        let mut out = Vec::new();
        for next in [stored(4, 0, 5), stored(4, 5, 5), stored(4, 11, 5), stored(8, 16, 1), hole(1), hole(2)] {
            push(&mut out, next);
        }
        assert_eq!(out, [stored(4, 0, 10), stored(4, 11, 5), stored(8, 16, 1), hole(3)]);
    }
}
