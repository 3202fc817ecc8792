//! In what a file differs from one of a snapshot, by its bytes.
//!
//! All of it is read, chunk by chunk, by several threads, as the snapshot lays it out: what is a hole there counts as
//! zeros whatever stands in it. A chunk that hashes to what the snapshot says is the same; of another the pages tell.
//!
//! Always true: what is not told to differ was read, and hashes to what the snapshot says.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FallocateFlags};
use rustix::io::Errno;

use super::pieces::{common, gaps, push, stored, touches};
use crate::beneath;
use crate::content::clip;
use crate::entry::{Chunks, Entry, Kind, ShortHash};
use crate::pack::Halt;
use crate::pages::{CHUNK_BYTES, HOLE, PART_BYTES, chunk_hash, page_hash};
use crate::sparse::{self, Region};
use crate::stat::Stat;

const CHUNK: u64 = CHUNK_BYTES as u64;

/// More threads only wait for each other's disk.
const THREADS_MAX: u32 = 8;

/// A file in more pieces is fetched whole.
const RANGES_MAX: usize = 1_000_000;

/// A file as it lies there, and as it is to be.
pub(super) struct Comparison<'a> {
    pub(super) file: BorrowedFd<'a>,
    pub(super) stat: &'a Stat,
    pub(super) entry: &'a Entry,
    pub(super) threads: u32,
}

/// What a comparison came to.
pub(super) enum Verdict {
    /// The same bytes and the same holes.
    Same,
    /// These bytes are others, or are not there; and these are to be holes. The size may be another, too.
    Parts { ranges: Vec<Region>, holes: Vec<Region> },
    /// It cannot be told in parts.
    Other,
}

/// Hashes of the pages of a part, as the snapshot has them.
pub(super) type PagesOf<'a> = dyn FnMut(u64) -> Result<Option<Vec<ShortHash>>, Halt> + 'a;

impl Comparison<'_> {
    /// Reads and compares all of the file. `pulse` hears of the bytes so far.
    pub(super) fn verdict(
        &self,
        pages_of: &mut PagesOf<'_>,
        pulse: &mut dyn FnMut(u64),
    ) -> Result<Verdict, Halt> {
        let Kind::File { size, content } = &self.entry.kind else { return Ok(Verdict::Other) };
        let (size, chunks) = (*size, &self.entry.witness.chunks);
        if chunks.hashes.is_empty() && size > 0 {
            return Ok(Verdict::Other);
        }
        let data = stored(content);
        let now = self.data_now().map_err(|e| self.failed(e))?;
        // Zeros that are to be written are no hole, and a hole is none that has bytes.
        let absent = common(&data, &gaps(&now, size));
        // Each is told as a whole: of a block that it has only a part of, nothing would become one.
        let mut holes = gaps(&data, size);
        holes.retain(|hole| touches(&now, hole.start, hole.start + hole.length));
        let mut ranges = Vec::new();
        for part in 0..size.div_ceil(PART_BYTES) {
            let differing = self.part(part, size, &data).map_err(|e| self.failed(e))?;
            let mut known = None;
            for (number, found) in differing {
                let start = number * CHUNK;
                let pages = match &known {
                    Some(pages) => pages,
                    None => known.insert(pages_of(part)?),
                };
                let known = pages.as_deref().and_then(|pages| chunk_pages(pages, chunks, number, size));
                page_ranges(start, size, chunks.page_exponent, &found, known, &mut ranges);
            }
            pulse(size.min((part + 1) * PART_BYTES));
            if ranges.len() > RANGES_MAX {
                return Ok(Verdict::Other);
            }
        }
        let ranges = common(&data, &with(&ranges, &absent, 1 << chunks.page_exponent, size));
        if ranges.is_empty() && holes.is_empty() && size == self.stat.size {
            return Ok(Verdict::Same);
        }
        Ok(Verdict::Parts { ranges, holes })
    }

    fn failed(&self, source: io::Error) -> Halt {
        Halt::Source { path: self.entry.path.clone(), action: "read", source }
    }

    fn data_now(&self) -> io::Result<Vec<Region>> {
        let mut read_at = |buffer: &mut [u8], at: u64| read_once(self.file, buffer, at);
        let all = || vec![Region { start: 0, length: self.stat.size }];
        let now = sparse::regions(self.file, self.stat, &mut read_at)?.unwrap_or_else(all);
        Ok(now.into_iter().filter(|region| region.length > 0).collect())
    }

    /// The chunks of a part that hash to something else, and the pages of each.
    fn part(&self, part: u64, size: u64, data: &[Region]) -> io::Result<Vec<(u64, Vec<ShortHash>)>> {
        let first = part * (PART_BYTES / CHUNK);
        let end = (first + PART_BYTES / CHUNK).min(size.div_ceil(CHUNK));
        let next = AtomicU64::new(first);
        let found = Mutex::new(Vec::new());
        let work = || -> io::Result<()> {
            let mut buffer = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return Ok(());
                }
                let Some(want) = usize::try_from(number).ok().and_then(|n| self.chunks().hashes.get(n))
                else {
                    return Err(io::Error::other("a chunk has no hash"));
                };
                if *want == HOLE {
                    continue;
                }
                let pages = self.hash(number * CHUNK, size, data, &mut buffer)?;
                if chunk_hash(&pages) != *want {
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((number, pages));
                }
            }
        };
        let threads = u64::from(self.threads.clamp(1, THREADS_MAX)).min(end - first);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads)
                .map(|n| std::thread::Builder::new().name(format!("compare-{n}")).spawn_scoped(scope, work))
                .collect();
            let mut done = work();
            for other in others {
                // Without a thread the others do its share.
                let Ok(other) = other else { continue };
                let joined = other.join().unwrap_or_else(|_panic| Err(io::Error::other("a thread panicked")));
                done = done.and(joined);
            }
            done
        })?;
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_unstable_by_key(|(number, _)| *number);
        Ok(found)
    }

    fn chunks(&self) -> &Chunks {
        &self.entry.witness.chunks
    }

    /// The pages of the chunk at `start`. What is not there reads as zeros: it is told to be absent elsewhere.
    fn hash(
        &self,
        start: u64,
        size: u64,
        data: &[Region],
        buffer: &mut Vec<u8>,
    ) -> io::Result<Vec<ShortHash>> {
        let length = (size - start).min(CHUNK);
        buffer.clear();
        buffer.resize(small(length), 0);
        for region in clip(data, start, length) {
            let from = small(region.start - start);
            fill(self.file, &mut buffer[from..from + small(region.length)], region.start)?;
        }
        let page = 1_u64 << self.chunks().page_exponent;
        let pages = buffer.chunks(small(page)).zip((start..).step_by(small(page)));
        Ok(pages
            .map(
                |(bytes, at)| {
                    if touches(data, at, at + bytes.len() as u64) { page_hash(bytes) } else { HOLE }
                },
            )
            .collect())
    }
}

