//! The rows of the pages table: what the pages of a file hash to, in parts of 64 MiB.
//!
//! The table serves the next backup and nothing else, and nothing in it is believed on its own: page hashes count
//! only if they add up to the hash of their chunk in the entries table. A file whose pages are whole chunks has no
//! row, nor has a part that lies wholly in a hole.

use crate::entry::ShortHash;
use crate::path::TreePath;
use crate::segment::{Segment, SegmentCutter};
use crate::varint::{Malformed, Reader, put, put_bytes};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageRow {
    pub(crate) path: TreePath,
    /// Which 64 MiB of the file.
    pub(crate) part: u64,
    pub(crate) pages: Vec<ShortHash>,
}

impl PageRow {
    /// Adds the row to a segment, which may be full then.
    pub(crate) fn push(&self, cutter: &mut SegmentCutter) -> Option<Segment> {
        let path = self.path.as_bytes();
        let key = [path, &self.part.to_le_bytes()].concat();
        cutter.add(path, &key, |raw, before| {
            let mut row = Vec::with_capacity(path.len() + 16 + self.pages.len() * 16);
            let shared = path.iter().zip(before).take_while(|(a, b)| a == b).count();
            put(&mut row, shared as u64);
            put_bytes(&mut row, &path[shared..]);
            put(&mut row, self.part);
            row.extend_from_slice(self.pages.as_flattened());
            put_bytes(raw, &row);
        })
    }
}

/// All rows of a segment.
pub(crate) fn rows(raw: &[u8]) -> Result<Vec<PageRow>, Malformed> {
    let mut reader = Reader::new(raw);
    let mut rows: Vec<PageRow> = Vec::new();
    while !reader.is_empty() {
        let row = read(reader.bytes()?, rows.last())?;
        if rows.last().is_some_and(|last| (&last.path, last.part) >= (&row.path, row.part)) {
            return Err(Malformed("pages out of order"));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn read(row: &[u8], before: Option<&PageRow>) -> Result<PageRow, Malformed> {
    let r = &mut Reader::new(row);
    let shared = usize::try_from(r.number()?).map_err(|_over| Malformed("shared path too long"))?;
    let before = before.map_or(&[][..], |before| before.path.as_bytes());
    let mut bytes = before.get(..shared).ok_or(Malformed("shares more than there is"))?.to_vec();
    bytes.extend_from_slice(r.bytes()?);
    let path = TreePath::parse(bytes).map_err(|_bad| Malformed("path leaves its root"))?;
    let part = r.number()?;
    match r.rest().as_chunks() {
        (pages, []) if !pages.is_empty() => Ok(PageRow { path, part, pages: pages.to_vec() }),
        _ => Err(Malformed("pages of a wrong length")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::Table;
    use proptest::prelude::*;

    fn row(path: &str, part: u64, pages: usize) -> PageRow {
        let path = TreePath::parse(path.as_bytes().to_vec()).unwrap();
        PageRow { path, part, pages: vec![[part.to_le_bytes()[0]; 16]; pages] }
    }

    fn raw(rows: &[PageRow]) -> Vec<u8> {
        let mut cutter = SegmentCutter::new(Table::Pages);
        assert!(rows.iter().all(|row| row.push(&mut cutter).is_none()));
        cutter.finish().unwrap().raw
    }

    #[test]
    fn rows_come_back() {
        let some = [row("a/b", 0, 3), row("a/b", 1, 1), row("a/c", 7, 9), row("b", 0, 1)];
        assert_eq!(rows(&raw(&some)).unwrap(), some);
    }

    #[test]
    fn disorder_is_refused() {
        let first = raw(&[row("b", 1, 1)]);
        for (second, want) in [(row("b", 1, 1), false), (row("a", 2, 1), false), (row("b", 2, 1), true)] {
            assert_eq!(rows(&[first.clone(), raw(&[second])].concat()).is_ok(), want);
        }
    }

    #[test]
    fn a_large_file_goes_over_segments() {
        let mut cutter = SegmentCutter::new(Table::Pages);
        let mut segments: Vec<_> =
            (0..40).filter_map(|part| row("large", part, 8192).push(&mut cutter)).collect();
        segments.extend(cutter.finish());
        assert!(segments.len() > 5 && segments.iter().all(|s| s.last.as_bytes() == b"large"));
        let parts: Vec<_> = segments.iter().flat_map(|s| rows(&s.raw).unwrap()).map(|row| row.part).collect();
        assert_eq!(parts, (0..40).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn noise_never_panics(at: usize, flip in 1..=255_u8) {
            let mut raw = raw(&[row("a/b", 0, 3), row("a/b", 1, 1), row("a/c", 7, 9)]);
            let at = at % raw.len();
            raw[at] ^= flip;
            drop(rows(&raw));
        }
    }
}
