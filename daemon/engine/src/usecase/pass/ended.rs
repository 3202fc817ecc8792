//! Why a pass came to nothing.

use crate::failure::Failure;
use crate::pipeline::channel::ChannelError;
use crate::pipeline::reading::ReadError;
use crate::port::store::Upload;
use crate::usecase::blame;
use crate::usecase::job::Session;
use crate::usecase::pass::abort;

/// See the module.
pub(in crate::usecase) enum Ended {
    Failed(Failure),
    /// What it leans on cannot be read.
    BaseLost(ReadError),
    /// A file is in the middle of an update.
    Amid(Amid),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Ended {
    /// As what ends a run that cannot do without; `leaning` is what it was about where what it leans on cannot be read.
    pub(in crate::usecase) async fn failure(self, leaning: impl FnOnce() -> String) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::BaseLost(e) => blame::read(leaning(), e),
            Self::Amid(amid) => amid.clear().await,
        }
    }
}

/// A pass for which somebody was held in the middle of an update. What there is of it is cleared away once they were let go.
pub(in crate::usecase) struct Amid {
    pub(super) why: ChannelError,
    pub(super) session: Session,
    pub(super) upload: Box<dyn Upload>,
}

impl Amid {
    /// Removes helper and upload, and says which file it was.
    pub(in crate::usecase) async fn clear(self) -> Failure {
        abort(self.upload).await;
        self.session.broke(self.why).await
    }
}
