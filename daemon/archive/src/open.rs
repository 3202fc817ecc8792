//! Opening what the walk found, and nothing else.
//!
//! Always true: only folders and regular files are opened, by one name in an open folder, not through a
//! link, not across a mount, and without waiting. Reading leaves access times alone where the kernel lets us.

use std::cell::Cell;
use std::ffi::CStr;
use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::stat::Stat;

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV)
    .union(ResolveFlags::NO_MAGICLINKS);

/// Why something that was looked at could not be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// It is gone.
    Vanished,
    /// The name stands for something else now.
    Replaced,
    /// Another mount lies over it.
    OtherMount,
    /// No descriptors or no memory: this is about us, not about the entry.
    Exhausted(io::Error),
    /// The system refuses.
    Refused(io::Error),
}

/// Opens entries, remembering what this kernel and these permissions do not allow.
#[derive(Debug)]
pub(crate) struct Opener {
    euid: u32,
    /// Whether `O_NOATIME` works on files of others, which takes a capability.
    spares_others: Cell<bool>,
    /// Whether there is `openat2`: not before Linux 5.6, nor under some sandboxes.
    has_openat2: Cell<bool>,
}

impl Opener {
    pub(crate) fn new() -> Self {
        let euid = rustix::process::geteuid().as_raw();
        Self { euid, spares_others: Cell::new(true), has_openat2: Cell::new(true) }
    }

    /// Opens `name`, which must still be what `seen` says, and looks at it again.
    pub(crate) fn open(
        &self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        seen: &Stat,
    ) -> Result<(OwnedFd, Stat), OpenError> {
        assert!(seen.kind.is_file() || seen.kind.is_dir(), "BUG: only files and folders are opened");
        let mut flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if seen.kind.is_dir() {
            flags |= OFlags::DIRECTORY;
        }
        let file = self.open_sparing(folder, name, flags, seen.uid).map_err(classify)?;
        let now = Stat::of_open(file.as_fd()).map_err(OpenError::Refused)?;
        if !now.is_same(seen) {
            return Err(OpenError::Replaced);
        }
        if now.mount != seen.mount {
            return Err(OpenError::OtherMount);
        }
        Ok((file, now))
    }

    fn open_sparing(
        &self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        flags: OFlags,
        owner: u32,
    ) -> Result<OwnedFd, Errno> {
        if owner == self.euid || self.spares_others.get() {
            match self.open_beneath(folder, name, flags | OFlags::NOATIME) {
                Err(Errno::PERM) => self.spares_others.set(false),
                other => return other,
            }
        }
        self.open_beneath(folder, name, flags)
    }

    fn open_beneath(&self, folder: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.has_openat2.get() {
            match rustix::fs::openat2(folder, name, flags, Mode::empty(), RESOLVE) {
                Err(Errno::NOSYS) => self.has_openat2.set(false),
                // A rename elsewhere raced with the lookup; `openat` has no such doubt about a single name.
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        // One name without a slash cannot leave its folder; the mount is compared after opening.
        rustix::fs::openat(folder, name, flags, Mode::empty())
    }
}

fn classify(errno: Errno) -> OpenError {
    match errno {
        Errno::NOENT => OpenError::Vanished,
        Errno::LOOP | Errno::NOTDIR | Errno::NXIO | Errno::NODEV => OpenError::Replaced,
        Errno::XDEV => OpenError::OtherMount,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => OpenError::Exhausted(errno.into()),
        other => OpenError::Refused(other.into()),
    }
}
