//! What was restored is in place, and who uses it does not run again: what is said then.

use crate::failure::Failure;
use crate::usecase::restore::{Deed, Staged};

/// Adds to the hint of what keeps containers from running that it is tried again, and what else there is to do.
pub(super) fn still_down(failure: Failure, more: &str) -> Failure {
    let next = failure.hint.as_ref().map_or_else(String::new, |hint| format!("{hint}; "));
    failure.hint(format!("{next}{TRIES_AGAIN}{more}"))
}

/// What brings back what a run left down: every verb that changes something does that first.
pub(super) const TRIES_AGAIN: &str =
    "`backupctl catalog rebuild` tries again to start them, as does whatever else changes something";

impl Deed<'_> {
    /// Who used the target does not run again. That is no word about what was restored, so that is told first.
    pub(super) fn down(&self, staged: &Staged, failure: Failure) -> Failure {
        let (snapshot, target) = (&self.plan.snapshot, &self.plan.target);
        let what =
            format!("`{snapshot}` is in `{target}`, every byte checked, but not all who use it run again");
        let kept = staged.previous.is_some() && self.plan.request.keep_previous;
        let undo = match kept {
            true => format!(
                "; `backupctl undo-restore {}` brings back what was there before",
                self.plan.request.source
            ),
            false => String::new(),
        };
        still_down(failure.within(&what), &undo)
    }
}
