//! Segments: a table in pieces of about 128 KiB, or less for pages, cut where the paths say.
//!
//! A segment ends after an entry whose path hashes to a cut, so the same entries give the same segments
//! whatever stands before them. A snapshot in which little changed can then point to most of the
//! segments of its parent instead of writing them again.
//!
//! Where changes are scattered over all segments, each is written as its difference from the one of the parent.
//! What it is a difference from, its ground, always stands by itself: so two blocks are all that a segment takes.

use std::sync::Arc;

use zstd::zstd_safe::{CCtx, CParameter};

use crate::entry::Entry;
use crate::frame::{Decoder, FrameError, decode_difference};
use crate::layout::{Ground, SegmentRef, Tag, block, block_body};
use crate::path::TreePath;
use crate::row::{self, Rows};
use crate::varint::Malformed;

/// A segment is never larger: the longest row may follow just below the size that forces a cut.
pub const SEGMENT_BYTES_MAX: usize = ENTRIES.at + row::ROW_BYTES_MAX + 64;

/// Neither a difference nor its ground has more rows than this, so that both are in the window of the frame.
pub const GROUND_BYTES_MAX: usize = 1 << 20;

/// A difference takes at most one in so many bytes of its ground: else the segment is written whole, to be the
/// ground of the next ones.
const DIFFERENCE_ONE_IN: usize = 3;

/// zstd levels of segments. Differences are short.
const LEVEL: i32 = 3;
const DIFFERENCE_LEVEL: i32 = 6;

/// Where the segments of a table end.
#[derive(Debug, Clone, Copy)]
struct Cuts {
    /// Not before this many raw bytes.
    from: usize,
    /// At the next row from here on, whatever its path.
    at: usize,
    /// One key in this many is a cut.
    one_in: u32,
}

const ENTRIES: Cuts = Cuts { from: 64 << 10, at: 512 << 10, one_in: 512 };

/// Its rows are long and do not compress, so little should be written again with the one that changed.
const PAGES: Cuts = Cuts { from: 32 << 10, at: 128 << 10, one_in: 32 };

impl Cuts {
    fn of(table: Table) -> Self {
        match table {
            Table::Entries => ENTRIES,
            Table::Pages => PAGES,
        }
    }

    /// Whether a segment of `raw` bytes ends after the row of `key`.
    fn cuts(self, raw: usize, key: &[u8]) -> bool {
        if raw < self.from {
            return false;
        }
        let low = u32::from_le_bytes(*blake3::hash(key).as_bytes().first_chunk().unwrap_or(&[0; 4]));
        raw >= self.at || low.is_multiple_of(self.one_in)
    }
}

/// Which table a segment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Entries,
    Pages,
}

/// A finished segment, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its rows, raw.
    pub raw: Vec<u8>,
    /// How many.
    pub rows: u32,
    /// Path of the last row.
    pub last: TreePath,
}

/// What a segment may be a difference from, with its rows.
#[derive(Debug, Clone)]
pub(crate) struct Like {
    pub(crate) ground: Ground,
    pub(crate) rows: Arc<Vec<u8>>,
}

/// What the base has of a segment.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// All of it.
    Same(SegmentRef),
    /// Something much like it.
    Like(Like),
    Nothing,
}

impl Segment {
    /// The block that stores it by itself.
    pub fn to_block(&self) -> std::io::Result<Vec<u8>> {
        let mut zstd = zstd::bulk::Compressor::new(LEVEL)?;
        zstd.include_contentsize(true)?;
        Ok(block(Tag::Segment, &zstd.compress(&self.raw)?))
    }

