//! What a restore kept of the content that it replaced, and the way back to it.
//!
//! ```text
//! .backupd-previous-<run>/old/    the content, beneath the root that the run restored into
//! .backupd-previous-<run>/root    the row of its root entry: only with it is the content whole
//! .backupd-previous-<run>/moves   instead of `root`, where the run restored single paths: which, and `old` has them by number
//! ```
//!
//! Undoing a restore is a swap like any other, whose new content is not unpacked but taken from there:
//!
//! ```text
//! previous/old → staging/new    then the row of its root, then the journal: staged
//! swap                          what was in place is kept in its turn, or removed
//! ```
//!
//! Always true: content that was kept is at any time whole in one of the two places; only a swap that was begun, or
//! whoever asks for just that, removes the last mark of where it was.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir};
use rustix::io::Errno;

use super::{Steps, exists, remove, sync};
use crate::beneath;
use crate::channel::{Kept, RecallJob, printable_path};
use crate::durable;
use crate::entry::{Entry, Kind, Witness};
use crate::staging::{
    FROM, MOVES, NEW, OLD, OLD_ROOT_ROW, PLACES, ROOT_ROW, RunName, Staging, StagingError, open_own,
    read_row, read_whole,
};
use crate::stat::Stat;
use crate::swap::error::SwapError;
use crate::swap::journal::{Journal, Phase};
use crate::swap::places::{self, Places};
use crate::xattrs::{Subject, XattrReader};

/// A run's name is shorter.
const FROM_BYTES_MAX: u64 = 256;

/// The root entry as it is now.
pub(super) fn root_entry(root: BorrowedFd<'_>) -> Result<Entry, SwapError> {
    let stat = Stat::of_open(root).map_err(|e| SwapError::tree("look at", ".", e))?;
    // An attribute that cannot be read cannot have been set by whoever uses the folder.
    let (xattrs, _unreadable) = XattrReader::new().read(Subject::Open(root));
    Ok(Entry {
        path: crate::path::TreePath::root(),
        kind: Kind::Folder,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        modified: stat.modified,
        xattrs,
        witness: Witness::default(),
    })
}

/// Puts the old content beside the new one; `whole` is false for what is left of one that could not be removed.
pub(super) fn keep(
    root: BorrowedFd<'_>,
    run: &RunName,
    staging: &Staging,
    whole: bool,
    steps: Steps<'_>,
) -> Result<(), SwapError> {
    let name = run.previous();
    let folder = match beneath::make_folder(root, name.as_bytes()) {
        // An earlier run of this phase made it.
        Err(e) if Errno::from_io_error(&e) == Some(Errno::EXIST) => demand(root, run)?,
        made => made.map_err(|e| SwapError::tree("create", &name, e))?,
    };
    let is_of_places = exists(staging.fd(), PLACES)?;
    let moves: &[(&[u8], &[u8])] = match whole {
        true if is_of_places => &[(OLD, OLD), (MOVES, MOVES)],
        true => &[(OLD, OLD), (OLD_ROOT_ROW, ROOT_ROW)],
        false => &[(OLD, OLD)],
    };
    // The mark that it is whole comes last.
    for (from, to) in moves {
        steps.at("before old is kept")?;
        match beneath::rename_new(staging.fd(), from, folder.as_fd(), to) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(SwapError::tree("keep old content in", &name, e)),
        }
        sync(folder.as_fd(), &name)?;
    }
    sync(root, ".")
}

/// What runs have kept, the newest last.
pub fn list(root: BorrowedFd<'_>) -> Result<Vec<Kept>, SwapError> {
    let mut found = Vec::new();
    for entry in Dir::read_from(root).map_err(|e| SwapError::tree("list", ".", e))? {
        let entry = entry.map_err(|e| SwapError::tree("list", ".", e))?;
        let Some(run) = RunName::of_previous(entry.file_name().to_bytes()) else { continue };
        // What others made under such a name is nobody's that we know.
        let Ok(Some(folder)) = open_own(root, &run.previous()) else { continue };
        let row = Stat::of_name(folder.as_fd(), c"root")
            .or_else(|_none| Stat::of_name(folder.as_fd(), c"moves"))
            .or_else(|_none| Stat::of_open(folder.as_fd()));
        let row = row.map_err(|e| SwapError::tree("look at", run.previous(), e))?;
        // What cannot tell where it belongs cannot come back, and that is all.
        let of = match exists(folder.as_fd(), MOVES)? {
            true => places::read_moves(folder.as_fd(), &run.previous()).ok(),
            false => Some(Vec::new()),
        };
        let whole = of.is_some() && is_whole(folder.as_fd())?;
        let kept = Kept {
            places: of.iter().flatten().map(|one| printable_path(&one.path)).collect(),
            run: run.as_str().to_owned(),
            whole,
            // It was written when the swap began, and moved since at most.
            kept_at: row.modified.seconds,
            entries: 0,
            bytes: 0,
        };
        found.push(((kept.kept_at, row.modified.nanoseconds), kept));
    }
    found.sort_by(|(a, one), (b, other)| (a, &one.run).cmp(&(b, &other.run)));
    Ok(found.into_iter().map(|(_, kept)| kept).collect())
}

fn is_whole(folder: BorrowedFd<'_>) -> Result<bool, SwapError> {
    Ok((exists(folder, ROOT_ROW)? || exists(folder, MOVES)?) && exists(folder, OLD)?)
}

/// Stages what a run kept, for a swap.
pub fn recall(root: BorrowedFd<'_>, job: &RecallJob) -> Result<(), SwapError> {
    recall_in_steps(root, job, Steps::ALL)
}

