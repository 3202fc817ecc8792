//! A file that is read because it may have changed: what of it is stored already, and what is new.
//!
//! It is read chunk by chunk into one buffer. A chunk that the base has, at this place or at any other, is pointed
//! to; of a chunk that changed in place only the pages that did are stored. Where that broke it into too many pieces
//! what lies between two of them is stored with them, and all of it if need be. Hashes propose; what is pointed to must
//! have data where the file has data.
//!
//! Always true: only what is pointed to by an extent is appended to the stream, and no extent of a shunned
//! pack is used.

mod stream;

use std::iter;

use super::draft::{Chunk, Draft};
use super::hashes::FileHashes;
use super::laid::{Laid, clip, push, push_hole};
use super::pieces::pieces_left;
use crate::base::{Base, ChunkMap, Tables};
use crate::entry::{Chunks, Extent, ShortHash};
use crate::pack::Halt;
use crate::page_rows::PageRow;
use crate::page_table::PageTable;
use crate::pages::{CHUNK_BYTES, CHUNK_EXPONENT, HOLE, PART_BYTES, chunk_hash};
use crate::path::TreePath;
use crate::raw_stream::RawStream;
use crate::read_file::{Content, Outcome};
use crate::sparse::{ReadAt, Region};

/// What a file is compared with, and where what is new goes.
pub(crate) struct Changes<'a, 'b> {
    pub(crate) pack: u64,
    pub(crate) stream: &'a mut RawStream,
    pub(crate) pages: &'a mut PageTable,
    pub(crate) tables: &'a mut Tables<'b>,
    pub(crate) base: &'a Base,
    /// Made when it is first needed.
    pub(crate) map: &'a mut Option<ChunkMap>,
    pub(crate) buffer: &'a mut Vec<u8>,
    pub(crate) path: &'a TreePath,
    /// The file of the base at the same path.
    pub(crate) old: Option<&'a Laid>,
    /// Pages of the base, of one part of that file.
    pub(crate) old_part: Option<(u64, Option<PageRow>)>,
}

/// The file as it is now.
pub(crate) struct Source<'a> {
    pub(crate) size: u64,
    pub(crate) regions: &'a [Region],
    pub(crate) read_at: ReadAt<'a>,
    /// Is told the bytes of the file so far.
    pub(crate) pulse: &'a mut dyn FnMut(u64),
}

impl Changes<'_, '_> {
    /// Reads all of the file.
    pub(crate) fn read(&mut self, source: &mut Source<'_>) -> Result<(Content, Chunks), Halt> {
        let (size, before) = (source.size, self.old.map(|old| old.chunks.page_exponent));
        let mut hashes = FileHashes::new(size, before);
        let has_rows = hashes.has_pages() || before.is_some_and(|before| before < CHUNK_EXPONENT);
        if has_rows {
            self.pages.keep_below(Some(self.path), self.stream, self.tables)?;
        }
        let mut content = Content { extents: Vec::new(), data_bytes: 0, outcome: Outcome::Whole };
        let mut at = 0;
        while at < size && !matches!(content.outcome, Outcome::Failed(_)) {
            let length = (size - at).min(CHUNK_BYTES as u64);
            let next = source.regions.partition_point(|region| region.start + region.length <= at);
            let data = source.regions.get(next).map_or(size, |region| region.start);
            at += if data >= at + length {
                let length = (data - at) / CHUNK_BYTES as u64 * CHUNK_BYTES as u64;
                let length = if data == size { size - at } else { length };
                self.hole(length, &mut hashes, &mut content)?
            } else {
                self.chunk(at, length, source, &mut hashes, &mut content)?
            };
            (source.pulse)(at);
        }
        if has_rows {
            self.pages.drop_old(self.path, self.stream, self.tables)?;
        }
        let chunks = hashes.finish(content.extents.len());
        Ok((content, chunks))
    }

