//! Reader, workers, writer: the three sides of a backup, and how they end.
//!
//! One reader (the calling thread) fills the raw stream, `workers` threads compress and hash it, one thread
//! restores the order and gives the pack to the sink. Each side that ends makes the others end: the reader
//! sees [`Stopped`], the workers a closed queue, the writer a queue that closes without [`Work::End`].
//!
//! Always true: a pack gets its tail only after the reader said that it was done.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::channel::PackJob;
use crate::frame::{Encoder, Hash};
use crate::layout::SegmentRef;
use crate::levels::{Load, TRIED, Turn};
use crate::pack_writer::{PackWriter, SegmentBlock, Sink, Written};
use crate::raw_stream::{Buffers, Parcel, RawStream, Work};
use crate::segment::{Segment, Table};

/// More threads than this help nobody.
const WORKERS_MAX: usize = 256;

/// Why the writing side failed.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The sink took no more.
    Sink(io::Error),
    /// A worker could not start or compress.
    Compress(io::Error),
}

enum Done {
    Frame { raw: u32, hash: Hash },
    Segment(Table, SegmentBlock),
    Point(Table, SegmentRef),
    End,
}

/// A parcel that a worker is done with.
struct Returned {
    number: u64,
    buffers: Buffers,
    done: io::Result<Done>,
}

/// How the reading side ended, if it began, and how the writing side did.
pub(crate) type Ended<T, E> = (Option<Result<T, E>>, Result<Option<Written>, WriteError>);

/// Runs `read` against a raw stream and writes what it fills. The pack is whole only if both results are
/// good and the second holds something.
pub(crate) fn run<T, E>(
    job: &PackJob,
    sink: &mut Sink<'_>,
    read: impl FnOnce(RawStream) -> Result<T, E>,
) -> Ended<T, E> {
    let workers = usize::try_from(job.workers).unwrap_or(WORKERS_MAX).clamp(1, WORKERS_MAX);
    let encoders: io::Result<Vec<_>> = (0..workers).map(|_| Encoder::new(job.levels.first())).collect();
    let encoders = match encoders {
        Ok(encoders) => encoders,
        Err(why) => return (None, Err(WriteError::Compress(why))),
    };
    let (parcels, work) = channel();
    let (finished, returned) = channel();
    let (recycled, pool) = channel();
    // One in each worker, one waiting for each, one being filled and one being written.
    let buffers = 2 * workers + 2;
    let load = Arc::new(Load::new(job.levels, buffers));
    for _ in 0..buffers {
        if recycled.send(Buffers::new()).is_err() {
            break;
        }
    }
    let work = Mutex::new(work);
    let writer = PackWriter::new(job, sink);
    thread::scope(|scope| {
        let (work, pending) = (&work, &*load);
        let mut started = Ok(());
        for encoder in encoders {
            let finished: Sender<Returned> = finished.clone();
            let spawned = thread::Builder::new()
                .name("compress".into())
                .spawn_scoped(scope, move || compress(encoder, pending, work, &finished));
            started = started.and(spawned.map(|_scoped| ()));
        }
        drop(finished);
        let spawned = thread::Builder::new()
            .name("write-pack".into())
            .spawn_scoped(scope, move || write(writer, pending, &returned, &recycled));
        let writing = match started.and(spawned) {
            Ok(writing) => writing,
            // `parcels` is dropped on return, which ends the threads that did start.
            Err(why) => {
                drop(parcels);
                return (None, Err(WriteError::Compress(why)));
            }
        };
        let read = read(RawStream::new(Arc::clone(&load), parcels, pool));
        let written = writing.join().unwrap_or_else(|panic| resume_unwind(panic));
        (Some(read), written)
    })
}

fn compress(mut encoder: Encoder, load: &Load, work: &Mutex<Receiver<Parcel>>, finished: &Sender<Returned>) {
    loop {
        // Nobody panics while holding the lock, and a queue has no state to break.
        let parcel = work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
        let Ok(Parcel { number, mut buffers, work }) = parcel else { return };
        load.taken();
        // A parcel must come back whatever happens, or the writer waits for it for ever.
        let done = catch_unwind(AssertUnwindSafe(|| process(&mut encoder, load, &mut buffers, work)))
            .unwrap_or_else(|_panic| Err(io::Error::other("compressing thread panicked")));
        load.compressed();
        if finished.send(Returned { number, buffers, done }).is_err() {
            return;
        }
    }
}

fn process(encoder: &mut Encoder, load: &Load, buffers: &mut Buffers, work: Work) -> io::Result<Done> {
    Ok(match work {
        Work::Frame(length) => {
            let raw = &buffers.raw[..length];
            let hash = match load.next() {
                Turn::Compress(level) => {
                    encoder.set_level(level)?;
                    encoder.encode_into(raw, &mut buffers.stored)?
                }
                Turn::Try => try_levels(encoder, load, raw, &mut buffers.stored)?,
            };
            Done::Frame { raw: u32::try_from(length).map_err(io::Error::other)?, hash }
        }
        Work::Segment(table, segment, like) => {
            let difference = match &like {
                Some(like) => segment.to_difference(like)?.map(|block| (block, Some(like.ground))),
                None => None,
            };
            let (block, ground) = match difference {
                Some(difference) => difference,
                None => (segment.to_block()?, None),
            };
            let Segment { raw, rows, last } = segment;
            let raw = u32::try_from(raw.len()).map_err(io::Error::other)?;
            Done::Segment(table, SegmentBlock { block, raw, rows, ground, last })
        }
        Work::Point(table, segment) => Done::Point(table, segment),
        Work::End => Done::End,
    })
}

/// Compresses a frame with each of the cheap levels, and keeps the smallest.
fn try_levels(encoder: &mut Encoder, load: &Load, raw: &[u8], stored: &mut Vec<u8>) -> io::Result<Hash> {
    let (mut sizes, mut other) = ([0; TRIED.len()], Vec::new());
    encoder.set_level(TRIED[0])?;
    let hash = encoder.encode_into(raw, stored)?;
    sizes[0] = stored.len();
    for (level, size) in TRIED.iter().zip(&mut sizes).skip(1) {
        encoder.set_level(*level)?;
        encoder.encode_into(raw, &mut other)?;
        *size = other.len();
        if other.len() < stored.len() {
            std::mem::swap(&mut other, stored);
        }
    }
    load.tried(raw.len(), sizes);
    Ok(hash)
}

fn write(
    mut writer: PackWriter<'_>,
    load: &Load,
    returned: &Receiver<Returned>,
    recycled: &Sender<Buffers>,
) -> Result<Option<Written>, WriteError> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    for arrived in returned {
        early.insert(arrived.number, arrived);
        while let Some(Returned { buffers, done, .. }) = early.remove(&next) {
            next += 1;
            match done.map_err(WriteError::Compress)? {
                Done::Frame { raw, hash } => writer.frame(&buffers.stored, raw, hash),
                Done::Segment(table, segment) => writer.segment(table, segment),
                Done::Point(table, segment) => writer.point(table, segment),
                Done::End => return writer.finish().map(Some).map_err(WriteError::Sink),
            }
            .map_err(WriteError::Sink)?;
            load.written();
            // A reader that ended, well or not, wants no buffers; what it handed over is written all the same.
            drop(recycled.send(buffers));
        }
    }
    Ok(None)
}
