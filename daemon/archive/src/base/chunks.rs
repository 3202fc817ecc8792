//! Finding a chunk of the base by its hash, wherever it lies: so a file that was renamed or copied costs nothing.
//!
//! The map is made when it is first needed, from all entries of the base. It is bounded: of what does not fit
//! nothing is found, and is stored again.
//!
//! Always true: a chunk that is given has the hash that was asked for in full, and the length.

use std::collections::VecDeque;
use std::rc::Rc;

use super::Base;
use super::tables::{Segments, Tables};
use crate::content::Laid;
use crate::entry::{Entry, ShortHash};
use crate::layout::SegmentRef;
use crate::pack::Halt;
use crate::pages::{CHUNK_BYTES, HOLE};
use crate::row::Rows;
use crate::segment::{self, Table};

/// More chunks are not found; they take 24 bytes each.
const CHUNKS_MAX: usize = 2_000_000;

/// Entries that are kept decoded, by the length of their rows.
const CACHED_BYTES_MAX: usize = 4 << 20;

/// Of chunks with one hash so many are tried.
const TRIES: usize = 4;

/// All chunks of the base.
pub(crate) struct ChunkMap {
    chunks: Vec<Place>,
    segments: Vec<SegmentRef>,
    cached: VecDeque<(u32, Rc<Vec<Entry>>, usize)>,
    /// The file that was found last, as the next chunk is likely to be of it.
    found: Option<(u32, u32, Rc<Laid>)>,
}

/// Where a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The first half of its hash.
    half: u64,
    segment: u32,
    row: u32,
    chunk: u32,
}

impl ChunkMap {
    /// Reads all entries of the base.
    pub(crate) fn read(base: &Base, tables: &mut Tables<'_>) -> Result<Self, Halt> {
        let rows: u64 = base.entries.iter().map(|root| root.rows).sum();
        let mut chunks = Vec::with_capacity(usize::try_from(rows).unwrap_or(CHUNKS_MAX).min(CHUNKS_MAX));
        let mut segments = Vec::new();
        let mut left = Segments::new(Table::Entries, &base.entries);
        while chunks.len() < CHUNKS_MAX
            && let Some(at) = left.pop(tables)?
        {
            let fetched = tables.segment(Table::Entries, at)?;
            let segment = index(segments.len());
            for (row, entry) in Rows::new(&fetched.rows).enumerate() {
                let entry = entry.map_err(|why| Halt::table(Table::Entries, why))?;
                for (chunk, hash) in entry.witness.chunks.hashes.iter().enumerate() {
                    if *hash != HOLE && chunks.len() < CHUNKS_MAX {
                        let (row, chunk) = (index(row), index(chunk));
                        chunks.push(Place { half: half(hash), segment, row, chunk });
                    }
                }
            }
            segments.push(fetched.at);
        }
        chunks.sort_unstable();
        Ok(Self { chunks, segments, cached: VecDeque::new(), found: None })
    }

    /// Files that have a chunk of this hash and length, each with where in it the chunk begins, until one is taken.
    pub(crate) fn find<T>(
        &mut self,
        hash: &ShortHash,
        length: u64,
        tables: &mut Tables<'_>,
        mut take: impl FnMut(&Laid, u64, &Tables<'_>) -> Option<T>,
    ) -> Result<Option<T>, Halt> {
        let from = self.chunks.partition_point(|place| place.half < half(hash));
        for at in from..self.chunks.len().min(from + TRIES) {
            let Place { half: there, segment, row, chunk } = self.chunks[at];
            if there != half(hash) {
                break;
            }
            let Some(file) = self.file(segment, row, tables)? else { continue };
            let start = u64::from(chunk) * CHUNK_BYTES as u64;
            if file.has_chunk(start, length, hash)
                && let Some(taken) = take(&file, start, tables)
            {
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    fn file(&mut self, segment: u32, row: u32, tables: &mut Tables<'_>) -> Result<Option<Rc<Laid>>, Halt> {
        if let Some((_, _, file)) = self.found.as_ref().filter(|found| (found.0, found.1) == (segment, row)) {
            return Ok(Some(Rc::clone(file)));
        }
        let entries = self.entries(segment, tables)?;
        let file = entries.get(row as usize).and_then(Laid::new).map(Rc::new);
        self.found = file.clone().map(|file| (segment, row, file));
        Ok(file)
    }

    fn entries(&mut self, segment: u32, tables: &mut Tables<'_>) -> Result<Rc<Vec<Entry>>, Halt> {
        if let Some(at) = self.cached.iter().position(|cached| cached.0 == segment)
            && let Some(cached) = self.cached.remove(at)
        {
            let entries = Rc::clone(&cached.1);
            self.cached.push_back(cached);
            return Ok(entries);
        }
        let Some(at) = self.segments.get(segment as usize).cloned() else { return Ok(Rc::default()) };
        let rows = tables.segment(Table::Entries, at)?.rows;
        let entries = segment::entries(&rows).map_err(|why| Halt::table(Table::Entries, why))?;
        let entries = Rc::new(entries);
        self.cached.push_back((segment, Rc::clone(&entries), rows.len()));
        while self.cached.len() > 1
            && self.cached.iter().map(|cached| cached.2).sum::<usize>() > CACHED_BYTES_MAX
        {
            self.cached.pop_front();
        }
        Ok(entries)
    }
}

fn half(hash: &ShortHash) -> u64 {
    hash.first_chunk().map_or(0, |half| u64::from_le_bytes(*half))
}

/// Counts here stay far below 32 bits; what did not would not be found.
fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