    fn hole(&mut self, length: u64, hashes: &mut FileHashes, content: &mut Content) -> Result<u64, Halt> {
        push_hole(&mut content.extents, length);
        let mut done = 0;
        while done < length {
            done += hashes.hole(length - done);
            self.put_part(hashes)?;
        }
        Ok(length)
    }

    fn chunk(
        &mut self,
        start: u64,
        length: u64,
        source: &mut Source<'_>,
        hashes: &mut FileHashes,
        content: &mut Content,
    ) -> Result<u64, Halt> {
        let regions: Vec<_> = clip(source.regions, start, length).collect();
        let mut bytes = std::mem::take(self.buffer);
        bytes.clear();
        for region in &regions {
            bytes.resize(offset(region.start - start), 0);
            let from = bytes.len();
            bytes.resize(from + offset(region.length), 0);
            fill(&mut bytes[from..], region.start, source.read_at, &mut content.outcome);
        }
        bytes.resize(offset(length), 0);
        if !matches!(content.outcome, Outcome::Failed(_)) {
            let chunk = Chunk { start, bytes: &bytes, regions: &regions };
            self.put_chunk(&chunk, source.size, hashes, content)?;
        }
        *self.buffer = bytes;
        Ok(length)
    }

    fn put_chunk(
        &mut self,
        chunk: &Chunk<'_>,
        size: u64,
        hashes: &mut FileHashes,
        content: &mut Content,
    ) -> Result<(), Halt> {
        hash(chunk, hashes);
        let end = chunk.start + chunk.bytes.len() as u64;
        let after = self.old.map_or(0, |old| old.pieces_from(end));
        let limit = pieces_left(size, end, content.extents.len(), after);
        let draft = self.decide(chunk, limit, hashes)?;
        for new in draft.new {
            self.stream.write(&chunk.bytes[new])?;
        }
        for extent in draft.extents {
            if let Extent::Stored { length, .. } = extent {
                content.data_bytes += length;
            }
            push(&mut content.extents, extent);
        }
        self.put_part(hashes)
    }

    fn put_part(&mut self, hashes: &mut FileHashes) -> Result<(), Halt> {
        match hashes.take_part() {
            Some((part, pages)) => {
                // So that the base is where the row goes, and its segment known.
                if self.old.is_some() {
                    self.load_old_part(part)?;
                }
                let row = PageRow { path: self.path.clone(), part, pages };
                self.pages.push(&row, self.stream, Some(self.tables))
            }
            None => Ok(()),
        }
    }

    fn decide(&mut self, chunk: &Chunk<'_>, limit: usize, hashes: &FileHashes) -> Result<Draft, Halt> {
        let position = self.stream.position();
        let whole = Draft::whole(self.pack, position, chunk);
        let Some((hash, pages)) = hashes.last_chunk() else { return Ok(whole) };
        let length = chunk.bytes.len() as u64;
        let old = self.old.filter(|old| old.chunks.page_exponent == hashes.exponent());
        let mut draft = Draft::new(self.pack, position);
        if let Some(old) = old.filter(|old| old.has_chunk(chunk.start, length, &hash))
            && let Some(extents) = reuse(old, chunk.start, chunk, chunk.start, length, self.tables)
        {
            draft.reuse(extents);
            return Ok(draft);
        }
        let page = 1 << hashes.exponent();
        let mut same = Vec::new();
        if let Some(old) = old
            && let Some(before) = self.old_pages(old, chunk.start)?
        {
            same = self.compare(chunk, page, pages, old, &before);
        }
        let reused = same.iter().flatten().count();
        // Where most pages differ it may be another file that came to this place.
        if reused * 2 < pages.len()
            && let Some(extents) = self.find(&hash, chunk)?
        {
            draft.reuse(extents);
            return Ok(draft);
        }
        if reused == 0 {
            return Ok(whole);
        }
        let limit = limit.max(whole.extents.len());
        let gaps = iter::successors(Some(0), |gap| Some((gap * 2).max(1)));
        let mut drafts = gaps
            .take_while(|gap| *gap < pages.len())
            .map(|gap| Draft::of_pages(self.pack, position, chunk, page, &same, gap));
        Ok(drafts.find(|draft| draft.extents.len() <= limit).unwrap_or(whole))
    }

