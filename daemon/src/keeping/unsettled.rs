//! Sources that somebody meant to be backed up, and that no run will ever come for.

use engine::usecase::cover::Cover;
use policies::select::Verdict;

/// A line for each source that two policies claim, or whose label names a policy that is not there.
pub(super) fn unsettled(cover: &Cover) -> Vec<String> {
    let outcomes = cover.outcomes();
    let told = outcomes.iter().filter_map(|outcome| match &outcome.verdict {
        Verdict::Clash { why, .. } | Verdict::UnknownPolicy { why, .. } => {
            Some(format!("`{}` is not backed up: {why}", outcome.source.name))
        }
        Verdict::Chosen { .. } | Verdict::DecidedNot { .. } | Verdict::Unprotected { .. } => None,
    });
    told.collect()
}
