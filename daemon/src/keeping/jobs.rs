//! What `rounds` is asked about: each source under a policy, and what the ledger knows of it.
//!
//! Always true: what the ledger remembers of another schedule means nothing.

use std::collections::{BTreeMap, BTreeSet};

use engine::failure::Failure;
use engine::usecase::health::{Health, backed_up, jitter_of, line_of};
use engine::usecase::ledger::Open;
use engine::usecase::together::bonds;
use engine::words::SourceName;
use policies::policy::{Policy, Terms};

use super::Keeping;
use crate::rounds::{Job, Known};

impl Keeping {
    pub(super) fn jobs(&self) -> Vec<Job> {
        let own = self.host.settings().host.as_str();
        let labelled = self.cover.sources.iter().filter(|source| source.is_labelled());
        let labelled: BTreeSet<&String> = labelled.map(|source| &source.name).collect();
        let bonds = bonds(&self.cover);
        let job = |(source, policy, terms): (SourceName, &Policy, &Terms)| Job {
            policy: policy.name.clone(),
            line: line_of(terms),
            schedule: terms.schedule.clone(),
            zone: terms.time_zone.clone(),
            jitter: jitter_of(own, policy, terms),
            labelled: labelled.contains(&source.to_string()),
            bond: bonds.get(&source).cloned(),
            source,
            places: usize::try_from(terms.limits.concurrency).unwrap_or(1).max(1),
        };
        backed_up(&self.cover).into_iter().map(job).collect()
    }

    /// What the ledger says of jobs whose schedule is still the same.
    pub(super) fn known(&self, jobs: &[Job]) -> Result<BTreeMap<SourceName, Known>, Failure> {
        let health = self.health()?;
        let health: BTreeMap<&str, &Health> = health.iter().map(|h| (h.source.as_str(), h)).collect();
        let now = self.host.clock().now();
        let known = |job: &Job| {
            let entry = self.ledger.sources.get(&job.source).filter(|entry| entry.schedule == job.line)?;
            let health = health.get(job.source.to_string().as_str());
            let running = health.is_some_and(|health| health.running.is_some());
            let idle = !running && !self.busy.contains_key(&job.source);
            // It may have been committed before it was cut off.
            let done = |open: &Open| health.is_some_and(|health| health.last_good >= Some(open.began_at));
            let cut = |open: &Open| idle && !open.again && open.not_before <= now && !done(open);
            let cut = entry.open.as_ref().is_some_and(cut);
            Some((job.source.clone(), Known { dealt_with: entry.dealt_with, running, cut }))
        };
        Ok(jobs.iter().filter_map(known).collect())
    }

    /// The policy of each run that is on; a set is one.
    pub(super) fn at_work(&self) -> Vec<&str> {
        let policy = |sources: &Vec<SourceName>| {
            let first = sources.first().and_then(|source| self.busy.get(source));
            first.map_or("", String::as_str)
        };
        self.tasks.values().map(policy).collect()
    }
}
