//! What policies ask for and this version does not do. It is told when they are read, not when a run is refused for it.

use engine::usecase::cover::Policies;
use tracing::warn;

/// Tells it, policy by policy.
pub(super) fn tell(policies: &Policies) {
    for policy in policies.folder.policies() {
        if policy.terms().is_some_and(|terms| terms.consistency.set) {
            warn!(policy = policy.name, "sets are not done yet: each source is frozen by itself");
        }
    }
}
