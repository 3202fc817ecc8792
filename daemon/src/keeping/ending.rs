//! How a run ended, for the log, the counts, the ledger and whoever waits for a heartbeat.
//!
//! Always true: its place is free again before anything is told of it.

use std::collections::BTreeSet;

use engine::failure::{Class, Failure};
use engine::usecase::health::Health;
use engine::usecase::ledger::Unpruned;
use engine::usecase::prune::Pruned;
use engine::usecase::vanished::vanished;
use engine::words::SourceName;
use jiff::SignedDuration;
use tokio::task::{Id, JoinError};
use tracing::{Span, info, warn};

use super::Keeping;
use super::errand::{Ended, Pruning};
use crate::watching::{line, tell_failure};

/// So long somebody else may be at work before it is tried once more.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

impl Keeping {
    /// Waits for the next run or drill to end; for ever where none is on.
    pub(crate) async fn one_ended(&mut self) {
        tokio::select! {
            Some(joined) = self.runs.join_next_with_id() => self.run_ended(joined),
            Some(joined) = self.drilling.tasks.join_next() => {
                let broke = |broken| (Span::none(), Err(Failure::failed("it broke down").because(broken)));
                self.drill_ended(joined.unwrap_or_else(broke));
            }
            else => std::future::pending().await,
        }
    }

    fn run_ended(&mut self, joined: Result<(Id, Vec<Ended>), JoinError>) {
        let (id, ended, broken) = match joined {
            Ok((id, ended)) => (id, ended, String::new()),
            // A panic is a bug of ours; recovery puts right what it left.
            Err(broken) => (broken.id(), Vec::new(), broken.to_string()),
        };
        let sources = self.tasks.remove(&id).unwrap_or_default();
        let broke = |source: &SourceName| {
            let backup = Err(Failure::failed("it broke down").because(broken.clone()));
            Ended { source: source.clone(), rule: None, backup: (Span::none(), backup), pruning: None }
        };
        let ended = if ended.is_empty() { sources.iter().map(broke).collect() } else { ended };
        let policies: Vec<String> =
            ended.iter().map(|one| self.busy.remove(&one.source).unwrap_or_default()).collect();
        let before = self.ledger.clone();
        let mut good = BTreeSet::new();
        for (one, policy) in ended.into_iter().zip(policies) {
            if self.tell_end(one) {
                good.insert(policy);
            }
        }
        if self.ledger != before
            && let Err(failure) = self.ledger.write(&self.host)
        {
            // This process remembers.
            tell_failure(&failure);
        }
        for policy in good {
            if self.is_well(&policy) {
                self.teller.beat(&self.policies.folder, &policy);
            }
        }
    }

    /// Whether nothing of a policy is as it should not be: a heartbeat speaks for all of its sources.
    fn is_well(&self, policy: &str) -> bool {
        let ill = |health: &Health| health.policy == policy && (health.overdue || health.failures > 0);
        let unsettled = self.unsettled.iter().any(|one| one.policy == policy);
        let health = self.health();
        let gone = vanished(&self.host, &self.cover, &self.ledger);
        // A catalog that cannot be asked says nothing good.
        !unsettled
            && health.is_ok_and(|all| !all.iter().any(ill))
            && gone.is_ok_and(|all| !all.iter().any(|gone| gone.policy == policy))
    }

    /// Something makes up for its newest run.
    fn is_open(&self, source: &SourceName) -> bool {
        let open = self.ledger.sources.get(source).and_then(|entry| entry.open.as_ref());
        open.is_some_and(|open| !open.again)
    }

    /// What remains of the run in the ledger. What was cut off because this process ends is made up for by the next;
    /// what found somebody else at work, by this one; what a person has cancelled, by nobody.
    pub(super) fn close(&mut self, source: &SourceName, failed: Option<Class>) {
        let now = self.host.clock().now();
        let stops = self.cancel.is_asked();
        let Some(entry) = self.ledger.sources.get_mut(source) else { return };
        entry.open = entry.open.take().filter(|_| match failed {
            Some(Class::Interrupted) => stops,
            Some(Class::Busy) => true,
            None
            | Some(
                Class::Failed
                | Class::Usage
                | Class::Partial
                | Class::NotFound
                | Class::WrongKey
                | Class::Unsafe,
            ) => false,
        });
        if let (Some(Class::Busy), Some(open)) = (failed, &mut entry.open) {
            open.not_before = now.checked_add(PATIENCE).unwrap_or(now);
        }
    }

    /// Tells it, and whether it was good.
    fn tell_end(&mut self, ended: Ended) -> bool {
        let source = &ended.source;
        self.close(source, ended.backup.1.as_ref().err().map(|failure| failure.class));
        if let Some((span, pruning)) = ended.pruning {
            let _lines = span.entered();
            self.tell_pruning(source, pruning, ended.rule);
        }
        let (span, backup) = ended.backup;
        let _lines = span.entered();
        match backup {
            Ok(report) if report.partial => {
                *self.failures.entry(source.clone()).or_default() += 1;
                self.alarm(&format!(
                    "`{}` is partial: `backupctl show {0}` says what is missing",
                    report.snapshot
                ));
            }
            Ok(report) => {
                info!(
                    snapshot = report.snapshot,
                    bytes = report.bytes,
                    sent_bytes = report.sent_bytes,
                    freeze_seconds = report.freeze_seconds,
                    seconds = report.seconds,
                    "backed up"
                );
                return true;
            }
            Err(failure) if failure.class == Class::Interrupted => warn!("{}", line(&failure.to_string())),
            Err(failure) if self.is_open(source) => {
                warn!("{}; it is tried once more", line(&failure.to_string()));
            }
            Err(failure) => {
                *self.failures.entry(source.clone()).or_default() += 1;
                self.alarm(&format!("backup of `{source}` failed: {failure}"));
            }
        }
        false
    }

    fn tell_pruning(&mut self, source: &SourceName, pruning: Result<Pruning, Failure>, rule: Option<String>) {
        let why = match pruning {
            Ok(Pruning::Done(pruned)) => {
                tell_pruned(&pruned);
                self.ledger.unpruned.remove(source);
                if let Some(rule) = rule {
                    // A later plan by the same rule may be a backlog.
                    self.ledger.pruned.insert(source.clone(), rule);
                }
                return;
            }
            Ok(Pruning::Sweeping) => format!(
                "its policy would delete more snapshots than it keeps; `backupctl prune {source}` shows them and asks"
            ),
            Err(failure) if failure.class == Class::Interrupted => return,
            Err(failure) => failure.to_string(),
        };
        self.alarm(&format!("`{source}` is not pruned: {why}"));
        let at = self.host.clock().now();
        self.ledger.unpruned.insert(source.clone(), Unpruned { at, why });
    }
}

fn tell_pruned(pruned: &Pruned) {
    pruned.warnings.iter().for_each(|warning| warn!("{}", line(warning)));
    if !pruned.pending.is_empty() {
        warn!(pending = pruned.pending.len(), "the store does not allow deleting now");
    }
    if !pruned.deleted.is_empty() || !pruned.purged.is_empty() {
        let (deleted, purged) = (pruned.deleted.len(), pruned.purged.len());
        info!(deleted, purged, freed_bytes = pruned.freed_bytes, "pruned");
    }
}
