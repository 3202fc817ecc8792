//! Moving all entries of one folder to another, some at a time.

use std::os::fd::BorrowedFd;

use rustix::fs::Dir;
use rustix::io::Errno;

use crate::beneath;
use crate::path::printable;
use crate::swap::Steps;
use crate::swap::error::SwapError;

/// Names that are read before they are moved: renaming while listing may show an entry twice or never.
const BATCH: usize = 1024;

/// Moves each entry that `wanted` takes; done when a look finds none left, so it can be run again.
pub(crate) fn move_all(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    wanted: &dyn Fn(&[u8]) -> bool,
    steps: Steps<'_>,
) -> Result<(), SwapError> {
    loop {
        let mut names = Vec::new();
        for_each_name(from, &mut |name| {
            if wanted(name) {
                names.push(name.to_vec());
            }
            Ok(names.len() < BATCH)
        })?;
        if names.is_empty() {
            return Ok(());
        }
        names.sort_unstable();
        for name in names {
            steps.at("before move")?;
            // Nothing is ever moved over something else: what stands there is not ours.
            beneath::rename_new(from, &name, to, &name)
                .map_err(|e| SwapError::tree("move", printable(&name), e))?;
            steps.at("after move")?;
        }
    }
}

/// Calls `each` for all names but `.` and `..`, until it says false.
pub(crate) fn for_each_name(
    dir: BorrowedFd<'_>,
    each: &mut dyn FnMut(&[u8]) -> Result<bool, SwapError>,
) -> Result<(), SwapError> {
    let failed = |e: Errno| SwapError::tree("list", "folder", e);
    for entry in Dir::read_from(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && !each(name)? {
            break;
        }
    }
    Ok(())
}
