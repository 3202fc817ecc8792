//! What a backup does with each name that the walk finds.
//!
//! Always true: an entry stands in the table only after all of its content is in the stream, and whatever is
//! left out, or is not what it seemed to be, has a note.

mod compare;
mod file;
mod picture;
mod put;
mod scoped;

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::time::{Instant, SystemTime};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::FileType;

use self::compare::Comparison;
use self::picture::Picture;
use self::scoped::Scoped;
use crate::ahead::Ahead;
use crate::base::Asking;
use crate::channel::{NoteKind, Notes, PackJob, Totals};
use crate::entry::Kind;
use crate::links::Links;
use crate::names::Names;
use crate::open::{OpenError, Opener};
use crate::pack::{Halt, Pulse, list};
use crate::page_table::PageTable;
use crate::path::TreePath;
use crate::pax;
use crate::raw_stream::RawStream;
use crate::segment::SegmentCutter;
use crate::stat::{Mount, Stat};
use crate::xattrs::{Subject, XattrReader};

/// A name that stands for something else each time we come to open it is given up after this many looks.
/// Files that are replaced by rename all the time are ordinary, so it takes some patience.
const LOOKS_MAX: usize = 20;

/// What the walk does next.
pub(crate) enum Visited {
    /// Goes on.
    Passed,
    /// Enters this folder.
    Folder(OwnedFd, Stat, Names),
}

/// One look at a name.
enum Look {
    Done(Visited),
    /// Between two calls the name came to stand for something else.
    Again,
}

const PASSED: Look = Look::Done(Visited::Passed);

/// What a walk came to.
pub(crate) struct Found {
    pub(crate) totals: Totals,
    pub(crate) notes: Notes,
    /// How often somebody was seen to write meanwhile.
    pub(crate) writes: u64,
    /// How many bytes the extents need of each pack.
    pub(crate) used: BTreeMap<u64, u64>,
    /// Why files' times say nothing, if they do not.
    pub(crate) unsynced: Option<String>,
}

/// Puts entries into the stream and into the tables.
pub(crate) struct Packer<'a> {
    pack: u64,
    stream: RawStream,
    pulse: Pulse<'a>,
    cutter: SegmentCutter,
    pages: PageTable,
    base: Option<Comparison<'a>>,
    scoped: Option<Scoped<'a>>,
    between_updates: bool,
    /// While it is taken nothing goes into the stream.
    picture: Option<Picture>,
    /// When the walk began. What changed since may change again, through a mapping, without a new time.
    began: SystemTime,
    /// Why nobody can tell by its times whether a file changed.
    unsynced: Option<String>,
    pub(crate) ahead: Ahead,
    opener: Opener,
    xattrs: XattrReader,
    links: Links,
    mount: Option<Mount>,
    totals: Totals,
    notes: Notes,
    writes: u64,
    used: BTreeMap<u64, u64>,
    headers: Vec<u8>,
    records: Vec<u8>,
}

