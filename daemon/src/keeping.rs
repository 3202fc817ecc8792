//! Keeps the schedules: looks at the sources, asks `rounds` what to do, and does it.
//!
//! Always true: what a round decides is in the ledger before it is done, so a crash repeats no slot but the one that it
//! cut off, and that one once; policies change as a whole or not at all; whoever is asked to stop asks every run to stop, and waits for all of
//! them. Time comes from the host's clock alone.

mod drilling;
mod ending;
mod errand;
mod jobs;
mod missing;
mod reading;
mod trouble;
mod unsettled;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::catalog::{Event, Level};
use engine::failure::Failure;
use engine::units;
use engine::usecase::backup::BackupRequest;
use engine::usecase::cover::{Cover, Places, Policies, sources};
use engine::usecase::health::{Health, backed_up, health};
use engine::usecase::host::Host;
use engine::usecase::ledger::{Entry, Ledger, Open};
use engine::usecase::rule::{rule_line, rule_of};
use engine::usecase::stores::host_for;
use engine::usecase::together::grouped;
use engine::usecase::watch::Cancel;
use engine::words::SourceName;
use jiff::Timestamp;
use policies::policy::{Folder, Policy};
use tokio::task::{Id, JoinSet};
use tracing::{error, info, warn};

use self::drilling::Drilling;
use self::errand::{Ended, Errand, Wanted};
pub(crate) use self::missing::Sight;
use self::trouble::Noted;
pub(crate) use self::unsettled::Unsettled;
use self::unsettled::unsettled;
use crate::rounds::{AtWork, Bounds, Deed, Step, round};
use crate::telling::Teller;
use crate::watching::{line, tell_failure};

