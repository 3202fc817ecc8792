//! A picture of the tree: what a walk saw at one moment, and clones of the files that are yet to be read.
//!
//! While it is taken nothing goes into the stream, so it costs a look at each name and a clone of each file that changed.
//! Developing it does what the walk would have done, with the clones in place of the files, whatever these have become.
//!
//! Always true: memory holds what changed, not what is there: rows that are as the base has them are counted. What
//! would be more than the bounds below is no picture, and the tree is read instead.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::rc::Rc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::put::entry_of;
use super::{Look, PASSED, Packer};
use crate::base::{EntriesBase, Met, Tables};
use crate::channel::{NoteKind, Notes};
use crate::clones::{Cloner, Scratch};
use crate::entry::{Entry, Kind};
use crate::links::Links;
use crate::pack::Halt;
use crate::path::TreePath;
use crate::read_file::Outcome;
use crate::sparse;
use crate::stat::Stat;
use crate::xattrs::Subject;

/// Each is a descriptor, and a helper has 4096 of them, some for the walk.
const CLONES_MAX: usize = 2048;

/// Of rows that are not as the base has them.
const BYTES_MAX: usize = 32 << 20;

/// What a row takes beside its path and its attributes, and what each of these takes beside its bytes.
const ROW_BYTES: usize = 256;
const XATTR_BYTES: usize = 80;

/// While a clone is there, whoever writes to the original needs as much room again; and others need some.
const ROOM_BYTES: u64 = 256 << 20;

/// One thing that was seen, in path order.
enum Seen {
    /// So many rows of the base, from this one on, are as they were.
    Same { first: TreePath, count: u64 },
    /// Another row.
    Row(Entry),
    /// A file that is to be read; its row has no content yet.
    File {
        entry: Entry,
        clone: OwnedFd,
        /// Nothing of it is a hole. Its clone may have some where it was allocated and never written.
        whole: bool,
    },
}

/// What was seen so far.
pub(super) struct Picture {
    folder: OwnedFd,
    cloner: Cloner,
    /// The base beside the walk that takes the picture; nothing of it is settled.
    base: EntriesBase,
    /// The last row of the base that counts as the same, as long as nothing came between.
    last: Option<TreePath>,
    seen: Vec<Seen>,
    clones: usize,
    /// One was made, so others can be.
    proven: bool,
    room: u64,
    bytes: usize,
}

impl Picture {
    /// Files are read whatever the base's rows say.
    pub(super) fn reread(&mut self) {
        self.base.reread();
    }

    /// Goes on in the base up to a path. A row of it that nobody spoke of ends a count.
    fn meet(&mut self, path: &TreePath, tables: &mut Tables<'_>) -> Result<(), Halt> {
        while let Met::Next(passed) = self.base.meet(Some(path), tables)? {
            if passed.is_some_and(|old| self.last.as_ref() != Some(&old.entry.path)) {
                self.last = None;
            }
        }
        Ok(())
    }

    /// The base's row at a path is as it was.
    fn same(&mut self, path: &TreePath) -> Result<(), Halt> {
        match (&self.last, self.seen.last_mut()) {
            (Some(_), Some(Seen::Same { count, .. })) => *count += 1,
            _ => {
                self.take(path.as_bytes().len() + ROW_BYTES)?;
                self.seen.push(Seen::Same { first: path.clone(), count: 1 });
            }
        }
        self.last = Some(path.clone());
        Ok(())
    }

    fn add(&mut self, entry: &Entry, seen: impl FnOnce(Entry) -> Seen) -> Result<(), Halt> {
        let xattrs = entry.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len() + XATTR_BYTES);
        let target = match &entry.kind {
            Kind::Symlink { target } => target.len(),
            Kind::Hardlink { target } => target.as_bytes().len(),
            Kind::Folder
            | Kind::File { .. }
            | Kind::Fifo
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Socket => 0,
        };
        self.take(entry.path.as_bytes().len() + xattrs.sum::<usize>() + target + ROW_BYTES)?;
        self.last = None;
        self.seen.push(seen(entry.clone()));
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<(), Halt> {
        self.bytes += bytes;
        if self.bytes > BYTES_MAX { Err(Halt::NoPicture) } else { Ok(()) }
    }

