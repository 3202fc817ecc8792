//! Rows and frames back to a tree.
//!
//! ```text
//! rows   → folders, links, empty files, devices: made at once, by the thread that calls
//!          files with bytes: remembered
//! frames → a short queue → workers: decode, check the hash, write, finish the file
//! end    → everything promised came? finish the root, sync, mark the staged tree as whole
//! ```
//!
//! Input is hostile throughout: whoever can write to a store can send anything. Always true:
//! * Nothing outside the target is opened, created or changed, whatever rows, frames or a racing process do.
//! * Nothing counts as restored before its hash was checked, every byte came once, and the end was sent.
//! * Memory is bounded: a short queue, and tables that refuse a sender who runs too far ahead.
//! * Attributes that the file system does not take are counted and told.

pub(crate) mod coverage;
mod create;
pub(crate) mod error;
mod files;
mod folders;
pub(crate) mod sequence;
mod shared;
pub(crate) mod write;

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::attributes::{self, Attributes, Subject};
use crate::channel::{End, FRAME_PAYLOAD_MAX, NoteKind, Progress, Target, Totals, UnpackJob, Unpacked};
use crate::entry::Entry;
use crate::path::TreePath;
use crate::row::Rows;
use crate::staging::{RunName, Staging, StagingError};
use crate::swap::journal::{Journal, Phase};
use crate::swap::places::Places;
use crate::unpack::create::Creator;
pub use crate::unpack::error::UnpackError;
use crate::unpack::folders::ROOT;
use crate::unpack::sequence::Sequence;
use crate::unpack::shared::Shared;

/// More threads than this only wait for the disk.
const WORKERS_MAX: u32 = 64;

/// Writes one tree. Dropping it before `end` leaves what was written, unmarked: it can only be discarded.
#[derive(Debug)]
pub struct Unpacker {
    shared: Arc<Shared>,
    root: OwnedFd,
    base: Arc<OwnedFd>,
    staging: Option<Staging>,
    places: Option<Places>,
    sequence: Sequence,
    root_entry: Option<Entry>,
    totals: Totals,
    last: TreePath,
    queue: Option<SyncSender<Vec<u8>>>,
    workers: Vec<JoinHandle<()>>,
}

impl Unpacker {
    /// Prepares the target beneath `root` and starts the workers.
    pub fn new(root: OwnedFd, job: &UnpackJob) -> Result<Self, UnpackError> {
        let run = RunName::parse(&job.run)?;
        let places = match (job.into, &job.places[..]) {
            (Target::Empty, _) | (Target::Staging, []) => None,
            (Target::Staging, some) => {
                Some(Places::of(some).map_err(|why| UnpackError::hostile("places", why))?)
            }
        };
        let (staging, base) = match job.into {
            Target::Empty => {
                crate::look::check_empty(root.as_fd())?;
                let base = root.try_clone().map_err(|e| UnpackError::tree("open", ".", e))?;
                attributes::clear_default_acl(base.as_fd())
                    .map_err(|e| UnpackError::tree("clear default ACL of", ".", e))?;
                (None, base)
            }
            Target::Staging => {
                let (staging, new) = Staging::create(root.as_fd(), &run)?;
                if let Some(places) = &places {
                    // From its beginning on: what was unpacked of some paths must not pass for the beginning of all.
                    places.write(&staging)?;
                }
                (Some(staging), new)
            }
        };
        Self::start(root, base, staging, places, job.workers)
    }

    /// Into `base`, a fresh folder of the caller's on the same file system as `root`.
    pub(crate) fn into_fresh(root: OwnedFd, base: OwnedFd, workers: u32) -> Result<Self, UnpackError> {
        Self::start(root, base, None, None, workers)
    }

    fn start(
        root: OwnedFd,
        base: OwnedFd,
        staging: Option<Staging>,
        places: Option<Places>,
        workers: u32,
    ) -> Result<Self, UnpackError> {
        let shared = Arc::new(Shared::new());
        let workers = workers.clamp(1, WORKERS_MAX) as usize;
        let (queue, frames) = sync_channel(workers * 2);
        let frames = Arc::new(Mutex::new(frames));
        let workers = (0..workers)
            .map(|n| {
                let (shared, frames) = (Arc::clone(&shared), Arc::clone(&frames));
                std::thread::Builder::new()
                    .name(format!("unpack-{n}"))
                    .spawn(move || write::work(&shared, &frames))
                    .map_err(|e| UnpackError::tree("start worker for", ".", e))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            shared,
            root,
            base: Arc::new(base),
            staging,
            places,
            sequence: Sequence::default(),
            root_entry: None,
            totals: Totals::default(),
            last: TreePath::root(),
            queue: Some(queue),
            workers,
        })
    }

    /// Creates what one `Rows` record says.
    pub fn rows(&mut self, payload: &[u8]) -> Result<(), UnpackError> {
        for row in Rows::new(payload) {
            self.shared.check()?;
            let entry = row.map_err(|e| {
                UnpackError::hostile(
                    format!("row {} after `{}`", self.sequence.rows(), self.last),
                    e.to_string(),
                )
            })?;
            self.row(entry)?;
        }
        self.shared.check()
    }

