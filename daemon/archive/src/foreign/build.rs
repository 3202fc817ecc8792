//! Makes the members of an archive beneath a root.
//!
//! Always true: nothing is written through a name that was there before: what stands in the way is removed first, and a
//! folder that holds something never is. A path that goes through anything but folders ends the import.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::Pulse;
use super::error::ForeignError;
use super::later::{Folder, Later};
use super::map::Region;
use super::members::{Kind, Member, Members};
use super::place::{Goes, Place};
use crate::attributes::{self, Attributes, Subject};
use crate::beneath;
use crate::channel::{NoteKind, Notes, Totals};
use crate::ours::is_ours;
use crate::path::{TreePath, printable};

/// Written at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Between two looks whether the disk has room left.
const LOOK_BYTES: u64 = 64 << 20;

/// The disk is everybody's: the last of so many parts stays free.
const SPARE_PART: u64 = 50;

/// One member's place.
pub(super) struct At<'a> {
    pub(super) path: &'a TreePath,
    pub(super) dir: BorrowedFd<'a>,
    pub(super) name: &'a [u8],
}

/// Fills one folder.
pub(super) struct Builder<'a> {
    pulse: Pulse<'a>,
    pub(super) root: OwnedFd,
    place: Place,
    pub(super) later: Later,
    /// The folder of the member before, since most are siblings.
    pub(super) parent: Option<(Vec<u8>, OwnedFd)>,
    buffer: Vec<u8>,
    pub(super) totals: Totals,
    pub(super) notes: Notes,
    pub(super) members: u64,
    since_look: u64,
}

/// Why a member is not there.
pub(super) enum Missing {
    /// It cannot be carried.
    One(String),
    /// Nothing of the archive can.
    All(ForeignError),
}

impl From<ForeignError> for Missing {
    fn from(error: ForeignError) -> Self {
        Self::All(error)
    }
}

impl<'a> Builder<'a> {
    pub(super) fn new(root: OwnedFd, place: Place, pulse: Pulse<'a>) -> Result<Self, ForeignError> {
        let failed = |e| ForeignError::tree("prepare", ".", e);
        attributes::clear_default_acl(root.as_fd()).map_err(failed)?;
        let later = Later::new(root.as_fd()).map_err(failed)?;
        Ok(Self {
            pulse,
            root,
            place,
            later,
            parent: None,
            buffer: vec![0; BUFFER_BYTES],
            totals: Totals { entries: 1, ..Totals::default() },
            notes: Notes::default(),
            members: 0,
            since_look: 0,
        })
    }

    /// Makes one member, if it is wanted.
    pub(super) fn member(&mut self, member: Member, members: &mut Members<'_>) -> Result<(), ForeignError> {
        self.members += 1;
        let path = match self.place.of_name(&member.name)? {
            Goes::To(path) => path,
            Goes::Elsewhere => return Ok(()),
            Goes::Nowhere(why) => {
                self.missing(&TreePath::root(), format!("{}: {why}", printable(&member.name)));
                return Ok(());
            }
        };
        (self.pulse)(self.totals.entries, self.totals.bytes, &path);
        for keyword in &member.lost {
            self.notes.add(&path, NoteKind::Attribute, format!("`{keyword}`: an ACL as text is not carried"));
        }
        match self.make(&path, member, members) {
            Ok(()) => Ok(()),
            Err(Missing::One(why)) => {
                self.missing(&path, why);
                Ok(())
            }
            Err(Missing::All(error)) => Err(error),
        }
    }

    fn missing(&mut self, path: &TreePath, why: String) {
        self.notes.add(path, NoteKind::Unreadable, why);
    }

