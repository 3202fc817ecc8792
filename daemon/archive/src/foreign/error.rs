//! Why an archive was not taken.

use std::io;

use crate::channel::{Failed, FailedCause, cut_message};
use crate::path::printable;
use crate::unpack::UnpackError;
use crate::unpack::error::cause_of;

/// Why there is no tree of an archive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForeignError {
    /// It is not what it should be: cut short, damaged, or nothing that we read.
    #[error("{0}")]
    NotWhole(String),
    /// What no honest archive of a volume holds.
    #[error("refused `{member}`: {why}")]
    Hostile {
        /// The member, printable.
        member: String,
        /// What is wrong with it.
        why: String,
    },
    /// Whoever sends the archive broke off.
    #[error("the archive broke off on its way: {0}")]
    Input(#[source] io::Error),
    /// The target is not fit to be filled.
    #[error(transparent)]
    Target(UnpackError),
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

impl ForeignError {
    pub(super) fn hostile(member: &[u8], why: impl Into<String>) -> Self {
        Self::Hostile { member: cut_message(printable(member)), why: cut_message(why.into()) }
    }

    pub(super) fn tree(deed: &'static str, path: impl ToString, source: impl Into<io::Error>) -> Self {
        Self::Tree { deed, path: cut_message(path.to_string()), source: source.into() }
    }

    /// Which kind, for exit codes and hints.
    pub(crate) fn cause(&self) -> FailedCause {
        match self {
            Self::NotWhole(_) => FailedCause::Damaged,
            Self::Hostile { .. } => FailedCause::Hostile,
            Self::Input(_) => FailedCause::Channel,
            Self::Target(e) => e.cause(),
            Self::Tree { source, .. } => cause_of(source),
        }
    }

    /// As the helper reports it.
    pub(crate) fn to_failed(&self) -> Failed {
        Failed { message: self.to_string(), cause: self.cause() }
    }
}
