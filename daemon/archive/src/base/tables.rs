//! The base's tables, asked for piece by piece.
//!
//! Always true: what was answered is what its reference promises, or the pass ends: a base that cannot be read
//! is no reason to guess.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use super::{Ask, Asking, Base};
use crate::layout::{Ground, RootRef, SegmentRef, read_root};
use crate::pack::Halt;
use crate::pages::CHUNK_BYTES;
use crate::path::TreePath;
use crate::segment::{Known, Like, Segment, Table};

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

    /// Whether a segment needs such a pack.
    pub(crate) fn shuns_any(&self, segment: &SegmentRef) -> bool {
        self.shuns(segment.pack) || segment.ground.is_some_and(|ground| self.shuns(ground.pack))
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

    /// A segment with its rows.
    pub(crate) fn segment(&mut self, table: Table, at: SegmentRef) -> Result<Fetched, Halt> {
        let SegmentRef { pack, block, raw, ground, .. } = at;
        let mut answer = self.answer(&Ask::Segment { pack, block, raw, ground })?;
        let before = ground.map_or(0, |ground| ground.raw as usize);
        if answer.len() != before + raw as usize {
            return Err(Halt::table(table, "a segment has another length"));
        }
        let rows = Arc::new(answer.split_off(before));
        let like = match ground {
            Some(ground) => Like { ground, rows: Arc::new(answer) },
            None => Like { ground: Ground { pack, block, raw }, rows: Arc::clone(&rows) },
        };
        Ok(Fetched { at, rows, like })
    }

    /// The next bytes of the stream that is planted at `path`: a chunk, or less at its end.
    pub(crate) fn next_of(&mut self, path: &TreePath) -> Result<Vec<u8>, Halt> {
        let bytes = self.answer(&Ask::Stream(path.clone()))?;
        if bytes.len() > CHUNK_BYTES {
            return Err(Halt::Unanswered(io::Error::other(
                "it answered more of a stream than was asked for",
            )));
        }
        Ok(bytes)
    }

    fn answer(&mut self, ask: &Ask) -> Result<Vec<u8>, Halt> {
        (self.ask)(ask).map_err(Halt::Unanswered)
    }
}

/// A segment of the base.
pub(crate) struct Fetched {
    pub(crate) at: SegmentRef,
    pub(crate) rows: Arc<Vec<u8>>,
    like: Like,
}

impl Fetched {
    /// What a segment of the new snapshot has of this one.
    pub(crate) fn known(&self, segment: &Segment, tables: &Tables<'_>) -> Known {
        if *self.rows == segment.raw && !tables.shuns_any(&self.at) {
            Known::Same(self.at.clone())
        } else if tables.shuns(self.like.ground.pack) {
            Known::Nothing
        } else {
            Known::Like(self.like.clone())
        }
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
