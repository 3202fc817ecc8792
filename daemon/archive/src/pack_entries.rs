//! What a backup does with each name that the walk finds.
//!
//! Always true: an entry stands in the table only after all of its content is in the stream, and whatever is
//! left out, or is not what it seemed to be, has a note.

mod put;

use std::ffi::CStr;
use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::FileType;
use rustix::io::Errno;

use self::put::entry_of;
use crate::channel::{NoteKind, Notes, Totals};
use crate::entry::Kind;
use crate::links::Links;
use crate::names::Names;
use crate::open::{OpenError, Opener};
use crate::pack::{Halt, Pulse, list};
use crate::path::TreePath;
use crate::pax;
use crate::raw_stream::RawStream;
use crate::read_file::{Content, Outcome, Plan};
use crate::segment::SegmentCutter;
use crate::sparse;
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

/// Puts entries into the stream and into the table.
pub(crate) struct Packer<'a> {
    pack: u64,
    stream: RawStream,
    pulse: Pulse<'a>,
    cutter: SegmentCutter,
    opener: Opener,
    xattrs: XattrReader,
    links: Links,
    mount: Option<Mount>,
    totals: Totals,
    notes: Notes,
    headers: Vec<u8>,
    records: Vec<u8>,
}

impl<'a> Packer<'a> {
    pub(crate) fn new(pack: u64, stream: RawStream, pulse: Pulse<'a>) -> Self {
        Self {
            pack,
            stream,
            pulse,
            cutter: SegmentCutter::default(),
            opener: Opener::new(),
            xattrs: XattrReader::new(),
            links: Links::default(),
            mount: None,
            totals: Totals::default(),
            notes: Notes::default(),
            headers: Vec::new(),
            records: Vec::new(),
        }
    }

    /// The root entry, which comes first.
    pub(crate) fn root(&mut self, folder: BorrowedFd<'_>, stat: &Stat) -> Result<(), Halt> {
        self.mount = Some(stat.mount);
        let path = TreePath::root();
        let xattrs = self.read_xattrs(Subject::Open(folder), &path);
        self.put(path, stat, Kind::Folder, xattrs)
    }

    /// Ends the tarball and the table.
    pub(crate) fn finish(mut self) -> Result<(Totals, Notes), Halt> {
        self.stream.write(&pax::END)?;
        if let Some(segment) = self.cutter.finish() {
            self.stream.segment(segment)?;
        }
        self.stream.finish()?;
        Ok((self.totals, self.notes))
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
        let stat = match Stat::of_name(folder, name) {
            Ok(stat) => stat,
            Err(why) if is_gone(&why) => {
                self.notes.add(path, NoteKind::Vanished, "");
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
            OpenError::Vanished => self.notes.add(path, NoteKind::Vanished, ""),
            OpenError::Replaced => return Ok(Look::Again),
            OpenError::OtherMount => return self.other_mount(path, seen),
            OpenError::Refused(why) => self.unreadable(path, format!("cannot open: {why}")),
            OpenError::Exhausted(source) => {
                return Err(Halt::Source { path: path.clone(), action: "open", source });
            }
        }
        Ok(PASSED)
    }

    fn file(
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
        let (file, stat) = match self.opener.open(folder, name, seen) {
            Ok(opened) => opened,
            Err(why) => return self.not_opened(path, seen, why),
        };
        let xattrs = self.read_xattrs(Subject::Open(file.as_fd()), path);
        let mut read_at = |buffer: &mut [u8], at: u64| loop {
            match rustix::io::pread(&file, &mut *buffer, at) {
                Err(Errno::INTR) => {}
                other => return other.map_err(io::Error::from),
            }
        };
        let plan = match sparse::regions(file.as_fd(), &stat, &mut read_at) {
            Ok(regions) => Plan::new(stat.size, regions),
            Err(why) => {
                self.unreadable(path, format!("cannot read: {why}"));
                return Ok(PASSED);
            }
        };
        let kind = Kind::File { size: stat.size, content: Vec::new() };
        let mut entry = entry_of(path.clone(), &stat, kind, xattrs);
        self.put_headers(&entry, plan.body())?;
        let Self { stream, pulse, totals, .. } = self;
        let mut beat = |bytes| pulse.beat(totals.entries, totals.bytes + bytes, path);
        let content = plan.read(self.pack, stream, &mut read_at, &mut beat)?;
        if let Some(unsteady) = self.judge(path, &content, file.as_fd(), &stat) {
            entry.witness.unsteady = unsteady;
            self.links.remember(&stat, path);
            self.totals.files += 1;
            self.totals.bytes += stat.size;
            self.totals.data_bytes += content.data_bytes;
            entry.kind = Kind::File { size: stat.size, content: content.extents };
            self.put_row(&entry)?;
        }
        Ok(PASSED)
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
            // A new link or owner moves the change time alone: the content is the same, but is read again.
            (Outcome::Whole, Ok(after)) if after.size == before.size && after.modified == before.modified => {
                "its attributes or links changed".to_owned()
            }
            (Outcome::Whole, Ok(_)) => String::new(),
            (Outcome::Whole, Err(why)) => format!("cannot be looked at again: {why}"),
        };
        self.notes.add(path, NoteKind::Changed, why);
        Some(true)
    }
}

fn is_gone(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::NotFound
}
