//! How a use case tells what it is doing, and hears that it should stop.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::words::RunId;

/// How far a deed is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Entries so far.
    pub entries: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes in all, where that is known.
    pub of_bytes: Option<u64>,
    /// What is in work, printable.
    pub path: String,
}

/// What a deed tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The next step began, in words: `reading db-data`.
    Step(String),
    /// How far it is; a few times a second.
    Progress(Progress),
    /// Something that a person should know, and that does not end the deed.
    Warning(String),
}

/// The one who asked.
///
/// `tell` must not block. Dropping a use case's future in the middle is like a crash: recovery cleans up,
/// but cancelling through [`Cancel`] lets it clean up by itself.
pub trait Watch: Send + Sync {
    /// Hears what happens.
    fn tell(&self, told: Told);

    /// Says when to stop.
    fn cancel(&self) -> &Cancel;
}

/// A request to stop, that can be made once, from anywhere, also from a signal's task. It knows which runs hold somebody:
/// until these have let go, a program does not end by itself, however often it is asked to.
#[derive(Debug, Default)]
pub struct Cancel {
    asked: AtomicBool,
    wake: Notify,
    holding: Mutex<BTreeSet<RunId>>,
    freed: Notify,
}

impl Cancel {
    /// Asks.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
        self.wake.notify_waiters();
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Returns when somebody asks.
    pub async fn asked(&self) {
        loop {
            let woken = self.wake.notified();
            if self.is_asked() {
                return;
            }
            woken.await;
        }
    }

    /// This run is about to hold somebody.
    pub(crate) fn holds(&self, run: &RunId) {
        self.holding().insert(run.clone());
    }

    /// It holds nobody any more, or has tried in vain to let go.
    pub(crate) fn has_let_go(&self, run: &RunId) {
        self.holding().remove(run);
        self.freed.notify_waiters();
    }

    /// What this run holds from now on it has let go of when this is dropped, however it ended.
    pub(crate) fn until_over(&self, run: &RunId) -> UntilOver<'_> {
        UntilOver { cancel: self, run: run.clone() }
    }

    /// Whether some run holds somebody.
    pub fn is_holding(&self) -> bool {
        !self.holding().is_empty()
    }

    /// Returns when no run holds anybody.
    pub async fn all_let_go(&self) {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if !self.is_holding() {
                return;
            }
            freed.await;
        }
    }

    fn holding(&self) -> MutexGuard<'_, BTreeSet<RunId>> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a run that may hold somebody.
#[derive(Debug)]
#[must_use = "it lets go when it is dropped"]
pub(crate) struct UntilOver<'a> {
    cancel: &'a Cancel,
    run: RunId,
}

impl Drop for UntilOver<'_> {
    fn drop(&mut self) {
        self.cancel.has_let_go(&self.run);
    }
}

/// Listens to nothing and never cancels.
#[derive(Debug, Default)]
pub struct Silent(Cancel);

impl Watch for Silent {
    fn tell(&self, _told: Told) {}

    fn cancel(&self) -> &Cancel {
        &self.0
    }
}