    /// What cannot be cloned now is read while it stands still, by the ordinary way.
    fn clone_of(&mut self, file: BorrowedFd<'_>, stat: &Stat) -> Result<OwnedFd, Halt> {
        self.clones += 1;
        self.room = self.room.saturating_sub(stat.allocated);
        if self.clones > CLONES_MAX || self.room < ROOM_BYTES {
            return Err(Halt::NoPicture);
        }
        self.proven = true;
        self.cloner.clone_into(self.folder.as_fd(), file).map_err(|_any| Halt::NoPicture)
    }
}

impl Packer<'_> {
    /// Takes a picture from now on. False if none can be taken.
    pub(crate) fn begin_picture(&mut self, scratch: &Scratch) -> bool {
        let folder = scratch.folder.as_ref().and_then(|folder| folder.try_clone().ok());
        let (Some(base), None, Some(folder)) = (&self.base, &self.scoped, folder) else { return false };
        let room = (scratch.cloner.room)(folder.as_fd());
        self.picture = Some(Picture {
            folder,
            cloner: scratch.cloner,
            base: EntriesBase::new(base.base),
            last: None,
            seen: Vec::new(),
            clones: 0,
            proven: false,
            room,
            bytes: 0,
        });
        true
    }

    /// Forgets all of it.
    pub(crate) fn no_picture(&mut self) {
        self.picture = None;
        self.links = Links::default();
        self.notes = Notes::default();
        self.writes = 0;
    }
}

