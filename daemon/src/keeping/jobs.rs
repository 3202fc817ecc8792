//! What `rounds` is asked about: each source under a policy, and what the ledger knows of it.
//!
//! Always true: what the ledger remembers of another schedule means nothing.

use std::collections::{BTreeMap, BTreeSet};

use engine::failure::Failure;
use engine::usecase::health::{backed_up, jitter_of, line_of};
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
        let running: BTreeSet<String> =
            self.health()?.into_iter().filter(|h| h.running.is_some()).map(|h| h.source).collect();
        let known = |job: &Job| {
            let entry = self.ledger.sources.get(&job.source).filter(|entry| entry.schedule == job.line)?;
            let running = running.contains(&job.source.to_string());
            Some((job.source.clone(), Known { dealt_with: entry.dealt_with, running }))
        };
        Ok(jobs.iter().filter_map(known).collect())
    }
}