    fn make(&mut self, path: &TreePath, member: Member, members: &mut Members<'_>) -> Result<(), Missing> {
        let owner = owner(&member)?;
        let Member { link, kind, mode, modified, xattrs, .. } = member;
        if kind == Kind::Folder {
            return self.folder(Folder::new(path.clone(), mode, owner, modified, &xattrs));
        }
        let Some((parent, name)) = path.split_last() else {
            return Err(ForeignError::hostile(path.as_bytes(), "the top is no folder").into());
        };
        if parent.is_empty() && is_ours(name) {
            return Err(Missing::One("the name is reserved for folders of backupd itself".to_owned()));
        }
        let dir = self.parent(path, parent, modified)?;
        let at = At { path, dir: dir.as_fd(), name };
        let (uid, gid) = owner;
        let attributes = Attributes { mode, uid, gid, modified, xattrs: xattrs.into_boxed_slice() };
        match kind {
            Kind::Folder => {}
            Kind::File { size, regions } => {
                self.make_way(&at)?;
                self.file(&at, size, &regions, &attributes, members)?;
            }
            Kind::Symlink => {
                self.make_way(&at)?;
                let fd = beneath::make_symlink(at.dir, name, &link).map_err(|e| at.failed("link", e))?;
                self.apply(Subject::Symlink(fd.as_fd()), &attributes, &at)?;
            }
            Kind::Hardlink => return self.hard_link(&at, &link),
            Kind::Fifo => self.node(&at, FileType::Fifo, (0, 0), &attributes)?,
            Kind::CharDevice(major, minor) => {
                self.node(&at, FileType::CharacterDevice, (major, minor), &attributes)?;
            }
            Kind::BlockDevice(major, minor) => {
                self.node(&at, FileType::BlockDevice, (major, minor), &attributes)?;
            }
            Kind::Unknown(tag) => {
                return Err(Missing::One(format!(
                    "members of type `{}` are not understood",
                    printable(&[tag])
                )));
            }
        }
        self.totals.entries += 1;
        Ok(())
    }

    fn file(
        &mut self,
        at: &At<'_>,
        size: u64,
        regions: &[Region],
        attributes: &Attributes,
        members: &mut Members<'_>,
    ) -> Result<(), Missing> {
        let fd = beneath::make_file(at.dir, at.name).map_err(|e| at.failed("create", e))?;
        if let Err(e) = rustix::fs::ftruncate(&fd, size) {
            rustix::fs::unlinkat(at.dir, at.name, AtFlags::empty())
                .map_err(|e| at.failed("remove", e.into()))?;
            return Err(at.failed("size", e.into()));
        }
        for region in regions {
            let mut offset = region.start;
            let end = region.start + region.length;
            while offset < end {
                self.check_room(at)?;
                let most = usize::try_from(end - offset).unwrap_or(usize::MAX).min(BUFFER_BYTES);
                let n = members.read(&mut self.buffer[..most])?;
                if n == 0 {
                    return Err(ForeignError::hostile(
                        at.path.as_bytes(),
                        "its map names more than there is",
                    )
                    .into());
                }
                let mut written = 0;
                while written < n {
                    let at_offset = offset + written as u64;
                    written += rustix::io::pwrite(&fd, &self.buffer[written..n], at_offset)
                        .map_err(|e| ForeignError::tree("write", at.path, e))?;
                }
                offset += n as u64;
                self.since_look += n as u64;
                (self.pulse)(self.totals.entries, self.totals.bytes.saturating_add(offset), at.path);
                self.totals.data_bytes += n as u64;
            }
        }
        self.totals.files += 1;
        self.totals.bytes = self.totals.bytes.saturating_add(size);
        self.apply(Subject::Open(fd.as_fd()), attributes, at)
    }

    /// A few kilobytes can unpack to more than any disk holds.
    fn check_room(&mut self, at: &At<'_>) -> Result<(), ForeignError> {
        if self.since_look < LOOK_BYTES {
            return Ok(());
        }
        self.since_look = 0;
        let failed = |e| ForeignError::tree("write", at.path, e);
        let fs = rustix::fs::fstatvfs(&self.root).map_err(failed)?;
        if fs.f_bavail <= fs.f_blocks / SPARE_PART { Err(failed(Errno::NOSPC)) } else { Ok(()) }
    }

