//! The walk of a folder beside the rows of a snapshot: what is to be done to make the one the other.
//!
//! Always true: each path of either is met once, and what differs has a deed in the log. A file with several names is
//! changed in place under none of them, for some may lie where nobody looks.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::folders::{OpenFolder, OpenFolders};
use super::log::{LogWriter, What};
use super::pages::PartPages;
use super::rows::SnapshotRows;
use super::spool::Spool;
use super::{DeltaError, path_of};
use crate::base::{Asking, Tables};
use crate::beneath;
use crate::channel::{DeltaJob, Differing, NoteKind, Notes, Progress, Totals};
use crate::entry::{Entry, Extent, Kind, Witness};
use crate::look::LOST_AND_FOUND;
use crate::open::Opener;
use crate::pack::Pulse;
use crate::path::TreePath;
use crate::stat::{Identity, Mount, Stat};
use crate::swap::SwapError;
use crate::unpack::UnpackError;
use crate::unpack::sequence::Sequence;
use crate::walk::{Step, Walk};
use crate::xattrs::XattrReader;

/// What a comparison came to.
pub(super) struct Found {
    pub(super) compared: Differing,
    pub(super) notes: Notes,
    pub(super) root: Entry,
    pub(super) rows: Spool,
}

/// A comparison under way.
pub(super) struct Comparing<'a> {
    root: BorrowedFd<'a>,
    pub(super) threads: u32,
    pub(super) pulse: Pulse<'a>,
    pub(super) tables: Tables<'a>,
    rows: SnapshotRows,
    pub(super) pages: PartPages,
    sequence: Sequence,
    pub(super) folders: OpenFolders,
    /// Files with several names that stay what they are, under the first.
    pub(super) kept: HashMap<Identity, TreePath>,
    opener: Opener,
    pub(super) xattrs: XattrReader,
    pub(super) can_punch: bool,
    pub(super) log: LogWriter,
    wanted: Spool,
    pub(super) totals: Totals,
    wanted_bytes: u64,
    notes: Notes,
    mount: Option<Mount>,
    /// The file system's own folder, which counts as nothing at the top of a target. Elsewhere there is none.
    own: &'static [u8],
}

/// A name of the folder, and the row of the snapshot that has its path.
pub(super) struct Pair<'a> {
    pub(super) folder: BorrowedFd<'a>,
    pub(super) name: &'a CStr,
    pub(super) stat: Stat,
    pub(super) entry: Entry,
}

impl<'a> Comparing<'a> {
    pub(super) fn new(
        root: BorrowedFd<'a>,
        redo: BorrowedFd<'_>,
        job: &DeltaJob,
        ask: &'a mut Asking<'a>,
        progress: &'a mut dyn FnMut(&Progress),
    ) -> Result<Self, DeltaError> {
        let create = |e| UnpackError::tree("create log in", ".", e);
        Ok(Self {
            root,
            threads: job.workers,
            pulse: Pulse::new(progress),
            tables: Tables::new(ask, &job.snapshot),
            rows: SnapshotRows::new(&job.snapshot),
            pages: PartPages::new(&job.snapshot),
            sequence: Sequence::default(),
            folders: OpenFolders::default(),
            kept: HashMap::new(),
            opener: Opener::new(),
            xattrs: XattrReader::new(),
            can_punch: super::content::can_punch(redo).map_err(create)?,
            log: LogWriter::create(redo).map_err(create)?,
            wanted: Spool::create(redo).map_err(create)?,
            totals: Totals::default(),
            wanted_bytes: 0,
            notes: Notes::default(),
            mount: None,
            own: if job.unfinished { b"" } else { LOST_AND_FOUND },
        })
    }

    /// Compares all of it.
    pub(super) fn run(mut self) -> Result<Found, DeltaError> {
        let at_root = |e| DeltaError::from(UnpackError::tree("open", ".", e));
        let folder = beneath::open_folder(self.root, b".").map_err(at_root)?;
        let stat = Stat::of_open(folder.as_fd()).map_err(at_root)?;
        self.mount = Some(stat.mount);
        let Some(root) = self.rows.next(&mut self.tables)? else {
            return Err(UnpackError::Cut { why: "not even the root came".to_owned() }.into());
        };
        self.place(&root)?;
        // Its attributes are tried on the folder of what is to come, so that what is not taken is told.
        let tried = self.wanted.push(&Entry { witness: Witness::default(), ..root.clone() });
        tried.map_err(|e| UnpackError::tree("log", ".", e))?;
        // Our own folder moves its time in any case.
        self.folders.push(&root, true, stat.fixed);
        let mut walk = Walk::new(folder, &stat).map_err(at_root)?;
        while self.step(&mut walk)? {}
        for _ in self.sequence.close() {
            self.close_folder()?;
        }
        self.end(root)
    }

