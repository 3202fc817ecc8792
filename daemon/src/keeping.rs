//! Keeps the schedules: looks at the sources, asks `rounds` what to do, and does it.
//!
//! Always true: what a round decides is in the ledger before it is done, so a crash repeats no slot; policies
//! change as a whole or not at all; whoever is asked to stop asks every run to stop, and waits for all of
//! them. Time comes from the host's clock alone.

mod errand;
mod jobs;
mod unsettled;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::catalog::{Event, Level};
use engine::failure::{Class, Failure};
use engine::usecase::backup::BackupRequest;
use engine::usecase::cover::{Cover, Places, Policies, policies, sources};
use engine::usecase::health::{Health, backed_up, health};
use engine::usecase::host::Host;
use engine::usecase::ledger::{Entry, Ledger};
use engine::usecase::prune::Pruned;
use engine::usecase::rule::{rule_line, rule_of};
use engine::usecase::watch::Cancel;
use engine::words::SourceName;
use jiff::{SignedDuration, Timestamp};
use policies::policy::{Folder, Policy};
use tokio::task::{Id, JoinSet};
use tracing::{error, info, warn};

use self::errand::{Ended, Errand, Pruning};
use self::unsettled::unsettled;
use crate::rounds::{Bounds, Deed, Step, round};
use crate::watching::{Logged, line, tell_failure};

/// So long a source that is gone is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The state of the scheduler.
pub(crate) struct Keeping {
    host: Arc<Host>,
    places: Places,
    cancel: Arc<Cancel>,
    bounds: Bounds,
    policies: Policies,
    /// Why the files on disk do not count, where they do not.
    refused: Option<String>,
    /// Sources that were meant to be backed up and are not.
    unsettled: Vec<String>,
    cover: Cover,
    ledger: Ledger,
    busy: BTreeMap<SourceName, String>,
    /// Which task works on what.
    tasks: BTreeMap<Id, SourceName>,
    runs: JoinSet<Ended>,
    /// Runs that failed since this process began, by source.
    failures: BTreeMap<SourceName, u64>,
}

impl Keeping {
    /// Reads ledger and policies. Bad ones are an alarm and no reason to end: recovery must go on, so nothing is
    /// started until they are good.
    pub(crate) fn begin(host: Arc<Host>, places: Places, at_once: usize, cancel: Arc<Cancel>) -> Self {
        let ledger = Ledger::read(&host).unwrap_or_else(|failure| {
            tell_failure(&failure);
            Ledger::default()
        });
        let bounds = Bounds { places: at_once, watching_since: host.clock().now() };
        let policies = Policies { folder: Folder::default(), shipped: false };
        let mut keeping = Self {
            cover: Cover { policies: policies.clone(), sources: Vec::new() },
            host,
            places,
            cancel,
            bounds,
            policies,
            refused: None,
            unsettled: Vec::new(),
            ledger,
            busy: BTreeMap::new(),
            tasks: BTreeMap::new(),
            runs: JoinSet::new(),
            failures: BTreeMap::new(),
        };
        keeping.reload();
        keeping
    }

    /// Reads the policies again: all of them, or none.
    pub(crate) fn reload(&mut self) {
        match policies(&self.places) {
            Ok(policies) => {
                info!("policies read: {}", policies.folder.policies().len());
                self.policies = policies;
                self.refused = None;
                self.tell_limits();
            }
            Err(bad) => {
                let failure =
                    Failure::from(bad).within("the policies are bad, so what held before still holds");
                let words = failure.to_string();
                if self.refused.as_ref() != Some(&words) {
                    self.alarm(&words);
                }
                self.refused = Some(words);
            }
        }
    }

    /// Says what policies ask for and this version does not do.
    fn tell_limits(&self) {
        for policy in self.policies.folder.policies() {
            let Some(terms) = policy.terms() else { continue };
            let mode = terms.consistency.mode.word();
            if mode != "live" {
                warn!(
                    policy = policy.name,
                    "mode `{mode}` is not done yet: files are read while writers run"
                );
            }
            if terms.store.is_some() {
                warn!(
                    policy = policy.name,
                    "a store of its own is not used yet: snapshots go to the settings' store"
                );
            }
        }
    }

