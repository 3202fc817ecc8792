//! Carrying out the redo log.
//!
//! Each deed can be done again from the first on, whatever of them was done before a crash: what is to come is taken from
//! where it waits, and where nothing waits any more it has come. What has to give way is moved aside and removed last,
//! for an immutable entry deep in it keeps nobody from being moved.
//!
//! Always true: no path of the log is resolved through a link, and what is written to is a regular file.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, OFlags, Stat};
use rustix::io::Errno;

use super::content::punch;
use super::log::{Deed, LogReader, What};
use super::{NEW, path_of};
use crate::attributes::{self, Attributes, Subject};
use crate::beneath;
use crate::entry::{Entry, Kind};
use crate::path::TreePath;
use crate::sparse::Region;
use crate::staging::{OLD, REDO, Staging};
use crate::swap::{Steps, SwapError};
use crate::unpack::write::write_at;

/// Bytes are copied in pieces of this.
const COPIED_BYTES: usize = 1 << 20;

/// Where overwriting takes new blocks, as on btrfs, they must be there beforehand: in the middle nobody can turn back.
pub(crate) fn check_room(staging: &Staging) -> Result<(), SwapError> {
    let failed = |e: io::Error| SwapError::tree("read log of", staging.name(), e);
    let redo = beneath::open_folder(staging.fd(), REDO).map_err(failed)?;
    let mut log = LogReader::open(redo.as_fd()).map_err(failed)?;
    let mut bytes = 0_u64;
    while let Some(deed) = log.next().map_err(failed)? {
        if let What::Patch { ranges, .. } = deed.what {
            bytes = ranges.iter().fold(bytes, |sum, range| sum.saturating_add(range.length));
        }
    }
    let fs = rustix::fs::fstatvfs(staging.fd()).map_err(|e| failed(e.into()))?;
    if fs.f_bavail.saturating_mul(fs.f_frsize) < bytes {
        return Err(SwapError::tree("make room to overwrite files beside", staging.name(), Errno::NOSPC));
    }
    Ok(())
}

/// Makes the folder behind `root` what the log says, and syncs it.
pub(crate) fn apply(root: BorrowedFd<'_>, staging: &Staging, steps: Steps<'_>) -> Result<(), SwapError> {
    let failed = |e: io::Error| SwapError::tree("open log of", staging.name(), e);
    let (redo, applying) = open(root, staging).map_err(failed)?;
    // Attributes come last of all: whatever is made or removed in a folder moves its time.
    for last in [false, true] {
        let mut log = LogReader::open(redo.as_fd()).map_err(failed)?;
        while let Some(deed) = log.next().map_err(failed)? {
            if matches!(deed.what, What::Attributes(_)) == last {
                steps.at("before deed")?;
                applying.deed(&deed).map_err(|e| SwapError::tree("bring back", deed.path.to_string(), e))?;
                steps.at("after deed")?;
            }
        }
    }
    rustix::fs::syncfs(root).map_err(|e| SwapError::tree("sync", ".", e))?;
    steps.at("after sync of deeds")
}

/// Of a log that was not fetched to its end, brings in what there is. That is not to be relied on: files may be there in part,
/// which shows when all of it is compared again.
pub(crate) fn apply_what_came(tree: BorrowedFd<'_>, staging: &Staging) -> io::Result<()> {
    let (redo, applying) = open(tree, staging)?;
    let mut log = LogReader::open(redo.as_fd())?;
    while let Some(deed) = log.next()? {
        let came = match deed.what {
            What::Folder | What::Put => true,
            What::Patch { .. } => look(applying.new.as_fd(), path_of(deed.number).as_bytes())?.is_some(),
            What::Remove | What::Link { .. } | What::Attributes(_) => false,
        };
        if came {
            applying.deed(&deed)?;
        }
    }
    Ok(())
}

fn open<'a>(root: BorrowedFd<'a>, staging: &Staging) -> io::Result<(OwnedFd, Applying<'a>)> {
    let redo = beneath::open_folder(staging.fd(), REDO)?;
    let new = beneath::open_folder(redo.as_fd(), NEW)?;
    let old = match beneath::make_folder(staging.fd(), OLD) {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::EXIST) => beneath::open_folder(staging.fd(), OLD)?,
        made => made?,
    };
    Ok((redo, Applying { root, new, old }))
}

struct Applying<'a> {
    root: BorrowedFd<'a>,
    /// What is to come, by number.
    new: OwnedFd,
    /// What gave way, by number.
    old: OwnedFd,
}

/// Where a deed is done.
struct At<'a> {
    folder: OwnedFd,
    name: &'a [u8],
    number: TreePath,
}

