//! Whether each source that a policy backs up is as well protected as its schedule promises.
//!
//! A source is **overdue** if no whole snapshot was taken since the newest slot that is so old that its run,
//! with all its jitter, should be over: an hour after it. A run that is on counts as coming, until the next
//! slot is as old. Slots from before the source was first noticed are nobody's fault; but where nobody ever
//! noticed it, no daemon keeps its schedule, and then it is overdue at once.
//!
//! Always true: only whole snapshots count, partial ones do not, and only those in the store of the policy; time is
//! an argument.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use policies::policy::{Policy, Terms};
use policies::schedule::{Due, Jitter, Standing, decide};
use policies::select::Verdict;
use serde::Serialize;

use crate::catalog::{CatalogError, DrillRow, Outcome, RunRow};
use crate::failure::{Class, Failure};
use crate::format::names::Lineage;
use crate::units;
use crate::usecase::cover::Cover;
use crate::usecase::drill::{DrillStanding, Drilled};
use crate::usecase::guarding;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::ledger::{Entry, Ledger};
use crate::usecase::runs::is_held;
use crate::usecase::stores::host_for;
use crate::words::{HostName, SourceName};

/// So long a run may take before its slot counts as missed.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);

/// Failures in a row are counted up to here.
const RUNS_LOOKED_AT: u32 = 20;

/// How one source stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// Which.
    pub source: String,
    /// The policy that backs it up.
    pub policy: String,
    /// When its newest whole snapshot was taken.
    pub last_good: Option<Timestamp>,
    /// Seconds since then.
    pub age_seconds: Option<i64>,
    /// How long the newest run that ended took.
    pub last_seconds: Option<f64>,
    /// How many bytes that run read.
    pub last_bytes: Option<u64>,
    /// When it runs next, with jitter.
    pub next: Option<Timestamp>,
    /// Its schedule wants a newer snapshot than there is.
    pub overdue: bool,
    /// Runs that failed since the last good one; counting ends at 20.
    pub failures: u32,
    /// Why the newest run failed, if it did.
    pub message: Option<String>,
    /// The run that is on.
    pub running: Option<Running>,
    /// What the guard says of its newest flagged snapshot; nothing is pruned until it is acknowledged.
    pub held: Option<String>,
    /// When pruning last came to its end.
    pub pruned_at: Option<Timestamp>,
    /// Why old snapshots of it stay, where its policy wants them to go and no guard holds them.
    pub unpruned: Option<String>,
    /// How its drills stand, if there are any or should be.
    pub drill: Option<DrillStanding>,
}

/// A run that is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Running {
    /// Its id.
    pub run: String,
    /// When it began.
    pub began_at: Timestamp,
    /// Bytes so far.
    pub bytes: u64,
    /// Of late.
    pub bytes_per_second: u64,
}

impl Running {
    /// How far it is, in words.
    pub fn progress(&self, now: Timestamp) -> String {
        let took = units::span(now.duration_since(self.began_at).unsigned_abs());
        let rate = units::bytes(self.bytes_per_second);
        format!("reading, {} in {took}, {rate}/s", units::bytes(self.bytes))
    }
}

impl Health {
    /// Somebody must look.
    pub fn is_alarming(&self) -> bool {
        self.overdue
            || self.failures > 0
            || self.is_unpruned()
            || self.drill.as_ref().is_some_and(DrillStanding::is_alarming)
    }

    /// What its policy does not keep stays, until somebody looks.
    pub fn is_unpruned(&self) -> bool {
        self.held.is_some() || self.unpruned.is_some()
    }

    /// What somebody must know of it, in words.
    pub fn alarms(&self) -> Vec<String> {
        let source = &self.source;
        let held = self.held.as_ref().map(|flag| {
            format!("`{source}` {flag}; nothing of it is pruned: look at it, then `backupctl acknowledge {source}`")
        });
        let unpruned = self.unpruned.as_ref().map(|why| format!("`{source}` is not pruned: {why}"));
        let drill = self.drill.as_ref().map(|drill| drill.alarms(source)).unwrap_or_default();
        self.badly().into_iter().chain(held).chain(unpruned).chain(drill).collect()
    }

    /// What is wrong with its backups.
    fn badly(&self) -> Option<String> {
        let source = &self.source;
        let failed = match (self.failures, &self.message) {
            (0, _) => String::new(),
            (n, None) => format!("{} failed", units::counted(n.into(), "run", "runs")),
            (n, Some(why)) => {
                format!("{} failed, the last one: {why}", units::counted(n.into(), "run", "runs"))
            }
        };
        let also = if failed.is_empty() { String::new() } else { format!("; {failed}") };
        match (self.overdue, self.last_good) {
            (true, None) => Some(format!(
                "`{source}` was never backed up, and should have been: is backupd running?{also}"
            )),
            (true, Some(_)) => Some(format!("`{source}` is overdue{also}")),
            (false, _) if self.failures > 0 => Some(format!("`{source}` has trouble: {failed}")),
            (false, _) => None,
        }
    }
}