    /// Queues one `Frame` record; waits while the workers are behind.
    pub fn frame(&mut self, payload: Vec<u8>) -> Result<(), UnpackError> {
        self.shared.check()?;
        if payload.len() > FRAME_PAYLOAD_MAX {
            return Err(UnpackError::hostile("frame", format!("record over {FRAME_PAYLOAD_MAX} bytes")));
        }
        let stopped = || UnpackError::Cut { why: "the workers have stopped".to_owned() };
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        self.shared.lock().frames += 1;
        queue.send(payload).map_err(|_closed| stopped())
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            entries: self.sequence.rows(),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            path: crate::channel::printable_path(&self.last),
        }
    }

    /// Everything was sent. Success means: all of it is there, checked, and on the disk.
    pub fn end(mut self, end: &End) -> Result<Unpacked, UnpackError> {
        self.stop_workers();
        self.shared.check()?;
        self.check_whole(end)?;
        for folder in self.sequence.close().into_iter().filter(|folder| *folder != ROOT) {
            self.shared.release(folder)?;
        }
        let closed = self.shared.lock().folders.close();
        let Some((root, true)) = closed else {
            return Err(UnpackError::Cut { why: "folders are left that nothing finished".to_owned() });
        };
        let sync = |e: rustix::io::Errno| UnpackError::tree("sync", ".", e);
        // With a staging folder the swap sets them on the root itself; here they are tried on the folder beside
        // it, so that what this file system does not take is told now.
        self.finish_root(&root)?;
        if let (Some(staging), Some(entry)) = (&self.staging, &self.root_entry) {
            let phase = match &self.places {
                None => {
                    staging.write_root(entry)?;
                    Phase::Staged
                }
                Some(_written) => Phase::PlacesStaged,
            };
            // First the tree, then the mark that says it is whole: after a power cut the mark must not be
            // all that is there.
            rustix::fs::syncfs(&self.base).map_err(sync)?;
            Journal { phase, keep_previous: false }
                .write(staging.fd(), &|_step| Ok(()))
                .map_err(|e| UnpackError::tree("write journal of", staging.name(), e))?;
        }
        rustix::fs::syncfs(&self.root).map_err(sync)?;
        let notes = std::mem::take(&mut self.shared.lock().notes);
        Ok(Unpacked { totals: self.totals, notes })
    }

    fn row(&mut self, mut entry: Entry) -> Result<(), UnpackError> {
        let place = self.sequence.place(&entry)?;
        for folder in place.closed {
            self.shared.release(folder)?;
        }
        let creator = Creator { shared: &self.shared, staged: self.staging.is_some() };
        let Some(folder) = place.folder else {
            self.root_entry = Some(entry.clone());
            self.totals.entries += 1;
            return creator.root(&mut entry, Arc::clone(&self.base));
        };
        creator.entry(place.entry, folder, &mut entry, &mut self.totals)?;
        self.last = entry.path;
        Ok(())
    }

    fn finish_root(&self, root: &Attributes) -> Result<(), UnpackError> {
        let failed = |e| UnpackError::tree("set attributes of", ".", e);
        let mut lost = Vec::new();
        attributes::remove_other_xattrs(self.base.as_fd(), root, &mut |why| lost.push(why))
            .and_then(|()| {
                attributes::apply(Subject::Open(self.base.as_fd()), root, &mut |why| lost.push(why))
            })
            .map_err(failed)?;
        let mut state = self.shared.lock();
        lost.into_iter().for_each(|why| state.notes.add(&TreePath::root(), NoteKind::Attribute, why));
        Ok(())
    }

    fn check_whole(&self, end: &End) -> Result<(), UnpackError> {
        let cut = |why: String| Err(UnpackError::Cut { why });
        if self.sequence.rows() != end.entries {
            return cut(format!("{} entries came, {} were promised", self.sequence.rows(), end.entries));
        }
        if self.sequence.rows() == 0 {
            return cut("not even the root came".to_owned());
        }
        let state = self.shared.lock();
        if let Some((planned, bytes)) = state.files.left() {
            let path = state.folders.path(planned.folder, &planned.name);
            return cut(format!("{bytes} bytes of `{path}` did not come"));
        }
        if self.totals.data_bytes != end.data_bytes {
            return cut(format!("{} bytes came, {} were promised", self.totals.data_bytes, end.data_bytes));
        }
        Ok(())
    }

    /// Closes the queue and waits; a worker that panicked fails the restore.
    fn stop_workers(&mut self) {
        self.queue = None;
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                self.shared.fail(UnpackError::Cut { why: "a worker panicked".to_owned() });
            }
        }
    }
}

impl Drop for Unpacker {
    fn drop(&mut self) {
        if !self.workers.is_empty() {
            // Nobody reads what the workers would still write.
            self.shared.fail(UnpackError::Cut { why: "the restore was given up".to_owned() });
            self.stop_workers();
        }
    }
}

impl From<StagingError> for UnpackError {
    fn from(error: StagingError) -> Self {
        match error {
            StagingError::BadRun => Self::hostile("run", error.to_string()),
            StagingError::Occupied { .. } => Self::Occupied { what: error.to_string() },
            StagingError::Tree { deed, name, source } => Self::Tree { deed, path: name, source },
        }
    }
}
