//! Why a restore stopped.
//!
//! A restore fails closed: the first of these ends it, and nothing of it is swapped in.

use std::io;

use rustix::io::Errno;

use crate::channel::{Failed, FailedCause, cut_message};

/// Why a tree could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Rows or frames that no honest backup contains.
    #[error("refused `{path}`: {why}")]
    Hostile {
        /// The path, printable; the record's kind where no path is known yet.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A frame is not what was stored.
    #[error("content of `{path}` is damaged: {why}")]
    Damaged {
        /// The first file that the frame fills, printable.
        path: String,
        /// What is wrong with the frame.
        why: String,
    },
    /// Something is in the way.
    #[error("{what}")]
    Occupied {
        /// What and where.
        what: String,
    },
    /// The stream is not what its end says.
    #[error("restore stream is not whole: {why}")]
    Cut {
        /// Which promise was broken.
        why: String,
    },
    /// The target could not be written.
    #[error("{deed} `{path}`: {source}")]
    Tree {
        /// What was tried.
        deed: &'static str,
        /// Where, printable.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl UnpackError {
    /// Which kind, for exit codes and hints.
    pub fn cause(&self) -> FailedCause {
        match self {
            Self::Hostile { .. } => FailedCause::Hostile,
            Self::Damaged { .. } => FailedCause::Damaged,
            Self::Occupied { .. } => FailedCause::Occupied,
            Self::Cut { .. } => FailedCause::Channel,
            Self::Tree { source, .. } => cause_of(source),
        }
    }

    /// As the helper reports it.
    pub fn to_failed(&self) -> Failed {
        Failed { message: self.to_string(), cause: self.cause() }
    }

    pub(crate) fn hostile(path: impl ToString, why: impl Into<String>) -> Self {
        Self::Hostile { path: cut_message(path.to_string()), why: cut_message(why.into()) }
    }

    pub(crate) fn tree(deed: &'static str, path: impl ToString, source: impl Into<io::Error>) -> Self {
        Self::Tree { deed, path: cut_message(path.to_string()), source: source.into() }
    }
}

/// The cause that an error of the system stands for.
pub(crate) fn cause_of(error: &io::Error) -> FailedCause {
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => FailedCause::Full,
        Some(Errno::ROFS) => FailedCause::ReadOnly,
        // Everything was made exclusively, so whoever stands there came in between or folds case.
        Some(Errno::EXIST) => FailedCause::Occupied,
        // A path of ours holds no links and crosses no mounts; somebody is swapping folders under us.
        Some(Errno::LOOP | Errno::XDEV | Errno::NOTDIR) => FailedCause::Hostile,
        _ => FailedCause::Tree,
    }
}
