//! The folder that a restore unpacks into, at the top of the folder that it will replace.
//!
//! ```text
//! .backupd-restore-<run>/new/       the new content, complete once the journal is there
//! .backupd-restore-<run>/root       the row of the root entry, whose attributes are set by the swap
//! .backupd-restore-<run>/journal    how far the swap is
//! .backupd-restore-<run>/old/       what was there before, during the swap
//! .backupd-restore-<run>/old-root   the row of its root entry
//! .backupd-restore-<run>/from       where an undone restore had kept the new content, and where it goes back to
//! .backupd-restore-<run>/redo/      instead of `new/`: what a delta restore is to change
//! .backupd-restore-<run>/places     instead of `root`: of a restore of single paths, which ones
//! .backupd-restore-<run>/moves      what its swap moves, decided when the swap begins
//! ```
//!
//! It is made exclusively, private to root, and always used through a held descriptor.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::attributes;
use crate::beneath;
use crate::durable;
use crate::entry::Entry;
use crate::ours::{PREVIOUS_PREFIX, STAGING_PREFIX, UNFINISHED};
use crate::row::{self, Rows};

/// The new content.
pub(crate) const NEW: &[u8] = b"new";

/// The old content.
pub(crate) const OLD: &[u8] = b"old";

/// What a delta restore is to change.
pub(crate) const REDO: &[u8] = b"redo";

/// The row of the root entry.
pub(crate) const ROOT_ROW: &[u8] = b"root";

/// The row of the root entry of the old content.
pub(crate) const OLD_ROOT_ROW: &[u8] = b"old-root";

/// The paths that are restored, where it is not all of the folder.
pub(crate) const PLACES: &[u8] = b"places";

/// What is moved to restore these.
pub(crate) const MOVES: &[u8] = b"moves";

/// The run that had kept the new content.
pub(crate) const FROM: &[u8] = b"from";

/// A run's id, checked to be part of a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunName(String);

impl RunName {
    /// Longer ones would not fit into a name with our prefix.
    const MAX: usize = 128;

    /// Letters, digits, `-`, `_` and, not in front, `.`.
    pub(crate) fn parse(run: &str) -> Result<Self, StagingError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if run.is_empty() || run.len() > Self::MAX || run.starts_with('.') || !run.bytes().all(plain) {
            return Err(StagingError::BadRun);
        }
        Ok(Self(run.to_owned()))
    }

    /// The run of a staging folder with this name.
    pub(crate) fn of_staging(name: &[u8]) -> Option<Self> {
        if name == UNFINISHED {
            return None;
        }
        let run = std::str::from_utf8(name.strip_prefix(STAGING_PREFIX)?).ok()?;
        Self::parse(run).ok()
    }

    /// The run of a folder with this name that holds what was there before.
    pub(crate) fn of_previous(name: &[u8]) -> Option<Self> {
        let run = std::str::from_utf8(name.strip_prefix(PREVIOUS_PREFIX)?).ok()?;
        Self::parse(run).ok()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of its staging folder.
    pub(crate) fn staging(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(STAGING_PREFIX), self.0)
    }

    /// Name of the folder with what was there before.
    pub(crate) fn previous(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(PREVIOUS_PREFIX), self.0)
    }
}