    /// Looks at all sources. Where Docker cannot be asked, what was known stays.
    pub(crate) async fn look(&mut self) -> Result<(), Failure> {
        if self.refused.is_some() && self.policies.folder.policies().is_empty() {
            self.reload();
        }
        let sources = sources(&self.host, &self.places).await?;
        self.cover = Cover { policies: self.policies.clone(), sources };
        let before = std::mem::replace(&mut self.unsettled, unsettled(&self.cover));
        self.unsettled.iter().filter(|text| !before.contains(text)).for_each(|text| self.alarm(text));
        let covered: BTreeSet<SourceName> =
            backed_up(&self.cover).into_iter().map(|(source, ..)| source).collect();
        let now = self.host.clock().now();
        // What is away for a moment, as a container that is made anew, comes back to its own slots.
        self.ledger.sources.retain(|source, entry| {
            covered.contains(source) || now.duration_since(entry.dealt_with) < REMEMBERED
        });
        let kept = &self.ledger.sources;
        self.ledger.pruned.retain(|source, _| kept.contains_key(source));
        Ok(())
    }

    /// Does what is to be done now, and gives when the next slot starts.
    pub(crate) fn turn(&mut self) -> Result<Option<Timestamp>, Failure> {
        let now = self.host.clock().now();
        let jobs = self.jobs();
        let known = self.known(&jobs)?;
        let mut round_of = round(&jobs, &known, &self.busy, self.bounds, now);
        for step in &round_of.steps {
            let Some(job) = jobs.iter().find(|job| job.source == step.source) else { continue };
            let since = match step.deed {
                Deed::Notice | Deed::ClockWasAhead => now,
                Deed::Run { .. } | Deed::Skip => {
                    self.ledger.sources.get(&step.source).map_or(now, |entry| entry.since)
                }
            };
            let entry = Entry {
                policy: step.policy.clone(),
                schedule: job.line.clone(),
                since,
                dealt_with: step.dealt_with,
            };
            self.ledger.sources.insert(step.source.clone(), entry);
        }
        if !round_of.steps.is_empty()
            && let Err(failure) = self.ledger.write(&self.host)
        {
            // Better a slot that may run twice than one that does not run: this process remembers.
            tell_failure(&failure);
        }
        let noticed = round_of.steps.iter().any(|step| step.deed == Deed::Notice);
        for step in std::mem::take(&mut round_of.steps) {
            self.carry_out(&step);
        }
        Ok(if noticed { Some(now) } else { round_of.until })
    }

    fn carry_out(&mut self, step: &Step) {
        let (source, policy) = (&step.source, &step.policy);
        match &step.deed {
            Deed::Notice => info!(%source, policy, "its schedule counts from now on"),
            Deed::Skip => {
                self.alarm(&format!("`{source}`: the slot of {} passes, a run is still on", step.dealt_with));
            }
            Deed::ClockWasAhead => {
                self.alarm(&format!("`{source}`: the clock was far ahead; its schedule counts from now on"));
            }
            Deed::Run { missed } => {
                if *missed > 0 {
                    warn!(%source, policy, missed, "makes up for slots that were missed");
                }
                info!(%source, policy, slot = %step.dealt_with, "backup begins");
                self.busy.insert(source.clone(), policy.clone());
                let (host, source) = (Arc::clone(&self.host), source.clone());
                let watch = Logged::of(Arc::clone(&self.cancel), &source);
                let of = source.clone();
                let terms = self.policies.folder.find(policy).and_then(Policy::terms);
                let guard = terms.map(|terms| terms.guard.limits()).unwrap_or_default();
                let rule = match terms.map(rule_of).transpose() {
                    Ok(rule) => rule.flatten(),
                    Err(failure) => {
                        self.alarm(&format!("nothing of `{of}` is pruned: {failure}"));
                        None
                    }
                };
                let known = self.ledger.pruned.get(&of);
                let same_rule =
                    rule.as_ref().is_some_and(|(keep, zone)| known == Some(&rule_line(keep, zone)));
                let request =
                    BackupRequest { source, by_hand: false, allow_empty: false, full: false, guard };
                let task = self.runs.spawn(Errand { host, request, rule, same_rule, watch }.run());
                self.tasks.insert(task.id(), of);
            }
        }
    }

