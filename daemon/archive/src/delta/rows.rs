//! The rows of a snapshot, one after the other, asked for a segment at a time.

use std::collections::VecDeque;

use crate::base::{Base, Segments, Tables};
use crate::entry::Entry;
use crate::pack::Halt;
use crate::segment::{self, Table};

/// Those that were not taken yet.
pub(super) struct SnapshotRows {
    segments: Segments,
    rows: VecDeque<Entry>,
}

impl SnapshotRows {
    pub(super) fn new(snapshot: &Base) -> Self {
        Self { segments: Segments::new(Table::Entries, &snapshot.entries), rows: VecDeque::new() }
    }

    /// The next one, which stays the next.
    pub(super) fn peek(&mut self, tables: &mut Tables<'_>) -> Result<Option<&Entry>, Halt> {
        while self.rows.is_empty() {
            let Some(at) = self.segments.pop(tables)? else { return Ok(None) };
            let fetched = tables.segment(Table::Entries, at)?;
            let rows = segment::entries(&fetched.rows).map_err(|why| Halt::table(Table::Entries, why))?;
            self.rows = rows.into();
        }
        Ok(self.rows.front())
    }

    /// Takes it.
    pub(super) fn next(&mut self, tables: &mut Tables<'_>) -> Result<Option<Entry>, Halt> {
        self.peek(tables)?;
        Ok(self.rows.pop_front())
    }
}
