//! Why a folder could not be compared with a snapshot, or what differs not be made ready. The folder is as it was.

use crate::channel::Failed;
use crate::pack::Halt;
use crate::staging::StagingError;
use crate::swap::SwapError;
use crate::unpack::UnpackError;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeltaError {
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error(transparent)]
    Swap(#[from] SwapError),
}

impl DeltaError {
    /// As the helper reports it.
    pub(crate) fn to_failed(&self) -> Failed {
        match self {
            Self::Unpack(e) => e.to_failed(),
            Self::Swap(e) => e.to_failed(),
        }
    }
}

impl From<StagingError> for DeltaError {
    fn from(error: StagingError) -> Self {
        Self::Unpack(error.into())
    }
}

impl From<Halt> for DeltaError {
    fn from(halt: Halt) -> Self {
        let cut = |why: String| Self::Unpack(UnpackError::Cut { why });
        match halt {
            Halt::Base { table, why } => Self::Unpack(UnpackError::hostile(format!("{table} table"), why)),
            Halt::Source { path, action, source } => Self::Unpack(UnpackError::tree(action, path, source)),
            Halt::Unanswered(e) => cut(format!("the tables of the snapshot cannot be asked for: {e}")),
            Halt::Scope(why) => cut(why),
            Halt::Stopped | Halt::NoPicture | Halt::Updating(_) => cut("stopped".to_owned()),
        }
    }
}
