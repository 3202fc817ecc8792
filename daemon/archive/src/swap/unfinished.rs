//! What a restore that was cut off had unpacked, and that the next one goes on with.
//!
//! ```text
//! .backupd-restore-<run>/new        → .backupd-restore-unfinished/new     left, by whoever settles the run
//! .backupd-restore-unfinished/new   → .backupd-restore-<next run>/new     taken up, compared with the snapshot, made whole, staged
//! ```
//!
//! There is one at most in a folder. Always true:
//! * No swap takes it: it bears no mark that it is whole, and whoever takes it up compares all of it by content. So it may be of
//!   any snapshot, and lack whatever a power cut took.
//! * It is private to root, like every staging folder. What bears its name and is not may have been changed by others, and is
//!   worth nothing.
//! * Whatever fails on the way leaves something that can be removed, and nothing else.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::counted::count;
use super::{exists, read_journal, remove, remove_file, sync};
use crate::beneath;
use crate::delta;
use crate::ours::UNFINISHED;
use crate::staging::{FROM, NEW, OLD, PLACES, REDO, ROOT_ROW, RunName, Staging, StagingError, open_own};
use crate::swap::error::SwapError;
use crate::swap::journal::{JOURNAL, Phase};

/// While it is removed. It looks like what a run staged, so whoever finds it discards it.
const REMOVED: &[u8] = b".backupd-restore-removed";

/// Leaves what a run had unpacked, if its swap has not begun and there are at least so many bytes of it. Gives how many;
/// 0 if nothing is left, and what there is remains where it is.
pub fn leave(root: BorrowedFd<'_>, run: &str, least_bytes: u64) -> Result<u64, SwapError> {
    let run = RunName::parse(run)?;
    let Some(staging) = Staging::open(root, &run)? else { return Ok(0) };
    let whole = match read_journal(&staging)?.map(|journal| journal.phase) {
        None => false,
        Some(Phase::Staged) => true,
        Some(_another) => return Ok(0),
    };
    // A tree of single paths is no beginning of all of it, and what an earlier restore kept is not ours.
    let of_another_kind = exists(staging.fd(), PLACES)? || exists(staging.fd(), FROM)?;
    // Old content has no business there before a swap, unless it is what gave way in a tree that was gone on with.
    let has_old = exists(staging.fd(), OLD)? && (whole || !exists(staging.fd(), REDO)?);
    if of_another_kind || has_old || !exists(staging.fd(), NEW)? {
        return Ok(0);
    }
    let failed = |deed, e| SwapError::tree(deed, staging.name(), e);
    let new = beneath::open_folder(staging.fd(), NEW).map_err(|e| failed("open", e))?;
    if exists(staging.fd(), REDO)? {
        // It had gone on itself. What it could not bring in is fetched again.
        delta::apply_what_came(new.as_fd(), &staging).unwrap_or_default();
    }
    let bytes = count(new).map_err(|e| failed("count", e))?.bytes;
    if bytes == 0 || bytes < least_bytes {
        return Ok(0);
    }
    // The marks that it is whole go first, and for good.
    remove_file(&staging, JOURNAL)?;
    sync(staging.fd(), staging.name())?;
    remove_file(&staging, ROOT_ROW)?;
    clear(&staging)?;
    sync(staging.fd(), staging.name())?;
    if let Err(StagingError::Occupied { .. }) = open_own(root, &name()) {
        // Whoever made it so may go on doing so: nobody waits for that here.
        return Ok(0);
    }
    remove(root)?;
    beneath::rename_new(root, staging.name().as_bytes(), root, UNFINISHED)
        .map_err(|e| failed("put away", e.into()))?;
    sync(root, ".")?;
    Ok(bytes)
}

/// Moves what was left, if anything was, to where it is made whole.
pub(crate) fn take_up(root: BorrowedFd<'_>, staging: &Staging) -> Result<OwnedFd, SwapError> {
    let failed = |e| SwapError::tree("take up content in", staging.name(), e);
    match open_own(root, &name()) {
        Ok(Some(left)) => match beneath::rename_new(left.as_fd(), NEW, staging.fd(), NEW) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(failed(e.into())),
        },
        Ok(None) | Err(StagingError::Occupied { .. }) => {}
        Err(e) => return Err(e.into()),
    }
    remove(root)?;
    if exists(staging.fd(), NEW)? {
        return beneath::open_folder(staging.fd(), NEW).map_err(failed);
    }
    beneath::make_folder(staging.fd(), NEW).map_err(failed)
}

/// Removes what was left; tells whether something was. First it gets a name that nobody takes up: what is half removed must
/// not be compared by somebody else.
pub fn remove(root: BorrowedFd<'_>) -> Result<bool, SwapError> {
    remove::remove_tree(root, REMOVED)?;
    match beneath::rename_new(root, UNFINISHED, root, REMOVED) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(false),
        Err(e) => return Err(SwapError::tree("put away", name(), e)),
    }
    remove::remove_tree(root, REMOVED)?;
    sync(root, ".")?;
    Ok(true)
}

/// Removes what made it whole, or was to.
pub(crate) fn clear(staging: &Staging) -> Result<(), SwapError> {
    remove::remove_tree(staging.fd(), REDO)?;
    remove::remove_tree(staging.fd(), OLD)
}

/// When something was left, whatever it is now; none also if it cannot be told.
pub(crate) fn left_at(root: BorrowedFd<'_>) -> Option<i64> {
    rustix::fs::statat(root, UNFINISHED, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| stat.st_mtime)
}

fn name() -> String {
    String::from_utf8_lossy(UNFINISHED).into_owned()
}
