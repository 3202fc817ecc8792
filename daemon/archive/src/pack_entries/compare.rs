//! The base beside the walk: what it has of each path, and what became of what it has.

use std::rc::Rc;

use super::Packer;
use crate::base::{Asking, Base, ChunkMap, EntriesBase, Met, Tables};
use crate::content::{Changes, Laid, Source};
use crate::entry::{Chunks, Entry, Kind};
use crate::pack::Halt;
use crate::page_table::PageTable;
use crate::path::TreePath;
use crate::raw_stream::RawStream;
use crate::read_file::Content;
use crate::segment::{Known, Segment, Table};
use crate::sparse::{ReadAt, Region};
use crate::stat::Stat;

/// What an incremental pass needs beyond a full one.
pub(super) struct Comparison<'a> {
    pub(super) base: &'a Base,
    pub(super) tables: Tables<'a>,
    pub(super) entries: EntriesBase,
    map: Option<ChunkMap>,
    buffer: Vec<u8>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(base: &'a Base, ask: &'a mut Asking<'a>) -> Self {
        Self {
            base,
            tables: Tables::new(ask, base),
            entries: EntriesBase::new(base),
            map: None,
            buffer: Vec::new(),
        }
    }

    /// The file of the base at a path, which is dealt with from now on.
    fn settle(&mut self, path: &TreePath) -> Option<Laid> {
        self.entries.here(path).and_then(|old| {
            old.settled = true;
            Laid::new(&old.entry)
        })
    }

    /// What a file is compared with, and where what is new goes: into which pack, and through what.
    fn changes<'b>(
        &'b mut self,
        (pack, stream, pages): (u64, &'b mut RawStream, &'b mut PageTable),
        path: &'b TreePath,
        old: Option<&'b Laid>,
    ) -> Changes<'b, 'a> {
        Changes {
            pack,
            stream,
            pages,
            tables: &mut self.tables,
            base: self.base,
            map: &mut self.map,
            buffer: &mut self.buffer,
            path,
            old,
            old_part: None,
        }
    }
}

impl Packer<'_> {
    /// Passes over what the base has up to a path (or to its end). What is gone, or no file any more, loses its pages;
    /// what is not looked at goes on.
    pub(super) fn meet(&mut self, path: Option<&TreePath>) -> Result<(), Halt> {
        loop {
            let Self { base: Some(base), pages, stream, .. } = self else { return Ok(()) };
            let Met::Next(passed) = base.entries.meet(path, &mut base.tables)? else { return Ok(()) };
            if let Some(old) = passed.filter(|old| !old.settled && old.has_pages()) {
                pages.drop_old(&old.entry.path, stream, &mut base.tables)?;
            }
            self.carry()?;
        }
    }

    /// Puts the row that was met last, if it is one that is not looked at. At once, as long as its segment is known.
    fn carry(&mut self) -> Result<(), Halt> {
        let Self { base: Some(base), scoped: Some(scoped), .. } = self else { return Ok(()) };
        let Some(old) = base.entries.last().filter(|old| scoped.carries(old, &base.tables)) else {
            return Ok(());
        };
        old.settled = true;
        let entry = Rc::clone(&old.entry);
        scoped.may_carry(&entry)?;
        self.put_counted(&entry)
    }

    /// Puts a row that was not made here, and counts it.
    pub(super) fn put_counted(&mut self, entry: &Entry) -> Result<(), Halt> {
        if matches!(entry.kind, Kind::File { .. }) {
            self.totals.files += 1;
            self.totals.bytes += entry.size();
        }
        self.pulse.beat(self.totals.entries, self.totals.bytes, &entry.path);
        self.put_row(entry)
    }

    /// The row of a file that need not be read.
    pub(super) fn unchanged(&mut self, path: &TreePath, stat: &Stat) -> Result<Option<Entry>, Halt> {
        self.meet(Some(path))?;
        let Some(base) = &mut self.base else { return Ok(None) };
        if base.entries.rereads() {
            return Ok(None);
        }
        let old = base.entries.here(path).filter(|old| old.is_unchanged(stat, &base.tables));
        Ok(old.map(|old| {
            old.settled = true;
            Entry::clone(&old.entry)
        }))
    }

    /// Reads a file, and stores what of it is new to the base, or all of it without one.
    pub(super) fn read(
        &mut self,
        entry: &Entry,
        regions: Option<Vec<Region>>,
        read_at: ReadAt<'_>,
    ) -> Result<(Content, Chunks), Halt> {
        let Self { pack, stream, pulse, totals, pages, base: Some(base), .. } = self else {
            return self.read_whole(entry, regions, read_at);
        };
        let path = &entry.path;
        let old = base.settle(path);
        let size = entry.size();
        let regions = regions.unwrap_or_else(|| vec![Region { start: 0, length: size }]);
        let mut pulse = |bytes| pulse.beat(totals.entries, totals.bytes + bytes, path);
        let mut source = Source { size, regions: &regions, read_at, pulse: &mut pulse };
        let mut changes = base.changes((*pack, stream, pages), path, old.as_ref());
        changes.read(&mut source)
    }

    /// Reads what the engine answers, to its end, and stores what of it is new to the base; gives its size, too.
    pub(super) fn read_stream(&mut self, path: &TreePath) -> Result<(u64, Content, Chunks), Halt> {
        let Self { pack, stream, pulse, totals, pages, base: Some(base), .. } = self else {
            return Err(Halt::Scope(format!("`{path}` has no length yet, and there is no base")));
        };
        let old = base.settle(path);
        let mut pulse = |bytes| pulse.beat(totals.entries, totals.bytes + bytes, path);
        let mut changes = base.changes((*pack, stream, pages), path, old.as_ref());
        changes.read_stream(&mut pulse)
    }

    /// The next segment of the entries table.
    pub(super) fn put_segment(&mut self, segment: Segment) -> Result<(), Halt> {
        let known =
            self.base.as_ref().map_or(Known::Nothing, |base| base.entries.known(&segment, &base.tables));
        Ok(self.stream.segment(Table::Entries, segment, known)?)
    }
}
