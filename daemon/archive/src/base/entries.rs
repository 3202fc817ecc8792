//! The base's entries, joined with the walk: both go in path order.
//!
//! Always true: memory holds one segment, and each row is met once.

use std::collections::VecDeque;
use std::rc::Rc;

use super::Base;
use super::tables::{Fetched, Segments, Tables};
use crate::entry::{Chunks, Entry, Extent, Kind};
use crate::pack::Halt;
use crate::pages::CHUNK_EXPONENT;
use crate::path::TreePath;
use crate::segment::{self, Known, Segment, Table};
use crate::stat::Stat;

/// A row of the base.
#[derive(Debug, Clone)]
pub(crate) struct Old {
    pub(crate) entry: Rc<Entry>,
    /// What the pages table says of it is right for the new snapshot too, or was replaced.
    pub(crate) settled: bool,
}

impl Old {
    /// Whether the file that `stat` shows is this one, with nothing about it changed.
    pub(crate) fn is_unchanged(&self, stat: &Stat, tables: &Tables<'_>) -> bool {
        let Entry { kind, mode, uid, gid, modified, witness, .. } = &*self.entry;
        let Kind::File { size, .. } = kind else { return false };
        let same = *size == stat.size
            && *modified == stat.modified
            && witness.changed == stat.changed
            && witness.inode == stat.identity.inode
            && (*mode, *uid, *gid) == (stat.mode, stat.uid, stat.gid);
        same && !witness.unsteady && !witness.young && self.is_file_to_keep(tables)
    }

    /// Whether it is a file whose content may stay where it lies.
    pub(crate) fn is_file_to_keep(&self, tables: &Tables<'_>) -> bool {
        let Kind::File { content, .. } = &self.entry.kind else { return false };
        !content.iter().any(|e| matches!(e, Extent::Stored { pack, .. } if tables.shuns(*pack)))
    }

    /// Whether the pages table may have rows of it.
    pub(crate) fn has_pages(&self) -> bool {
        let Chunks { page_exponent, hashes } = &self.entry.witness.chunks;
        *page_exponent < CHUNK_EXPONENT && !hashes.is_empty()
    }
}

/// The rows that were not met yet.
pub(crate) struct EntriesBase {
    segments: Segments,
    current: Option<Current>,
    /// The last one that was met.
    here: Option<Old>,
    /// Files are read whatever the rows say.
    reread: bool,
}

struct Current {
    segment: Fetched,
    rows: VecDeque<Entry>,
}

impl EntriesBase {
    pub(crate) fn new(base: &Base) -> Self {
        let segments = Segments::new(Table::Entries, &base.entries);
        Self { segments, current: None, here: None, reread: base.reread }
    }

    /// Whether files must be read even if they look unchanged.
    pub(crate) fn rereads(&self) -> bool {
        self.reread
    }

    /// From now on they must.
    pub(crate) fn reread(&mut self) {
        self.reread = true;
    }

    /// The last row that was met, if it is that of `path`.
    pub(crate) fn here(&mut self, path: &TreePath) -> Option<&mut Old> {
        self.here.as_mut().filter(|old| old.entry.path == *path)
    }

    /// The last row that was met.
    pub(crate) fn last(&mut self) -> Option<&mut Old> {
        self.here.as_mut()
    }

    /// Meets the next row if its path is at most `path` (or any, without one), and gives the row met before.
    pub(crate) fn meet(&mut self, path: Option<&TreePath>, tables: &mut Tables<'_>) -> Result<Met, Halt> {
        let is_due = |at: &TreePath| path.is_none_or(|path| at <= path);
        if self.here.as_ref().is_some_and(|old| Some(&old.entry.path) == path) {
            return Ok(Met::Last);
        }
        self.fill(tables)?;
        let rows = self.current.as_mut().map(|current| &mut current.rows);
        match rows.and_then(|rows| rows.pop_front_if(|next| is_due(&next.path))) {
            Some(entry) => {
                let old = Old { entry: Rc::new(entry), settled: false };
                Ok(Met::Next(self.here.replace(old)))
            }
            None => Ok(self.end()),
        }
    }

    /// The path of the next row, which is not met by that.
    pub(crate) fn next_path(&mut self, tables: &mut Tables<'_>) -> Result<Option<TreePath>, Halt> {
        self.fill(tables)?;
        Ok(self.current.as_ref().and_then(|current| current.rows.front()).map(|next| next.path.clone()))
    }

    /// Fetches the next row's segment, if there is a next row.
    fn fill(&mut self, tables: &mut Tables<'_>) -> Result<(), Halt> {
        while self.current.as_ref().is_none_or(|current| current.rows.is_empty()) {
            let Some(at) = self.segments.pop(tables)? else { return Ok(()) };
            let segment = tables.segment(Table::Entries, at)?;
            let rows = segment::entries(&segment.rows).map_err(|why| Halt::table(Table::Entries, why))?;
            if rows.last().is_none_or(|last| last.path != segment.at.last) {
                return Err(Halt::table(Table::Entries, "a segment ends at another path"));
            }
            self.current = Some(Current { segment, rows: rows.into() });
        }
        Ok(())
    }

    /// Nothing more is due; the last row stays met only once.
    fn end(&mut self) -> Met {
        match self.here.take() {
            Some(passed) => Met::Next(Some(passed)),
            None => Met::Last,
        }
    }

    /// What the base has of the segment that ends where the last row was met.
    pub(crate) fn known(&self, segment: &Segment, tables: &Tables<'_>) -> Known {
        self.current.as_ref().map_or(Known::Nothing, |current| current.segment.known(segment, tables))
    }
}

/// What meeting the next row came to.
pub(crate) enum Met {
    /// There was one more; this one was met before it.
    Next(Option<Old>),
    /// None is due.
    Last,
}
