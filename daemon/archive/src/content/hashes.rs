//! The hashes of one file's pages and chunks, made of its bytes as they go by.
//!
//! Always true: bytes and holes come in file order and tile the file; whoever feeds them takes the finished
//! part before more than a chunk follows.

use crate::entry::{Chunks, ShortHash};
use crate::pages::{
    CHUNK_BYTES, CHUNK_EXPONENT, HOLE, PART_BYTES, ROW_ITEMS_MAX, chunk_hash, exponent, is_too_large,
    page_hash, shorten,
};

static ZEROS: [u8; 4096] = [0; 4096];

/// Hashes of the file so far.
pub(crate) struct FileHashes {
    size: u64,
    exponent: u8,
    /// A file that is too large for hashes in its row gets none at all.
    too_large: bool,
    at: u64,
    /// A page that came in pieces, none of it as long as only holes came.
    page: Option<blake3::Hasher>,
    /// Pages of the part so far.
    part: Vec<ShortHash>,
    /// Where in it the chunk so far begins.
    chunk_from: usize,
    /// Pages of the chunk that ended last.
    chunk: Vec<ShortHash>,
    chunks: Vec<ShortHash>,
    finished: Option<(u64, Vec<ShortHash>)>,
}

impl FileHashes {
    /// Of a file of this size, which had pages of `1 << before` bytes in the last snapshot.
    pub(crate) fn new(size: u64, before: Option<u8>) -> Self {
        Self {
            size,
            exponent: exponent(size, before),
            too_large: is_too_large(size),
            at: 0,
            page: None,
            part: Vec::new(),
            chunk_from: 0,
            chunk: Vec::new(),
            chunks: Vec::new(),
            finished: None,
        }
    }

    /// Of a file whose size is not known yet: its pages are its chunks.
    pub(crate) fn of_stream() -> Self {
        Self { exponent: CHUNK_EXPONENT, too_large: false, ..Self::new(u64::MAX, None) }
    }

    /// Its size is known now. What follows are its last bytes.
    pub(crate) fn ends_at(&mut self, size: u64) {
        self.size = size;
    }

    pub(crate) fn exponent(&self) -> u8 {
        self.exponent
    }

    /// Whether the file gets rows in the pages table.
    pub(crate) fn has_pages(&self) -> bool {
        self.exponent < CHUNK_EXPONENT && !self.too_large && self.size > 0
    }

    /// The next bytes.
    pub(crate) fn data(&mut self, mut bytes: &[u8]) {
        if self.too_large {
            return;
        }
        while let Some((piece, rest)) = bytes.split_at_checked(self.left_in_page(bytes.len() as u64)) {
            if piece.is_empty() {
                return;
            }
            let ends = self.at + piece.len() as u64 == self.page_end();
            if ends && self.is_page_start() {
                self.at += piece.len() as u64;
                self.put_page(page_hash(piece));
            } else {
                let hasher = self.page.get_or_insert_with(|| after_zeros(self.at % (1 << self.exponent)));
                hasher.update(piece);
                self.at += piece.len() as u64;
                if ends {
                    self.end_page();
                }
            }
            bytes = rest;
        }
    }

    /// A hole comes next. Takes in no more than the part holds, and says how much it was.
    pub(crate) fn hole(&mut self, length: u64) -> u64 {
        if self.too_large {
            return length;
        }
        let from = self.at;
        let end = (from + length).min(from - from % PART_BYTES + PART_BYTES);
        while self.at < end {
            let n = self.left_in_page(end - self.at);
            let ends = self.at + n as u64 == self.page_end();
            if let Some(hasher) = &mut self.page {
                feed_zeros(hasher, n);
            }
            self.at += n as u64;
            if ends {
                self.end_page();
            }
        }
        end - from
    }

    /// A part of the file that is finished, and not all hole: which, and its pages.
    pub(crate) fn take_part(&mut self) -> Option<(u64, Vec<ShortHash>)> {
        self.finished.take()
    }

    /// The chunk that ended last: its hash and its pages. `None` in a file without hashes.
    pub(crate) fn last_chunk(&self) -> Option<(ShortHash, &[ShortHash])> {
        self.chunks.last().map(|hash| (*hash, self.chunk.as_slice()))
    }

    /// All chunks of a file whose content takes so many extents.
    pub(crate) fn finish(self, extents: usize) -> Chunks {
        let fits = self.chunks.len() as u64 + extents as u64 <= ROW_ITEMS_MAX;
        Chunks { page_exponent: self.exponent, hashes: if fits { self.chunks } else { Vec::new() } }
    }

