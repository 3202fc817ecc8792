//! Files that are cloned at one moment and read later.
//!
//! On btrfs and xfs a clone shares the original's blocks: what it costs goes with the number of pieces that the file lies in,
//! not with their size, and it keeps what it was while the original is written to. Each block that is written to meanwhile
//! takes another one, so a disk must have room for that.
//!
//! Always true: a clone has no name, so it is gone when the last program that has it open is.

use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FsWord, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use crate::ahead;
use crate::stat::Stat;

/// Numbers that the kernel gives file systems which may know clones.
const BTRFS: FsWord = 0x9123_683e;
const XFS: FsWord = 0x5846_5342;

/// What makes clones: the kernel, or what stands in for it where a test has no such file system.
#[derive(Debug, Clone, Copy)]
pub struct Cloner {
    /// Whether files of a folder may be cloned; trying tells.
    pub knows: fn(BorrowedFd<'_>) -> bool,
    /// Makes an empty file what another one is.
    pub clone: fn(to: BorrowedFd<'_>, from: BorrowedFd<'_>) -> io::Result<()>,
    /// Reads a clone at an offset, up to its end.
    pub read: fn(clone: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> io::Result<usize>,
    /// How many bytes are free where a folder lies.
    pub room: fn(BorrowedFd<'_>) -> u64,
}

impl Cloner {
    /// The kernel.
    pub const KERNEL: Self = Self {
        knows: |folder| rustix::fs::fstatfs(folder).is_ok_and(|system| [BTRFS, XFS].contains(&system.f_type)),
        clone: |to, from| Ok(rustix::fs::ioctl_ficlone(to, from)?),
        read: ahead::read,
        room: |folder| {
            rustix::fs::fstatvfs(folder).map_or(0, |system| system.f_bavail.saturating_mul(system.f_frsize))
        },
    };

    /// Copies, holes and all: slow, and right on any file system.
    pub const COPY: Self = Self { knows: |_folder| true, clone: copy, ..Self::KERNEL };

    /// A clone of a file, to be read, which lies in a folder.
    pub(crate) fn clone_into(self, folder: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let clone = rustix::fs::openat(folder, c".", flags, Mode::RUSR | Mode::WUSR)?;
        (self.clone)(clone.as_fd(), file)?;
        Ok(clone)
    }
}

fn copy(to: BorrowedFd<'_>, from: BorrowedFd<'_>) -> io::Result<()> {
    rustix::fs::ftruncate(to, Stat::of_open(from)?.size)?;
    let (mut buffer, mut at) = (vec![0; 1 << 16], 0);
    loop {
        at = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => return Ok(()),
            Err(other) => return Err(other.into()),
        };
        let hole = rustix::fs::seek(from, SeekFrom::Hole(at))?;
        while at < hole {
            let room = buffer.len().min(usize::try_from(hole - at).unwrap_or(usize::MAX));
            let read = ahead::read(from, &mut buffer[..room], at)?;
            if read == 0 {
                return Ok(());
            }
            let written = rustix::io::pwrite(to, &buffer[..read], at)?;
            at += written as u64;
        }
    }
}

/// Where clones may lie.
#[derive(Debug)]
pub struct Scratch {
    /// A folder on the file system of what is cloned, if there is one.
    pub folder: Option<OwnedFd>,
    /// What makes them.
    pub cloner: Cloner,
}

impl Scratch {
    /// Nowhere.
    pub const NONE: Self = Self { folder: None, cloner: Cloner::KERNEL };
}
