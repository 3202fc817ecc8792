//! A pack as it grows: frames and blocks in order, then the tail.
//!
//! Always true: nothing stands before the first frame; every byte that is given out is hashed and counted;
//! and the memory for what was written is a frame list and a root that are not full yet.

use std::io;

use crate::channel::PackJob;
use crate::frame::{FrameRow, Hash};
use crate::layout::{
    BlockRef, FRAMES_PER_LIST, Footer, RootRef, SEGMENTS_PER_ROOT, SegmentRef, Tag, block, put_frame_list,
    put_root, put_tail,
};
use crate::path::TreePath;

/// The sink never gets more at a time.
const PIECE_BYTES_MAX: usize = 4 << 20;

/// A root is full at this many bytes of paths too, so that its block stays readable.
const ROOT_PATH_BYTES_MAX: usize = 4 << 20;

/// Takes the bytes of a pack, in order, at most 4 MiB at a time.
pub type Sink<'a> = dyn FnMut(&[u8]) -> io::Result<()> + Send + 'a;

/// A segment that was compressed.
pub(crate) struct SegmentBlock {
    pub(crate) block: Vec<u8>,
    pub(crate) raw: u32,
    pub(crate) rows: u32,
    pub(crate) last: TreePath,
}

/// What a whole pack amounts to.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) length: u64,
    pub(crate) hash: Hash,
    pub(crate) raw_bytes: u64,
    pub(crate) footer: BlockRef,
    pub(crate) roots: Vec<RootRef>,
}

/// Writes one pack.
pub(crate) struct PackWriter<'a> {
    sink: &'a mut Sink<'a>,
    pack: u64,
    length: u64,
    hasher: blake3::Hasher,
    footer: Footer,
    frames: Vec<FrameRow>,
    /// Segments that came before the first frame, as sockets alone can bring about.
    early: Vec<SegmentBlock>,
    segments: Vec<SegmentRef>,
    path_bytes: usize,
    roots: Vec<RootRef>,
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
            early: Vec::new(),
            segments: Vec::new(),
            path_bytes: 0,
            roots: Vec::new(),
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
        std::mem::take(&mut self.early).into_iter().try_for_each(|early| self.segment(early))
    }

    /// The next segment of the entries table.
    pub(crate) fn segment(&mut self, segment: SegmentBlock) -> io::Result<()> {
        if self.length == 0 {
            self.early.push(segment);
            return Ok(());
        }
        let SegmentBlock { block, raw, rows, last } = segment;
        self.path_bytes += last.as_bytes().len();
        let block = self.put_block(&block)?;
        self.segments.push(SegmentRef { pack: self.pack, block, raw, rows, last });
        if self.segments.len() == SEGMENTS_PER_ROOT || self.path_bytes >= ROOT_PATH_BYTES_MAX {
            self.put_root()?;
        }
        Ok(())
    }

    /// Ends the pack.
    pub(crate) fn finish(mut self) -> io::Result<Written> {
        if !self.frames.is_empty() {
            self.put_list()?;
        }
        if !self.segments.is_empty() {
            self.put_root()?;
        }
        let footer = self.put_block(&block(Tag::Footer, &self.footer.put()))?;
        self.put(&put_tail(&footer))?;
        Ok(Written {
            length: self.length,
            hash: *self.hasher.finalize().as_bytes(),
            raw_bytes: self.footer.raw_bytes,
            footer,
            roots: self.roots,
        })
    }

    fn put_list(&mut self) -> io::Result<()> {
        let list = block(Tag::FrameList, &put_frame_list(&self.frames));
        self.frames.clear();
        let list = self.put_block(&list)?;
        self.footer.lists.push(list);
        Ok(())
    }

    fn put_root(&mut self) -> io::Result<()> {
        let segments = std::mem::take(&mut self.segments);
        self.path_bytes = 0;
        let block = self.put_block(&block(Tag::Root, &put_root(&segments)))?;
        let rows = segments.iter().map(|segment| u64::from(segment.rows)).sum();
        let count = u32::try_from(segments.len()).map_err(io::Error::other)?;
        self.roots.push(RootRef { pack: self.pack, block, segments: count, rows });
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
