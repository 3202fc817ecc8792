//! Finding what cannot be moved before anything is moved.
//!
//! A mount point cannot be renamed, what is mounted deeper would be left in what is removed, and an immutable
//! entry cannot be touched. Each of them would stop a swap in the middle.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::beneath;
use crate::path::{TreePath, printable};
use crate::swap::error::SwapError;
use crate::swap::moves;

/// Refuses a root in which something cannot be moved.
pub(crate) fn check(root: BorrowedFd<'_>) -> Result<(), SwapError> {
    check_mounts(root, &|_path| true)?;
    check_entry(root, b"", ".")?;
    moves::for_each_name(root, &mut |name| {
        let path = printable(name);
        match beneath::open_itself(root, name) {
            Ok(fd) => check_entry(fd.as_fd(), b"", &path).map(|()| true),
            Err(e) => match Errno::from_io_error(&e) {
                Some(Errno::XDEV) => Err(SwapError::Fixed { path, why: "something is mounted there" }),
                // Gone since it was listed.
                Some(Errno::NOENT) => Ok(true),
                _ => Err(SwapError::tree("look at", path, e)),
            },
        }
    })
}

/// Refuses a place at which something cannot be moved, or that a folder which is not there leads to.
pub(crate) fn check_place(root: BorrowedFd<'_>, place: &TreePath) -> Result<(), SwapError> {
    let printed = printable(place.as_bytes());
    let fixed = |path: &str, why| Err(SwapError::Fixed { path: path.to_owned(), why });
    let Some((parent, name)) = place.split_last() else { return Ok(()) };
    let within = |path: &[u8]| TreePath::parse(path.to_vec()).is_ok_and(|path| path.is_within(place));
    check_mounts(root, &within)?;
    let opened = if parent.is_empty() {
        rustix::io::fcntl_dupfd_cloexec(root, 0).map_err(std::io::Error::from)
    } else {
        beneath::open_itself(root, parent)
    };
    let folder = match opened {
        Ok(folder) => folder,
        Err(e) => {
            return match Errno::from_io_error(&e) {
                Some(Errno::NOENT) => fixed(&printed, "the folder that it lay in is not there any more"),
                Some(Errno::NOTDIR | Errno::LOOP) => fixed(&printed, "what leads there is no folder"),
                Some(Errno::XDEV) => fixed(&printed, "something is mounted on the way there"),
                _ => Err(SwapError::tree("look at", printable(parent), e)),
            };
        }
    };
    let failed = |e: Errno| SwapError::tree("look at", printable(parent), e);
    let (top, stat) = (rustix::fs::fstat(root).map_err(failed)?, rustix::fs::fstat(&folder).map_err(failed)?);
    if beneath::file_type(&stat) != FileType::Directory {
        return fixed(&printed, "what leads there is no folder");
    }
    // A subvolume is no mount, and yet nothing can be renamed into it.
    if stat.st_dev != top.st_dev {
        return fixed(&printed, "it lies on a file system of its own");
    }
    check_entry(folder.as_fd(), b"", &printable(parent))?;
    match beneath::open_itself(folder.as_fd(), name) {
        Ok(fd) => check_entry(fd.as_fd(), b"", &printed),
        Err(e) => match Errno::from_io_error(&e) {
            Some(Errno::XDEV) => fixed(&printed, "something is mounted there"),
            Some(Errno::NOENT) => Ok(()),
            _ => Err(SwapError::tree("look at", printed, e)),
        },
    }
}

fn check_entry(fd: BorrowedFd<'_>, name: &[u8], path: &str) -> Result<(), SwapError> {
    let stat = rustix::fs::statx(fd, name, AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
        .map_err(|e| SwapError::tree("look at", path, e))?;
    if stat.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
        return Err(SwapError::Fixed { path: path.to_owned(), why: "it is immutable or append-only" });
    }
    Ok(())
}

/// Looks for mounts beneath the root, where they are not wanted. Where `/proc` is not to be had, the check of each entry at the
/// top remains.
fn check_mounts(root: BorrowedFd<'_>, wanted: &dyn Fn(&[u8]) -> bool) -> Result<(), SwapError> {
    let Ok(own) = rustix::fs::readlinkat(rustix::fs::CWD, beneath::proc_path(root), Vec::new()) else {
        return Ok(());
    };
    let Ok(table) = std::fs::read("/proc/self/mountinfo") else { return Ok(()) };
    let own = own.to_bytes();
    for line in table.split(|b| *b == b'\n') {
        let Some(point) = line.split(|b| *b == b' ').nth(4).map(unescape) else { continue };
        let below = point.strip_prefix(own).and_then(|rest| rest.strip_prefix(b"/"));
        // The table may name what another mount hides by now; only what is there counts.
        if let Some(below) = below.filter(|below| !below.is_empty() && wanted(below))
            && is_mounted(root, below)
        {
            return Err(SwapError::Fixed { path: printable(below), why: "something is mounted there" });
        }
    }
    Ok(())
}

fn is_mounted(root: BorrowedFd<'_>, path: &[u8]) -> bool {
    let opened: std::io::Result<OwnedFd> = beneath::open(root, path, OFlags::PATH);
    opened.is_err_and(|e| Errno::from_io_error(&e) == Some(Errno::XDEV))
}

/// The kernel writes blanks and the like as `\040`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .first_chunk::<3>()
            .filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)))
            .map(|digits| digits.iter().fold(0_u32, |n, d| n * 8 + u32::from(d - b'0')));
        match octal.and_then(|n| u8::try_from(n).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[3..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn blanks_in_mount_points_come_back() {
        assert_eq!(super::unescape(br"/a\040b\134c\12"), b"/a b\\c\\12");
    }
}
