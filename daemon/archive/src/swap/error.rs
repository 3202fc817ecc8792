//! Why a swap stopped, and what holds then.

use std::io;

use crate::channel::{Failed, FailedCause};
use crate::staging::StagingError;
use crate::unpack::error::cause_of;

/// Why a staged tree was not swapped in or discarded.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// The staging folder cannot be used; nothing was changed.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The unpack did not come to its end; nothing was changed.
    #[error("what is staged in `{name}` is not whole")]
    NotWhole {
        /// The staging folder.
        name: String,
    },
    /// Something at the top cannot be moved; nothing was changed.
    #[error("`{path}` cannot be moved out of the way: {why}")]
    Fixed {
        /// Which entry, printable.
        path: String,
        /// What holds it.
        why: &'static str,
    },
    /// The swap has begun, so it can only be finished.
    #[error("the swap of `{name}` has begun and must be finished")]
    Begun {
        /// The staging folder.
        name: String,
    },
    /// The system refused. Before the swap began, or if it was undone, the old content is in place; otherwise
    /// running the swap again finishes it.
    #[error("{deed} `{path}`: {source}")]
    Tree {
        /// What was tried.
        deed: &'static str,
        /// On what, printable.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing could be moved out, and all is where it was.
    #[error("moved everything back, since {0}")]
    Undone(Box<Self>),
    /// A test stopped here, as a crash would.
    #[error("stopped at {0}")]
    Stopped(String),
}

impl SwapError {
    /// Which kind, for exit codes and hints.
    pub fn cause(&self) -> FailedCause {
        match self {
            Self::Staging(StagingError::BadRun) => FailedCause::Channel,
            Self::Staging(StagingError::Tree { source, .. }) | Self::Tree { source, .. } => cause_of(source),
            Self::Staging(StagingError::Occupied { .. })
            | Self::NotWhole { .. }
            | Self::Fixed { .. }
            | Self::Begun { .. } => FailedCause::Occupied,
            Self::Undone(why) => why.cause(),
            Self::Stopped(_) => FailedCause::Tree,
        }
    }

    /// As the helper reports it.
    pub fn to_failed(&self) -> Failed {
        Failed { message: self.to_string(), cause: self.cause() }
    }

    pub(crate) fn tree(deed: &'static str, path: impl ToString, source: impl Into<io::Error>) -> Self {
        Self::Tree { deed, path: path.to_string(), source: source.into() }
    }
}
