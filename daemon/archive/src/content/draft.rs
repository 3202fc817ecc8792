//! What is to become of a chunk, before a byte of it is written.
//!
//! Always true: the extents stand for the chunk as it is in the buffer, if `new` is written to the stream next.

use std::ops::Range;

use super::laid::{clip, push, push_hole};
use crate::entry::Extent;
use crate::sparse::Region;

/// A chunk in memory.
pub(crate) struct Chunk<'a> {
    /// Where in the file it begins.
    pub(crate) start: u64,
    /// All of its bytes, zero in holes.
    pub(crate) bytes: &'a [u8],
    /// What of it is data, by position in the file.
    pub(crate) regions: &'a [Region],
}

/// Extents of a chunk, and the bytes of it that must be stored for them.
pub(crate) struct Draft {
    pub(crate) extents: Vec<Extent>,
    pub(crate) new: Vec<Range<usize>>,
    pack: u64,
    position: u64,
}

impl Draft {
    /// Of nothing yet; `position` is where the next byte of the stream will stand.
    pub(crate) fn new(pack: u64, position: u64) -> Self {
        Self { extents: Vec::new(), new: Vec::new(), pack, position }
    }

    /// All of the chunk as new.
    pub(crate) fn whole(pack: u64, position: u64, chunk: &Chunk<'_>) -> Self {
        let mut draft = Self::new(pack, position);
        draft.store(chunk, chunk.start, chunk.bytes.len() as u64);
        draft
    }

    /// A range as new.
    pub(crate) fn store(&mut self, chunk: &Chunk<'_>, start: u64, length: u64) {
        let mut at = start;
        for region in clip(chunk.regions, start, length) {
            push_hole(&mut self.extents, region.start - at);
            let (pack, position, length) = (self.pack, self.position, region.length);
            push(&mut self.extents, Extent::Stored { pack, position, length });
            self.position += length;
            at = region.start + length;
            // Both lie in the chunk, which is in memory.
            if let (Ok(from), Ok(to)) =
                (usize::try_from(region.start - chunk.start), usize::try_from(at - chunk.start))
            {
                self.new.push(from..to);
            }
        }
        push_hole(&mut self.extents, start + length - at);
    }

    /// A range that is stored already.
    pub(crate) fn reuse(&mut self, extents: Vec<Extent>) {
        extents.into_iter().for_each(|extent| push(&mut self.extents, extent));
    }
}