impl Applying<'_> {
    fn deed(&self, deed: &Deed) -> io::Result<()> {
        if let What::Attributes(entry) = &deed.what {
            return self.attributes(&deed.path, entry);
        }
        let (parent, name) = deed.path.split_last().ok_or(Errno::ISDIR)?;
        let at = At { folder: self.folder(parent)?, name, number: path_of(deed.number) };
        match &deed.what {
            What::Remove => self.move_aside(&at),
            What::Folder => match look(at.folder.as_fd(), at.name)? {
                Some(FileType::Directory) => Ok(()),
                _ => {
                    self.move_aside(&at)?;
                    beneath::make_folder(at.folder.as_fd(), at.name).map(|_fd| ())
                }
            },
            What::Put => {
                if look(self.new.as_fd(), at.number.as_bytes())?.is_none() {
                    return Ok(());
                }
                self.move_aside(&at)?;
                let from = (self.new.as_fd(), at.number.as_bytes());
                Ok(beneath::rename_new(from.0, from.1, at.folder.as_fd(), at.name)?)
            }
            What::Patch { size, ranges, holes } => self.patch(&at, *size, ranges, holes),
            What::Link { target } => self.link(&at, target),
            What::Attributes(_) => Ok(()),
        }
    }

    fn folder(&self, path: &[u8]) -> io::Result<OwnedFd> {
        beneath::open_folder(self.root, if path.is_empty() { b"." } else { path })
    }

    /// What is at a path goes to where it can be removed from, if anything is.
    fn move_aside(&self, at: &At<'_>) -> io::Result<()> {
        match beneath::rename_new(at.folder.as_fd(), at.name, self.old.as_fd(), at.number.as_bytes()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn link(&self, at: &At<'_>, target: &TreePath) -> io::Result<()> {
        let target = beneath::open_itself(self.root, target.as_bytes())?;
        let want = rustix::fs::fstat(&target)?;
        if beneath::file_type(&want) != FileType::RegularFile {
            return Err(io::Error::other("what it is to be a further name of is no regular file"));
        }
        match rustix::fs::statat(&at.folder, at.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if identity(&there) == identity(&want) => return Ok(()),
            Ok(_) => self.move_aside(at)?,
            Err(Errno::NOENT) => {}
            Err(e) => return Err(e.into()),
        }
        beneath::link(target.as_fd(), at.folder.as_fd(), at.name)
    }

    fn patch(&self, at: &At<'_>, size: u64, ranges: &[Region], holes: &[Region]) -> io::Result<()> {
        let number = at.number.as_bytes();
        let from = beneath::open(self.new.as_fd(), number, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let file = beneath::open(at.folder.as_fd(), at.name, OFlags::WRONLY | OFlags::NONBLOCK)?;
        if beneath::file_type(&rustix::fs::fstat(&file)?) != FileType::RegularFile {
            return Err(io::Error::other("is no regular file any more"));
        }
        rustix::fs::ftruncate(&file, size)?;
        for hole in holes {
            if hole.start + hole.length == size {
                // The rest of its last block, too.
                rustix::fs::ftruncate(&file, hole.start)?;
                rustix::fs::ftruncate(&file, size)?;
            } else {
                punch(file.as_fd(), hole.start, hole.length)?;
            }
        }
        let mut buffer = vec![0; COPIED_BYTES];
        for range in ranges {
            copy(from.as_fd(), file.as_fd(), *range, &mut buffer)?;
        }
        Ok(())
    }

    fn attributes(&self, path: &TreePath, entry: &Entry) -> io::Result<()> {
        let mut entry = entry.clone();
        let attributes = Attributes::of(&mut entry).map_err(io::Error::other)?;
        let path = if path.is_root() { b"." } else { path.as_bytes() };
        let fd = if entry.kind == Kind::Folder {
            beneath::open_folder(self.root, path)?
        } else {
            beneath::open(self.root, path, OFlags::RDONLY | OFlags::NONBLOCK)?
        };
        // What the file system does not take was told when it was tried on what waited under a number.
        attributes::remove_other_xattrs(fd.as_fd(), &attributes, &mut |_told| ())?;
        attributes::apply(Subject::Open(fd.as_fd()), &attributes, &mut |_told| ())
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// What kind of thing has a name; none if nothing has.
fn look(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<FileType>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(beneath::file_type(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, range: Region, buffer: &mut [u8]) -> io::Result<()> {
    let (mut at, end) = (range.start, range.start + range.length);
    while at < end {
        let n = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let n = match rustix::io::pread(from, &mut buffer[..n], at) {
            Err(Errno::INTR) => continue,
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => read?,
        };
        write_at(to, &buffer[..n], at)?;
        at += n as u64;
    }
    Ok(())
}