/// The state of the scheduler.
pub(crate) struct Keeping {
    host: Arc<Host>,
    places: Places,
    cancel: Arc<Cancel>,
    bounds: Bounds,
    policies: Policies,
    /// Why the files on disk do not count, where they do not.
    refused: Option<String>,
    noted: Noted,
    /// Sources that were meant to be backed up and are not.
    unsettled: Vec<Unsettled>,
    cover: Cover,
    ledger: Ledger,
    busy: BTreeMap<SourceName, String>,
    /// Which task works on what.
    tasks: BTreeMap<Id, Vec<SourceName>>,
    runs: JoinSet<Vec<Ended>>,
    drilling: Drilling,
    /// Runs that failed since this process began, by source.
    failures: BTreeMap<SourceName, u64>,
    /// The host was looked at.
    looked: bool,
    /// What has vanished, as far as that was logged.
    missed: BTreeSet<String>,
    teller: Teller,
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
            noted: Noted::default(),
            unsettled: Vec::new(),
            ledger,
            busy: BTreeMap::new(),
            tasks: BTreeMap::new(),
            runs: JoinSet::new(),
            drilling: Drilling::default(),
            failures: BTreeMap::new(),
            looked: false,
            missed: BTreeSet::new(),
            teller: Teller::default(),
        };
        keeping.reload();
        keeping
    }

    /// Who tells people, from now on.
    pub(crate) fn tell_by(&mut self, mut teller: Teller) {
        if let Err(failure) = teller.remember(&self.host) {
            tell_failure(&failure);
        }
        self.teller = teller;
    }

    /// Looks at all sources. Where Docker cannot be asked, what was known stays.
    pub(crate) async fn look(&mut self) -> Result<(), Failure> {
        if self.has_none() {
            self.reload();
        }
        let sources = sources(&self.host, &self.places).await?;
        self.cover = Cover { policies: self.policies.clone(), sources };
        // Where policies are bad from the start, nothing is said of any source.
        let all = if self.has_none() { Vec::new() } else { unsettled(&self.cover, &self.ledger) };
        let before = std::mem::replace(&mut self.unsettled, all);
        self.unsettled.iter().filter(|one| !before.contains(one)).for_each(|one| self.alarm(&one.text));
        self.note_gone()?;
        let kept = &self.ledger.sources;
        self.ledger.pruned.retain(|source, _| kept.contains_key(source));
        self.ledger.unpruned.retain(|source, _| kept.contains_key(source));
        Ok(())
    }

    /// Does what is to be done now, and gives when the next slot starts.
    pub(crate) fn turn(&mut self) -> Result<Option<Timestamp>, Failure> {
        let now = self.host.clock().now();
        let jobs = self.jobs();
        let known = self.known(&jobs)?;
        let at_work = AtWork { busy: &self.busy, policies: &self.at_work() };
        let mut round_of = round(&jobs, &known, at_work, self.bounds, now);
        for step in &round_of.steps {
            let Some(job) = jobs.iter().find(|job| job.source == step.source) else { continue };
            let was = self.ledger.sources.get(&step.source);
            let since = match step.deed {
                Deed::Notice | Deed::ClockWasAhead => now,
                Deed::Run { .. } | Deed::Again | Deed::Skip => was.map_or(now, |entry| entry.since),
            };
            let entry = Entry {
                policy: step.policy.clone(),
                schedule: job.line.clone(),
                since,
                dealt_with: step.dealt_with,
                labelled: job.labelled,
                gone: None,
                open: match step.deed {
                    Deed::Run { .. } | Deed::Again => Some(open(step, now)),
                    Deed::Notice | Deed::Skip | Deed::ClockWasAhead => {
                        was.and_then(|entry| entry.open.clone())
                    }
                },
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
        let steps = std::mem::take(&mut round_of.steps);
        let is_run = |step: &Step| matches!(step.deed, Deed::Run { .. } | Deed::Again);
        let (runs, told): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(is_run);
        told.iter().for_each(|step| self.tell_step(step));
        let bonds = jobs.into_iter().filter_map(|job| Some((job.source, job.bond?))).collect();
        let sources = runs.iter().map(|step| step.source.clone()).collect();
        for group in grouped(sources, &bonds) {
            let of_group = |step: &&Step| group.contains(&step.source);
            self.begin_run(&runs.iter().filter(of_group).collect::<Vec<_>>());
        }
        self.drill()?;
        Ok(if noticed { Some(now) } else { round_of.until })
    }

    /// What is no run is said, and that is all.
    fn tell_step(&self, step: &Step) {
        let (source, policy) = (&step.source, &step.policy);
        match &step.deed {
            Deed::Notice => info!(%source, policy, "its schedule counts from now on"),
            Deed::Skip => {
                self.alarm(&format!("`{source}`: the slot of {} passes, a run is still on", step.dealt_with));
            }
            Deed::ClockWasAhead => {
                self.alarm(&format!(
                    "`{source}`: the clock was far ahead, or is far behind now; its schedule counts from now on"
                ));
            }
            Deed::Run { .. } | Deed::Again => {}
        }
    }

    /// Begins a run of one source, or of a set, whose members have one policy.
    fn begin_run(&mut self, steps: &[&Step]) {
        let Some(policy) = steps.first().map(|step| step.policy.clone()) else { return };
        let terms = self.cover.policies.folder.find(&policy).and_then(Policy::terms);
        let rule = match terms.map(rule_of).transpose() {
            Ok(rule) => rule.flatten(),
            Err(failure) => {
                self.alarm(&format!("nothing of policy `{policy}` is pruned: {failure}"));
                None
            }
        };
        let line = rule.as_ref().map(|(keep, zone)| rule_line(keep, zone));
        let mut wanted = Vec::with_capacity(steps.len());
        for step in steps {
            let source = &step.source;
            if let Deed::Run { missed } = step.deed
                && missed > 0
            {
                warn!(%source, policy, missed, "makes up for slots that were missed");
            }
            if step.deed == Deed::Again {
                warn!(%source, policy, slot = %step.dealt_with, "makes up for a run that was cut off");
            }
            info!(%source, policy, slot = %step.dealt_with, "backup begins");
            self.busy.insert(source.clone(), policy.clone());
            let same_rule = line.is_some() && self.ledger.pruned.get(source) == line.as_ref();
            wanted.push(Wanted { request: BackupRequest::scheduled(source.clone(), terms), same_rule });
        }
        let (host, cancel) = (host_for(&self.host, terms).anew(), Arc::clone(&self.cancel));
        let patient = steps.iter().all(|step| step.deed != Deed::Again);
        let task = self.runs.spawn(Errand { host, wanted, rule, cancel, patient }.run());
        self.tasks.insert(task.id(), steps.iter().map(|step| step.source.clone()).collect());
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

    /// What this process has counted.
    pub(crate) fn counts(&self) -> Counts<'_> {
        let (told, untold) = self.teller.counted();
        Counts { failures: &self.failures, told, untold }
    }

    /// One line for systemd.
    pub(crate) fn status(&self) -> String {
        let jobs = units::counted(backed_up(&self.cover).len() as u64, "source", "sources");
        let refused = self.refused.as_ref().map_or("", |_| "; the policies on disk are bad");
        let missed = match self.missed.len() {
            0 => String::new(),
            n => format!(", {n} vanished"),
        };
        format!("{jobs} under a policy, {} running{missed}{refused}", self.busy.len())
    }

    /// Asks every run to stop, and waits until all have ended, each by its own clean way.
    pub(crate) async fn stop(&mut self) {
        self.cancel.ask();
        while !self.runs.is_empty() || !self.drilling.is_idle() {
            self.one_ended().await;
        }
        if let Err(failure) = self.teller.finish(&self.host).await {
            tell_failure(&failure);
        }
    }
}

/// A run that begins.
fn open(step: &Step, now: Timestamp) -> Open {
    Open { began_at: now, again: step.deed == Deed::Again, not_before: now }
}

/// What was counted since this process began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts<'a> {
    /// Runs that failed, by source.
    pub(crate) failures: &'a BTreeMap<SourceName, u64>,
    /// Messages that were told, and that were given up.
    pub(crate) told: u64,
    pub(crate) untold: u64,
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
