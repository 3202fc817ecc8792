//! What the thread that reads rows and the threads that write files share.
//!
//! One lock over small tables; no bytes of files move and no attributes are set under it. The first error
//! wins and stops everybody.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::attributes::{self, Subject};
use crate::channel::{NoteKind, Notes};
use crate::unpack::error::UnpackError;
use crate::unpack::files::Files;
use crate::unpack::folders::Folders;

/// Memory for folders and files that are not finished. A sender that runs further ahead with its rows than
/// this, some hundred thousand waiting files, is refused.
pub(crate) const HELD_BYTES_MAX: usize = 128 << 20;

/// The tables.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) folders: Folders,
    pub(crate) files: Files,
    pub(crate) notes: Notes,
    /// Frames that were sent to the workers and are not written yet.
    pub(crate) frames: usize,
    failure: Option<UnpackError>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    idle: Condvar,
    failed: AtomicBool,
    /// Bytes of files so far, holes among them.
    pub(crate) bytes: AtomicU64,
}

impl Shared {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        let state = State {
            folders: Folders::new(),
            files: Files::default(),
            notes: Notes::default(),
            frames: 0,
            failure: None,
        };
        Self {
            state: Mutex::new(state),
            idle: Condvar::new(),
            failed: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
        }
    }

    /// The tables. A panic of a worker poisons nothing that is used later: it fails the restore.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops everybody. Later errors are mostly echoes of the first, so only that one is kept.
    pub(crate) fn fail(&self, error: UnpackError) {
        self.lock().failure.get_or_insert(error);
        self.failed.store(true, Ordering::Release);
        self.idle.notify_all();
    }

    /// Whether somebody failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// The first error, once.
    pub(crate) fn check(&self) -> Result<(), UnpackError> {
        if !self.has_failed() {
            return Ok(());
        }
        let first = self.lock().failure.take();
        Err(first.unwrap_or_else(|| UnpackError::Cut { why: "the restore has failed before".to_owned() }))
    }

    /// A frame left the workers, one way or the other.
    pub(crate) fn frame_done(&self) {
        let mut state = self.lock();
        state.frames -= 1;
        if state.frames == 0 {
            self.idle.notify_all();
        }
    }

    /// Waits until the workers are through with all they were given, or somebody failed.
    pub(crate) fn wait_idle(&self) {
        let mut state = self.lock();
        while state.frames > 0 && !self.has_failed() {
            state = self.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Refuses a sender that makes us hold too much.
    pub(crate) fn check_held(&self, path: impl ToString) -> Result<(), UnpackError> {
        let over = |state: &State| state.folders.bytes() + state.files.bytes() > HELD_BYTES_MAX;
        if !over(&self.lock()) {
            return Ok(());
        }
        // The workers may only be behind.
        self.wait_idle();
        self.check()?;
        if over(&self.lock()) {
            return Err(UnpackError::hostile(path, "too many entries wait for bytes that did not come"));
        }
        Ok(())
    }

    /// Counts attributes that were not taken.
    pub(crate) fn note_lost(&self, folder: u64, name: &[u8], lost: Vec<String>) {
        if lost.is_empty() {
            return;
        }
        let mut state = self.lock();
        let path = state.folders.path(folder, name);
        for why in lost {
            state.notes.add(&path, NoteKind::Attribute, why);
        }
    }

    /// Sets what an entry is to have, and notes what was not taken.
    pub(crate) fn apply(
        &self,
        subject: Subject<'_>,
        attributes: &attributes::Attributes,
        folder: u64,
        name: &[u8],
    ) -> Result<(), UnpackError> {
        let mut lost = Vec::new();
        attributes::apply(subject, attributes, &mut |why| lost.push(why))
            .map_err(|e| self.tree("set attributes of", folder, name, e))?;
        self.note_lost(folder, name, lost);
        Ok(())
    }

    /// Lets go of a folder, and finishes it and those above it when nothing more goes into them.
    pub(crate) fn release(&self, folder: u64) -> Result<(), UnpackError> {
        let mut at = folder;
        loop {
            let released = self.lock().folders.release(at);
            let Some(done) = released.map_err(|e| self.tree("open folder", at, b"", e))? else {
                return Ok(());
            };
            self.apply(Subject::Open(done.fd.as_fd()), &done.attributes, done.parent, &done.name)?;
            at = done.parent;
        }
    }

    /// An open descriptor of a folder.
    pub(crate) fn folder(&self, folder: u64) -> Result<Arc<OwnedFd>, UnpackError> {
        let opened = self.lock().folders.fd(folder);
        opened.map_err(|e| self.tree("open folder", folder, b"", e))
    }

    /// An error of the system, with the path.
    pub(crate) fn tree(
        &self,
        deed: &'static str,
        folder: u64,
        name: &[u8],
        source: impl Into<std::io::Error>,
    ) -> UnpackError {
        UnpackError::tree(deed, self.lock().folders.path(folder, name), source)
    }
}