impl<'a> Packer<'a> {
    pub(crate) fn new(
        job: &'a PackJob,
        stream: RawStream,
        ask: &'a mut Asking<'a>,
        pulse: Pulse<'a>,
        began: SystemTime,
    ) -> Self {
        Self {
            pack: job.pack,
            stream,
            pulse,
            cutter: SegmentCutter::default(),
            pages: PageTable::new(job.base.as_ref()),
            base: job.base.as_ref().map(|base| Comparison::new(base, ask)),
            scoped: job.scope.as_deref().map(Scoped::new),
            between_updates: job.between_updates,
            picture: None,
            began,
            unsynced: None,
            ahead: Ahead::new(),
            opener: Opener::new(),
            xattrs: XattrReader::new(),
            links: Links::default(),
            mount: None,
            totals: Totals::default(),
            notes: Notes::default(),
            writes: 0,
            used: BTreeMap::new(),
            headers: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Looks at the root before all else.
    pub(crate) fn begin(&mut self, folder: BorrowedFd<'_>, stat: &Stat) -> Result<(), Halt> {
        self.mount = Some(stat.mount);
        self.ready(folder)
    }

    /// The root entry, which comes first.
    pub(crate) fn root(&mut self, folder: BorrowedFd<'_>, stat: &Stat) -> Result<(), Halt> {
        let path = TreePath::root();
        let xattrs = self.read_xattrs(Subject::Open(folder), &path);
        self.put(path, stat, Kind::Folder, xattrs)
    }

    /// Ends the tarball, if it is one, and the tables.
    pub(crate) fn finish(mut self) -> Result<Found, Halt> {
        self.complete()?;
        if self.base.is_none() {
            self.stream.write(&pax::END)?;
        }
        if let Some(segment) = self.cutter.finish() {
            self.put_segment(segment)?;
        }
        self.meet(None)?;
        let tables = self.base.as_mut().map(|base| &mut base.tables);
        self.pages.finish(&mut self.stream, tables)?;
        self.stream.finish()?;
        let Self { totals, notes, writes, used, unsynced, .. } = self;
        Ok(Found { totals, notes, writes, used, unsynced })
    }

    /// Before the walk: what was stored through a mapping may have given files no new time, and may give them none later on.
    pub(crate) fn unsynced(&mut self, why: &io::Error) {
        self.unsynced = Some(why.to_string());
        if let Some(base) = &mut self.base {
            base.entries.reread();
        }
        if let Some(picture) = &mut self.picture {
            picture.reread();
        }
    }

    /// Something is missing from the snapshot.
    pub(crate) fn unreadable(&mut self, path: &TreePath, why: impl Into<String>) {
        self.notes.add(path, NoteKind::Unreadable, why);
    }

    /// Whatever is at `name`.
    pub(crate) fn visit(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        path: &TreePath,
    ) -> Result<Visited, Halt> {
        self.pulse.beat(self.totals.entries, self.totals.bytes, path);
        for _ in 0..LOOKS_MAX {
            if let Look::Done(visited) = self.look(folder, name, path)? {
                return Ok(visited);
            }
        }
        // Something stands there all the time and is not in the snapshot, so this is more than "vanished".
        self.unreadable(path, "was replaced each time it was to be read");
        Ok(Visited::Passed)
    }

    fn look(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &TreePath) -> Result<Look, Halt> {
        let began = Instant::now();
        let seen = Stat::of_name(folder, name);
        self.ahead.looked(began.elapsed());
        let stat = match seen {
            Ok(stat) => stat,
            Err(why) if is_gone(&why) => {
                self.moved(path, NoteKind::Vanished, "");
                return Ok(PASSED);
            }
            Err(why) => {
                self.unreadable(path, format!("cannot be looked at: {why}"));
                return Ok(PASSED);
            }
        };
        if self.mount.is_some_and(|mount| mount != stat.mount) {
            return self.other_mount(path, &stat);
        }
        match stat.kind {
            FileType::Directory => self.folder(folder, name, path, &stat),
            FileType::RegularFile => self.file(folder, name, path, &stat),
            FileType::Symlink => self.symlink(folder, name, path, &stat),
            FileType::Fifo => self.special(folder, name, path, &stat, Kind::Fifo),
            FileType::CharacterDevice => {
                let (major, minor) = stat.node;
                self.special(folder, name, path, &stat, Kind::CharDevice { major, minor })
            }
            FileType::BlockDevice => {
                let (major, minor) = stat.node;
                self.special(folder, name, path, &stat, Kind::BlockDevice { major, minor })
            }
            FileType::Socket => {
                self.notes.add(path, NoteKind::Socket, "");
                self.special(folder, name, path, &stat, Kind::Socket)
            }
            FileType::Unknown => {
                self.unreadable(path, "is of a kind that we do not know");
                Ok(PASSED)
            }
        }
    }

    /// What lies beneath a mount cannot be seen; usually it is empty, having been made to be mounted on.
    fn other_mount(&mut self, path: &TreePath, stat: &Stat) -> Result<Look, Halt> {
        self.notes.add(path, NoteKind::OtherMount, "");
        let kind = match stat.kind {
            FileType::Directory => Kind::Folder,
            FileType::RegularFile
            | FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Kind::File { size: 0, content: Vec::new() },
        };
        self.put(path.clone(), stat, kind, Vec::new())?;
        Ok(PASSED)
    }

    fn folder(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        path: &TreePath,
        seen: &Stat,
    ) -> Result<Look, Halt> {
        let (folder, stat) = match self.opener.open(parent, name, seen) {
            Ok(opened) => opened,
            Err(OpenError::Refused(why)) => {
                self.unreadable(path, format!("cannot open folder: {why}"));
                self.put(path.clone(), seen, Kind::Folder, Vec::new())?;
                return Ok(PASSED);
            }
            Err(why) => return self.not_opened(path, seen, why),
        };
        let xattrs = self.read_xattrs(Subject::Open(folder.as_fd()), path);
        let names = list(folder.as_fd());
        self.put(path.clone(), &stat, Kind::Folder, xattrs)?;
        match names {
            Ok(names) => Ok(Look::Done(Visited::Folder(folder, stat, names))),
            // Removed after it was opened: then it was empty.
            Err(why) if is_gone(&why) => Ok(PASSED),
            Err(why) => {
                self.unreadable(path, format!("cannot list folder: {why}"));
                Ok(PASSED)
            }
        }
    }

    fn not_opened(&mut self, path: &TreePath, seen: &Stat, why: OpenError) -> Result<Look, Halt> {
        match why {
            OpenError::Vanished => self.moved(path, NoteKind::Vanished, ""),
            OpenError::Replaced => {
                self.writes += 1;
                return Ok(Look::Again);
            }
            OpenError::OtherMount => return self.other_mount(path, seen),
            OpenError::Refused(why) => self.unreadable(path, format!("cannot open: {why}")),
            OpenError::Exhausted(source) => {
                return Err(Halt::Source { path: path.clone(), action: "open", source });
            }
        }
        Ok(PASSED)
    }
}

fn is_gone(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::NotFound
}
