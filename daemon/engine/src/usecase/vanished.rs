//! Sources that a policy backed up and that are not there any more: a lost disk, a typo in a compose file, or what
//! somebody wanted. Only a person can tell, so it is an alarm until one does.
//!
//! A source has **vanished** if the ledger knows it under a policy that still backs something up, and either it is
//! not on the host, or it was asked for by a label and nothing asks for it any more, as when the labelled container
//! is gone and its volume stayed. It is missed if a label asked for it or a snapshot of it is kept. It ends when the
//! source is back under a policy or decided against, when its policy is gone, or with `backupctl acknowledge`.
//!
//! Always true: what is away for less than five minutes is no alarm, for containers are made anew all the time; what
//! is missed is not forgotten by the ledger before it ends, and what is not missed is, so it does not grow for ever.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use policies::policy::Policy;
use policies::select::{Outcome, Verdict};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::usecase::cover::Cover;
use crate::usecase::health::backed_up;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::ledger::{Entry, Ledger};
use crate::usecase::state_file::{read, write};
use crate::words::SourceName;

/// So long something may be away.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// So long the slots of a source that nobody misses are remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A source that has vanished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vanished {
    /// Which.
    pub source: String,
    /// The policy that it was under.
    pub policy: String,
    /// Since when, as far as anybody looked.
    pub since: Timestamp,
}

impl Vanished {
    /// What somebody must know of it, in words.
    pub fn alarm(&self) -> String {
        let Self { source, policy, .. } = self;
        format!(
            "`{source}` is not there any more, and policy `{policy}` backs it up; if that is meant, \
             `backupctl acknowledge {source}`"
        )
    }
}

/// What people have acknowledged, and when. A file of its own: the ledger is the daemon's.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Meant {
    sources: BTreeMap<SourceName, Timestamp>,
}

const FILE: &str = "meant.json";

impl Meant {
    fn read(host: &Host) -> Result<Self, Failure> {
        read(host, FILE, "what vanished is an alarm again until it is acknowledged")
    }

    /// What was acknowledged at a time that has not come, by a clock that was ahead, would let go of all that vanishes
    /// until then.
    fn covers(&self, source: &SourceName, entry: &Entry, now: Timestamp) -> bool {
        let heard = self.sources.get(source).filter(|at| at.duration_since(now) <= PATIENCE);
        entry.gone.is_some_and(|gone| heard.is_some_and(|at| *at >= gone))
    }
}

/// What the ledger is held against.
struct Facts {
    meant: Meant,
    /// Sources of which a snapshot is kept.
    kept: BTreeSet<SourceName>,
    now: Timestamp,
}

impl Facts {
    fn of(host: &Host) -> Result<Self, Failure> {
        let kept = host.catalog().latest_snapshots(&host.settings().host, None);
        let kept = kept.map_err(|e| catalog_failure("look up what was backed up", e))?;
        let kept = kept.into_values().flat_map(BTreeMap::into_keys).collect();
        Ok(Self { meant: Meant::read(host)?, kept, now: host.clock().now() })
    }

    fn is_missed(&self, source: &SourceName, entry: &Entry) -> bool {
        entry.gone.is_some() && (entry.labelled || self.kept.contains(source))
    }
}

/// Brings the ledger up to date with a look at the host, and says whether that changed anything.
pub fn note(host: &Host, cover: &Cover, ledger: &mut Ledger) -> Result<bool, Failure> {
    let before = ledger.clone();
    bring_up(ledger, cover, &Facts::of(host)?);
    Ok(*ledger != before)
}

fn bring_up(ledger: &mut Ledger, cover: &Cover, facts: &Facts) {
    let now = facts.now;
    let covered: BTreeMap<SourceName, &Policy> =
        backed_up(cover).into_iter().map(|(source, policy, _)| (source, policy)).collect();
    let outcomes: BTreeMap<String, Outcome<'_>> =
        cover.outcomes().into_iter().map(|outcome| (outcome.source.name.clone(), outcome)).collect();
    for (source, entry) in &mut ledger.sources {
        let outcome = outcomes.get(&source.to_string());
        if let Some(policy) = covered.get(source) {
            policy.name.clone_into(&mut entry.policy);
            entry.labelled = outcome.is_some_and(|outcome| outcome.source.is_labelled());
            entry.gone = None;
        } else if is_gone(entry, outcome, cover) {
            // By a clock that was ahead, it goes in ten years.
            entry.gone = Some(entry.gone.map_or(now, |gone| gone.min(now)));
        } else {
            entry.gone = None;
        }
    }
    ledger.sources.retain(|source, entry| {
        let fresh = now.duration_since(entry.dealt_with) < REMEMBERED;
        let wanted =
            covered.contains_key(source) || facts.is_missed(source, entry) || cover.is_lost(&entry.policy);
        !facts.meant.covers(source, entry, now) && (wanted || fresh)
    });
}

fn is_gone(entry: &Entry, outcome: Option<&Outcome<'_>>, cover: &Cover) -> bool {
    let kept_up = cover.policy(&entry.policy).and_then(Policy::terms).is_some();
    kept_up
        && match outcome.map(|outcome| &outcome.verdict) {
            None => true,
            Some(Verdict::Unprotected { .. }) => entry.labelled,
            // Told in words of its own, or somebody's decision.
            Some(
                Verdict::Chosen { .. }
                | Verdict::DecidedNot { .. }
                | Verdict::Clash { .. }
                | Verdict::UnknownPolicy { .. },
            ) => false,
        }
}

/// What has vanished, in the order of names.
pub fn vanished(host: &Host, cover: &Cover, ledger: &Ledger) -> Result<Vec<Vanished>, Failure> {
    Ok(missed(cover, ledger, &Facts::of(host)?))
}

fn missed(cover: &Cover, ledger: &Ledger, facts: &Facts) -> Vec<Vanished> {
    let mut today = ledger.clone();
    bring_up(&mut today, cover, facts);
    today.sources.retain(|source, entry| facts.is_missed(source, entry));
    let missed = today.sources.into_iter().filter_map(|(source, entry)| {
        let since = entry.gone.filter(|gone| facts.now.duration_since(*gone) >= PATIENCE)?;
        Some(Vanished { source: source.to_string(), policy: entry.policy, since })
    });
    missed.collect()
}

/// Says that a source is gone for good; whether it was missed. The daemon hears it at its next look.
pub fn let_go(host: &Host, source: &SourceName) -> Result<bool, Failure> {
    let ledger = Ledger::read(host)?;
    if ledger.sources.get(source).is_none_or(|entry| entry.gone.is_none()) {
        return Ok(false);
    }
    let mut meant = Meant::read(host)?;
    // What the ledger has let go is dealt with.
    meant.sources.retain(|source, _| ledger.sources.contains_key(source));
    meant.sources.insert(source.clone(), host.clock().now());
    write(host, FILE, &meant)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
