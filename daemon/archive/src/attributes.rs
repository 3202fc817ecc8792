//! Owner, mode, xattrs and times: giving them back, and proving that they were taken.
//!
//! The order matters: a change of owner clears setuid bits and file capabilities, so owner comes first, then
//! mode, then xattrs (ACLs and capabilities are among them), and times last, for all the others touch them.
//!
//! Always true: an attribute that the file system refuses, or silently drops, is told to the caller. What was
//! set is read back, since some file systems answer "done" and keep something else.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use crate::beneath::proc_path;
use crate::entry::{Entry, Stamp, Xattr};
use crate::path::printable;

/// The attributes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: Stamp,
    pub(crate) xattrs: Box<[Xattr]>,
}

impl Attributes {
    /// Of an entry; `Err` says what no file can have.
    pub(crate) fn of(entry: &mut Entry) -> Result<Self, &'static str> {
        // To the system this number means "leave the owner alone".
        if entry.uid == u32::MAX || entry.gid == u32::MAX {
            return Err("owner 4294967295 does not exist");
        }
        Ok(Self {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            modified: entry.modified,
            xattrs: std::mem::take(&mut entry.xattrs).into_boxed_slice(),
        })
    }

    /// What they take in memory beyond their own size, for the books.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.xattrs.iter().map(|x| x.name.len() + x.value.len() + 64).sum()
    }
}

/// What the attributes are set on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// A file or folder, opened for reading or writing.
    Open(BorrowedFd<'a>),
    /// A fifo or device, opened only to name it.
    Node(BorrowedFd<'a>),
    /// A symbolic link, opened only to name it; it has no mode.
    Symlink(BorrowedFd<'a>),
}

impl<'a> Subject<'a> {
    fn fd(self) -> BorrowedFd<'a> {
        match self {
            Self::Open(fd) | Self::Node(fd) | Self::Symlink(fd) => fd,
        }
    }

    fn set_owner(self, attributes: &Attributes) -> rustix::io::Result<()> {
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        rustix::fs::chownat(self.fd(), "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
    }

    fn set_mode(self, mode: u32) -> rustix::io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        match self {
            Self::Open(fd) => rustix::fs::fchmod(fd, mode),
            // The path names the held node itself, whatever stands at its name by now.
            Self::Node(fd) => rustix::fs::chmod(proc_path(fd), mode),
            Self::Symlink(_) => Ok(()),
        }
    }

    fn set_xattr(self, xattr: &Xattr) -> rustix::io::Result<()> {
        match self {
            Self::Open(fd) => rustix::fs::fsetxattr(fd, &xattr.name[..], &xattr.value, XattrFlags::empty()),
            Self::Node(fd) | Self::Symlink(fd) => {
                rustix::fs::setxattr(proc_path(fd), &xattr.name[..], &xattr.value, XattrFlags::empty())
            }
        }
    }

    fn set_times(self, modified: Stamp) -> rustix::io::Result<()> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: modified.seconds,
                tv_nsec: i64::from(modified.nanoseconds),
            },
        };
        match self {
            Self::Open(fd) => rustix::fs::futimens(fd, &times),
            Self::Node(fd) | Self::Symlink(fd) => rustix::fs::utimensat(fd, "", &times, AtFlags::EMPTY_PATH),
        }
    }
}

/// Sets all attributes; `lost` hears of each that was not taken. An error is one that ends the restore.
pub(crate) fn apply(
    subject: Subject<'_>,
    attributes: &Attributes,
    lost: &mut dyn FnMut(String),
) -> io::Result<()> {
    let mut check = |what: &str, done: rustix::io::Result<()>| match done {
        Ok(()) => Ok(()),
        Err(e) if ends_restore(subject.fd(), e, false) => Err(io::Error::from(e)),
        Err(e) => {
            lost(format!("{what}: {}", io::Error::from(e)));
            Ok(())
        }
    };
    check("owner", subject.set_owner(attributes))?;
    check("mode", subject.set_mode(attributes.mode))?;
    for xattr in &attributes.xattrs {
        match subject.set_xattr(xattr) {
            Err(e) if ends_restore(subject.fd(), e, true) => return Err(e.into()),
            Err(e) => lost(format!("xattr `{}`: {}", printable(&xattr.name), io::Error::from(e))),
            Ok(()) => {}
        }
    }
    apply_times(subject, attributes.modified, lost)?;
    let stat = rustix::fs::fstat(subject.fd())?;
    for difference in differences(subject, attributes, &stat) {
        lost(difference);
    }
    Ok(())
}

