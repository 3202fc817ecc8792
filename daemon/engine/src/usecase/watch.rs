//! How a use case tells what it is doing, and hears that it should stop.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

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

/// A request to stop, that can be made once, from anywhere, also from a signal's task.
#[derive(Debug, Default)]
pub struct Cancel {
    asked: AtomicBool,
    wake: Notify,
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