    /// Waits for the next run to end; for ever where none is on.
    pub(crate) async fn one_ended(&mut self) {
        let (id, ended) = match self.runs.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, ended))) => (id, ended),
            // A panic is a bug of ours; recovery puts right what it left.
            Some(Err(broken)) => {
                let id = broken.id();
                let backup = Err(Failure::failed("it broke down").because(broken));
                (id, Ended { rule: None, backup, pruning: None })
            }
        };
        if let Some(source) = self.tasks.remove(&id) {
            self.busy.remove(&source);
            self.tell_end(&source, ended);
        }
    }

    fn tell_end(&mut self, source: &SourceName, ended: Ended) {
        match ended.pruning {
            None => {}
            Some(Ok(Pruning::Done(pruned))) => {
                self.tell_pruned(source, &pruned);
                self.note_rule(source, ended.rule);
            }
            Some(Ok(Pruning::Sweeping)) => self.alarm(&format!(
                "`{source}`: its policy would delete more snapshots than it keeps; `backupctl prune {source}` shows them and asks"
            )),
            Some(Err(failure)) if failure.class == Class::Interrupted => {}
            Some(Err(failure)) => self.alarm(&format!("pruning of `{source}` failed: {failure}")),
        }
        match ended.backup {
            Ok(report) if report.partial => {
                *self.failures.entry(source.clone()).or_default() += 1;
                self.alarm(&format!(
                    "`{}` is partial: `backupctl show {0}` says what is missing",
                    report.snapshot
                ));
            }
            Ok(report) => info!(
                %source, run = report.run, snapshot = report.snapshot, bytes = report.bytes,
                sent_bytes = report.sent_bytes, seconds = report.seconds, "backed up"
            ),
            Err(failure) if failure.class == Class::Interrupted => {
                warn!(%source, "{}", line(&failure.to_string()));
            }
            Err(failure) => {
                *self.failures.entry(source.clone()).or_default() += 1;
                self.alarm(&format!("backup of `{source}` failed: {failure}"));
            }
        }
    }

    /// A later plan by the same rule may be a backlog.
    fn note_rule(&mut self, source: &SourceName, rule: Option<String>) {
        let Some(rule) = rule.filter(|rule| self.ledger.pruned.get(source) != Some(rule)) else { return };
        self.ledger.pruned.insert(source.clone(), rule);
        if let Err(failure) = self.ledger.write(&self.host) {
            tell_failure(&failure);
        }
    }

    fn tell_pruned(&self, source: &SourceName, pruned: &Pruned) {
        pruned.warnings.iter().for_each(|warning| warn!(%source, "{}", line(warning)));
        if !pruned.pending.is_empty() {
            warn!(%source, pending = pruned.pending.len(), "the store does not allow deleting now");
        }
        if !pruned.deleted.is_empty() || !pruned.purged.is_empty() {
            let (deleted, purged) = (pruned.deleted.len(), pruned.purged.len());
            info!(%source, deleted, purged, freed_bytes = pruned.freed_bytes, "pruned");
        }
    }

    /// Into the log, and into the catalog for whoever looks later.
    fn alarm(&self, text: &str) {
        error!("{}", line(text));
        let event =
            Event { at: self.host.clock().now(), run: None, level: Level::Alarm, text: text.to_owned() };
        if let Err(e) = self.host.catalog().add_event(&event) {
            warn!("note an alarm: {e}");
        }
    }

    /// How every source stands.
    pub(crate) fn health(&self) -> Result<Vec<Health>, Failure> {
        health(&self.host, &self.cover, &self.ledger)
    }

    /// Failures since the start, by source.
    pub(crate) fn failures(&self) -> &BTreeMap<SourceName, u64> {
        &self.failures
    }

    /// What keeps sources from being backed up, whatever Docker and the store do: bad policies, or two for one.
    pub(crate) fn trouble(&self) -> Option<String> {
        let all: Vec<&str> = self.refused.iter().chain(&self.unsettled).map(String::as_str).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// One line for systemd.
    pub(crate) fn status(&self) -> String {
        let jobs = backed_up(&self.cover).len();
        let refused = self.refused.as_ref().map_or("", |_| "; the policies on disk are bad");
        format!("{jobs} sources under a policy, {} running{refused}", self.busy.len())
    }

    /// Asks every run to stop, and waits until all have ended, each by its own clean way.
    pub(crate) async fn stop(&mut self) {
        self.cancel.ask();
        while !self.runs.is_empty() {
            self.one_ended().await;
        }
    }
}

/// The loop sleeps no longer than this, whatever the schedules say: clocks are set.
pub(crate) const NAP_MAX: Duration = Duration::from_secs(60);

/// How long to sleep until `until`.
pub(crate) fn nap(until: Option<Timestamp>, now: Timestamp) -> Duration {
    let left = until.map(|until| until.duration_since(now));
    let left = left.and_then(|left| Duration::try_from(left).ok());
    match (until, left) {
        (None, _) => NAP_MAX,
        (Some(_), left) => left.unwrap_or_default().clamp(Duration::from_millis(50), NAP_MAX),
    }
}

#[cfg(test)]
mod tests;
