//! Looking ahead of the walk, where it waits for the disk.
//!
//! The walk goes from name to name, so a disk that it has to wait for is asked for one thing at a time. Here a few
//! threads look at the names that come next, and have the kernel fetch small files that will be read.
//! Where all is in the kernel's memory already there is nothing to gain, so no thread is started.
//!
//! Always true:
//! * What is seen ahead is used by nobody. The walk looks, opens and reads for itself, and the snapshot is the same with it and without.
//! * Only folders and regular files are opened, by one name in an open folder, on the mount of that folder.
//! * What is fetched is bounded: [`NAMES_AHEAD`] names of a folder, and of a folder among them [`FIRST_NAMES`].
//! * When this is dropped, its threads have ended.

mod heat;
mod reading;
mod scout;

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::fd::OwnedFd;

use self::heat::Heat;
pub(crate) use self::reading::{read, read_first};

/// Threads that look ahead. Eight and sixteen read cold files no faster where that was measured.
const SCOUTS: usize = 4;

/// How many of a folder's names are looked at before their turn.
pub(crate) const NAMES_AHEAD: usize = 64;

/// Of a folder that comes soon, so many names are looked at, as the disk has them.
const FIRST_NAMES: usize = 256;

/// A file up to this size is fetched whole; of a larger one the kernel reads ahead for itself.
pub(crate) const SMALL_BYTES: u64 = 256 << 10;

/// Names that come next, in an open folder.
pub(crate) struct Upcoming {
    pub(crate) folder: Arc<OwnedFd>,
    /// In the walk's order, the first of them so many names from here.
    pub(crate) names: Vec<CString>,
    pub(crate) distance: usize,
}

/// One name to look at.
struct Errand {
    folder: Arc<OwnedFd>,
    name: CString,
    /// The walk's count of names once it has come to this one, at the least.
    turn: u64,
    /// Content is wanted too.
    reads: bool,
}

/// What the walk and its scouts tell each other.
#[derive(Default)]
struct Shared {
    /// Names that the walk has come to.
    passed: AtomicU64,
    /// Microseconds that scouts waited for the disk, beyond what is ordinary, since the walk asked.
    looks_waited: AtomicU64,
    /// Files that scouts found not to be in memory since then.
    reads_missed: AtomicU64,
    over: AtomicBool,
}

/// Scouts at work.
struct Scouts {
    errands: SyncSender<Errand>,
    threads: Vec<JoinHandle<()>>,
}

/// Decides when looking ahead is worth it, and has it done.
pub(crate) struct Ahead {
    looks: Heat,
    reads: Heat,
    shared: Arc<Shared>,
    /// None before they are needed.
    scouts: Option<Scouts>,
    /// The system gives us no threads.
    denied: bool,
}

impl Ahead {
    pub(crate) fn new() -> Self {
        let shared = Arc::new(Shared::default());
        Self { looks: Heat::default(), reads: Heat::default(), shared, scouts: None, denied: false }
    }

    /// The walk has looked at one more name, which took this long.
    pub(crate) fn looked(&mut self, took: Duration) {
        self.looks.look(took);
        self.shared.passed.fetch_add(1, Ordering::Relaxed);
        if self.scouts.is_some() {
            self.looks.add(self.shared.looks_waited.swap(0, Ordering::Relaxed));
            self.reads.miss(self.shared.reads_missed.swap(0, Ordering::Relaxed));
        }
    }

    /// The walk has begun to read a small file, and had to wait for it or not.
    pub(crate) fn read(&mut self, missed: bool) {
        if missed { self.reads.miss(1) } else { self.reads.hit() }
    }

    /// The walk has passed over a file without reading it.
    pub(crate) fn passed_over(&mut self) {
        self.reads.hit();
    }

    /// Whether the disk is what the walk waits for.
    pub(crate) fn is_worth_it(&self) -> bool {
        !self.denied && (self.looks.is_hot() || self.reads.is_hot())
    }

    /// Has these names looked at. What the scouts have no time for is left out.
    pub(crate) fn look_at(&mut self, upcoming: Upcoming) {
        let Upcoming { folder, names, distance } = upcoming;
        // The name that the walk is at is not counted yet.
        let first = self.shared.passed.load(Ordering::Relaxed) + 1 + distance as u64;
        let reads = self.reads.is_hot();
        let Some(scouts) = self.scouts() else { return };
        for (name, turn) in names.into_iter().zip(first..) {
            let errand = Errand { folder: Arc::clone(&folder), name, turn, reads };
            match scouts.errands.try_send(errand) {
                Ok(()) => {}
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return,
            }
        }
    }

    fn scouts(&mut self) -> Option<&Scouts> {
        if self.scouts.is_none() && !self.denied {
            self.scouts = Scouts::start(&self.shared);
            self.denied = self.scouts.is_none();
        }
        self.scouts.as_ref()
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        let Some(Scouts { errands, threads }) = self.scouts.take() else { return };
        drop(errands);
        for thread in threads {
            // A scout that panicked has found nothing that anybody needs.
            thread.join().unwrap_or_default();
        }
    }
}

impl Scouts {
    /// `None` if not even one thread can be had.
    fn start(shared: &Arc<Shared>) -> Option<Self> {
        let (errands, queue) = sync_channel(2 * NAMES_AHEAD);
        let queue = Arc::new(Mutex::new(queue));
        let threads: Vec<_> = (0..SCOUTS)
            .map_while(|_| {
                let (queue, shared) = (Arc::clone(&queue), Arc::clone(shared));
                thread::Builder::new().name("scout".into()).spawn(move || scout::run(&queue, &shared)).ok()
            })
            .collect();
        (!threads.is_empty()).then_some(Self { errands, threads })
    }
}

#[cfg(test)]
mod tests;
