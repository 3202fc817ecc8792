//! Policies, as they are read at the start and again whenever somebody asks.
//!
//! Always true: they change as a whole or not at all. Where there were some and none is left, they were lost: whoever wants
//! nothing to be backed up says so in a policy.

use engine::failure::Failure;
use engine::usecase::cover::{Policies, policies};
use engine::usecase::stores::named;
use tracing::info;

use super::Keeping;

impl Keeping {
    /// Reads the policies again: all of them, or none.
    pub(crate) fn reload(&mut self) {
        let read = policies(&self.places)
            .map_err(Failure::from)
            .and_then(|policies| self.still_there(policies))
            .and_then(|policies| named(&self.host, Some(&policies.folder)).map(|_stores| policies));
        match read {
            Ok(policies) => {
                info!("policies read: {}", policies.folder.policies().len());
                self.policies = policies;
                self.refused = None;
                self.teller.policies_changed();
            }
            Err(bad) => {
                let holds = match self.policies.is_empty() {
                    true => "the policies are bad, and nothing is backed up until they are good",
                    false => "the policies are bad, so what held before still holds",
                };
                let failure = bad.within(holds);
                let words = failure.to_string();
                if self.refused.as_ref() != Some(&words) {
                    self.alarm(&words);
                }
                self.refused = Some(words);
            }
        }
    }

    /// None was good since this process began.
    pub(super) fn has_none(&self) -> bool {
        self.refused.is_some() && self.policies.is_empty()
    }

    /// A folder that was read once and is gone, or is empty, is one that is being replaced, or lost: what stands in for a
    /// folder that nobody has would leave its sources without protection, silently.
    fn still_there(&self, read: Policies) -> Result<Policies, Failure> {
        let folder = self.places.policies.display();
        if read.shipped && !self.policies.shipped && !self.policies.is_empty() {
            return Err(Failure::not_found(format!("there is no folder of policies `{folder}` any more"))
                .hint("put it back; if that is meant, start the service again"));
        }
        // An earlier process had some where the ledger has sources.
        let had_some = !self.policies.is_empty() || !self.ledger.sources.is_empty();
        if read.is_empty() && had_some {
            return Err(Failure::not_found(format!("there is no policy in `{folder}` any more")).hint(
                "put them back; if nothing is to be backed up any more, a policy says so: `nothing = \"…\"`",
            ));
        }
        Ok(read)
    }
}