    fn is_page_start(&self) -> bool {
        self.at.is_multiple_of(1 << self.exponent)
    }

    fn page_end(&self) -> u64 {
        let page = 1 << self.exponent;
        (self.at - self.at % page + page).min(self.size)
    }

    fn left_in_page(&self, most: u64) -> usize {
        usize::try_from((self.page_end() - self.at).min(most)).unwrap_or(usize::MAX)
    }

    fn end_page(&mut self) {
        let hash = self.page.take().map_or(HOLE, |hasher| shorten(&hasher.finalize()));
        self.put_page(hash);
    }

    fn put_page(&mut self, hash: ShortHash) {
        self.part.push(hash);
        let is_end = |of: u64| self.at.is_multiple_of(of) || self.at == self.size;
        if is_end(CHUNK_BYTES as u64) {
            self.chunk.clear();
            self.chunk.extend_from_slice(&self.part[self.chunk_from..]);
            self.chunks.push(chunk_hash(&self.chunk));
            self.chunk_from = self.part.len();
            // Only a stream is not known to be too large before it is.
            if self.chunks.len() as u64 > ROW_ITEMS_MAX {
                self.too_large = true;
                self.chunks = Vec::new();
            }
        }
        if is_end(PART_BYTES) {
            let part = std::mem::take(&mut self.part);
            self.chunk_from = 0;
            if self.has_pages() && part.iter().any(|page| *page != HOLE) {
                self.finished = Some(((self.at - 1) / PART_BYTES, part));
            }
        }
    }
}

fn after_zeros(count: u64) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    feed_zeros(&mut hasher, usize::try_from(count).unwrap_or(usize::MAX));
    hasher
}

fn feed_zeros(hasher: &mut blake3::Hasher, mut count: usize) {
    while count > 0 {
        let n = count.min(ZEROS.len());
        hasher.update(&ZEROS[..n]);
        count -= n;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By the definition, of the whole file at once; `holes` are ranges of `content`.
    fn define(content: &[u8], exponent: u8, holes: &[(usize, usize)]) -> (Vec<ShortHash>, Vec<ShortHash>) {
        let page = 1 << exponent;
        let in_hole =
            |from: usize, to: usize| (from..to).all(|at| holes.iter().any(|h| h.0 <= at && at < h.1));
        let hash = |(n, bytes): (usize, &[u8])| {
            if in_hole(n * page, n * page + bytes.len()) { HOLE } else { page_hash(bytes) }
        };
        let pages: Vec<_> = content.chunks(page).enumerate().map(hash).collect();
        (pages.chunks(CHUNK_BYTES / page).map(chunk_hash).collect(), pages)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pieces_do_not_matter(
            size in prop_oneof![0..40_000_usize, 1_000_000..2_600_000_usize],
            cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..9),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|(at, hole)| (at.index(size + 1) / 512 * 512, hole)).collect();
            cuts.sort_unstable();
            cuts.push((size, false));
            let mut content: Vec<u8> = (0..size).map(|i| (i * i / 7 + 1).to_le_bytes()[0] | 1).collect();
            let (mut hashes, mut holes, mut at) = (FileHashes::new(size as u64, None), vec![], 0);
            for (cut, hole) in cuts {
                if hole {
                    content[at..cut].fill(0);
                    holes.push((at, cut));
                    while at < cut {
                        at += usize::try_from(hashes.hole((cut - at) as u64)).unwrap();
                    }
                } else {
                    hashes.data(&content[at..cut]);
                    at = cut;
                }
            }
            let (chunks, pages) = define(&content, hashes.exponent(), &holes);
            let want = (hashes.has_pages() && pages.iter().any(|page| *page != HOLE)).then_some((0, pages));
            prop_assert_eq!(hashes.take_part(), want);
            prop_assert_eq!(hashes.finish(0).hashes, chunks);
        }
    }

    #[test]
    fn a_hole_of_any_size_costs_little() {
        let mut hashes = FileHashes::new(1 << 62, None);
        assert_eq!(hashes.hole(1 << 62), 1 << 62);
        assert!(hashes.finish(1).hashes.is_empty());
        let (size, mut at) = (200 << 30, 0);
        let mut hashes = FileHashes::new(size, None);
        while at < size {
            at += hashes.hole(size - at);
            assert_eq!(hashes.take_part(), None);
        }
        assert_eq!(hashes.finish(1).hashes, vec![HOLE; 200 << 10]);
    }
}
