//! What labels ask for. Two of them decide something: `backupd.policy=<name>` and `backupd.exclude=true`; and
//! `backupd.commands=true` on a container says that a recipe's programs run in it.
//!
//! Whoever may start a container writes labels, so they are hostile: a value is compared with the names of
//! policies and with `true`, and is only shown escaped and cut.
//!
//! Always true: an unclear label never takes protection away. Only `true` excludes, and a label of ours
//! that we do not know is told of.

use std::collections::BTreeMap;

use crate::complaint::{nearest, shown};

/// All labels of ours begin so.
const OURS: &str = "backupd.";

/// Selects the policy that it names.
pub const POLICY_LABEL: &str = "backupd.policy";

/// With `true`: decided that this is not backed up.
pub const EXCLUDE_LABEL: &str = "backupd.exclude";

/// With `true`, on a container: here hooks and the programs of a recipe run, whoever else uses the source.
pub const COMMANDS_LABEL: &str = "backupd.commands";

/// All labels of ours; the last two are on helper containers.
const KNOWN: [&str; 5] = [POLICY_LABEL, EXCLUDE_LABEL, COMMANDS_LABEL, "backupd.run", "backupd.owner"];

/// What one volume or container asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish<'a> {
    /// This policy.
    Policy(&'a str),
    /// To be left out.
    Exclude,
}

/// A wish and whose it is: ``volume `db-data` ``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wisher<'a> {
    pub(crate) who: String,
    pub(crate) wish: Wish<'a>,
}

/// What `labels` ask for; two wishes contradict each other.
pub(crate) fn wishes<'a>(who: &str, labels: &'a BTreeMap<String, String>) -> Vec<Wisher<'a>> {
    let policy = labels.get(POLICY_LABEL).map(|name| Wish::Policy(name));
    let exclude = labels.get(EXCLUDE_LABEL).filter(|value| *value == "true").map(|_| Wish::Exclude);
    policy.into_iter().chain(exclude).map(|wish| Wisher { who: who.to_owned(), wish }).collect()
}

/// Labels that were meant for us and mean nothing, in words.
pub(crate) fn strange(who: &str, labels: &BTreeMap<String, String>) -> Vec<String> {
    const NOTES_MAX: usize = 8;
    let mut notes = Vec::new();
    for (label, value) in labels.range(OURS.to_owned()..) {
        if !label.starts_with(OURS) || notes.len() == NOTES_MAX {
            break;
        }
        if !KNOWN.contains(&label.as_str()) {
            let ours = |label: &'static str| label.strip_prefix(OURS);
            let near = nearest(&label[OURS.len()..], KNOWN[..3].iter().copied().filter_map(ours));
            let meant = near.map_or(String::new(), |known| format!("; did you mean `{OURS}{known}`?"));
            notes.push(format!("{who} has label `{}`, which means nothing{meant}", shown(label)));
        } else if label == EXCLUDE_LABEL && !matches!(value.as_str(), "true" | "false") {
            let value = shown(value);
            notes.push(format!(
                "{who} has label `{EXCLUDE_LABEL}={value}`, which excludes nothing; only `true` does"
            ));
        }
    }
    notes
}
