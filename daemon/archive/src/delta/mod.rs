//! Making a folder equal to a snapshot by changing only what differs.
//!
//! ```text
//! compare   walk and rows together; all content is read and hashed      → redo/log, redo/rows
//! fetch     what the rows want, each frame checked                      → redo/new/
//! mark      all of it synced, then the journal says `logged`
//! apply     the journal says `applying`; each deed of the log           → the folder
//! ```
//!
//! What a restore that was cut off left is made whole in the same way (`swap/unfinished`); the log is carried out at once
//! then, where nobody looks, and the tree that comes of it is staged.
//!
//! Nobody may write to the folder from the beginning of the comparison on. Always true:
//! * Until the journal says `applying` the folder is as it was, and all of this can be thrown away. From then on every
//!   deed can be done again, so whoever finds the journal begins at the first one and ends in the snapshot.
//! * Content counts as equal only because its bytes were read now and hash to what the snapshot says: times are no proof.
//! * What is overwritten was fetched, checked and on the disk before.
//! * Memory holds the folders of one branch, one segment of each table, and the differences of one file.

mod apply;
mod compare;
mod content;
mod error;
mod file;
mod folders;
mod log;
mod pages;
mod pieces;
mod rows;
mod same;
mod spool;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

pub(crate) use self::apply::{apply, apply_what_came, check_room};
use self::compare::{Comparing, Found};
pub(crate) use self::error::DeltaError;
use self::log::LogReader;
use self::spool::Spool;
use crate::base::Asking;
use crate::beneath;
use crate::channel::{DeltaJob, Differing, End, Logged, Notes, Progress};
use crate::entry::Entry;
use crate::path::TreePath;
use crate::staging::{REDO, RunName, Staging};
use crate::swap::journal::{Journal, Phase};
use crate::swap::{Steps, discard, fixed, unfinished};
use crate::unpack::{UnpackError, Unpacker};

/// What is to come into the folder, by number.
const NEW: &[u8] = b"new";

/// A delta that is being made ready. Dropping it before [`Filled::finish`] leaves what can only be discarded.
pub(crate) struct Delta {
    root: OwnedFd,
    /// What is to become the snapshot: the same folder, or what was left in it.
    tree: OwnedFd,
    unfinished: bool,
    run: RunName,
    staging: Staging,
    redo: OwnedFd,
    workers: u32,
}

/// A delta whose comparison is done.
pub(crate) struct Filling {
    delta: Delta,
    compared: Differing,
    notes: Notes,
    root_entry: Entry,
    /// Rows that are wanted, in the order of their numbers.
    pub(crate) rows: Spool,
    /// Takes these rows, and the frames that fill them.
    pub(crate) unpacker: Unpacker,
}

impl Delta {
    /// Makes the staging folder.
    pub(crate) fn begin(root: OwnedFd, job: &DeltaJob) -> Result<Self, DeltaError> {
        let run = RunName::parse(&job.run)?;
        let unfinished = job.unfinished;
        if !unfinished {
            fixed::check(root.as_fd())?;
        }
        let (staging, redo) = Staging::create_for(root.as_fd(), &run, REDO)?;
        let tree = if unfinished {
            unfinished::take_up(root.as_fd(), &staging)?
        } else {
            root.try_clone().map_err(|e| UnpackError::tree("open", ".", e))?
        };
        Ok(Self { root, tree, unfinished, run, staging, redo, workers: job.workers })
    }

    /// Compares all of the folder with the snapshot. `None`, and nothing stays, if more than allowed differs.
    pub(crate) fn compare(
        self,
        job: &DeltaJob,
        ask: &mut Asking<'_>,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<(Differing, Notes, Option<Filling>), DeltaError> {
        let comparing = Comparing::new(self.tree.as_fd(), self.redo.as_fd(), job, ask, progress)?;
        let Found { mut compared, notes, root, rows } = comparing.run()?;
        compared.too_much = compared.wanted_bytes > job.most_bytes;
        if compared.too_much {
            discard(self.root.as_fd(), self.run.as_str())?;
            return Ok((compared, notes, None));
        }
        let new = beneath::make_folder(self.redo.as_fd(), NEW).map_err(|e| self.failed("create", e))?;
        let again = self.root.try_clone().map_err(|e| self.failed("open", e))?;
        let unpacker = Unpacker::into_fresh(again, new, self.workers)?;
        let filling =
            Filling { delta: self, compared, notes: notes.clone(), root_entry: root, rows, unpacker };
        Ok((compared, notes, Some(filling)))
    }

    fn failed(&self, deed: &'static str, error: io::Error) -> DeltaError {
        UnpackError::tree(deed, self.staging.name(), error).into()
    }
}

impl Filling {
    /// All that was wanted has come. Success means: the log can be carried out, also after a power cut.
    pub(crate) fn finish(self, end: &End) -> Result<Logged, DeltaError> {
        let Self { delta, compared, notes, root_entry, rows, unpacker } = self;
        rows.remove(delta.redo.as_fd()).map_err(|e| delta.failed("remove rows of", e))?;
        let mut unpacked = unpacker.end(end)?;
        name(&mut unpacked.notes, delta.redo.as_fd()).map_err(|e| delta.failed("read log of", e))?;
        delta.staging.write_root(&root_entry)?;
        // First all of it, then the mark that says it is whole.
        let mut phase = Phase::Logged;
        if delta.unfinished {
            apply(delta.tree.as_fd(), &delta.staging, Steps::ALL)?;
            unfinished::clear(&delta.staging)?;
            phase = Phase::Staged;
        }
        rustix::fs::syncfs(&delta.redo).map_err(|e| delta.failed("sync", e.into()))?;
        Journal { phase, keep_previous: false }
            .write(delta.staging.fd(), &|_step| Ok(()))
            .map_err(|e| delta.failed("write journal of", e))?;
        Ok(Logged { compared, notes: notes.and(unpacked.notes) })
    }
}

/// What was unpacked under a number is told under the path that it is for.
fn name(notes: &mut Notes, redo: BorrowedFd<'_>) -> io::Result<()> {
    if notes.named.is_empty() {
        return Ok(());
    }
    let mut log = LogReader::open(redo)?;
    while let Some(deed) = log.next()? {
        let number = path_of(deed.number).to_string();
        for note in notes.named.iter_mut().filter(|note| note.path == number) {
            note.path = crate::channel::printable_path(&deed.path);
        }
    }
    Ok(())
}

/// The name that stands for a deed's number: ascending, as rows must be.
fn path_of(number: u64) -> TreePath {
    TreePath::parse(format!("{number:020}").into_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod unfinished_tests;