/// The pages of a chunk of the snapshot, which count only if they add up to its hash.
fn chunk_pages<'a>(
    part: &'a [ShortHash],
    chunks: &Chunks,
    number: u64,
    size: u64,
) -> Option<&'a [ShortHash]> {
    let page = 1_u64 << chunks.page_exponent;
    let start = number * CHUNK;
    let from = small(start % PART_BYTES / page);
    let count = small((size - start).min(CHUNK).div_ceil(page));
    let pages = part.get(from..from + count)?;
    (chunks.hashes.get(small(number)) == Some(&chunk_hash(pages))).then_some(pages)
}

/// Adds the pages that differ; all of the chunk, if nothing is known of its pages.
fn page_ranges(
    start: u64,
    size: u64,
    exponent: u8,
    found: &[ShortHash],
    known: Option<&[ShortHash]>,
    ranges: &mut Vec<Region>,
) {
    let page = 1_u64 << exponent;
    for (n, hash) in (0..).zip(found) {
        if known.and_then(|known| known.get(small(n))) != Some(hash) {
            let at = start + n * page;
            push(ranges, at, (at + page).min(size));
        }
    }
}

/// Both, the second one rounded to whole pages.
fn with(ranges: &[Region], absent: &[Region], page: u64, size: u64) -> Vec<Region> {
    let whole = absent.iter().map(|run| {
        let start = run.start / page * page;
        Region {
            start,
            length: (run.start + run.length).div_ceil(page).saturating_mul(page).min(size) - start,
        }
    });
    let mut all: Vec<Region> = ranges.iter().copied().chain(whole).collect();
    all.sort_unstable_by_key(|run| run.start);
    let mut joined = Vec::with_capacity(all.len());
    all.iter().for_each(|run| push(&mut joined, run.start, run.start + run.length));
    joined
}

/// Within a chunk or a part, which are in memory.
fn small(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn read_once(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pread(file, &mut *buffer, at) {
            Err(Errno::INTR) => {}
            read => return Ok(read?),
        }
    }
}

/// Whether holes can be made in files here. Where not, a file that needs some is made anew.
pub(super) fn can_punch(redo: BorrowedFd<'_>) -> io::Result<bool> {
    const PROBE: &[u8] = b"probe";
    let file = beneath::make_file(redo, PROBE)?;
    let punched = rustix::fs::ftruncate(&file, CHUNK).and_then(|()| punch(file.as_fd(), 0, CHUNK));
    rustix::fs::unlinkat(redo, PROBE, AtFlags::empty())?;
    match punched {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Makes a hole, and zeros at its ends where they are parts of a block.
pub(super) fn punch(file: BorrowedFd<'_>, start: u64, length: u64) -> rustix::io::Result<()> {
    rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, start, length)
}

fn fill(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match read_once(file, &mut buffer[done..], at + done as u64)? {
            // The end of a file that is shorter.
            0 => break,
            n => done += n,
        }
    }
    Ok(())
}
