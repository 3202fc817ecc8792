//! Segments: a table in pieces of about 128 KiB, or less for pages, cut where the paths say.
//!
//! A segment ends after an entry whose path hashes to a cut, so the same entries give the same segments
//! whatever stands before them. A snapshot in which little changed can then point to most of the
//! segments of its parent instead of writing them again.

use crate::entry::Entry;
use crate::frame::{Decoder, FrameError};
use crate::layout::{Tag, block, block_body};
use crate::path::TreePath;
use crate::row::{self, Rows};
use crate::varint::Malformed;

/// A segment is never larger: the longest row may follow just below the size that forces a cut.
pub const SEGMENT_BYTES_MAX: usize = ENTRIES.at + row::ROW_BYTES_MAX + 64;

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

impl Segment {
    /// The block that stores it.
    pub fn to_block(&self) -> std::io::Result<Vec<u8>> {
        let mut zstd = zstd::bulk::Compressor::new(3)?;
        zstd.include_contentsize(true)?;
        Ok(block(Tag::Segment, &zstd.compress(&self.raw)?))
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

/// The raw rows of a segment block whose hash has been checked; `raw` is what its root promises.
pub fn read_block(decoder: &mut Decoder, bytes: &[u8], raw: u32) -> Result<Vec<u8>, SegmentError> {
    let body = block_body(Tag::Segment, bytes)?;
    Ok(decoder.decode_unhashed(body, raw as usize, SEGMENT_BYTES_MAX)?)
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
        let raw = read_block(&mut decoder, &bytes, raw_length).unwrap();
        assert_eq!(raw, segments[0].raw);
        assert_eq!(entries(&raw).unwrap().len(), segments[0].rows as usize);
        assert!(read_block(&mut decoder, &bytes, raw_length + 1).is_err());
    }
}
