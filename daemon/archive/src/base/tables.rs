//! The base's tables, asked for piece by piece.
//!
//! Always true: what was answered is what its reference promises, or the pass ends: a base that cannot be read
//! is no reason to guess.

use std::collections::{BTreeSet, VecDeque};

use super::{Ask, Asking, Base};
use crate::layout::{RootRef, SegmentRef, read_root};
use crate::pack::Halt;
use crate::segment::Table;

/// Asks, and checks what comes.
pub(crate) struct Tables<'a> {
    ask: &'a mut Asking<'a>,
    shun: BTreeSet<u64>,
}

impl<'a> Tables<'a> {
    pub(crate) fn new(ask: &'a mut Asking<'a>, base: &Base) -> Self {
        Self { ask, shun: base.shun.clone() }
    }

    /// Whether nothing of the new snapshot may lie in this pack.
    pub(crate) fn shuns(&self, pack: u64) -> bool {
        self.shun.contains(&pack)
    }

    /// The segments of a root.
    pub(crate) fn root(&mut self, table: Table, root: &RootRef) -> Result<VecDeque<SegmentRef>, Halt> {
        let body = self.answer(&Ask::Root(root.clone()))?;
        let segments = read_root(&body).map_err(|why| Halt::table(table, why))?;
        if segments.len() != root.segments as usize {
            return Err(Halt::table(table, "a root lists another number of segments"));
        }
        Ok(segments.into())
    }

    /// The raw rows of a segment.
    pub(crate) fn segment(&mut self, table: Table, segment: &SegmentRef) -> Result<Vec<u8>, Halt> {
        let SegmentRef { pack, block, raw, .. } = *segment;
        let rows = self.answer(&Ask::Segment { pack, block, raw })?;
        if rows.len() == raw as usize {
            Ok(rows)
        } else {
            Err(Halt::table(table, "a segment has another length"))
        }
    }

    fn answer(&mut self, ask: &Ask) -> Result<Vec<u8>, Halt> {
        (self.ask)(ask).map_err(Halt::Unanswered)
    }
}

/// The segments of a table in order, root by root.
pub(crate) struct Segments {
    table: Table,
    roots: VecDeque<RootRef>,
    segments: VecDeque<SegmentRef>,
}

impl Segments {
    pub(crate) fn new(table: Table, roots: &[RootRef]) -> Self {
        Self { table, roots: roots.to_vec().into(), segments: VecDeque::new() }
    }

    /// The next one, which stays the next until [`Self::pop`].
    pub(crate) fn peek(&mut self, tables: &mut Tables<'_>) -> Result<Option<&SegmentRef>, Halt> {
        while self.segments.is_empty() {
            let Some(root) = self.roots.pop_front() else { return Ok(None) };
            self.segments = tables.root(self.table, &root)?;
        }
        Ok(self.segments.front())
    }

    /// Takes the next one.
    pub(crate) fn pop(&mut self, tables: &mut Tables<'_>) -> Result<Option<SegmentRef>, Halt> {
        self.peek(tables)?;
        Ok(self.segments.pop_front())
    }
}
