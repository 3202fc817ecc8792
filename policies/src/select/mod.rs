//! Selection: which policy a source has, if any, and why.
//!
//! Three voices are heard, one after the other, and the first that says anything decides: the labels of the
//! volume, the labels of the containers that use it, and the policies' own `[select]`. Within one voice
//! nothing outranks anything: two that disagree are a [`Verdict::Clash`], and the source is unprotected
//! until somebody settles it. `rest = true` is heard last of all.
//!
//! Always true: every source gets exactly one verdict, whatever its labels say, and every reason is a
//! sentence that can be printed.

mod claim;
mod glob;
mod label;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub(crate) use claim::claimed_in_bulk;
pub use claim::{LabelTest, Select};
pub use glob::{Glob, Globs};
pub use label::{COMMANDS_LABEL, EXCLUDE_LABEL, POLICY_LABEL};
pub use source::{Source, SourceKind, User};

use crate::complaint::{nearest, shown};
use crate::policy::{Folder, Policy, Rule};
use label::{Wish, Wisher, strange, wishes};

/// What was decided about one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This policy backs it up.
    Chosen {
        /// Its name.
        policy: String,
        /// The reason.
        why: String,
    },
    /// Somebody decided that it is not backed up.
    DecidedNot {
        /// Who, and with which reason.
        why: String,
    },
    /// Nobody said anything.
    Unprotected {
        /// What to do about it.
        why: String,
    },
    /// An error: more than one claims it. It is not backed up.
    Clash {
        /// The policies that do, by name; one alone clashes with an exclusion.
        policies: Vec<String>,
        /// Who says what.
        why: String,
    },
    /// An error: a label names a policy that does not exist. It is not backed up.
    UnknownPolicy {
        /// What the label says, escaped and cut.
        label: String,
        /// Whose label, and the nearest name that exists.
        why: String,
    },
}

/// A source and what was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// Which source.
    pub source: &'a Source,
    /// What.
    pub verdict: Verdict,
    /// What else somebody should know: labels that were meant for us and mean nothing.
    pub notes: Vec<String>,
}

/// A policy names something that is not among the sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The policy.
    pub policy: String,
    /// What it names, in words.
    pub why: String,
}

/// Decides about every source; the order of `sources` is kept.
pub fn choose<'a>(folder: &Folder, sources: &'a [Source]) -> Vec<Outcome<'a>> {
    let outcome = |source: &'a Source| {
        let mut notes = strange(&format!("volume `{}`", shown(&source.name)), &source.labels);
        for user in &source.users {
            notes.extend(strange(&format!("container `{}`", shown(&user.container)), &user.labels));
        }
        Outcome { source, verdict: decide(folder, source), notes }
    };
    sources.iter().map(outcome).collect()
}

/// What policies name, one thing each, that no source is: a volume that was lost looks like this, and so
/// does a folder of policies that other hosts share.
pub fn missing(folder: &Folder, sources: &[Source]) -> Vec<Missing> {
    let mut all = Vec::new();
    for policy in folder.policies() {
        for (key, name) in policy.select.literals() {
            let there = sources.iter().any(|source| match key {
                "volumes" => source.kind == SourceKind::Volume && source.name == name,
                "paths" => matches!(&source.kind, SourceKind::Folder { path } if path == name),
                _ => source.users.iter().any(|user| format!("{}:{}", user.container, user.at) == name),
            });
            if !there {
                let why = format!("`{key}` names `{}`, which is not a source on this host", shown(name));
                all.push(Missing { policy: policy.name.clone(), why });
            }
        }
    }
    all
}

fn decide(folder: &Folder, source: &Source) -> Verdict {
    let own = wishes(&format!("volume `{}`", shown(&source.name)), &source.labels);
    let wished = if own.is_empty() { source.users.iter().flat_map(users_wishes).collect() } else { own };
    match wished.first() {
        Some(first) => by_label(folder, first, &wished),
        None => by_claim(folder, source),
    }
}

