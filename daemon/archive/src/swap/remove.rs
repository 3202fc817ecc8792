//! Removing a tree by descriptors, however deep and wide it is.
//!
//! Always true: links are removed, not followed; no mount is crossed; descriptors and memory are bounded. A
//! tree deeper than the bound is flattened: the folder at the bound is moved up to the top of what is being
//! removed, where it is found again.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir};
use rustix::io::Errno;

use crate::beneath;
use crate::path::printable;
use crate::swap::error::SwapError;

/// Folders that are open at once.
const DEPTH_MAX: usize = 64;

/// Removes `name` and all in it; a name that is not there is fine.
pub(crate) fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), SwapError> {
    let failed = |e: std::io::Error| SwapError::tree("remove", printable(name), e);
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says the one, POSIX the other, of a folder.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(failed(e.into())),
    }
    let top = beneath::open_folder(parent, name).map_err(failed)?;
    empty(top).map_err(|e| failed(e.into()))?;
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(|e| failed(e.into()))
}

/// Names of folders that are read at once.
const BATCH: usize = 512;

/// An open folder, its name in the one above it, and folders in it that are still to be removed.
struct Level {
    fd: OwnedFd,
    name: Vec<u8>,
    folders: Vec<Vec<u8>>,
}

fn empty(top: OwnedFd) -> rustix::io::Result<()> {
    let mut moved_up = 0_u64;
    let folders = remove_files(top.as_fd())?;
    let mut above: Vec<Level> = Vec::new();
    let mut here = Level { fd: top, name: Vec::new(), folders };
    loop {
        if let Some(name) = here.folders.pop() {
            match above.first() {
                Some(top) if above.len() >= DEPTH_MAX => {
                    move_up(here.fd.as_fd(), &name, top.fd.as_fd(), &mut moved_up)?;
                }
                _ => {
                    let fd = beneath::open_folder(here.fd.as_fd(), &name).map_err(errno)?;
                    let folders = remove_files(fd.as_fd())?;
                    above.push(std::mem::replace(&mut here, Level { fd, name, folders }));
                }
            }
            continue;
        }
        // More than a batch, or moved up here meanwhile.
        here.folders = remove_files(here.fd.as_fd())?;
        if here.folders.is_empty() {
            let Some(parent) = above.pop() else { return Ok(()) };
            rustix::fs::unlinkat(&parent.fd, &here.name[..], AtFlags::REMOVEDIR)?;
            here = parent;
        }
    }
}

/// Removes all but folders, and gives some of these.
fn remove_files(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut folders = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => folders.push(name.to_vec()),
            Err(e) => return Err(e),
        }
        if folders.len() >= BATCH {
            break;
        }
    }
    Ok(folders)
}

fn move_up(
    from: BorrowedFd<'_>,
    name: &[u8],
    top: BorrowedFd<'_>,
    count: &mut u64,
) -> rustix::io::Result<()> {
    loop {
        let fresh = format!("deep-{count}");
        *count += 1;
        // A name that is taken, by content or by an earlier run, is passed over.
        match beneath::rename_new(from, name, top, fresh.as_bytes()) {
            Err(Errno::EXIST) => {}
            done => return done,
        }
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
