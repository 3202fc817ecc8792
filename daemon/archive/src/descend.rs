//! A folder of the source by its path, opened name by name: for a pass that looks at a part of the tree.
//!
//! Always true: no link is followed, no mount crossed, and what is opened is what was looked at.

use std::ffi::CString;
use std::io;

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::open::{OpenError, Opener};
use crate::path::TreePath;
use crate::stat::Stat;

/// A name that stands for something else each time is given up after so many looks.
const LOOKS_MAX: usize = 20;

/// Opens the folder at `path` below `root`.
pub(crate) fn folder(root: BorrowedFd<'_>, path: &TreePath, opener: &Opener) -> io::Result<(OwnedFd, Stat)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = rustix::fs::openat(root, c".", flags, Mode::empty())?;
    let mut stat = Stat::of_open(here.as_fd())?;
    for name in path.components() {
        (here, stat) = enter(here.as_fd(), name, &stat, opener)?;
    }
    Ok((here, stat))
}

/// Looks at whatever is at `path` below `root`.
pub(crate) fn look(root: BorrowedFd<'_>, path: &TreePath, opener: &Opener) -> io::Result<Stat> {
    let Some((parent, name)) = path.split_last() else { return Stat::of_open(root) };
    let parent = TreePath::parse(parent.to_vec()).map_err(io::Error::other)?;
    let (parent, within) = folder(root, &parent, opener)?;
    let stat = Stat::of_name(parent.as_fd(), &CString::new(name)?)?;
    if stat.mount != within.mount {
        return Err(Errno::XDEV.into());
    }
    Ok(stat)
}

fn enter(parent: BorrowedFd<'_>, name: &[u8], within: &Stat, opener: &Opener) -> io::Result<(OwnedFd, Stat)> {
    let name = CString::new(name)?;
    for _ in 0..LOOKS_MAX {
        let seen = Stat::of_name(parent, &name)?;
        if !seen.kind.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        if seen.mount != within.mount {
            return Err(Errno::XDEV.into());
        }
        match opener.open(parent, &name, &seen) {
            Ok(opened) => return Ok(opened),
            Err(OpenError::Replaced) => {}
            Err(OpenError::Vanished) => return Err(Errno::NOENT.into()),
            Err(OpenError::OtherMount) => return Err(Errno::XDEV.into()),
            Err(OpenError::Exhausted(why) | OpenError::Refused(why)) => return Err(why),
        }
    }
    Err(io::Error::other("was replaced each time it was to be opened"))
}