/// Every source that a policy backs up, in the order of names.
pub fn health(host: &Host, cover: &Cover, ledger: &Ledger) -> Result<Vec<Health>, Failure> {
    let what = "look up what was backed up";
    let own = &host.settings().host;
    // What says that it was taken later was taken by a clock that went ahead, and nobody knows when.
    let until = host.clock().now().checked_add(PATIENCE).ok();
    let latest = host.catalog().latest_snapshots(own, until).map_err(|e| catalog_failure(what, e))?;
    let rows = host.catalog().latest_backups(own, RUNS_LOOKED_AT, until);
    let rows = rows.map_err(|e| catalog_failure(what, e))?;
    let mut runs: BTreeMap<SourceName, Vec<RunRow>> = BTreeMap::new();
    for row in rows {
        if let Some(source) = row.source.clone() {
            runs.entry(source).or_default().push(row);
        }
    }
    let drills = Drills::of(host, own, until).map_err(|e| catalog_failure(what, e))?;
    let mut all = Vec::new();
    for (source, policy, terms) in backed_up(cover) {
        let store = host_for(host, Some(terms)).indexed_name()?;
        let rows = runs.remove(&source).unwrap_or_default();
        let live = rows.first().filter(|row| row.ended_at.is_none() && is_held(host, row));
        let known = Known {
            entry: ledger.sources.get(&source).filter(|entry| entry.schedule == line_of(terms)),
            last_good: latest.get(&store).and_then(|latest| latest.get(&source)).copied(),
            live,
            rows: &rows,
        };
        let jitter = jitter_of(own.as_str(), policy, terms);
        let mut health = assess(&source, policy, terms, jitter, &known, host.clock().now());
        let since = ledger.drills.get(&source).copied();
        let judged = host.catalog().drills(&store, Some(own), Some(&source));
        let judged = judged.map_err(|e| catalog_failure(what, e))?;
        health.drill = drills.standing(host, &judged, &source, terms, since, health.last_good.is_some());
        let lineage = Lineage { host: own.clone(), source };
        health.held = held(host, &store, &lineage).map_err(|e| catalog_failure(what, e))?;
        health.pruned_at =
            host.catalog().pruned_at(&store, &lineage).map_err(|e| catalog_failure(what, e))?;
        // Somebody may have pruned it by hand since.
        let left = ledger.unpruned.get(&lineage.source).filter(|_| terms.keep.is_some());
        let left = left.filter(|left| health.pruned_at.is_none_or(|pruned| pruned < left.at));
        health.unpruned = left.map(|left| left.why.clone());
        all.push(health);
    }
    Ok(all)
}

/// The runs of drills of this host.
struct Drills(BTreeMap<SourceName, Vec<RunRow>>);

impl Drills {
    fn of(host: &Host, own: &HostName, until: Option<Timestamp>) -> Result<Self, CatalogError> {
        let mut runs: BTreeMap<SourceName, Vec<RunRow>> = BTreeMap::new();
        for row in host.catalog().latest_drills(own, RUNS_LOOKED_AT, until)? {
            if let Some(source) = row.source.clone() {
                runs.entry(source).or_default().push(row);
            }
        }
        Ok(Self(runs))
    }

    fn standing(
        &self,
        host: &Host,
        rows: &[DrillRow],
        source: &SourceName,
        terms: &Terms,
        since: Option<Timestamp>,
        has_snapshot: bool,
    ) -> Option<DrillStanding> {
        let runs = self.0.get(source).map_or(&[][..], Vec::as_slice);
        let running = runs.first().is_some_and(|row| row.ended_at.is_none() && is_held(host, row));
        let drilled = Drilled { wanted: terms.drill.as_ref(), since, has_snapshot, rows, runs, running };
        DrillStanding::of(&drilled, host.clock().now())
    }
}

/// What stands between a lineage and its pruning, in words.
fn held(host: &Host, store: &str, lineage: &Lineage) -> Result<Option<String>, CatalogError> {
    let flags = guarding::committed(host, store, lineage)?;
    Ok(flags.last().map(|flagged| flagged.flag.to_string()))
}

/// The sources that policies back up, with their terms.
pub fn backed_up(cover: &Cover) -> Vec<(SourceName, &Policy, &Terms)> {
    let outcomes = cover.outcomes();
    let chosen = outcomes.iter().filter_map(|outcome| match &outcome.verdict {
        Verdict::Chosen { policy, .. } => Some((outcome.source.name.parse().ok()?, policy)),
        Verdict::DecidedNot { .. }
        | Verdict::Unprotected { .. }
        | Verdict::Clash { .. }
        | Verdict::UnknownPolicy { .. } => None,
    });
    let with_terms = |(source, policy): (SourceName, &String)| {
        let policy = cover.policy(policy)?;
        Some((source, policy, policy.terms()?))
    };
    chosen.filter_map(with_terms).collect()
}

