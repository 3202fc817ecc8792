//! Swapping a staged tree in, so that a crash anywhere leaves the old content or the new one, never a mix.
//!
//! A folder that is mounted cannot be replaced by one rename, so its entries move one by one, and a journal
//! says which way. Each phase can be run again from its start:
//!
//! ```text
//! staged      the old content is in place                         discard, or begin
//! moving_out  root/* → old/    again until the root is empty      finish, or undo if the system refuses
//! moving_in   new/*  → root/   again until `new` is empty         finish
//! done        the new content is in place                         clean up
//! ```
//!
//! A delta restore has no new tree, but a log of what differs (`archive/src/delta`): `logged` stands for `staged`, and
//! `applying`, in which all of the log is done again, for both of the moves. Where only some places are replaced, the
//! same happens to each of them (`places`).
//!
//! In between a mix may be *visible*, which is why containers stay down meanwhile; running the swap again, which
//! whoever finds the journal does before anything else, always ends in the new content.
//!
//! **Order on the disk:** the journal names a phase before its first rename, and the renames of a phase are synced
//! before the journal names the next. Else a power cut could keep "moving in" and forget what was moved out,
//! and the old content would be taken for new.

mod counted;
mod error;
pub(crate) mod fixed;
pub(crate) mod journal;
pub mod kept;
mod moves;
mod over;
pub(crate) mod places;
mod remove;
pub mod unfinished;

#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::attributes::{self, Attributes, Subject};
use crate::beneath;
use crate::channel::{SwapJob, Swapped};
use crate::delta;
use crate::durable::Step;
use crate::look::LOST_AND_FOUND;
use crate::ours::is_ours;
use crate::staging::{NEW, OLD, OLD_ROOT_ROW, PLACES, REDO, ROOT_ROW, RunName, Staging};
pub use crate::swap::counted::counted;
pub use crate::swap::error::SwapError;
use crate::swap::journal::{JOURNAL, Journal, Phase};
use crate::swap::over::finish_cleanup;

/// Swaps in what was staged for a run, or finishes a swap that was cut off.
///
/// Where nothing is staged, nothing is done, and `swapped` is true only if the previous content of the run tells
/// that it was swapped before. So whoever knows that the run was staged and not discarded may conclude from
/// `false` that an earlier call finished the swap, and died before it could say so.
pub fn swap(root: BorrowedFd<'_>, job: &SwapJob) -> Result<Swapped, SwapError> {
    swap_in_steps(root, job, Steps::ALL)
}

/// Removes what was staged for a run, if its swap has not begun. If it is over, and only the staging folder is
/// left of it, this goes, and `swapped` tells.
pub fn discard(root: BorrowedFd<'_>, run: &str) -> Result<Swapped, SwapError> {
    let run = RunName::parse(run)?;
    let Some(staging) = Staging::open(root, &run)? else {
        return Ok(Swapped { swapped: false, previous: None });
    };
    let name = staging.name();
    match read_journal(&staging)? {
        Some(journal) if journal.phase.is_begun() => {
            return Err(SwapError::Begun { name: name.to_owned() });
        }
        None if !holds_content(&staging)? => {
            return finish_cleanup(root, &run, &staging, Steps::ALL);
        }
        Some(_) | None => {}
    }
    // First the marks that the tree is whole: a half-removed one must never be swapped in, nor pass for one that was.
    remove_file(&staging, JOURNAL)?;
    sync(staging.fd(), name)?;
    remove_file(&staging, ROOT_ROW)?;
    sync(staging.fd(), name)?;
    // What an earlier restore kept is not ours to remove.
    kept::give_back(root, &staging)?;
    remove::remove_tree(root, name.as_bytes())?;
    sync(root, ".")?;
    Ok(Swapped { swapped: false, previous: None })
}

/// Where tests stop a swap.
#[derive(Clone, Copy)]
pub(crate) struct Steps<'a>(Step<'a>);

impl Steps<'_> {
    /// Stopped nowhere.
    pub(crate) const ALL: Self = Self(&|_step| Ok(()));

    pub(crate) fn at(self, name: &str) -> Result<(), SwapError> {
        (self.0)(name).map_err(|_stop| SwapError::Stopped(name.to_owned()))
    }
}

/// The same, stopped where `step` says so.
#[cfg(test)]
pub(crate) fn swap_stopping(
    root: BorrowedFd<'_>,
    run: &str,
    step: &dyn Fn(&str) -> io::Result<()>,
) -> Result<Swapped, SwapError> {
    swap_in_steps(root, &SwapJob { run: run.to_owned(), keep_previous: false }, Steps(step))
}