    fn node(
        &mut self,
        at: &At<'_>,
        kind: FileType,
        (major, minor): (u32, u32),
        attributes: &Attributes,
    ) -> Result<(), Missing> {
        self.make_way(at)?;
        let device = rustix::fs::makedev(major, minor);
        if (rustix::fs::major(device), rustix::fs::minor(device)) != (major, minor) {
            return Err(Missing::One(format!("device {major}:{minor} does not exist")));
        }
        let fd =
            beneath::make_node(at.dir, at.name, kind, device).map_err(|e| at.failed("create device", e))?;
        self.apply(Subject::Node(fd.as_fd()), attributes, at)
    }

    fn hard_link(&mut self, at: &At<'_>, target: &[u8]) -> Result<(), Missing> {
        let shown = printable(target);
        let lost = |why: &str| Missing::One(format!("it is a further name of `{shown}`, {why}"));
        let target = match self.place.of_name(target)? {
            Goes::To(path) if !path.is_root() => path,
            Goes::To(_) | Goes::Elsewhere | Goes::Nowhere(_) => {
                return Err(lost("which is not among what is taken"));
            }
        };
        if target == *at.path {
            return Err(lost("and that is itself"));
        }
        let fd = match beneath::open_itself(self.root.as_fd(), target.as_bytes()) {
            Ok(fd) => fd,
            Err(e) if Errno::from_io_error(&e) == Some(Errno::NOENT) => {
                return Err(lost("which does not come before it"));
            }
            Err(e) => return Err(at.failed("open the other name of", e)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|e| at.failed("look at the other name of", e.into()))?;
        if beneath::file_type(&stat) == FileType::Directory {
            return Err(lost("which is a folder"));
        }
        self.make_way(at)?;
        beneath::link(fd.as_fd(), at.dir, at.name).map_err(|e| at.failed("link", e))?;
        self.totals.entries += 1;
        Ok(())
    }

    /// What comes later replaces what came before, as with every tar.
    pub(super) fn make_way(&mut self, at: &At<'_>) -> Result<(), Missing> {
        let Some(kind) = at.stat()? else { return Ok(()) };
        let flags = if kind == FileType::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(at.dir, at.name, flags) {
            Ok(()) => {
                self.parent = None;
                self.totals.entries -= 1;
                Ok(())
            }
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                Err(Missing::One("a folder with content is in its place".to_owned()))
            }
            Err(e) => Err(at.failed("replace", e.into())),
        }
    }

    fn apply(&mut self, subject: Subject<'_>, attributes: &Attributes, at: &At<'_>) -> Result<(), Missing> {
        let notes = &mut self.notes;
        let mut lost = |why: String| notes.add(at.path, NoteKind::Attribute, why);
        attributes::apply(subject, attributes, &mut lost).map_err(|e| at.failed("set attributes of", e))
    }
}

/// To the system the largest number means "leave the owner alone".
fn owner(member: &Member) -> Result<(u32, u32), Missing> {
    let id = |id: i64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    match (id(member.uid), id(member.gid)) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err(Missing::One(format!("owner {}:{} does not exist", member.uid, member.gid))),
    }
}

impl At<'_> {
    /// What stands there.
    pub(super) fn stat(&self) -> Result<Option<FileType>, Missing> {
        match rustix::fs::statat(self.dir, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(beneath::file_type(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.failed("look at", e.into())),
        }
    }

    /// What one member cannot have ends nothing; a disk that takes no more ends everything.
    pub(super) fn failed(&self, deed: &'static str, error: io::Error) -> Missing {
        match Errno::from_io_error(&error) {
            Some(
                Errno::NAMETOOLONG
                | Errno::PERM
                | Errno::INVAL
                | Errno::OPNOTSUPP
                | Errno::FBIG
                | Errno::MLINK,
            ) => Missing::One(format!("{deed}: {error}")),
            _ => ForeignError::tree(deed, self.path, error).into(),
        }
    }
}