    /// The end of both.
    fn end(mut self, root: Entry) -> Result<Found, DeltaError> {
        let failed = |e| DeltaError::from(UnpackError::tree("write log in", ".", e));
        let differing = self.log.next().saturating_sub(1);
        self.log.end().map_err(failed)?;
        self.wanted.end().map_err(failed)?;
        let compared =
            Differing { totals: self.totals, differing, wanted_bytes: self.wanted_bytes, too_much: false };
        Ok(Found { compared, notes: self.notes, root, rows: self.wanted })
    }

    /// Whichever comes first, or both if they have one path; false at the end.
    fn step(&mut self, walk: &mut Walk) -> Result<bool, DeltaError> {
        let here = match walk.next() {
            Some(Step::Name(path)) => Some(path),
            Some(Step::TooLong(path, why)) => {
                return Err(UnpackError::tree("compare what is in", path, io::Error::other(why)).into());
            }
            Some(Step::Lost(path, _, why)) => return Err(UnpackError::tree("list", path, why).into()),
            None => None,
        };
        let row = self.rows.peek(&mut self.tables)?.map(|entry| &entry.path);
        match (here, row) {
            (None, None) => return Ok(false),
            (Some(path), Some(row)) if path > *row => self.missing()?,
            (Some(path), Some(row)) if path == *row => self.both(walk, &path)?,
            (Some(path), _) => self.extra(walk, &path)?,
            (None, Some(_)) => self.missing()?,
        }
        Ok(true)
    }

    /// The next row, placed in its folder.
    fn take(&mut self) -> Result<Entry, DeltaError> {
        let next = self.rows.next(&mut self.tables)?;
        let entry = next.ok_or_else(|| UnpackError::Cut { why: "a row is missing".to_owned() })?;
        self.place(&entry)?;
        self.pulse.beat(self.totals.entries, self.totals.bytes, &entry.path);
        Ok(entry)
    }

    fn place(&mut self, entry: &Entry) -> Result<(), DeltaError> {
        let place = self.sequence.place(entry)?;
        for _ in place.closed {
            self.close_folder()?;
        }
        self.totals.entries += 1;
        if let Kind::File { size, content } = &entry.kind {
            self.totals.files += 1;
            self.totals.bytes = self.totals.bytes.saturating_add(*size);
            self.totals.data_bytes = self.totals.data_bytes.saturating_add(data_bytes(content));
        }
        Ok(())
    }

    /// Something that the snapshot has and the folder has not.
    fn missing(&mut self) -> Result<(), DeltaError> {
        let entry = self.take()?;
        self.make(entry)
    }