fn swap_in_steps(root: BorrowedFd<'_>, job: &SwapJob, steps: Steps<'_>) -> Result<Swapped, SwapError> {
    let run = RunName::parse(&job.run)?;
    let Some(staging) = Staging::open(root, &run)? else {
        let previous = previous(root, &run)?;
        return Ok(Swapped { swapped: previous.is_some(), previous });
    };
    let Some(mut journal) = read_journal(&staging)? else {
        return finish_cleanup(root, &run, &staging, steps);
    };
    let swap = Swap { root, run: &run, staging: &staging, steps };
    // Each arm leads to the next phase; a crash enters where it left.
    loop {
        match journal.phase {
            Phase::Staged => {
                fixed::check(root)?;
                staging.write_row(OLD_ROOT_ROW, &kept::root_entry(root)?)?;
                journal =
                    swap.write(Journal { phase: Phase::MovingOut, keep_previous: job.keep_previous })?;
            }
            Phase::MovingOut => {
                swap.move_out()?;
                journal = swap.write(Journal { phase: Phase::MovingIn, ..journal })?;
            }
            Phase::MovingIn => {
                swap.move_in()?;
                journal = swap.write(Journal { phase: Phase::Done, ..journal })?;
            }
            Phase::Logged => {
                fixed::check(root)?;
                delta::check_room(&staging)?;
                journal = swap.write(Journal { phase: Phase::Applying, keep_previous: false })?;
            }
            Phase::Applying => {
                delta::apply(root, &staging, steps)?;
                journal = swap.write(Journal { phase: Phase::Done, ..journal })?;
            }
            Phase::PlacesStaged => {
                places::begin(root, &staging)?;
                journal =
                    swap.write(Journal { phase: Phase::PlacesOut, keep_previous: job.keep_previous })?;
            }
            Phase::PlacesOut => {
                swap.places_out()?;
                journal = swap.write(Journal { phase: Phase::PlacesIn, ..journal })?;
            }
            Phase::PlacesIn => {
                swap.places_in(journal)?;
                journal = swap.write(Journal { phase: Phase::Done, ..journal })?;
            }
            Phase::PlacesBack => {
                swap.places_back()?;
                journal = swap.write(Journal { phase: Phase::PlacesOut, ..journal })?;
            }
            Phase::Done => {
                swap.put_old_away(journal.keep_previous)?;
                return finish_cleanup(root, &run, &staging, steps);
            }
        }
    }
}

struct Swap<'a> {
    root: BorrowedFd<'a>,
    run: &'a RunName,
    staging: &'a Staging,
    steps: Steps<'a>,
}

