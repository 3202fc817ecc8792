//! A file that nobody can look at beforehand: the engine answers with its next bytes until there are no more.
//!
//! It is compared chunk by chunk as any other; its pages are its chunks, because their size follows a length that is
//! not known yet. Always true: no more of it is in memory than a chunk.

use super::Changes;
use crate::content::FileHashes;
use crate::content::draft::Chunk;
use crate::entry::Chunks;
use crate::pack::Halt;
use crate::pages::{CHUNK_BYTES, CHUNK_EXPONENT};
use crate::read_file::{Content, Outcome};
use crate::sparse::Region;

impl Changes<'_, '_> {
    /// Reads it to its end, and gives its length. `pulse` is called with its bytes so far.
    pub(crate) fn read_stream(&mut self, pulse: &mut dyn FnMut(u64)) -> Result<(u64, Content, Chunks), Halt> {
        let had_rows = self.old.is_some_and(|old| old.chunks.page_exponent < CHUNK_EXPONENT);
        if had_rows {
            self.pages.keep_below(Some(self.path), self.stream, self.tables)?;
        }
        let mut hashes = FileHashes::of_stream();
        let mut content = Content { extents: Vec::new(), data_bytes: 0, outcome: Outcome::Whole };
        let (mut size, mut is_over) = (0, false);
        while !is_over {
            let bytes = self.tables.next_of(self.path)?;
            let (start, length) = (size, bytes.len() as u64);
            size += length;
            is_over = bytes.len() < CHUNK_BYTES;
            if is_over {
                hashes.ends_at(size);
            }
            if length > 0 {
                let chunk = Chunk { start, bytes: &bytes, regions: &[Region { start, length }] };
                self.put_chunk(&chunk, size, &mut hashes, &mut content)?;
            }
            pulse(size);
        }
        if had_rows {
            self.pages.drop_old(self.path, self.stream, self.tables)?;
        }
        let chunks = hashes.finish(content.extents.len());
        Ok((size, content, chunks))
    }
}
