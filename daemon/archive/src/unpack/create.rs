//! Creating one entry when its row comes.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::attributes::{self, Attributes, Subject};
use crate::beneath;
use crate::channel::{NoteKind, Totals};
use crate::entry::{Entry, Extent, Kind};
use crate::look::LOST_AND_FOUND;
use crate::ours::is_ours;
use crate::path::TreePath;
use crate::unpack::coverage::Coverage;
use crate::unpack::error::UnpackError;
use crate::unpack::files::{Link, Planned};
use crate::unpack::folders::ROOT;
use crate::unpack::shared::Shared;
use crate::unpack::write::make_link;

/// Linux keeps twelve bits of major and twenty of minor device numbers, and cuts off the rest silently.
const MAJOR_MAX: u32 = 0xfff;
const MINOR_MAX: u32 = 0xf_ffff;

/// Makes entries in the target.
pub(crate) struct Creator<'a> {
    pub(crate) shared: &'a Shared,
    /// Into a fresh staging folder, so nothing at all may be there already.
    pub(crate) staged: bool,
}

/// One entry's place, as every step needs it.
struct At<'a> {
    number: u64,
    folder: u64,
    dir: BorrowedFd<'a>,
    name: &'a [u8],
    path: &'a TreePath,
}

impl Creator<'_> {
    /// The root is there already; its attributes come last of all.
    pub(crate) fn root(&self, entry: &mut Entry, base: Arc<OwnedFd>) -> Result<(), UnpackError> {
        let attributes = read_attributes(entry)?;
        self.shared.lock().folders.add_root(attributes, base);
        Ok(())
    }

    /// Any other entry, in a folder that is being unpacked.
    pub(crate) fn entry(
        &self,
        number: u64,
        folder: u64,
        entry: &mut Entry,
        totals: &mut Totals,
    ) -> Result<(), UnpackError> {
        let attributes = read_attributes(entry)?;
        let Some((_, name)) = entry.path.split_last() else { return Ok(()) };
        if folder == ROOT && is_ours(name) {
            return Err(UnpackError::hostile(&entry.path, "the name is reserved for our own folders"));
        }
        self.shared.check_held(&entry.path)?;
        let dir = self.shared.folder(folder)?;
        let at = At { number, folder, dir: dir.as_fd(), name, path: &entry.path };
        totals.entries += 1;
        match &entry.kind {
            Kind::Folder => self.folder(&at, attributes),
            Kind::File { size, content } => self.file(&at, *size, content, attributes, totals),
            Kind::Symlink { target } => {
                let fd = beneath::make_symlink(at.dir, name, target).map_err(|e| failed("link", &at, e))?;
                self.shared.apply(Subject::Symlink(fd.as_fd()), &attributes, folder, name)
            }
            Kind::Hardlink { target } => self.hard_link(&at, target),
            Kind::Fifo => self.node(&at, FileType::Fifo, (0, 0), &attributes),
            Kind::CharDevice { major, minor } => {
                self.node(&at, FileType::CharacterDevice, (*major, *minor), &attributes)
            }
            Kind::BlockDevice { major, minor } => {
                self.node(&at, FileType::BlockDevice, (*major, *minor), &attributes)
            }
            Kind::Socket => {
                self.shared.lock().notes.add(&entry.path, NoteKind::Socket, "programs make theirs again");
                Ok(())
            }
        }
    }

    fn folder(&self, at: &At<'_>, attributes: Attributes) -> Result<(), UnpackError> {
        let made = match beneath::make_folder(at.dir, at.name) {
            // The file system's own folder counts as nothing, so it may be there.
            Err(e) if self.may_adopt(at, &e) => beneath::open_folder(at.dir, at.name).and_then(|fd| {
                attributes::clear_default_acl(fd.as_fd())?;
                Ok(fd)
            }),
            made => made,
        };
        let fd = made.map_err(|e| failed("create folder", at, e))?;
        self.shared.lock().folders.add(at.number, at.folder, at.name, attributes, fd);
        Ok(())
    }

    fn may_adopt(&self, at: &At<'_>, error: &std::io::Error) -> bool {
        !self.staged
            && at.folder == ROOT
            && at.name == LOST_AND_FOUND
            && Errno::from_io_error(error) == Some(Errno::EXIST)
    }

    fn file(
        &self,
        at: &At<'_>,
        size: u64,
        content: &[Extent],
        attributes: Attributes,
        totals: &mut Totals,
    ) -> Result<(), UnpackError> {
        let (missing, stored) = Coverage::of(content);
        totals.files += 1;
        totals.bytes = totals.bytes.saturating_add(size);
        totals.data_bytes = totals.data_bytes.saturating_add(stored);
        self.shared.bytes.fetch_add(size - stored, Ordering::Relaxed);
        if missing.is_empty() {
            let fd = beneath::make_file(at.dir, at.name).map_err(|e| failed("create", at, e))?;
            rustix::fs::ftruncate(&fd, size).map_err(|e| failed("size", at, e.into()))?;
            return self.shared.apply(Subject::Open(fd.as_fd()), &attributes, at.folder, at.name);
        }
        let planned = Planned { folder: at.folder, name: at.name.into(), size, attributes };
        let mut state = self.shared.lock();
        state.folders.hold(at.folder);
        state.files.add(at.number, at.path, planned, missing);
        Ok(())
    }

    fn node(
        &self,
        at: &At<'_>,
        kind: FileType,
        (major, minor): (u32, u32),
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        if major > MAJOR_MAX || minor > MINOR_MAX {
            return Err(UnpackError::hostile(at.path, format!("device {major}:{minor} does not exist")));
        }
        let fd = beneath::make_node(at.dir, at.name, kind, rustix::fs::makedev(major, minor))
            .map_err(|e| failed("create device", at, e))?;
        self.shared.apply(Subject::Node(fd.as_fd()), attributes, at.folder, at.name)
    }

    /// Links at once when the target is there; otherwise the link waits for it.
    fn hard_link(&self, at: &At<'_>, target: &TreePath) -> Result<(), UnpackError> {
        let refuse =
            |why: &str| Err(UnpackError::hostile(at.path, format!("hard link to `{target}`, {why}")));
        if target >= at.path {
            return refuse("which comes later");
        }
        let link = Link { folder: at.folder, name: at.name.into() };
        let link = {
            let mut state = self.shared.lock();
            // Held first: the worker that finishes the target lets go of it.
            state.folders.hold(at.folder);
            state.files.add_link(target, link)
        };
        let Some(link) = link else { return Ok(()) };
        let base = self.shared.folder(ROOT)?;
        match beneath::open_itself(base.as_fd(), target.as_bytes()) {
            Ok(fd) => make_link(self.shared, fd.as_fd(), &link)?,
            Err(e) if Errno::from_io_error(&e) == Some(Errno::NOENT) => return refuse("which was not sent"),
            Err(e) => return Err(failed("open target of hard link", at, e)),
        }
        self.shared.release(at.folder)
    }
}

fn read_attributes(entry: &mut Entry) -> Result<Attributes, UnpackError> {
    Attributes::of(entry).map_err(|why| UnpackError::hostile(&entry.path, why))
}

fn failed(deed: &'static str, at: &At<'_>, error: std::io::Error) -> UnpackError {
    UnpackError::tree(deed, at.path, error)
}