impl Swap<'_> {
    fn write(&self, journal: Journal) -> Result<Journal, SwapError> {
        self.steps.at("before journal")?;
        journal
            .write(self.staging.fd(), self.steps.0)
            .map_err(|e| SwapError::tree("write journal of", self.staging.name(), e))?;
        self.steps.at("after journal")?;
        Ok(journal)
    }

    fn folder(&self, name: &[u8]) -> Result<OwnedFd, SwapError> {
        beneath::open_folder(self.staging.fd(), name)
            .map_err(|e| SwapError::tree("open", self.named(name), e))
    }

    fn named(&self, name: &[u8]) -> String {
        format!("{}/{}", self.staging.name(), String::from_utf8_lossy(name))
    }

    /// The folder for the old content, made if it is not there.
    fn old(&self) -> Result<OwnedFd, SwapError> {
        match beneath::make_folder(self.staging.fd(), OLD) {
            Err(e) if Errno::from_io_error(&e) == Some(Errno::EXIST) => self.folder(OLD),
            made => made.map_err(|e| SwapError::tree("create", self.named(OLD), e)),
        }
    }

    /// Everything but what is ours leaves the root.
    fn move_out(&self) -> Result<(), SwapError> {
        let old = self.old()?;
        let new = self.folder(NEW)?;
        // The file system's own folder stays unless the snapshot brings one.
        let brings_own = exists(new.as_fd(), LOST_AND_FOUND)?;
        let wanted = |name: &[u8]| !is_ours(name) && (brings_own || name != LOST_AND_FOUND);
        match moves::move_all(self.root, old.as_fd(), &wanted, self.steps) {
            Ok(()) => {}
            Err(stopped @ SwapError::Stopped(_)) => return Err(stopped),
            // Nothing new is in the root yet, so all can go back to where it was.
            Err(why) => return self.undo(&old, why),
        }
        self.steps.at("before sync of moves")?;
        // Target before source: a power cut in between may show an entry in both, never in neither.
        sync(old.as_fd(), &self.named(OLD))?;
        sync(self.root, ".")?;
        self.steps.at("after sync of moves")
    }

    fn undo(&self, old: &OwnedFd, why: SwapError) -> Result<(), SwapError> {
        self.steps.at("before undo")?;
        moves::move_all(old.as_fd(), self.root, &|_name| true, self.steps)?;
        sync(self.root, ".")?;
        sync(old.as_fd(), &self.named(OLD))?;
        self.write(Journal { phase: Phase::Staged, keep_previous: false })?;
        Err(SwapError::Undone(Box::new(why)))
    }

    /// Everything new enters the root, and the root becomes what its row says.
    fn move_in(&self) -> Result<(), SwapError> {
        let new = self.folder(NEW)?;
        moves::move_all(new.as_fd(), self.root, &|_name| true, self.steps)?;
        self.steps.at("before root attributes")?;
        let attributes = self.root_attributes()?;
        let failed = |e: io::Error| SwapError::tree("set attributes of", ".", e);
        // What the file system does not take was told by the unpack, which tried them beside the root.
        attributes::remove_other_xattrs(self.root, &attributes, &mut |_told| ()).map_err(failed)?;
        attributes::apply(Subject::Open(self.root), &attributes, &mut |_told| ()).map_err(failed)?;
        self.steps.at("before sync of moves")?;
        sync(self.root, ".")?;
        sync(new.as_fd(), &self.named(NEW))?;
        self.steps.at("after sync of moves")
    }

    fn root_attributes(&self) -> Result<Attributes, SwapError> {
        let mut entry = self.staging.read_root()?;
        Attributes::of(&mut entry)
            .map_err(|why| SwapError::tree("set attributes of", ".", io::Error::other(why)))
    }

    /// The old content goes, or stays under a name of its own: also if it cannot go. The new content is in place, and
    /// nobody who waits for it shall wait for what a file that is immutable, say, keeps from being removed.
    fn put_old_away(&self, keep: bool) -> Result<(), SwapError> {
        self.steps.at("before old is put away")?;
        if keep {
            kept::keep(self.root, self.run, self.staging, true, self.steps)?;
        } else if remove::remove_tree(self.staging.fd(), OLD).is_err() {
            kept::keep(self.root, self.run, self.staging, false, self.steps)?;
        }
        self.steps.at("after old is put away")?;
        remove::remove_tree(self.staging.fd(), NEW)?;
        remove::remove_tree(self.staging.fd(), REDO)?;
        if exists(self.staging.fd(), PLACES)? {
            // There is no row of a root that would tell that the swap is over.
            over::mark(self.staging)?;
        }
        self.steps.at("before journal is removed")?;
        // Only now: while there is a journal, whoever comes here does all of this again.
        sync(self.staging.fd(), self.staging.name())?;
        remove_file(self.staging, JOURNAL)?;
        self.steps.at("after journal is removed")
    }
}

fn previous(root: BorrowedFd<'_>, run: &RunName) -> Result<Option<String>, SwapError> {
    let name = run.previous();
    Ok(exists(root, name.as_bytes())?.then_some(name))
}

fn read_journal(staging: &Staging) -> Result<Option<Journal>, SwapError> {
    Ok(Journal::read(staging.fd()).map_err(|e| staging.failed("read journal of", e))?)
}

fn remove_file(staging: &Staging, name: &[u8]) -> Result<(), SwapError> {
    match rustix::fs::unlinkat(staging.fd(), name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(SwapError::tree("remove file of", staging.name(), e)),
    }
}

/// Whether there is more in it than marks.
fn holds_content(staging: &Staging) -> Result<bool, SwapError> {
    Ok(exists(staging.fd(), NEW)? || exists(staging.fd(), OLD)? || exists(staging.fd(), REDO)?)
}

fn exists(dir: BorrowedFd<'_>, name: &[u8]) -> Result<bool, SwapError> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(SwapError::tree("look at", String::from_utf8_lossy(name), e)),
    }
}

fn sync(dir: BorrowedFd<'_>, name: &str) -> Result<(), SwapError> {
    rustix::fs::fsync(dir).map_err(|e| SwapError::tree("sync", name, e))
}
