//! The base's pages table, fetched only around what changed.
//!
//! Always true: a segment is given out whole, unfetched, or row by row, each row once; so what is kept of the
//! table and what is dropped add up to it.

use std::collections::VecDeque;

use super::Base;
use super::tables::{Fetched, Segments, Tables};
use crate::layout::SegmentRef;
use crate::pack::Halt;
use crate::page_rows::{self, PageRow};
use crate::path::TreePath;
use crate::segment::{Known, Segment, Table};

/// The rows that were not given out yet.
pub(crate) struct PagesBase {
    segments: Segments,
    /// Stays until the next one comes: what is written of its rows may turn out to be the same.
    loaded: Option<Loaded>,
}

struct Loaded {
    segment: Fetched,
    rows: VecDeque<PageRow>,
}

/// A piece of the table that is kept.
pub(crate) enum Kept {
    Row(PageRow),
    Segment(SegmentRef),
}

impl PagesBase {
    pub(crate) fn new(base: &Base) -> Self {
        Self { segments: Segments::new(Table::Pages, &base.pages), loaded: None }
    }

    /// The next piece, of paths below `path` only (or of any, without one). Segments are whole if `pointing`.
    pub(crate) fn keep(
        &mut self,
        path: Option<&TreePath>,
        pointing: bool,
        tables: &mut Tables<'_>,
    ) -> Result<Option<Kept>, Halt> {
        let is_below = |at: &TreePath| path.is_none_or(|path| at < path);
        loop {
            if let Some(loaded) = self.loaded.as_mut().filter(|loaded| !loaded.rows.is_empty()) {
                return Ok(loaded.rows.pop_front_if(|row| is_below(&row.path)).map(Kept::Row));
            }
            let Some(next) = self.segments.peek(tables)? else { return Ok(None) };
            if pointing && is_below(&next.last) && !tables.shuns_any(next) {
                return Ok(self.segments.pop(tables)?.map(Kept::Segment));
            }
            self.load(tables)?;
        }
    }

    /// What the table says of one part of a file. All before it is dropped, so [`Self::keep`] comes first.
    pub(crate) fn part(
        &mut self,
        path: &TreePath,
        part: u64,
        tables: &mut Tables<'_>,
    ) -> Result<Option<PageRow>, Halt> {
        let is_past = |row: &PageRow| row.path == *path && row.part < part;
        loop {
            let Some(loaded) = self.loaded.as_mut() else { return Ok(None) };
            while loaded.rows.pop_front_if(|row| is_past(row)).is_some() {}
            if !loaded.rows.is_empty() {
                return Ok(loaded.rows.pop_front_if(|row| row.path == *path && row.part == part));
            }
            // A file's rows may go on in the next segment only if they went on to the end of this one.
            if loaded.segment.at.last != *path || !self.load(tables)? {
                return Ok(None);
            }
        }
    }

    fn load(&mut self, tables: &mut Tables<'_>) -> Result<bool, Halt> {
        let Some(at) = self.segments.pop(tables)? else { return Ok(false) };
        let segment = tables.segment(Table::Pages, at)?;
        let rows = page_rows::rows(&segment.rows).map_err(|why| Halt::table(Table::Pages, why))?;
        if rows.last().is_none_or(|last| last.path != segment.at.last) {
            return Err(Halt::table(Table::Pages, "a segment ends at another path"));
        }
        self.loaded = Some(Loaded { segment, rows: rows.into() });
        Ok(true)
    }

    /// What the base has of a segment whose last row was asked for, or was kept.
    pub(crate) fn known(&self, segment: &Segment, tables: &Tables<'_>) -> Known {
        self.loaded.as_ref().map_or(Known::Nothing, |loaded| loaded.segment.known(segment, tables))
    }
}
