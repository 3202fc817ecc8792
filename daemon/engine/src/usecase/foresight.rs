//! What other policies would bring with time: when a source would run next, where its snapshots would go to, and which
//! of them would be deleted.
//!
//! Always true: looking changes nothing, and a source is named only where the two differ. Docker is not asked; a
//! store is only where some source would be kept there for another time than now.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use policies::retention::Keep;
use policies::schedule::{Due, Jitter, Standing, decide};
use serde::Serialize;

use policies::policy::Terms;

use crate::failure::Failure;
use crate::usecase::cover::Cover;
use crate::usecase::health::{backed_up, jitter_of};
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::retention::{Action, retention, sources};
use crate::usecase::rule::rule_of;
use crate::usecase::stores::host_for;
use crate::words::SourceName;

/// What would be different.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Foresight {
    /// Sources that would run at another time.
    pub runs: Vec<NextRun>,
    /// Sources whose snapshots would go to another store.
    pub moves: Vec<Move>,
    /// Sources that would lose snapshots.
    pub expires: Vec<Expiry>,
}

/// Where the snapshots of a source go to. Those that there are stay where they are, and nothing prunes them any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Which.
    pub source: SourceName,
    /// The store as things are.
    pub now: String,
    /// As they would be.
    pub then: String,
}

/// When a source runs next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NextRun {
    /// Which.
    pub source: SourceName,
    /// As things are; `None` is never.
    pub now: Option<Timestamp>,
    /// As they would be.
    pub then: Option<Timestamp>,
}

/// What a source would lose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expiry {
    /// Which.
    pub source: SourceName,
    /// Their ids, the newest first.
    pub snapshots: Vec<String>,
}

/// Compares what `before` and `after` mean for the sources of this host.
pub async fn foresee(host: &Host, before: &Cover, after: &Cover) -> Result<Foresight, Failure> {
    Ok(Foresight {
        runs: runs(host, before, after),
        moves: moves(host, before, after),
        expires: expires(host, before, after).await?,
    })
}

fn moves(host: &Host, before: &Cover, after: &Cover) -> Vec<Move> {
    let places = |cover: &Cover| -> BTreeMap<SourceName, String> {
        let place = |(source, _, terms)| (source, host_for(host, Some(terms)).store_address());
        backed_up(cover).into_iter().map(place).collect()
    };
    let (old, new) = (places(before), places(after));
    let moved = new.into_iter().filter_map(|(source, then)| {
        let now = old.get(&source).filter(|now| **now != then)?.clone();
        Some(Move { source, now, then })
    });
    moved.collect()
}

/// When `terms` start next after `from`, and the slot that this is for.
pub fn next_start(terms: &Terms, jitter: Jitter, from: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let standing = Standing { dealt_with: from, watching_since: Timestamp::MIN, running: false };
    match decide(&terms.schedule, &terms.time_zone, jitter, from, &standing) {
        Due::Wait { until, slot } => Some((until, slot)),
        Due::Run { .. } | Due::SkipOverlap { .. } | Due::ClockWasAhead { .. } | Due::Over => None,
    }
}

fn runs(host: &Host, before: &Cover, after: &Cover) -> Vec<NextRun> {
    let (old, new) = (starts(host, before), starts(host, after));
    let all: BTreeSet<&SourceName> = old.keys().chain(new.keys()).collect();
    let run = |source: &SourceName| NextRun {
        source: source.clone(),
        now: old.get(source).copied().flatten(),
        then: new.get(source).copied().flatten(),
    };
    all.into_iter().map(run).filter(|run| run.now != run.then).collect()
}

fn starts(host: &Host, cover: &Cover) -> BTreeMap<SourceName, Option<Timestamp>> {
    let name = host.settings().host.as_str();
    let start = |(source, policy, terms)| {
        let next = next_start(terms, jitter_of(name, policy, terms), host.clock().now());
        (source, next.map(|(start, _)| start))
    };
    backed_up(cover).into_iter().map(start).collect()
}

/// How long each source is kept, and in which store.
type Rules = BTreeMap<SourceName, (Option<(Keep, TimeZone)>, String)>;

fn rules(host: &Host, cover: &Cover) -> Result<Rules, Failure> {
    let rule =
        |(source, _, terms)| Ok((source, (rule_of(terms)?, host_for(host, Some(terms)).store_address())));
    backed_up(cover).into_iter().map(rule).collect()
}

async fn expires(host: &Host, before: &Cover, after: &Cover) -> Result<Vec<Expiry>, Failure> {
    let (old, mut new) = (rules(host, before)?, rules(host, after)?);
    new.retain(|source, rule| rule.0.is_some() && old.get(source) != Some(rule));
    let stores: BTreeSet<String> = new.values().map(|(_, store)| store.clone()).collect();
    let mut expiries = Vec::new();
    for store in stores {
        let at = host.at(&store);
        if at.is_new_folder_store() {
            continue;
        }
        let stored = match sources(&at).await {
            Ok(stored) => stored,
            // A store that is not there yet has nothing to lose, if nothing of these was ever backed up from here.
            Err(_) if !was_backed_up(host, &new)? => continue,
            Err(failure) => return Err(failure.within("look for what would expire")),
        };
        for source in stored {
            let Some((then, _)) = new.get(&source).filter(|(_, place)| *place == store) else { continue };
            let gone = going(&at, &source, then.as_ref()).await?;
            // What another rule deletes in another store is no part of it.
            let now = old.get(&source).filter(|(_, place)| *place == store);
            let already = going(&at, &source, now.and_then(|(rule, _)| rule.as_ref())).await?;
            let snapshots: Vec<String> =
                gone.into_iter().filter(|snapshot| !already.contains(snapshot)).collect();
            if !snapshots.is_empty() {
                expiries.push(Expiry { source, snapshots });
            }
        }
    }
    expiries.sort_by(|a, b| a.source.cmp(&b.source));
    Ok(expiries)
}

fn was_backed_up(host: &Host, rules: &Rules) -> Result<bool, Failure> {
    let known = host.catalog().backed_up(&host.settings().host);
    let known = known.map_err(|e| catalog_failure("look for what would expire", e))?;
    Ok(known.iter().any(|source| rules.contains_key(source)))
}

/// What a rule deletes today; nothing without one.
async fn going(
    host: &Host,
    source: &SourceName,
    rule: Option<&(Keep, TimeZone)>,
) -> Result<Vec<String>, Failure> {
    let Some((keep, zone)) = rule else { return Ok(Vec::new()) };
    let plan = retention(host, source, keep, zone).await?;
    let deletes = plan.snapshots.into_iter().filter(|fate| fate.action == Action::Delete);
    Ok(deletes.map(|fate| fate.snapshot).collect())
}
