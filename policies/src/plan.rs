//! What a change of policies would change: two folders over the same sources, compared by name.
//!
//! Always true: a source is named exactly if what holds for it differs, so an empty plan means that
//! every source is covered as before, though perhaps on other terms: those are [`Plan::edited`].

use std::fmt;

use crate::policy::{Folder, Policy};
use crate::select::{Source, Verdict, choose};

/// The comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Sources whose standing changes, in the order in which they were given.
    pub changes: Vec<Change>,
    /// Policies that only the new folder has.
    pub added: Vec<String>,
    /// Policies that only the old folder had.
    pub removed: Vec<String>,
    /// Policies of both that say other things than before.
    pub edited: Vec<String>,
}

/// A source whose standing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub source: String,
    /// What held.
    pub before: Verdict,
    /// What would hold.
    pub after: Verdict,
}

/// What a change means for whoever owns the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It would be backed up, and was not.
    Starts,
    /// It would be backed up no more.
    Stops,
    /// Another policy would back it up.
    Moves,
    /// It was not and would not be backed up, for another reason.
    Stays,
}

impl Change {
    /// What it means.
    pub fn effect(&self) -> Effect {
        match (policy(&self.before), policy(&self.after)) {
            (None, Some(_)) => Effect::Starts,
            (Some(_), None) => Effect::Stops,
            (Some(_), Some(_)) => Effect::Moves,
            (None, None) => Effect::Stays,
        }
    }
}

/// Compares what `before` and `after` decide about `sources`.
pub fn plan(before: &Folder, after: &Folder, sources: &[Source]) -> Plan {
    let (old, new) = (choose(before, sources), choose(after, sources));
    let differs = |old: &Verdict, new: &Verdict| {
        policy(old) != policy(new) || std::mem::discriminant(old) != std::mem::discriminant(new)
    };
    let changes = old.into_iter().zip(new).filter(|(old, new)| differs(&old.verdict, &new.verdict)).map(
        |(old, new)| Change { source: old.source.name.clone(), before: old.verdict, after: new.verdict },
    );
    let only_in = |one: &Folder, other: &Folder| {
        let gone = one.policies().iter().filter(|policy| other.find(&policy.name).is_none());
        gone.map(|policy| policy.name.clone()).collect()
    };
    let edited = |old: &&Policy| after.find(&old.name).is_some_and(|new| new != *old);
    Plan {
        changes: changes.collect(),
        added: only_in(after, before),
        removed: only_in(before, after),
        edited: before.policies().iter().filter(edited).map(|policy| policy.name.clone()).collect(),
    }
}

/// The policy that backs it up, if one does.
fn policy(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Chosen { policy, .. } => Some(policy),
        Verdict::DecidedNot { .. }
        | Verdict::Unprotected { .. }
        | Verdict::Clash { .. }
        | Verdict::UnknownPolicy { .. } => None,
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = crate::complaint::shown(&self.source);
        match (policy(&self.before), policy(&self.after)) {
            (Some(old), Some(new)) => write!(f, "`{source}` moves from policy `{old}` to `{new}`"),
            (None, Some(new)) => write!(f, "`{source}` starts to be backed up, by policy `{new}`"),
            (Some(old), None) => {
                write!(f, "`{source}` stops being backed up by policy `{old}`: {}", reason(&self.after))
            }
            (None, None) => write!(f, "`{source}` is still not backed up: {}", reason(&self.after)),
        }
    }
}

fn reason(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Chosen { why, .. } | Verdict::DecidedNot { why } | Verdict::Unprotected { why } => {
            why.clone()
        }
        Verdict::Clash { why, .. } => format!("several claim it; {why}"),
        Verdict::UnknownPolicy { why, .. } => why.clone(),
    }
}

#[cfg(test)]
mod tests;