pub(super) fn recall_in_steps(
    root: BorrowedFd<'_>,
    job: &RecallJob,
    steps: Steps<'_>,
) -> Result<(), SwapError> {
    let (run, from) = (RunName::parse(&job.run)?, RunName::parse(&job.kept)?);
    let folder = demand(root, &from)?;
    if !is_whole(folder.as_fd())? {
        return Err(SwapError::NotWhole { name: from.previous() });
    }
    let of = match exists(folder.as_fd(), MOVES)? {
        true => Of::Places(Places::numbered(places::read_moves(folder.as_fd(), &from.previous())?)),
        false => Of::All(Box::new(
            read_row(folder.as_fd(), ROOT_ROW)
                .map_err(|e| SwapError::tree("read root row of", from.previous(), e))?,
        )),
    };
    let staging = Staging::create_bare(root, &run)?;
    steps.at("before origin")?;
    // Before it moves it is known where it goes back to.
    durable::replace(staging.fd(), FROM, from.as_str().as_bytes(), steps.0)
        .map_err(|e| SwapError::tree("write origin of", staging.name(), e))?;
    sync(root, ".")?;
    steps.at("before recall")?;
    beneath::rename_new(folder.as_fd(), OLD, staging.fd(), NEW)
        .map_err(|e| SwapError::tree("stage", from.previous(), e))?;
    steps.at("after recall")?;
    // Target before source: a power cut in between may show it in both, never in neither.
    sync(staging.fd(), staging.name())?;
    sync(folder.as_fd(), &from.previous())?;
    // Only now: with the row and without new content, a staging folder passes for one whose swap is over.
    let phase = match of {
        Of::All(row) => {
            staging.write_root(&row)?;
            Phase::Staged
        }
        Of::Places(places) => {
            places.write(&staging)?;
            Phase::PlacesStaged
        }
    };
    steps.at("before journal")?;
    Journal { phase, keep_previous: false }
        .write(staging.fd(), steps.0)
        .map_err(|e| SwapError::tree("write journal of", staging.name(), e))?;
    steps.at("after journal")
}

/// What kept content is of.
enum Of {
    /// All of the folder, whose root has this row.
    All(Box<Entry>),
    /// These places.
    Places(Places),
}

/// Where the new content came from, if an earlier restore had kept it.
fn origin(staging: &Staging) -> Result<Option<RunName>, SwapError> {
    let bytes = match read_whole(staging.fd(), FROM, FROM_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) if Errno::from_io_error(&e) == Some(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(SwapError::tree("read origin of", staging.name(), e)),
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some(RunName::parse(&text)?))
}

/// Puts recalled content back to where it was kept, if its swap has not begun.
pub(super) fn give_back(root: BorrowedFd<'_>, staging: &Staging) -> Result<(), SwapError> {
    let Some(from) = origin(staging)? else { return Ok(()) };
    if !exists(staging.fd(), NEW)? {
        return Ok(());
    }
    let folder = match open_own(root, &from.previous())? {
        Some(folder) => folder,
        // Somebody removed what was an empty folder to them.
        None => beneath::make_folder(root, from.previous().as_bytes())
            .map_err(|e| SwapError::tree("create", from.previous(), e))?,
    };
    beneath::rename_new(staging.fd(), NEW, folder.as_fd(), OLD)
        .map_err(|e| SwapError::tree("put back", from.previous(), e))?;
    sync(folder.as_fd(), &from.previous())?;
    sync(staging.fd(), staging.name())
}

/// After the swap, removes the folder that recalled content came from; with content in it, it stays.
pub(super) fn remove_empty(
    root: BorrowedFd<'_>,
    staging: &Staging,
    steps: Steps<'_>,
) -> Result<(), SwapError> {
    let Some(from) = origin(staging)? else { return Ok(()) };
    let Some(folder) = open_own(root, &from.previous())? else { return Ok(()) };
    if exists(folder.as_fd(), OLD)? {
        return Ok(());
    }
    steps.at("before origin is removed")?;
    remove::remove_tree(root, from.previous().as_bytes())
}

/// Removes what a run kept; false if there is nothing.
pub fn forget(root: BorrowedFd<'_>, run: &str) -> Result<bool, SwapError> {
    let run = RunName::parse(run)?;
    let name = run.previous();
    let Some(folder) = open_own(root, &name)? else { return Ok(false) };
    refuse_recalled(root, &run)?;
    // First the mark that it is whole: what is left of it after a crash must not be swapped in.
    for mark in [ROOT_ROW, MOVES] {
        match rustix::fs::unlinkat(&folder, mark, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(SwapError::tree("remove file of", &name, e)),
        }
    }
    sync(folder.as_fd(), &name)?;
    remove::remove_tree(root, name.as_bytes())?;
    sync(root, ".")?;
    Ok(true)
}

/// What is on its way back has to come back to somewhere.
fn refuse_recalled(root: BorrowedFd<'_>, kept: &RunName) -> Result<(), SwapError> {
    for entry in Dir::read_from(root).map_err(|e| SwapError::tree("list", ".", e))? {
        let entry = entry.map_err(|e| SwapError::tree("list", ".", e))?;
        let Some(run) = RunName::of_staging(entry.file_name().to_bytes()) else { continue };
        let Some(staging) = Staging::open(root, &run)? else { continue };
        if origin(&staging)?.as_ref() == Some(kept) {
            return Err(SwapError::Begun { name: staging.name().to_owned() });
        }
    }
    Ok(())
}

fn demand(root: BorrowedFd<'_>, run: &RunName) -> Result<OwnedFd, SwapError> {
    let name = run.previous();
    match open_own(root, &name)? {
        Some(folder) => Ok(folder),
        None => Err(SwapError::Staging(StagingError::Tree {
            deed: "open",
            name,
            source: io::Error::from(Errno::NOENT),
        })),
    }
}
