//! A regular file on its way into the snapshot: not opened at all, read for what changed, or read whole.

use std::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd};

use super::put::entry_of;
use super::{Look, PASSED, Packer};
use crate::ahead::{self, SMALL_BYTES};
use crate::channel::NoteKind;
use crate::clock::is_young;
use crate::content::FileHashes;
use crate::entry::{Chunks, Entry, Kind};
use crate::pack::Halt;
use crate::page_rows::PageRow;
use crate::path::TreePath;
use crate::raw_stream::RawStream;
use crate::read_file::{Content, Outcome, Plan, Target};
use crate::sparse::{self, ReadAt, Region};
use crate::stat::Stat;
use crate::updating::is_being_updated;
use crate::xattrs::Subject;

impl Packer<'_> {
    pub(super) fn file(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        path: &TreePath,
        seen: &Stat,
    ) -> Result<Look, Halt> {
        if let Some(target) = self.links.further(seen) {
            self.put(path.clone(), seen, Kind::Hardlink { target }, Vec::new())?;
            return Ok(PASSED);
        }
        if self.picture.is_some() {
            return self.picture_file(folder, name, path, seen);
        }
        if let Some(entry) = self.unchanged(path, seen)? {
            self.ahead.passed_over();
            self.put_file(seen, entry)?;
            return Ok(PASSED);
        }
        let (file, stat) = match self.opener.open(folder, name, seen) {
            Ok(opened) => opened,
            Err(why) => return self.not_opened(path, seen, why),
        };
        let amid = self.is_amid_update(file.as_fd(), path)?;
        let lost = self.notes.attributes;
        let xattrs = self.read_xattrs(Subject::Open(file.as_fd()), path);
        let mut missed = None;
        let mut read_at = |buffer: &mut [u8], at: u64| {
            if missed.is_some() {
                return ahead::read(file.as_fd(), buffer, at);
            }
            let (read, waited) = ahead::read_first(file.as_fd(), buffer, at);
            missed = Some(waited);
            read
        };
        let regions = match sparse::regions(file.as_fd(), &stat, &mut read_at) {
            Ok(regions) => regions,
            Err(why) => {
                self.unreadable(path, format!("cannot read: {why}"));
                return Ok(PASSED);
            }
        };
        let kind = Kind::File { size: stat.size, content: Vec::new() };
        let mut entry = entry_of(path.clone(), &stat, kind, xattrs);
        let (content, chunks) = self.read(&entry, regions, &mut read_at)?;
        if let Some(missed) = missed {
            self.ahead.read(missed && stat.size <= SMALL_BYTES);
        }
        if let Some(unsteady) = self.judge(path, &content, file.as_fd(), &stat) {
            entry.witness.unsteady = unsteady;
            entry.witness.young = amid || self.is_young(&stat) || self.notes.attributes > lost;
            entry.witness.chunks = chunks;
            entry.kind = Kind::File { size: stat.size, content: content.extents };
            self.put_file(&stat, entry)?;
        }
        Ok(PASSED)
    }

    /// Whether somebody is in the middle of an update of a file, which then is read once more whatever its times say: he may
    /// stand still. Where the job is for a moment between updates there is no pack of it.
    pub(super) fn is_amid_update(&self, file: BorrowedFd<'_>, path: &TreePath) -> Result<bool, Halt> {
        match is_being_updated(file) {
            Ok(true) if self.between_updates => Err(Halt::Updating(path.clone())),
            Err(source) if self.between_updates => {
                Err(Halt::Source { path: path.clone(), action: "look for a lock of", source })
            }
            Ok(amid) => Ok(amid),
            // A file system without locks.
            Err(_none) => Ok(false),
        }
    }

    /// What changed so late may have changed again without a new time.
    pub(super) fn is_young(&self, stat: &Stat) -> bool {
        let young = |stamp| is_young(stamp, self.began);
        self.unsynced.is_some() || young(stat.modified) || young(stat.changed)
    }

    pub(super) fn read_whole(
        &mut self,
        entry: &Entry,
        regions: Option<Vec<Region>>,
        read_at: ReadAt<'_>,
    ) -> Result<(Content, Chunks), Halt> {
        let path = &entry.path;
        let plan = Plan::new(entry.size(), regions);
        self.put_headers(entry, plan.body())?;
        let Self { pack, stream, pulse, totals, pages, .. } = self;
        let mut beat = |bytes| pulse.beat(totals.entries, totals.bytes + bytes, path);
        let mut hashes = FileHashes::new(entry.size(), None);
        let mut put_part = |part, hashes, stream: &mut RawStream| {
            pages.push(&PageRow { path: path.clone(), part, pages: hashes }, stream, None)
        };
        let mut target = Target { stream, hashes: &mut hashes, put_part: &mut put_part };
        let content = plan.read(*pack, &mut target, read_at, &mut beat)?;
        let chunks = hashes.finish(content.extents.len());
        Ok((content, chunks))
    }

    fn put_file(&mut self, stat: &Stat, entry: Entry) -> Result<(), Halt> {
        self.links.remember(stat, &entry.path)?;
        self.totals.files += 1;
        self.totals.bytes += stat.size;
        self.put_row(&entry)
    }

    /// Whether what was read may have moved meanwhile; `None` if it may not stand in the table at all.
    fn judge(
        &mut self,
        path: &TreePath,
        content: &Content,
        file: BorrowedFd<'_>,
        before: &Stat,
    ) -> Option<bool> {
        let why = match (&content.outcome, Stat::of_open(file)) {
            (Outcome::Failed(why), _) => {
                self.unreadable(path, format!("cannot read: {why}"));
                return None;
            }
            (Outcome::Whole, Ok(after)) if before.is_steady(&after) => return Some(false),
            (Outcome::Short, _) => "became shorter; what was cut off is kept as zeros".to_owned(),
            (Outcome::Whole, Ok(after)) if after.size > before.size => {
                "grew; what was appended is not in it".to_owned()
            }
            // It is read again all the same.
            (Outcome::Whole, Ok(after)) if before.has_same_content(&after) => {
                self.touched(path);
                return Some(true);
            }
            (Outcome::Whole, Ok(_)) => String::new(),
            (Outcome::Whole, Err(why)) => format!("cannot be looked at again: {why}"),
        };
        self.moved(path, NoteKind::Changed, why);
        Some(true)
    }
}
