//! What one scout does: it looks at names, so that the kernel has them at hand when the walk comes.
//!
//! Always true: it keeps nothing, tells nobody of what fails, and skips names whose turn has come.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{Advice, RawDir};
use rustix::io::Errno;

use super::heat::waited;
use super::reading::read_at_once;
use super::{Errand, FIRST_NAMES, SMALL_BYTES, Shared};
use crate::open::Opener;
use crate::stat::Stat;

/// Looks until nobody sends any more names.
pub(super) fn run(queue: &Mutex<Receiver<Errand>>, shared: &Shared) {
    let opener = Opener::new();
    loop {
        let errand = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(errand) = errand else { return };
        let is_late = errand.turn <= shared.passed.load(Ordering::Relaxed);
        if is_late || shared.over.load(Ordering::Relaxed) {
            continue;
        }
        Scout { opener: &opener, shared, reads: errand.reads }.visit(errand.folder.as_fd(), &errand.name);
    }
}

struct Scout<'a> {
    opener: &'a Opener,
    shared: &'a Shared,
    reads: bool,
}

impl Scout<'_> {
    fn visit(&self, folder: BorrowedFd<'_>, name: &CStr) {
        let Some(seen) = self.look(folder, name) else { return };
        if seen.kind.is_dir() {
            self.peep(folder, name, &seen);
        } else {
            self.fetch(folder, name, &seen);
        }
    }

    fn look(&self, folder: BorrowedFd<'_>, name: &CStr) -> Option<Stat> {
        let began = Instant::now();
        let seen = Stat::of_name(folder, name).ok();
        self.shared.looks_waited.fetch_add(waited(began.elapsed()), Ordering::Relaxed);
        seen
    }

    /// Looks at the first names of a folder that comes soon.
    fn peep(&self, folder: BorrowedFd<'_>, name: &CStr, seen: &Stat) {
        let Ok((folder, _)) = self.opener.open(folder, name, seen) else { return };
        let mut portion = [MaybeUninit::uninit(); 16 << 10];
        let mut rows = RawDir::new(&folder, &mut portion);
        for _ in 0..FIRST_NAMES {
            let Some(Ok(row)) = rows.next() else { return };
            if self.shared.over.load(Ordering::Relaxed) {
                return;
            }
            if let Some(seen) = self.look(folder.as_fd(), row.file_name()) {
                self.fetch(folder.as_fd(), row.file_name(), &seen);
            }
        }
    }

    /// Has the kernel fetch a small file, if files are being read.
    fn fetch(&self, folder: BorrowedFd<'_>, name: &CStr, seen: &Stat) {
        if !self.reads || !seen.kind.is_file() || !(1..=SMALL_BYTES).contains(&seen.size) {
            return;
        }
        let Ok((file, _)) = self.opener.open(folder, name, seen) else { return };
        if matches!(read_at_once(file.as_fd(), &mut [0], 0), Err(Errno::AGAIN)) {
            self.shared.reads_missed.fetch_add(1, Ordering::Relaxed);
            match rustix::fs::fadvise(&file, 0, None, Advice::WillNeed) {
                // It is a hint; the walk reads all the same.
                Ok(()) | Err(_) => {}
            }
        }
    }
}