    /// The block that stores it as a difference, if that is worth it.
    pub(crate) fn to_difference(&self, like: &Like) -> std::io::Result<Option<Vec<u8>>> {
        if self.raw.len() > GROUND_BYTES_MAX || like.rows.len() > GROUND_BYTES_MAX {
            return Ok(None);
        }
        let most = like.ground.block.length as usize / DIFFERENCE_ONE_IN;
        let mut zstd = CCtx::create();
        let mut body = Vec::with_capacity(zstd::zstd_safe::compress_bound(self.raw.len()));
        zstd.set_parameter(CParameter::CompressionLevel(DIFFERENCE_LEVEL))
            .and_then(|_ok| zstd.ref_prefix(&like.rows))
            .and_then(|_ok| zstd.compress2(&mut body, &self.raw))
            .map_err(|code| std::io::Error::other(zstd::zstd_safe::get_error_name(code)))?;
        Ok(Some(block(Tag::Difference, &body)).filter(|block| block.len() <= most))
    }
}

/// Why a segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The block or its rows make no sense.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The zstd frame within is broken.
    #[error("{0}")]
    Frame(#[from] FrameError),
}

/// The raw rows of a segment block whose hash has been checked; `raw` is what its root promises, `ground` the rows
/// that it is a difference from.
pub fn read_block(
    decoder: &mut Decoder,
    bytes: &[u8],
    raw: u32,
    ground: Option<&[u8]>,
) -> Result<Vec<u8>, SegmentError> {
    Ok(match ground {
        None => decoder.decode_unhashed(block_body(Tag::Segment, bytes)?, raw as usize, SEGMENT_BYTES_MAX)?,
        Some(ground) => {
            decode_difference(block_body(Tag::Difference, bytes)?, raw as usize, GROUND_BYTES_MAX, ground)?
        }
    })
}

/// All entries of a segment.
pub fn entries(raw: &[u8]) -> Result<Vec<Entry>, Malformed> {
    Rows::new(raw).collect()
}

/// Gathers rows into segments.
#[derive(Debug)]
pub struct SegmentCutter {
    cuts: Cuts,
    raw: Vec<u8>,
    rows: u32,
    last: Vec<u8>,
}

/// For the entries table.
impl Default for SegmentCutter {
    fn default() -> Self {
        Self::new(Table::Entries)
    }
}

impl SegmentCutter {
    pub(crate) fn new(table: Table) -> Self {
        Self { cuts: Cuts::of(table), raw: Vec::new(), rows: 0, last: Vec::new() }
    }

    /// Adds the next entry in path order; gives a segment when it is full.
    pub fn push(&mut self, entry: &Entry) -> Option<Segment> {
        let path = entry.path.as_bytes();
        self.add(path, path, |raw, before| row::put_row(raw, before, entry))
    }

    /// Adds the next row, which `put` writes after one with the path that it is given; `key` says where to cut.
    pub(crate) fn add(
        &mut self,
        path: &[u8],
        key: &[u8],
        put: impl FnOnce(&mut Vec<u8>, &[u8]),
    ) -> Option<Segment> {
        put(&mut self.raw, &self.last);
        self.rows += 1;
        self.last.clear();
        self.last.extend_from_slice(path);
        if self.cuts.cuts(self.raw.len(), key) { self.finish() } else { None }
    }

    /// Raw bytes that are no segment yet.
    pub(crate) fn pending(&self) -> usize {
        self.raw.len()
    }

