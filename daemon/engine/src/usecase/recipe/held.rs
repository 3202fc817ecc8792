//! Modes `pause` and `stop`: those who write stand still while what changed is read, and nothing is asked of them.
//!
//! Always true: what cannot be held is refused before anything is read, or read live where the policy allows it.

use async_trait::async_trait;

use crate::catalog::How;
use crate::failure::Failure;
use crate::format::manifest::Consistency;
use crate::usecase::backup::Deed;
use crate::usecase::freeze::{refusal, writers};
use crate::usecase::recipe::{Recipe, Second};

/// Writers are held, and that is all.
pub(super) struct Held {
    how: How,
}

impl Held {
    pub(super) fn by(how: How) -> Self {
        Self { how }
    }
}

#[async_trait]
impl Recipe for Held {
    async fn begin(&mut self, deed: &Deed<'_>) -> Result<(), Failure> {
        match writers(deed.source).iter().find_map(|container| refusal(container, &self.how)) {
            None => Ok(()),
            Some(why) => Err(Failure::failed(why)),
        }
    }

    fn second(&self) -> Second {
        Second::Held(self.how.clone())
    }

    fn consistency(&self) -> Consistency {
        match self.how {
            How::Stop => Consistency::Stopped,
            How::Pause | How::Hooks { .. } | How::Redis { .. } => Consistency::Paused,
        }
    }

    fn may_be_live(&self) -> bool {
        true
    }
}
