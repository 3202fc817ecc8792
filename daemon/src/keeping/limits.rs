//! What policies ask for and this version does not do. It is told when they are read, not when a run is refused for it.

use engine::usecase::cover::Policies;
use policies::policy::{Consistency, Mode, OnUnfreezable};
use tracing::warn;

/// Tells it, policy by policy.
pub(super) fn tell(policies: &Policies) {
    for policy in policies.folder.policies() {
        let Some(terms) = policy.terms() else { continue };
        let Consistency { mode, on_unfreezable, set, .. } = terms.consistency;
        let instead = match on_unfreezable {
            OnUnfreezable::Refuse => "its sources are refused while somebody writes to them",
            OnUnfreezable::Live => "files are read while writers run",
        };
        match mode {
            Mode::Live | Mode::Pause | Mode::Stop => {}
            Mode::Hooks | Mode::Postgres | Mode::Mysql | Mode::Redis | Mode::Rrd => {
                warn!(policy = policy.name, "mode `{}` is not done yet: {instead}", mode.word());
            }
        }
        if set {
            warn!(policy = policy.name, "sets are not done yet: each source is frozen by itself");
        }
    }
}
