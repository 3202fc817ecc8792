//! How a run ended, for the log, the counts and whoever waits for a heartbeat.
//!
//! Always true: its place is free again before anything is told of it.

use engine::failure::{Class, Failure};
use engine::usecase::prune::Pruned;
use engine::words::SourceName;
use tokio::task::{Id, JoinError};
use tracing::{Span, info, warn};

use super::Keeping;
use super::errand::{Ended, Pruning};
use crate::watching::{line, tell_failure};

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
        for (one, policy) in ended.into_iter().zip(policies) {
            self.tell_end(&policy, one);
        }
    }

    fn tell_end(&mut self, policy: &str, ended: Ended) {
        let source = &ended.source;
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
                self.teller.beat(&self.policies.folder, policy);
            }
            Err(failure) if failure.class == Class::Interrupted => warn!("{}", line(&failure.to_string())),
            Err(failure) => {
                *self.failures.entry(source.clone()).or_default() += 1;
                self.alarm(&format!("backup of `{source}` failed: {failure}"));
            }
        }
    }

    fn tell_pruning(&mut self, source: &SourceName, pruning: Result<Pruning, Failure>, rule: Option<String>) {
        match pruning {
            Ok(Pruning::Done(pruned)) => {
                self.sweeping.remove(source);
                tell_pruned(&pruned);
                self.note_rule(source, rule);
            }
            Ok(Pruning::Sweeping) => {
                self.sweeping.insert(source.clone());
                self.alarm(&format!(
                    "`{source}`: its policy would delete more snapshots than it keeps; `backupctl prune {source}` shows them and asks"
                ));
            }
            Err(failure) if failure.class == Class::Interrupted => {}
            Err(failure) => self.alarm(&format!("pruning of `{source}` failed: {failure}")),
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
