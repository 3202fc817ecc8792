//! How far a swap is, kept durably in the staging folder.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::durable::{self, Step};
use crate::staging::read_whole;

/// Name of the journal.
pub(crate) const JOURNAL: &[u8] = b"journal";

/// It holds two short fields.
const JOURNAL_BYTES_MAX: u64 = 4096;

/// How far a swap is. Each phase can be run again from its start, whatever of it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// The new content is whole and on the disk; the old one is where it was.
    Staged,
    /// Old entries go from the root to `old`; nothing of the new content is in the root yet.
    MovingOut,
    /// New entries go from `new` to the root; nothing of the old content is in the root any more.
    MovingIn,
    /// The log of a delta restore is whole and on the disk, and so is all that it names; nothing of it was done.
    Logged,
    /// What the log says is being done.
    Applying,
    /// The new content of some places is whole and on the disk; the old one is where it was.
    PlacesStaged,
    /// Old entries go from their places to `old`; nothing of the new content is in any place yet.
    PlacesOut,
    /// New entries go from `new` to their places; nothing of the old content is in any place any more.
    PlacesIn,
    /// One could not, so those that did go back to `new`; then it goes on as from `PlacesOut`.
    PlacesBack,
    /// The new content is in place; what is left is to clean up.
    Done,
}

impl Phase {
    /// Whether the swap has to be finished.
    pub(crate) fn is_begun(self) -> bool {
        match self {
            Self::Staged | Self::Logged | Self::PlacesStaged => false,
            Self::MovingOut
            | Self::MovingIn
            | Self::Applying
            | Self::PlacesOut
            | Self::PlacesIn
            | Self::PlacesBack
            | Self::Done => true,
        }
    }
}

/// The journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    pub(crate) phase: Phase,
    /// What was decided when the swap began; a later run of it keeps to that.
    pub(crate) keep_previous: bool,
}

impl Journal {
    /// Replaces the journal durably.
    pub(crate) fn write(self, staging: BorrowedFd<'_>, step: Step<'_>) -> io::Result<()> {
        let bytes = serde_json::to_vec(&self).map_err(io::Error::other)?;
        durable::replace(staging, JOURNAL, &bytes, step)
    }

    /// The journal; `None` while the unpack was not complete.
    pub(crate) fn read(staging: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        match read_whole(staging, JOURNAL, JOURNAL_BYTES_MAX) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).map_err(io::Error::other)?)),
            Err(e) if Errno::from_io_error(&e) == Some(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }
}