impl Packer<'_> {
    /// An entry that has no content to read.
    pub(super) fn picture_entry(&mut self, entry: Entry) -> Result<(), Halt> {
        let (Some(picture), Some(base)) = (&mut self.picture, &mut self.base) else { return Ok(()) };
        picture.meet(&entry.path, &mut base.tables)?;
        match picture.base.here(&entry.path).is_some_and(|old| *old.entry == entry) {
            true => picture.same(&entry.path),
            false => picture.add(&entry, Seen::Row),
        }
    }

    pub(super) fn picture_file(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        path: &TreePath,
        seen: &Stat,
    ) -> Result<Look, Halt> {
        let (Some(picture), Some(base)) = (&mut self.picture, &mut self.base) else { return Ok(PASSED) };
        picture.meet(path, &mut base.tables)?;
        let old = picture.base.here(path).filter(|old| old.is_unchanged(seen, &base.tables));
        if old.is_some() && !picture.base.rereads() {
            // Where none can be cloned that shows before the walk is over, and not by the last file.
            if !picture.proven
                && let Ok((file, stat)) = self.opener.open(folder, name, seen)
            {
                picture.clone_of(file.as_fd(), &stat)?;
            }
            picture.same(path)?;
            self.links.remember(seen, path)?;
            return Ok(PASSED);
        }
        let (file, stat) = match self.opener.open(folder, name, seen) {
            Ok(opened) => opened,
            Err(why) => return self.not_opened(path, seen, why),
        };
        let amid = self.is_amid_update(file.as_fd(), path)?;
        let lost = self.notes.attributes;
        let xattrs = self.read_xattrs(Subject::Open(file.as_fd()), path);
        let young = self.is_young(&stat);
        let Some(picture) = &mut self.picture else { return Ok(PASSED) };
        let clone = picture.clone_of(file.as_fd(), &stat)?;
        // The clone is of one moment, the row of another, unless nobody wrote in between.
        let after = Stat::of_open(file.as_fd());
        let is_steady = after.as_ref().is_ok_and(|after| stat.is_steady(after));
        let size = Stat::of_open(clone.as_fd()).map_err(|_any| Halt::NoPicture)?.size;
        let mut entry = entry_of(path.clone(), &stat, Kind::File { size, content: Vec::new() }, xattrs);
        entry.witness.unsteady = !is_steady;
        entry.witness.young = amid || young || self.notes.attributes > lost;
        let whole = stat.allocated >= stat.size;
        picture.add(&entry, |entry| Seen::File { entry, clone, whole })?;
        self.links.remember(&stat, path)?;
        match after {
            Ok(_) if is_steady => {}
            Ok(after) if stat.has_same_content(&after) => self.touched(path),
            Ok(_) | Err(_) => self.moved(path, NoteKind::Changed, ""),
        }
        Ok(PASSED)
    }

    /// Puts all of it into the stream and the tables.
    pub(crate) fn develop(&mut self) -> Result<(), Halt> {
        let Some(Picture { cloner, seen, .. }) = self.picture.take() else { return Ok(()) };
        let mut lost = BTreeSet::new();
        for seen in seen {
            match seen {
                Seen::Same { first, count } => self.put_same(first, count, &lost)?,
                Seen::Row(entry) => self.put_unless_lost(&entry, &lost)?,
                Seen::File { entry, clone, whole } => {
                    let path = entry.path.clone();
                    if let Err(why) = self.read_clone(entry, &clone, whole, cloner)? {
                        self.unreadable(&path, format!("cannot read: {why}"));
                        lost.insert(path);
                    }
                }
            }
        }
        Ok(())
    }

    /// A further name of a file that is not in the snapshot is not in it either.
    fn put_unless_lost(&mut self, entry: &Entry, lost: &BTreeSet<TreePath>) -> Result<(), Halt> {
        match &entry.kind {
            Kind::Hardlink { target } if lost.contains(target) => {
                self.unreadable(
                    &entry.path,
                    format!("is a further name of `{target}`, which cannot be read"),
                );
                Ok(())
            }
            Kind::Hardlink { .. }
            | Kind::Folder
            | Kind::File { .. }
            | Kind::Symlink { .. }
            | Kind::Fifo
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Socket => self.put_counted(entry),
        }
    }

    fn put_same(&mut self, first: TreePath, count: u64, lost: &BTreeSet<TreePath>) -> Result<(), Halt> {
        let mut path = first;
        for left in (0..count).rev() {
            self.meet(Some(&path))?;
            let Some(base) = &mut self.base else { return Ok(()) };
            let old = base.entries.here(&path).ok_or_else(|| other_base(&path))?;
            old.settled = true;
            let entry = Rc::clone(&old.entry);
            self.put_unless_lost(&entry, lost)?;
            let Some(base) = &mut self.base else { return Ok(()) };
            if left > 0 {
                let next = base.entries.next_path(&mut base.tables)?;
                path = next.ok_or_else(|| other_base(&path))?;
            }
        }
        Ok(())
    }

    /// The inner error is the clone's.
    fn read_clone(
        &mut self,
        mut entry: Entry,
        clone: &OwnedFd,
        whole: bool,
        cloner: Cloner,
    ) -> Result<io::Result<()>, Halt> {
        self.meet(Some(&entry.path))?;
        let mut read_at = |buffer: &mut [u8], at: u64| (cloner.read)(clone.as_fd(), buffer, at);
        let regions = match Stat::of_open(clone.as_fd()) {
            Ok(_) if whole => Ok(None),
            Ok(stat) => sparse::regions(clone.as_fd(), &stat, &mut read_at),
            Err(why) => Err(why),
        };
        let regions = match regions {
            Ok(regions) => regions,
            Err(why) => return Ok(Err(why)),
        };
        let (content, chunks) = self.read(&entry, regions, &mut read_at)?;
        if let Outcome::Failed(why) = content.outcome {
            return Ok(Err(why));
        }
        entry.witness.chunks = chunks;
        entry.kind = Kind::File { size: entry.size(), content: content.extents };
        self.put_counted(&entry).map(Ok)
    }
}

/// The base was asked for twice, and answered differently.
fn other_base(path: &TreePath) -> Halt {
    Halt::table(crate::segment::Table::Entries, format!("`{path}` was in it a moment ago"))
}
