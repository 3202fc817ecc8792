//! The pages table as it is written: what the base says, but for the files that were read.
//!
//! Always true: paths come in order, and what nobody spoke of stays as the base has it, in most cases in
//! segments that are pointed to and never fetched.

use crate::base::{Base, Kept, PagesBase, Tables};
use crate::pack::Halt;
use crate::page_rows::PageRow;
use crate::path::TreePath;
use crate::raw_stream::RawStream;
use crate::segment::{Known, Segment, SegmentCutter, Table};

/// A segment of the base is pointed to unless one smaller than this would have to be written before it.
const LEAST_SEGMENT_BYTES: usize = 16 << 10;

/// Writes the pages table.
pub(crate) struct PageTable {
    cutter: SegmentCutter,
    base: Option<PagesBase>,
}

impl PageTable {
    pub(crate) fn new(base: Option<&Base>) -> Self {
        Self { cutter: SegmentCutter::new(Table::Pages), base: base.map(PagesBase::new) }
    }

    /// The next part of a file, in place of all that the base has of it.
    pub(crate) fn push(
        &mut self,
        row: &PageRow,
        stream: &mut RawStream,
        tables: Option<&Tables<'_>>,
    ) -> Result<(), Halt> {
        match row.push(&mut self.cutter) {
            Some(segment) => self.write(segment, stream, tables),
            None => Ok(()),
        }
    }

    /// Keeps all that the base has of paths below this one (or of all), and stands before what it has of it.
    pub(crate) fn keep_below(
        &mut self,
        path: Option<&TreePath>,
        stream: &mut RawStream,
        tables: &mut Tables<'_>,
    ) -> Result<(), Halt> {
        loop {
            let pending = self.cutter.pending();
            let pointing = pending == 0 || pending >= LEAST_SEGMENT_BYTES;
            let Some(base) = &mut self.base else { return Ok(()) };
            match base.keep(path, pointing, tables)? {
                Some(Kept::Row(row)) => self.push(&row, stream, Some(tables))?,
                Some(Kept::Segment(segment)) => {
                    self.flush(stream, Some(tables))?;
                    stream.point(Table::Pages, segment)?;
                }
                None => return Ok(()),
            }
        }
    }

    /// What the base has of one part of the path that [`Self::keep_below`] stands before; parts ascend.
    pub(crate) fn old_part(
        &mut self,
        path: &TreePath,
        part: u64,
        tables: &mut Tables<'_>,
    ) -> Result<Option<PageRow>, Halt> {
        match &mut self.base {
            Some(base) => base.part(path, part, tables),
            None => Ok(None),
        }
    }

    /// Drops what the base has of a path, or has left of it.
    pub(crate) fn drop_old(
        &mut self,
        path: &TreePath,
        stream: &mut RawStream,
        tables: &mut Tables<'_>,
    ) -> Result<(), Halt> {
        self.keep_below(Some(path), stream, tables)?;
        // No file has that part.
        self.old_part(path, u64::MAX, tables).map(|_none| ())
    }

    /// Ends the table.
    pub(crate) fn finish(
        mut self,
        stream: &mut RawStream,
        tables: Option<&mut Tables<'_>>,
    ) -> Result<(), Halt> {
        match tables {
            Some(tables) => {
                self.keep_below(None, stream, tables)?;
                self.flush(stream, Some(tables))
            }
            None => self.flush(stream, None),
        }
    }

    fn flush(&mut self, stream: &mut RawStream, tables: Option<&Tables<'_>>) -> Result<(), Halt> {
        match self.cutter.finish() {
            Some(segment) => self.write(segment, stream, tables),
            None => Ok(()),
        }
    }

    fn write(
        &mut self,
        segment: Segment,
        stream: &mut RawStream,
        tables: Option<&Tables<'_>>,
    ) -> Result<(), Halt> {
        let known = self.base.as_ref().zip(tables);
        let known = known.map_or(Known::Nothing, |(base, tables)| base.known(&segment, tables));
        Ok(stream.segment(Table::Pages, segment, known)?)
    }
}