/// Why a staging folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// The run's id cannot be part of a name.
    #[error("a run is named by letters, digits, `-`, `_` and `.`, at most 128 of them")]
    BadRun,
    /// Something is at its place.
    #[error("`{name}` is in the way: {why}")]
    Occupied {
        /// The name at the top of the folder.
        name: String,
        /// What is there.
        why: &'static str,
    },
    /// The system refused.
    #[error("{deed} `{name}`: {source}")]
    Tree {
        /// What was tried.
        deed: &'static str,
        /// On what.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

/// An open staging folder.
#[derive(Debug)]
pub(crate) struct Staging {
    dir: OwnedFd,
    name: String,
}

impl Staging {
    /// Makes the folder and the one for the new content, which is given too.
    pub(crate) fn create(root: BorrowedFd<'_>, run: &RunName) -> Result<(Self, OwnedFd), StagingError> {
        Self::create_for(root, run, NEW)
    }

    /// Makes the folder and one of this name in it, which is given too.
    pub(crate) fn create_for(
        root: BorrowedFd<'_>,
        run: &RunName,
        inner: &[u8],
    ) -> Result<(Self, OwnedFd), StagingError> {
        let staging = Self::create_bare(root, run)?;
        let inner = beneath::make_folder(staging.fd(), inner).map_err(|e| staging.failed("prepare", e))?;
        Ok((staging, inner))
    }

    /// Makes the folder alone.
    pub(crate) fn create_bare(root: BorrowedFd<'_>, run: &RunName) -> Result<Self, StagingError> {
        let name = run.staging();
        let dir = beneath::make_folder(root, name.as_bytes()).map_err(|source| {
            if Errno::from_io_error(&source) == Some(Errno::EXIST) {
                StagingError::Occupied { name: name.clone(), why: "a restore of this run left it" }
            } else {
                StagingError::Tree { deed: "create", name: name.clone(), source }
            }
        })?;
        // Otherwise all that is made inside would inherit an ACL that the snapshot does not know.
        attributes::clear_default_acl(dir.as_fd()).map_err(|source| StagingError::Tree {
            deed: "prepare",
            name: name.clone(),
            source,
        })?;
        Ok(Self { dir, name })
    }

    /// Opens the staging folder of a run; `None` when there is none.
    pub(crate) fn open(root: BorrowedFd<'_>, run: &RunName) -> Result<Option<Self>, StagingError> {
        let name = run.staging();
        Ok(open_own(root, &name)?.map(|dir| Self { dir, name }))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Keeps the root entry for the swap.
    pub(crate) fn write_root(&self, entry: &Entry) -> Result<(), StagingError> {
        self.write_row(ROOT_ROW, entry)
    }

    /// Keeps a root entry under a name.
    pub(crate) fn write_row(&self, name: &[u8], entry: &Entry) -> Result<(), StagingError> {
        let mut row = Vec::new();
        row::put_row(&mut row, b"", entry);
        durable::replace(self.fd(), name, &row, &|_step| Ok(()))
            .map_err(|source| self.failed("write", source))
    }

    /// The root entry that the unpack kept.
    pub(crate) fn read_root(&self) -> Result<Entry, StagingError> {
        read_row(self.fd(), ROOT_ROW).map_err(|source| self.failed("read root row of", source))
    }

    pub(crate) fn failed(&self, deed: &'static str, source: io::Error) -> StagingError {
        StagingError::Tree { deed, name: self.name.clone(), source }
    }
}

/// Opens a folder of ours at the top of the target; `None` when there is none.
pub(crate) fn open_own(root: BorrowedFd<'_>, name: &str) -> Result<Option<OwnedFd>, StagingError> {
    let occupied = |why| StagingError::Occupied { name: name.to_owned(), why };
    let failed = |deed, source| StagingError::Tree { deed, name: name.to_owned(), source };
    let dir = match beneath::open_folder(root, name.as_bytes()) {
        Ok(dir) => dir,
        Err(source) => {
            return match Errno::from_io_error(&source) {
                Some(Errno::NOENT) => Ok(None),
                Some(Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => Err(occupied("it is no folder of ours")),
                _ => Err(failed("open", source)),
            };
        }
    };
    let stat = rustix::fs::fstat(&dir).map_err(|e| failed("look at", e.into()))?;
    // What others can write to is not trusted to say how far a swap is.
    if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
        return Err(occupied("it is open to others, so we did not make it"));
    }
    Ok(Some(dir))
}

/// The root entry in a file of ours.
pub(crate) fn read_row(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Entry> {
    let bytes = read_whole(dir, name, row::ROW_BYTES_MAX as u64)?;
    let first = Rows::new(&bytes).next();
    first.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?.map_err(io::Error::other)
}

/// Reads a small file of ours; more than `max` bytes is an error.
pub(crate) fn read_whole(dir: BorrowedFd<'_>, name: &[u8], max: u64) -> io::Result<Vec<u8>> {
    let file = File::from(beneath::open(dir, name, OFlags::RDONLY | OFlags::NONBLOCK)?);
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other("is too long"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(run: &str, want: bool) {
        assert_eq!(RunName::parse(run).is_ok(), want, "{run:?}");
    }

    #[test]
    fn a_run_is_part_of_one_name() {
        check("20261121T020000Z-7f3a", true);
        check("r_1.2", true);
        check("", false);
        check(".", false);
        check("..", false);
        check("../x", false);
        check("a/b", false);
        check("a\0", false);
        check("a b", false);
        check(&"x".repeat(129), false);
        let run = RunName::of_staging(b".backupd-restore-r1").unwrap();
        assert_eq!(run.staging(), ".backupd-restore-r1");
        assert_eq!(RunName::of_staging(b".backupd-previous-r1"), None);
        assert_eq!(RunName::of_staging(b".backupd-restore-\xff"), None);
        assert_eq!(RunName::of_staging(UNFINISHED), None);
    }
}
