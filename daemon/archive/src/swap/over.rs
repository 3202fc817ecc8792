//! The end of a swap: nothing is left in the staging folder but what is ours, and it goes.

use std::os::fd::BorrowedFd;

use rustix::fs::Mode;
use rustix::io::Errno;

use super::{Steps, exists, holds_content, kept, previous, remove, remove_file, sync};
use crate::attributes::{self, Subject};
use crate::channel::Swapped;
use crate::staging::{FROM, MOVES, OLD_ROOT_ROW, PLACES, ROOT_ROW, RunName, Staging};
use crate::swap::error::SwapError;

/// What is left then. The row of the new root goes last: it tells the time that the root is to have.
const OWN_FILES: [&[u8]; 11] = [
    b"journal.tmp",
    b"root.tmp",
    b"old-root.tmp",
    b"from.tmp",
    b"places.tmp",
    b"moves.tmp",
    OLD_ROOT_ROW,
    FROM,
    MOVES,
    PLACES,
    ROOT_ROW,
];

/// Mode of a staging folder whose swap is over; until then it is 0700.
const OVER: u32 = 0o500;

/// Marks a staging folder as one whose swap is over.
pub(super) fn mark(staging: &Staging) -> Result<(), SwapError> {
    rustix::fs::fchmod(staging.fd(), Mode::from_raw_mode(OVER))
        .map_err(|e| SwapError::tree("mark", staging.name(), e))
}

/// The last steps, when neither journal nor new content is left: the staging folder goes.
pub(super) fn finish_cleanup(
    root: BorrowedFd<'_>,
    run: &RunName,
    staging: &Staging,
    steps: Steps<'_>,
) -> Result<Swapped, SwapError> {
    if holds_content(staging)? {
        return Err(SwapError::NotWhole { name: staging.name().to_owned() });
    }
    let failed = |e: Errno| SwapError::tree("mark", staging.name(), e);
    // The row is what an unpack leaves that came to its end; without it this folder was never more than made,
    // unless it bears the mark that its swap is over.
    let has_row = exists(staging.fd(), ROOT_ROW)?;
    let swapped = has_row || rustix::fs::fstat(staging.fd()).map_err(failed)?.st_mode & 0o777 == OVER;
    let modified = if has_row { Some(staging.read_root()?.modified) } else { None };
    if swapped {
        mark(staging)?;
    }
    kept::remove_empty(root, staging, steps)?;
    for name in OWN_FILES {
        steps.at("before own file is removed")?;
        remove_file(staging, name)?;
    }
    steps.at("before staging is removed")?;
    remove::remove_tree(root, staging.name().as_bytes())?;
    if let Some(modified) = modified {
        // Removing our folder moved the root's time. A crash since the row is gone leaves that one time wrong,
        // and nothing else: there is no place left to note it in.
        attributes::apply_times(Subject::Open(root), modified, &mut |_told| ())
            .map_err(|e| SwapError::tree("set times of", ".", e))?;
    }
    sync(root, ".")?;
    steps.at("after staging is removed")?;
    Ok(Swapped { swapped, previous: previous(root, run)? })
}