    /// What is at its path, if anything is, gives way to the entry.
    fn make(&mut self, entry: Entry) -> Result<(), DeltaError> {
        match &entry.kind {
            Kind::Folder => {
                self.deed(&entry.path, &What::Folder)?;
                self.folders.push(&entry, true, false);
                Ok(())
            }
            Kind::Hardlink { target } => self.deed(&entry.path, &What::Link { target: target.clone() }),
            Kind::Socket => {
                self.notes.add(&entry.path, NoteKind::Socket, "programs make theirs again");
                Ok(())
            }
            Kind::File { .. }
            | Kind::Symlink { .. }
            | Kind::Fifo
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. } => {
                self.want(&entry, entry.kind.clone())?;
                self.deed(&entry.path, &What::Put)
            }
        }
    }

    /// Something that the folder has and the snapshot has not. The file system's own folder counts as nothing.
    fn extra(&mut self, walk: &mut Walk, path: &TreePath) -> Result<(), DeltaError> {
        if path.as_bytes() != self.own {
            let (folder, name) = here(walk, path)?;
            let stat = self.look(folder, name, path)?;
            may_change(path, &stat)?;
            self.deed(path, &What::Remove)?;
        }
        walk.pass();
        Ok(())
    }

    fn both(&mut self, walk: &mut Walk, path: &TreePath) -> Result<(), DeltaError> {
        let entry = self.take()?;
        let (folder, name) = here(walk, path)?;
        let stat = self.look(folder, name, path)?;
        let pair = Pair { folder, name, stat, entry };
        match (&pair.entry.kind, stat.kind) {
            (Kind::Folder, FileType::Directory) => {
                let (folder, stat, names) = self.same_folder(&pair)?;
                walk.enter(folder, &stat, path, names);
                return Ok(());
            }
            (Kind::File { .. }, FileType::RegularFile) => self.file(pair)?,
            (Kind::Hardlink { target }, FileType::RegularFile)
                if self.kept.get(&stat.identity) == Some(target) => {}
            (Kind::Socket, _) => {
                may_change(path, &stat)?;
                self.deed(path, &What::Remove)?;
                self.make(pair.entry)?;
            }
            _ if self.is_same(&pair)? => {}
            _ => self.replace(pair)?,
        }
        walk.pass();
        Ok(())
    }

    /// What is there goes, and the entry comes.
    pub(super) fn replace(&mut self, pair: Pair<'_>) -> Result<(), DeltaError> {
        may_change(&pair.entry.path, &pair.stat)?;
        self.make(pair.entry)
    }

    fn look(&self, folder: BorrowedFd<'_>, name: &CStr, path: &TreePath) -> Result<Stat, DeltaError> {
        let stat = Stat::of_name(folder, name).map_err(|e| UnpackError::tree("look at", path, e))?;
        if self.mount.is_some_and(|mount| mount != stat.mount) {
            return Err(SwapError::Fixed { path: path.to_string(), why: "something is mounted there" }.into());
        }
        Ok(stat)
    }

    /// Opens what was looked at, a file or a folder.
    pub(super) fn open(&self, pair: &Pair<'_>) -> Result<(OwnedFd, Stat), DeltaError> {
        self.opener.open(pair.folder, pair.name, &pair.stat).map_err(|why| {
            let why = io::Error::other(format!("{why:?}"));
            UnpackError::tree("open", &pair.entry.path, why).into()
        })
    }

    /// Logs the next deed. Whatever is made or removed moves the time of its folder.
    pub(super) fn deed(&mut self, path: &TreePath, what: &What) -> Result<(), DeltaError> {
        match what {
            What::Remove | What::Folder | What::Put | What::Link { .. } => self.folders.touch(path)?,
            What::Patch { .. } | What::Attributes(_) => {}
        }
        self.log.push(path, what).map_err(|e| UnpackError::tree("log", path, e).into())
    }

    /// Wants an entry with this content under the number of the next deed.
    pub(super) fn want(&mut self, entry: &Entry, kind: Kind) -> Result<(), DeltaError> {
        if let Kind::File { content, .. } = &kind {
            self.wanted_bytes = self.wanted_bytes.saturating_add(data_bytes(content));
        }
        let path = path_of(self.log.next());
        let row = Entry { path, kind, witness: Witness::default(), ..entry.clone() };
        self.wanted.push(&row).map_err(|e| UnpackError::tree("log", &entry.path, e).into())
    }

    fn close_folder(&mut self) -> Result<(), DeltaError> {
        match self.folders.pop() {
            Some(OpenFolder { entry, differs: true, .. }) => {
                let path = entry.path.clone();
                self.deed(&path, &What::Attributes(Box::new(entry)))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn here<'w>(walk: &'w Walk, path: &TreePath) -> Result<(BorrowedFd<'w>, &'w CStr), DeltaError> {
    walk.here().ok_or_else(|| UnpackError::tree("find the folder of", path, Errno::NOENT).into())
}

/// Refuses to plan what the system would refuse in the middle.
pub(super) fn may_change(path: &TreePath, stat: &Stat) -> Result<(), DeltaError> {
    if stat.fixed {
        return Err(super::folders::fixed(path));
    }
    Ok(())
}

fn data_bytes(content: &[Extent]) -> u64 {
    let stored = content.iter().filter(|extent| matches!(extent, Extent::Stored { .. }));
    stored.map(Extent::length).sum()
}