/// Sets the modification time alone.
pub(crate) fn apply_times(
    subject: Subject<'_>,
    modified: Stamp,
    lost: &mut dyn FnMut(String),
) -> io::Result<()> {
    match subject.set_times(modified) {
        Err(e) if ends_restore(subject.fd(), e, false) => Err(e.into()),
        Err(e) => {
            lost(format!("modification time: {}", io::Error::from(e)));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Removes what a new entry inherited or an old root had, beyond what `attributes` say.
pub(crate) fn remove_other_xattrs(
    fd: BorrowedFd<'_>,
    attributes: &Attributes,
    lost: &mut dyn FnMut(String),
) -> io::Result<()> {
    let mut names = vec![0; 1 << 16];
    let n = match rustix::fs::flistxattr(fd, &mut names[..]) {
        Ok(n) => n,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    for name in names[..n].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        // Labels of a security module belong to the host, not to the content.
        let theirs = name.starts_with(b"security.") && name != b"security.capability";
        if theirs || attributes.xattrs.iter().any(|x| x.name == name) {
            continue;
        }
        match rustix::fs::fremovexattr(fd, name) {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(e) => lost(format!("xattr `{}` stays: {}", printable(name), io::Error::from(e))),
        }
    }
    Ok(())
}

/// Takes away the ACL that everything made inside would inherit.
pub(crate) fn clear_default_acl(fd: BorrowedFd<'_>) -> io::Result<()> {
    match rustix::fs::fremovexattr(fd, "system.posix_acl_default") {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Whether an error means that going on makes no sense, rather than that one attribute is not to be had.
fn ends_restore(fd: BorrowedFd<'_>, error: Errno, xattr: bool) -> bool {
    match error {
        Errno::ROFS | Errno::IO => true,
        // ext4 also says "no space" when the xattrs of one file outgrow their block.
        Errno::NOSPC | Errno::DQUOT if xattr => is_full(fd),
        Errno::NOSPC | Errno::DQUOT => true,
        _ => false,
    }
}

fn is_full(fd: BorrowedFd<'_>) -> bool {
    // An O_PATH descriptor answers too. If nobody can say, the disk counts as full: we stop rather than lose.
    rustix::fs::fstatvfs(fd).map_or(true, |fs| fs.f_bavail == 0)
}

/// What the file system kept otherwise than it was told.
fn differences(subject: Subject<'_>, want: &Attributes, stat: &Stat) -> Vec<String> {
    let mut out = Vec::new();
    if (stat.st_uid, stat.st_gid) != (want.uid, want.gid) {
        out.push(format!("owner is {}:{}, not {}:{}", stat.st_uid, stat.st_gid, want.uid, want.gid));
    }
    let mode = stat.st_mode & 0o7777;
    if !matches!(subject, Subject::Symlink(_)) && mode != want.mode {
        out.push(format!("mode is {mode:04o}, not {:04o}", want.mode));
    }
    let (seconds, nanoseconds) = (stat.st_mtime, stat.st_mtime_nsec);
    if seconds != want.modified.seconds || u64::from(want.modified.nanoseconds) != nanoseconds {
        out.push(format!(
            "modification time is {seconds}.{nanoseconds:09}, not {}.{:09}",
            want.modified.seconds, want.modified.nanoseconds
        ));
    }
    out
}
