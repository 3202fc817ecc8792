//! Opening and creating beneath a held descriptor, and nowhere else.
//!
//! Always true: nothing is opened through a symbolic or magic link, no mount is crossed, no `..` leads out.
//! The kernel checks that during the walk (`openat2`), so a folder that is swapped for a link meanwhile
//! gives an error instead of an escape. Whatever is created is created exclusively.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// A private folder while a restore is under way.
pub(crate) const FOLDER_MODE: Mode = Mode::RWXU;

/// A private file while a restore is under way.
pub(crate) const FILE_MODE: Mode = Mode::from_raw_mode(0o600);

/// Bytes of a path handed to the kernel at once, below `PATH_MAX`.
const WALK_BYTES_MAX: usize = 4000;

/// The kernel gives up a walk that races with renames; then it is tried again, so many times.
const TRIES_MAX: u32 = 64;

/// Opens `path`, which may be longer than `PATH_MAX`, beneath `dir`.
pub(crate) fn open(dir: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let mut held: Option<OwnedFd> = None;
    let mut rest = path;
    while rest.len() > WALK_BYTES_MAX {
        let head = &rest[..WALK_BYTES_MAX];
        let cut = head.iter().rposition(|b| *b == b'/').ok_or(Errno::NAMETOOLONG)?;
        let from = held.as_ref().map_or(dir, AsFd::as_fd);
        held = Some(open_once(from, &rest[..cut], OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?);
        rest = &rest[cut + 1..];
    }
    open_once(held.as_ref().map_or(dir, AsFd::as_fd), rest, flags, Mode::empty())
}

/// Opens a folder for reading, beneath `dir`.
pub(crate) fn open_folder(dir: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    open(dir, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens whatever `path` is, itself and not what it points to, only to say or link it.
pub(crate) fn open_itself(dir: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    open(dir, path, OFlags::PATH)
}

/// Makes a folder and opens it. What is opened is a folder beneath `dir`, whoever raced.
pub(crate) fn make_folder(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(dir, name, FOLDER_MODE)?;
    open_folder(dir, name)
}

/// Makes an empty file and opens it for writing.
pub(crate) fn make_file(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    open_once(dir, name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, FILE_MODE)
}

/// Makes a symbolic link and opens the link itself.
pub(crate) fn make_symlink(dir: BorrowedFd<'_>, name: &[u8], target: &[u8]) -> io::Result<OwnedFd> {
    rustix::fs::symlinkat(target, dir, name)?;
    open_made(dir, name, FileType::Symlink)
}

/// Makes a fifo or device and opens it without waking what is behind it.
pub(crate) fn make_node(
    dir: BorrowedFd<'_>,
    name: &[u8],
    kind: FileType,
    device: u64,
) -> io::Result<OwnedFd> {
    rustix::fs::mknodat(dir, name, kind, FILE_MODE, device)?;
    open_made(dir, name, kind)
}

/// Gives the file behind `target` a further name. Only regular files get one.
pub(crate) fn link(target: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    // Following this one link is how Linux names a held descriptor without CAP_DAC_READ_SEARCH.
    let path = proc_path(target);
    Ok(rustix::fs::linkat(rustix::fs::CWD, path.as_str(), dir, name, AtFlags::SYMLINK_FOLLOW)?)
}

/// Renames to a name that is free: nothing is ever moved over something else.
pub(crate) fn rename_new(
    from: BorrowedFd<'_>,
    name: &[u8],
    to: BorrowedFd<'_>,
    fresh: &[u8],
) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(from, name, to, fresh, RenameFlags::NOREPLACE) {
        // Network file systems do not know the flag. Nobody else writes here, so looking first is enough.
        Err(Errno::INVAL | Errno::NOSYS) => match rustix::fs::statat(to, fresh, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => rustix::fs::renameat(from, name, to, fresh),
            Err(e) => Err(e),
        },
        done => done,
    }
}

/// The path that stands for a held descriptor, also for one opened only to name something.
pub(crate) fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The kind of file that a stat tells of.
pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn open_made(dir: BorrowedFd<'_>, name: &[u8], kind: FileType) -> io::Result<OwnedFd> {
    let fd = open_itself(dir, name)?;
    if file_type(&rustix::fs::fstat(&fd)?) == kind {
        Ok(fd)
    } else {
        // Somebody put something else there since.
        Err(Errno::LOOP.into())
    }
}

fn open_once(dir: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    // With O_PATH and O_NOFOLLOW the link itself is opened; RESOLVE_NO_SYMLINKS allows that for the last
    // component and for no other.
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(dir, path, flags, mode, resolve) {
            Err(Errno::INTR | Errno::AGAIN) if tries < TRIES_MAX => tries += 1,
            done => return Ok(done?),
        }
    }
}
