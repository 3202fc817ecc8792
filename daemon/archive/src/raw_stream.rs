//! The raw content stream of a pack, as the reading side fills it.
//!
//! Files are read straight into the buffer that a worker compresses, so content is copied once, by the
//! kernel. Buffers go round: reader, worker, writer, and back. Their number is fixed, so whichever side is
//! slow holds up the others, and memory is the same for every source.
//!
//! Always true: every frame but the last is full, and what was handed over arrives in that order.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use crate::frame::FRAME_BYTES;
use crate::layout::SegmentRef;
use crate::levels::Load;
use crate::segment::{Known, Like, Segment, Table};

/// The writing side ended, and knows why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

/// Memory for one piece of work, used again and again.
pub(crate) struct Buffers {
    /// Always [`FRAME_BYTES`] long.
    pub(crate) raw: Vec<u8>,
    /// What it compresses to.
    pub(crate) stored: Vec<u8>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self { raw: vec![0; FRAME_BYTES], stored: Vec::new() }
    }
}

/// What a worker does.
pub(crate) enum Work {
    /// Compress so many raw bytes of the buffers into a frame.
    Frame(usize),
    /// Compress a segment into a block, as a difference from another if there is one.
    Segment(Table, Segment, Option<Like>),
    /// Nothing: a segment of the base is the next one of the table.
    Point(Table, SegmentRef),
    /// Nothing: all was handed over.
    End,
}

/// A piece of work on its way to a worker.
pub(crate) struct Parcel {
    /// Counts from zero; the order in the pack.
    pub(crate) number: u64,
    /// Lent to the work; also what bounds how much of it is under way.
    pub(crate) buffers: Buffers,
    pub(crate) work: Work,
}

/// The end that the reader fills.
pub(crate) struct RawStream {
    load: Arc<Load>,
    parcels: Sender<Parcel>,
    pool: Receiver<Buffers>,
    current: Option<Buffers>,
    filled: usize,
    number: u64,
    /// Raw bytes of the frames that were handed over.
    sent: u64,
}

impl RawStream {
    pub(crate) fn new(load: Arc<Load>, parcels: Sender<Parcel>, pool: Receiver<Buffers>) -> Self {
        Self { load, parcels, pool, current: None, filled: 0, number: 0, sent: 0 }
    }

    /// Bytes of the stream so far: where the next byte will stand.
    pub(crate) fn position(&self) -> u64 {
        self.sent + self.filled as u64
    }

    /// Room in the current frame, at least one byte. [`Self::advance`] says how much was filled.
    pub(crate) fn room(&mut self) -> Result<&mut [u8], Stopped> {
        if self.current.is_none() {
            self.current = Some(self.pool.recv().map_err(|_writer_ended| Stopped)?);
        }
        let filled = self.filled;
        self.current.as_mut().map(|buffers| &mut buffers.raw[filled..]).ok_or(Stopped)
    }

    /// Takes in the first `n` bytes of the room.
    pub(crate) fn advance(&mut self, n: usize) -> Result<(), Stopped> {
        self.filled += n;
        assert!(self.filled <= FRAME_BYTES, "BUG: frame filled beyond its end");
        if self.filled == FRAME_BYTES { self.send_frame() } else { Ok(()) }
    }

    /// Copies bytes in.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let n = room.len().min(bytes.len());
            room[..n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            self.advance(n)?;
        }
        Ok(())
    }

    /// Writes zeros.
    pub(crate) fn zeros(&mut self, mut count: u64) -> Result<(), Stopped> {
        while count > 0 {
            let room = self.room()?;
            let n = usize::try_from(count).unwrap_or(usize::MAX).min(room.len());
            room[..n].fill(0);
            count -= n as u64;
            self.advance(n)?;
        }
        Ok(())
    }

    /// Hands a segment over, to lie behind the frames that were full by now, or what the base has in place of it.
    pub(crate) fn segment(&mut self, table: Table, segment: Segment, known: Known) -> Result<(), Stopped> {
        let like = match known {
            Known::Same(same) => return self.point(table, same),
            Known::Like(like) => Some(like),
            Known::Nothing => None,
        };
        let buffers = self.pool.recv().map_err(|_writer_ended| Stopped)?;
        self.send(buffers, Work::Segment(table, segment, like))
    }

    /// Says that a table goes on with a segment of the base.
    pub(crate) fn point(&mut self, table: Table, segment: SegmentRef) -> Result<(), Stopped> {
        let buffers = self.pool.recv().map_err(|_writer_ended| Stopped)?;
        self.send(buffers, Work::Point(table, segment))
    }

    /// Hands over the last frame and says that nothing follows. Without it the pack gets no tail.
    pub(crate) fn finish(mut self) -> Result<(), Stopped> {
        if self.filled > 0 {
            self.send_frame()?;
        }
        let buffers = self.pool.recv().map_err(|_writer_ended| Stopped)?;
        self.send(buffers, Work::End)
    }

    fn send_frame(&mut self) -> Result<(), Stopped> {
        let buffers = self.current.take().ok_or(Stopped)?;
        let length = std::mem::take(&mut self.filled);
        self.sent += length as u64;
        self.send(buffers, Work::Frame(length))
    }

    fn send(&mut self, buffers: Buffers, work: Work) -> Result<(), Stopped> {
        let parcel = Parcel { number: self.number, buffers, work };
        self.number += 1;
        self.load.filled();
        self.parcels.send(parcel).map_err(|_workers_ended| Stopped)
    }
}
