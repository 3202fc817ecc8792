//! What a folder is like, without changing anything in it.

use std::os::fd::BorrowedFd;

use rustix::fs::{Dir, StatVfsMountFlags};

use crate::channel::{Looked, StagedRun};
use crate::identity;
use crate::ours::is_ours;
use crate::staging::{RunName, Staging};
use crate::swap::journal::Journal;
use crate::swap::{kept, unfinished};
use crate::unpack::UnpackError;

/// The file system's own folder at its top; it holds nothing of anybody's.
pub(crate) const LOST_AND_FOUND: &[u8] = b"lost+found";

/// A target with more entries than this is not counted to the end.
const COUNTED_MAX: u64 = 1 << 20;

/// Looks at the folder behind `root`.
pub fn look(root: BorrowedFd<'_>) -> Result<Looked, UnpackError> {
    let fs = rustix::fs::fstatvfs(root).map_err(|e| UnpackError::tree("look at", ".", e))?;
    let stat = rustix::fs::fstat(root).map_err(|e| UnpackError::tree("look at", ".", e))?;
    let mut looked = Looked {
        top_entries: 0,
        free_bytes: fs.f_bavail.saturating_mul(fs.f_frsize),
        // File systems without a fixed number of inodes tell zero of zero.
        free_inodes: (fs.f_files > 0).then_some(fs.f_favail),
        read_only: fs.f_flag.contains(StatVfsMountFlags::RDONLY),
        staged: Vec::new(),
        unfinished_at: unfinished::left_at(root),
        kept: kept::list(root).map_err(|e| UnpackError::Occupied { what: e.to_string() })?,
        uid: stat.st_uid,
        gid: stat.st_gid,
        version: identity::version(root),
    };
    for_each_name(root, |name| {
        if let Some(run) = RunName::of_staging(name) {
            looked.staged.extend(staged(root, &run));
        } else if !is_ours(name) {
            looked.top_entries += 1;
        }
        Ok(looked.top_entries < COUNTED_MAX)
    })?;
    looked.staged.sort_by(|a, b| a.run.cmp(&b.run));
    Ok(looked)
}

/// A staging folder; what only looks like one is told as not swapping, and is refused when it is used.
fn staged(root: BorrowedFd<'_>, run: &RunName) -> Option<StagedRun> {
    let swapping = match Staging::open(root, run) {
        Ok(Some(staging)) => match Journal::read(staging.fd()) {
            Ok(journal) => journal.is_some_and(|journal| journal.phase.is_begun()),
            // A journal that cannot be read must keep everybody's hands off: the swap has to look at it.
            Err(_unreadable) => true,
        },
        Ok(None) => return None,
        Err(_not_ours) => false,
    };
    Some(StagedRun { run: run.as_str().to_owned(), swapping })
}

/// Refuses a folder that holds anything but what is ours or the file system's own.
pub(crate) fn check_empty(root: BorrowedFd<'_>) -> Result<(), UnpackError> {
    for_each_name(root, |name| {
        if is_ours(name) || name == LOST_AND_FOUND {
            return Ok(true);
        }
        let what = format!("target is not empty: `{}` is there", crate::path::printable(name));
        Err(UnpackError::Occupied { what })
    })
}

/// Calls `each` for all names but `.` and `..`, until it says false.
fn for_each_name(
    root: BorrowedFd<'_>,
    mut each: impl FnMut(&[u8]) -> Result<bool, UnpackError>,
) -> Result<(), UnpackError> {
    let failed = |e| UnpackError::tree("list", ".", e);
    for entry in Dir::read_from(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && !each(name)? {
            break;
        }
    }
    Ok(())
}