    /// Of each page of a chunk, where it lies if it is as it was.
    fn compare(
        &self,
        chunk: &Chunk<'_>,
        page: u64,
        pages: &[ShortHash],
        old: &Laid,
        before: &[ShortHash],
    ) -> Vec<Option<Vec<Extent>>> {
        let compare = |(n, hash): (usize, &ShortHash)| {
            let (start, length) = chunk.page(page, n);
            let is_same = *hash != HOLE
                && before.get(n) == Some(hash)
                && old.size.saturating_sub(start).min(page) == length;
            is_same.then(|| reuse(old, start, chunk, start, length, self.tables)).flatten()
        };
        pages.iter().enumerate().map(compare).collect()
    }

    /// The pages of a chunk as they were, if the tables of the base agree on them.
    fn old_pages(&mut self, old: &Laid, start: u64) -> Result<Option<Vec<ShortHash>>, Halt> {
        let page = 1_u64 << old.chunks.page_exponent;
        let hash = old.chunks.hashes.get(offset(start / CHUNK_BYTES as u64));
        let Some(hash) = hash.filter(|_hash| page < CHUNK_BYTES as u64) else { return Ok(None) };
        let part = start / PART_BYTES;
        self.load_old_part(part)?;
        let Some((_, Some(row))) = &self.old_part else { return Ok(None) };
        let from = offset(start % PART_BYTES / page);
        let count = offset((old.size - start).min(CHUNK_BYTES as u64).div_ceil(page));
        let pages = row.pages.get(from..from + count);
        Ok(pages.filter(|pages| chunk_hash(pages) == *hash).map(<[_]>::to_vec))
    }

    fn load_old_part(&mut self, part: u64) -> Result<(), Halt> {
        if self.old_part.as_ref().is_none_or(|there| there.0 != part) {
            self.old_part = Some((part, self.pages.old_part(self.path, part, self.tables)?));
        }
        Ok(())
    }

    /// The chunk at any place of the base.
    fn find(&mut self, hash: &ShortHash, chunk: &Chunk<'_>) -> Result<Option<Vec<Extent>>, Halt> {
        let map = match self.map {
            Some(map) => map,
            None => self.map.insert(ChunkMap::read(self.base, self.tables)?),
        };
        let length = chunk.bytes.len() as u64;
        map.find(hash, length, self.tables, |file, start, tables| {
            reuse(file, start, chunk, chunk.start, length, tables)
        })
    }
}

/// The extents of `file` from `from` on, for the range of the chunk that begins at `start`.
fn reuse(
    file: &Laid,
    from: u64,
    chunk: &Chunk<'_>,
    start: u64,
    length: u64,
    tables: &Tables<'_>,
) -> Option<Vec<Extent>> {
    file.reuse(from, length, start, chunk.regions, |pack| tables.shuns(pack))
}

fn hash(chunk: &Chunk<'_>, hashes: &mut FileHashes) {
    let mut done = 0;
    for region in chunk.regions {
        let (from, to) =
            (offset(region.start - chunk.start), offset(region.start + region.length - chunk.start));
        hashes.hole((from - done) as u64);
        hashes.data(&chunk.bytes[from..to]);
        done = to;
    }
    hashes.hole((chunk.bytes.len() - done) as u64);
}

/// Fills a buffer from a file; what is not there is zero, and is told.
fn fill(buffer: &mut [u8], start: u64, read_at: ReadAt<'_>, outcome: &mut Outcome) {
    let mut done = 0;
    while done < buffer.len() && !matches!(outcome, Outcome::Failed(_)) {
        match read_at(&mut buffer[done..], start + done as u64) {
            Ok(0) => {
                *outcome = Outcome::Short;
                break;
            }
            Ok(n) => done += n,
            Err(why) => *outcome = Outcome::Failed(why),
        }
    }
    buffer[done..].fill(0);
}

/// Within a chunk or a part, which are in memory.
fn offset(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