fn users_wishes(user: &User) -> Vec<Wisher<'_>> {
    wishes(&format!("container `{}`", shown(&user.container)), &user.labels)
}

fn by_label(folder: &Folder, first: &Wisher<'_>, all: &[Wisher<'_>]) -> Verdict {
    if all.iter().any(|other| other.wish != first.wish) {
        let names = all.iter().filter_map(|wisher| match wisher.wish {
            Wish::Policy(name) => Some(shown(name)),
            Wish::Exclude => None,
        });
        let said: BTreeSet<String> = all.iter().map(said).collect();
        let why = format!("{}; leave one of these labels", join(said));
        return Verdict::Clash { policies: names.collect::<BTreeSet<_>>().into_iter().collect(), why };
    }
    match first.wish {
        Wish::Exclude => Verdict::DecidedNot { why: said(first) },
        Wish::Policy(name) => match folder.find(name) {
            Some(policy) => verdict_of(policy, &said(first)),
            None => unknown(folder, name, first),
        },
    }
}

fn said(wisher: &Wisher<'_>) -> String {
    match wisher.wish {
        Wish::Policy(name) => format!("{} has label `{POLICY_LABEL}={}`", wisher.who, shown(name)),
        Wish::Exclude => format!("{} has label `{EXCLUDE_LABEL}=true`", wisher.who),
    }
}

fn unknown(folder: &Folder, name: &str, wisher: &Wisher<'_>) -> Verdict {
    let names = folder.policies().iter().map(|policy| policy.name.as_str());
    let mend = match nearest(name, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if folder.policies().is_empty() => "there are no policies at all".to_owned(),
        None => format!("there are `{}`", names.collect::<Vec<_>>().join("`, `")),
    };
    let why = format!("{}, but there is no policy of that name; {mend}", said(wisher));
    Verdict::UnknownPolicy { label: shown(name), why }
}

fn by_claim(folder: &Folder, source: &Source) -> Verdict {
    let claims: Vec<(&Policy, String)> =
        folder.policies().iter().filter_map(|policy| Some((policy, policy.select.claims(source)?))).collect();
    match claims.as_slice() {
        [(policy, why)] => verdict_of(policy, why),
        [] => match folder.policies().iter().find(|policy| policy.select.rest) {
            Some(policy) if claimed_in_bulk(source) => {
                verdict_of(policy, "no other policy claims it, and `rest` is true")
            }
            Some(_) | None => Verdict::Unprotected { why: unprotected(source) },
        },
        several => {
            let said =
                several.iter().map(|(policy, why)| format!("policy `{}` claims it: {why}", policy.name));
            let why = format!(
                "{}; narrow one `[select]`, or label the source `{POLICY_LABEL}=<name>`",
                said.collect::<Vec<_>>().join("; ")
            );
            Verdict::Clash { policies: several.iter().map(|(policy, _)| policy.name.clone()).collect(), why }
        }
    }
}

fn verdict_of(policy: &Policy, why: &str) -> Verdict {
    match &policy.rule {
        Rule::BackUp(_) => Verdict::Chosen { policy: policy.name.clone(), why: why.to_owned() },
        Rule::Nothing { because } => Verdict::DecidedNot {
            why: format!("policy `{}` says nothing to back up, {because}: {why}", policy.name),
        },
    }
}

fn unprotected(source: &Source) -> String {
    if source.is_orphan() {
        return "no container uses it, and its name was made up by Docker: look inside, then give its data a \
                named volume or remove it"
            .to_owned();
    }
    format!(
        "no label and no policy asks for it: label its volume or container `{POLICY_LABEL}=<name>`, name it \
         in a policy's `[select]`, or decide against it with `nothing = \"because …\"`"
    )
}

fn join(said: BTreeSet<String>) -> String {
    const SHOWN_MAX: usize = 6;
    let more = said.len().saturating_sub(SHOWN_MAX);
    let end = if more == 0 { String::new() } else { format!(", and {more} more") };
    format!("{}{end}", said.into_iter().take(SHOWN_MAX).collect::<Vec<_>>().join(", "))
}