    /// What is left, if anything.
    pub fn finish(&mut self) -> Option<Segment> {
        if self.rows == 0 {
            return None;
        }
        let last = TreePath::parse(std::mem::take(&mut self.last)).unwrap_or_default();
        Some(Segment { raw: std::mem::take(&mut self.raw), rows: std::mem::take(&mut self.rows), last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Kind, Stamp, Witness};
    use crate::layout::BlockRef;

    fn file(name: &str) -> Entry {
        Entry {
            path: TreePath::parse(name.as_bytes().to_vec()).unwrap(),
            kind: Kind::File { size: 0, content: vec![] },
            mode: 0o644,
            uid: 1,
            gid: 1,
            modified: Stamp { seconds: 1_700_000_000, nanoseconds: 1 },
            xattrs: vec![],
            witness: Witness::default(),
        }
    }

    fn cut(names: impl Iterator<Item = String>) -> Vec<Segment> {
        let mut cutter = SegmentCutter::default();
        let mut out: Vec<_> = names.filter_map(|name| cutter.push(&file(&name))).collect();
        out.extend(cutter.finish());
        out
    }

    #[test]
    fn a_new_entry_changes_few_segments() {
        let before = cut((0..50_000).map(|i| format!("d/{i:06}")));
        let after = cut((0..50_000).flat_map(|i| {
            let extra = (i == 25_000).then(|| format!("d/{i:06}x"));
            std::iter::once(format!("d/{i:06}")).chain(extra)
        }));
        assert!(before.len() > 5, "{}", before.len());
        let new = after.iter().filter(|s| !before.contains(s)).count();
        assert_eq!(new, 1);
    }

    #[test]
    fn a_block_gives_its_rows_back() {
        let segments = cut((0..3000).map(|i| format!("{i:05}")));
        let bytes = segments[0].to_block().unwrap();
        let raw_length = u32::try_from(segments[0].raw.len()).unwrap();
        let mut decoder = Decoder::new().unwrap();
        let raw = read_block(&mut decoder, &bytes, raw_length, None).unwrap();
        assert_eq!(raw, segments[0].raw);
        assert_eq!(entries(&raw).unwrap().len(), segments[0].rows as usize);
        assert!(read_block(&mut decoder, &bytes, raw_length + 1, None).is_err());
    }

    fn like(segment: &Segment) -> Like {
        let block = segment.to_block().unwrap();
        let hash = *blake3::hash(&block).as_bytes();
        let block = BlockRef { offset: 0, length: u32::try_from(block.len()).unwrap(), hash };
        let raw = u32::try_from(segment.raw.len()).unwrap();
        Like { ground: Ground { pack: 4, block, raw }, rows: Arc::new(segment.raw.clone()) }
    }

    #[test]
    fn a_difference_is_short_and_needs_its_ground() {
        let before = cut((0..1000).map(|i| format!("{i:05}"))).remove(0);
        let after = cut((0..1000).map(|i| format!("{:05}", i + i / 999))).remove(0);
        let like = like(&before);
        let bytes = after.to_difference(&like).unwrap().unwrap();
        assert!(bytes.len() < 200, "{}", bytes.len());
        let raw = u32::try_from(after.raw.len()).unwrap();
        let decoder = &mut Decoder::new().unwrap();
        assert_eq!(read_block(decoder, &bytes, raw, Some(&before.raw)).unwrap(), after.raw);
        assert!(read_block(decoder, &bytes, raw, None).is_err(), "it does not stand by itself");
        assert!(read_block(decoder, &bytes, raw + 1, Some(&before.raw)).is_err());
        assert!(read_block(decoder, &after.to_block().unwrap(), raw, Some(&before.raw)).is_err());
        // What the root's hash of the ground rules out gives an error or other rows, and no more of them.
        for ground in [&before.raw[..9], &[][..]] {
            if let Ok(rows) = read_block(decoder, &bytes, raw, Some(ground)) {
                assert!(rows != after.raw && rows.len() == after.raw.len());
            }
        }
    }

    #[test]
    fn what_differs_too_much_or_is_too_long_stands_by_itself() {
        let names =
            |from: usize| (from..from + 300).map(|i| blake3::hash(&i.to_le_bytes()).to_hex().to_string());
        let sorted = |from| {
            let mut names: Vec<_> = names(from).collect();
            names.sort();
            cut(names.into_iter()).remove(0)
        };
        assert_eq!(sorted(0).to_difference(&like(&sorted(1000))).unwrap(), None);
        let long = Segment { raw: vec![7; GROUND_BYTES_MAX + 1], rows: 1, last: TreePath::root() };
        assert_eq!(long.to_difference(&like(&sorted(0))).unwrap(), None);
        assert_eq!(sorted(0).to_difference(&like(&long)).unwrap(), None);
    }
}
