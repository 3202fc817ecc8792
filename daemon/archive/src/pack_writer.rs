//! A pack as it grows: frames and blocks in order, then the tail.
//!
//! Always true: in a full pack nothing stands before the first frame; an incremental pack of nothing has no bytes
//! at all; every byte that is given out is hashed and counted; and the memory for what was written is a frame
//! list and a root of each table that are not full yet.

use std::collections::BTreeSet;
use std::io;

use crate::channel::PackJob;
use crate::frame::{FrameRow, Hash};
use crate::layout::{
    BlockRef, FRAMES_PER_LIST, Footer, Ground, RootRef, SegmentRef, Tag, block, put_frame_list, put_root,
    put_tail,
};
use crate::path::TreePath;
use crate::segment::Table;
use crate::table_writer::TableWriter;

/// The sink never gets more at a time.
const PIECE_BYTES_MAX: usize = 4 << 20;

/// Takes the bytes of a pack, in order, at most 4 MiB at a time.
pub type Sink<'a> = dyn FnMut(&[u8]) -> io::Result<()> + Send + 'a;

/// A segment that was compressed.
pub(crate) struct SegmentBlock {
    pub(crate) block: Vec<u8>,
    pub(crate) raw: u32,
    pub(crate) rows: u32,
    pub(crate) ground: Option<Ground>,
    pub(crate) last: TreePath,
}

/// What a whole pack amounts to.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) length: u64,
    pub(crate) hash: Hash,
    pub(crate) raw_bytes: u64,
    /// All zero in a pack without bytes.
    pub(crate) footer: BlockRef,
    pub(crate) entries: Vec<RootRef>,
    pub(crate) pages: Vec<RootRef>,
    /// Every pack that a table lies in.
    pub(crate) packs: BTreeSet<u64>,
}

/// Writes one pack.
pub(crate) struct PackWriter<'a> {
    sink: &'a mut Sink<'a>,
    pack: u64,
    length: u64,
    hasher: blake3::Hasher,
    footer: Footer,
    frames: Vec<FrameRow>,
    /// Nothing may stand before the first frame.
    full: bool,
    /// Segments that came before the first frame, as sockets alone can bring about.
    early: Vec<(Table, SegmentBlock)>,
    entries: TableWriter,
    pages: TableWriter,
}

impl<'a> PackWriter<'a> {
    pub(crate) fn new(job: &PackJob, sink: &'a mut Sink<'a>) -> Self {
        Self {
            sink,
            pack: job.pack,
            length: 0,
            hasher: blake3::Hasher::new(),
            footer: Footer::default(),
            frames: Vec::with_capacity(FRAMES_PER_LIST),
            full: job.base.is_none(),
            early: Vec::new(),
            entries: TableWriter::new(Table::Entries, job.base.as_ref()),
            pages: TableWriter::new(Table::Pages, job.base.as_ref()),
        }
    }

    /// The next frame.
    pub(crate) fn frame(&mut self, stored: &[u8], raw: u32, hash: Hash) -> io::Result<()> {
        let row = FrameRow { offset: self.length, stored: length32(stored)?, raw, hash };
        self.put(stored)?;
        self.frames.push(row);
        self.footer.raw_bytes += u64::from(raw);
        if self.frames.len() == FRAMES_PER_LIST {
            self.put_list()?;
        }
        let early = std::mem::take(&mut self.early);
        early.into_iter().try_for_each(|(table, segment)| self.segment(table, segment))
    }

    /// The next segment of a table.
    pub(crate) fn segment(&mut self, table: Table, segment: SegmentBlock) -> io::Result<()> {
        if self.full && self.length == 0 {
            self.early.push((table, segment));
            return Ok(());
        }
        let SegmentBlock { block, raw, rows, ground, last } = segment;
        let block = self.put_block(&block)?;
        self.point(table, SegmentRef { pack: self.pack, block, raw, rows, ground, last })
    }

    /// The next segment of a table, wherever it lies.
    pub(crate) fn point(&mut self, table: Table, segment: SegmentRef) -> io::Result<()> {
        if self.table(table).push(segment) { self.put_root(table) } else { Ok(()) }
    }

    fn table(&mut self, table: Table) -> &mut TableWriter {
        match table {
            Table::Entries => &mut self.entries,
            Table::Pages => &mut self.pages,
        }
    }

    /// Ends the pack.
    pub(crate) fn finish(mut self) -> io::Result<Written> {
        if !self.frames.is_empty() {
            self.put_list()?;
        }
        self.put_root(Table::Entries)?;
        self.put_root(Table::Pages)?;
        let mut footer = BlockRef { offset: 0, length: 0, hash: [0; 32] };
        if self.full || self.length > 0 {
            footer = self.put_block(&block(Tag::Footer, &self.footer.put()))?;
            self.put(&put_tail(&footer))?;
        }
        Ok(Written {
            length: self.length,
            hash: *self.hasher.finalize().as_bytes(),
            raw_bytes: self.footer.raw_bytes,
            footer,
            packs: &self.entries.packs | &self.pages.packs,
            entries: self.entries.roots,
            pages: self.pages.roots,
        })
    }

    fn put_list(&mut self) -> io::Result<()> {
        let list = block(Tag::FrameList, &put_frame_list(&self.frames));
        self.frames.clear();
        let list = self.put_block(&list)?;
        self.footer.lists.push(list);
        Ok(())
    }

    fn put_root(&mut self, table: Table) -> io::Result<()> {
        let Some(segments) = self.table(table).take() else { return Ok(()) };
        let bytes = block(Tag::Root, &put_root(&segments));
        if self.table(table).point(&bytes) {
            return Ok(());
        }
        let block = self.put_block(&bytes)?;
        let rows = segments.iter().map(|segment| u64::from(segment.rows)).sum();
        let count = u32::try_from(segments.len()).map_err(io::Error::other)?;
        let pack = self.pack;
        self.table(table).written(RootRef { pack, block, segments: count, rows });
        Ok(())
    }

    fn put_block(&mut self, bytes: &[u8]) -> io::Result<BlockRef> {
        let block =
            BlockRef { offset: self.length, length: length32(bytes)?, hash: *blake3::hash(bytes).as_bytes() };
        self.put(bytes)?;
        Ok(block)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        bytes.chunks(PIECE_BYTES_MAX).try_for_each(|piece| (self.sink)(piece))
    }
}

fn length32(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(io::Error::other)
}
