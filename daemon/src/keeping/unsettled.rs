//! Sources that somebody meant to be backed up, and that no run will ever come for.

use engine::usecase::cover::Cover;
use engine::usecase::ledger::Ledger;
use policies::select::{Outcome, Verdict};

/// A source that is not backed up, though somebody wants it to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsettled {
    pub(crate) source: String,
    /// The policy that it was under, or one of those that want it; empty where there is none.
    pub(crate) policy: String,
    /// What is wrong, for people.
    pub(crate) text: String,
}

/// Each source that two policies claim, whose label names a policy that is not there, or whose policy went with the
/// folder of all policies.
pub(super) fn unsettled(cover: &Cover, ledger: &Ledger) -> Vec<Unsettled> {
    let one = |outcome: &Outcome<'_>| {
        let source = outcome.source.name.clone();
        let known = source.parse().ok().and_then(|name| ledger.sources.get(&name));
        let known = known.map(|entry| entry.policy.clone());
        let (policy, text) = match &outcome.verdict {
            Verdict::Clash { policies, why } => {
                let policy = known.or_else(|| policies.first().cloned()).unwrap_or_default();
                (policy, format!("`{source}` is not backed up: {why}"))
            }
            Verdict::UnknownPolicy { why, .. } => {
                (known.unwrap_or_default(), format!("`{source}` is not backed up: {why}"))
            }
            Verdict::Unprotected { .. } => {
                let policy = known.filter(|policy| cover.is_lost(policy))?;
                let text = format!(
                    "`{source}` is not backed up any more: its policy `{policy}` went with the folder of policies; put \
                     that back, or make one that holds what is wanted now"
                );
                (policy, text)
            }
            Verdict::Chosen { .. } | Verdict::DecidedNot { .. } => return None,
        };
        Some(Unsettled { source, policy, text })
    };
    cover.outcomes().iter().filter_map(one).collect()
}