/// The delay of a policy on a host.
pub fn jitter_of(host: &str, policy: &Policy, terms: &Terms) -> Jitter {
    let most = SignedDuration::try_from(terms.jitter).unwrap_or(SignedDuration::ZERO);
    Jitter::new(host, &policy.name, most)
}

/// The line and the zone, as the ledger remembers them.
pub fn line_of(terms: &Terms) -> String {
    format!("{} {}", terms.schedule, terms.time_zone.iana_name().unwrap_or("UTC"))
}

/// What is known of a source.
struct Known<'a> {
    entry: Option<&'a Entry>,
    last_good: Option<Timestamp>,
    live: Option<&'a RunRow>,
    /// The newest first.
    rows: &'a [RunRow],
}

fn assess(
    source: &SourceName,
    policy: &Policy,
    terms: &Terms,
    jitter: Jitter,
    known: &Known<'_>,
    now: Timestamp,
) -> Health {
    let ended = known.rows.iter().find(|row| row.ended_at.is_some());
    let failed =
        |row: &&RunRow| matches!(row.outcome, Some(Outcome::Not(class)) if class != Class::Interrupted);
    let failures = known.rows.iter().filter(|row| row.ended_at.is_some()).take_while(failed).count();
    let span = |row: &RunRow| row.ended_at.map(|end| end.duration_since(row.began_at).as_secs_f64());
    Health {
        source: source.to_string(),
        policy: policy.name.clone(),
        last_good: known.last_good,
        age_seconds: known.last_good.map(|at| now.duration_since(at).as_secs()),
        last_seconds: ended.and_then(span),
        last_bytes: ended.map(|row| row.progress.bytes),
        next: next(terms, jitter, known, now),
        overdue: is_overdue(terms, known, now),
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        message: ended.filter(failed).and_then(|row| row.message.clone()),
        running: known.live.map(|row| Running {
            run: row.id.to_string(),
            began_at: row.began_at,
            bytes: row.progress.bytes,
            bytes_per_second: row.progress.bytes_per_second,
        }),
        held: None,
        pruned_at: None,
        unpruned: None,
        drill: None,
    }
}

fn is_overdue(terms: &Terms, known: &Known<'_>, now: Timestamp) -> bool {
    let jitter = SignedDuration::try_from(terms.jitter).unwrap_or(SignedDuration::ZERO);
    let Ok(deadline) = now.checked_sub(jitter.saturating_add(PATIENCE)) else { return false };
    let Some(slot) = terms.schedule.previous_at_or_before(deadline, &terms.time_zone) else { return false };
    let noticed = known.entry.is_none_or(|entry| entry.since < slot);
    let good = known.last_good.is_some_and(|at| at >= slot);
    let coming = known.live.is_some_and(|row| row.began_at >= slot);
    noticed && !good && !coming
}

fn next(terms: &Terms, jitter: Jitter, known: &Known<'_>, now: Timestamp) -> Option<Timestamp> {
    let dealt_with = known.entry.map_or(now, |entry| entry.dealt_with);
    let standing = Standing { dealt_with, watching_since: Timestamp::MIN, running: known.live.is_some() };
    match decide(&terms.schedule, &terms.time_zone, jitter, now, &standing) {
        Due::Wait { until, .. } => Some(until),
        Due::Run { .. } | Due::SkipOverlap { .. } | Due::ClockWasAhead { .. } => Some(now),
        Due::Over => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}:00Z").parse().unwrap()
    }

    #[test]
    fn overdue_is_what_the_schedule_wants_and_nobody_made() {
        let text = "schedule = \"0 2 * * *\"\njitter = \"30m\"\nconsistency.mode = \"live\"\n";
        let folder = policies::policy::Folder::judge([("p.toml", text)]).unwrap();
        let terms = folder.policies()[0].terms().unwrap();
        // Now, noticed since, last good, wanted.
        for (now, since, good, want) in [
            ("20T03:29", Some("01T00:00"), Some("19T02:10"), false),
            ("20T03:30", Some("01T00:00"), Some("19T02:10"), true),
            ("20T03:30", Some("01T00:00"), Some("20T02:00"), false),
            ("20T03:30", Some("01T00:00"), None, true),
            ("20T03:30", Some("20T02:30"), None, false),
            ("21T03:30", Some("20T02:30"), None, true),
            ("20T03:30", None, None, true),
            ("20T01:00", None, Some("19T02:00"), false),
        ] {
            let entry = since.map(|since| Entry {
                policy: "p".into(),
                schedule: line_of(terms),
                since: at(since),
                dealt_with: at(since),
                labelled: false,
                gone: None,
                open: None,
            });
            let known = Known { entry: entry.as_ref(), last_good: good.map(at), live: None, rows: &[] };
            assert_eq!(is_overdue(terms, &known, at(now)), want, "{now} {since:?} {good:?}");
        }
    }
}
