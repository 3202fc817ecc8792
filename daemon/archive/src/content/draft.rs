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

impl Chunk<'_> {
    /// Where in the file a page of it begins, and how long it is.
    pub(crate) fn page(&self, page_bytes: u64, n: usize) -> (u64, u64) {
        let start = self.start + n as u64 * page_bytes;
        (start, page_bytes.min(self.start + self.bytes.len() as u64 - start))
    }
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

    /// Of a chunk whose pages lie somewhere already, or do not. No more than `gap` pages that do are stored again, if they
    /// lie between two that are new.
    pub(crate) fn of_pages(
        pack: u64,
        position: u64,
        chunk: &Chunk<'_>,
        page_bytes: u64,
        pages: &[Option<Vec<Extent>>],
        gap: usize,
    ) -> Self {
        let mut draft = Self::new(pack, position);
        let mut n = 0;
        while n < pages.len() {
            let run = pages[n..].iter().take_while(|page| page.is_some()).count();
            let is_gap = n > 0 && n + run < pages.len() && run <= gap;
            for extents in pages[n..n + run].iter().flatten() {
                if is_gap {
                    draft.store_page(chunk, page_bytes, n);
                } else {
                    draft.reuse(extents.clone());
                }
                n += 1;
            }
            if n < pages.len() {
                draft.store_page(chunk, page_bytes, n);
                n += 1;
            }
        }
        draft
    }

    fn store_page(&mut self, chunk: &Chunk<'_>, page_bytes: u64, n: usize) {
        let (start, length) = chunk.page(page_bytes, n);
        self.store(chunk, start, length);
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
