//! One slot of one source, or of a set: the backup, and after a good one what its policy no longer keeps.
//!
//! Always true: pruning comes only after a snapshot that is whole, its failure takes nothing from that snapshot, and
//! a plan that would delete more than it keeps is left for a person, unless it is a backlog: by a rule that was
//! carried out before, and by counts alone. Such a one comes by itself, after a failure that held what is newer, or
//! weeks without deletes, and nobody would ever look.

use std::sync::Arc;

use engine::failure::Failure;
use engine::usecase::backup::{BackupReport, BackupRequest};
use engine::usecase::host::Host;
use engine::usecase::prune::{Pruned, prune};
use engine::usecase::retention::retention;
use engine::usecase::rule::rule_line;
use engine::usecase::scheduled::backup_scheduled;
use engine::usecase::watch::Cancel;
use engine::words::SourceName;
use jiff::tz::TimeZone;
use policies::retention::Keep;
use tracing::{Instrument as _, Span};

use crate::watching::{Logged, deed};

/// What is to be done.
pub(super) struct Errand {
    /// At the store of the policy.
    pub(super) host: Host,
    /// Several are a set.
    pub(super) wanted: Vec<Wanted>,
    /// What is kept, in whose days and weeks; everything if `None`.
    pub(super) rule: Option<(Keep, TimeZone)>,
    pub(super) cancel: Arc<Cancel>,
    /// Where somebody else is at work, it is tried once more.
    pub(super) patient: bool,
}

/// One source.
pub(super) struct Wanted {
    pub(super) request: BackupRequest,
    /// The rule is the one by which it was pruned last.
    pub(super) same_rule: bool,
}

/// How it ended for one source, each with the span that its lines are in.
pub(crate) struct Ended {
    pub(super) source: SourceName,
    pub(super) rule: Option<String>,
    pub(super) backup: (Span, Result<BackupReport, Failure>),
    pub(super) pruning: Option<(Span, Result<Pruning, Failure>)>,
}

/// What became of old snapshots.
pub(super) enum Pruning {
    Done(Pruned),
    /// It would have deleted more than it keeps.
    Sweeping,
}

impl Errand {
    pub(super) async fn run(self) -> Vec<Ended> {
        let rule = self.rule.as_ref().map(|(keep, zone)| rule_line(keep, zone));
        let mut all = Vec::with_capacity(self.wanted.len());
        for (wanted, (span, backup)) in self.wanted.iter().zip(self.backups().await) {
            let whole = backup.as_ref().is_ok_and(|report| !report.partial);
            let source = wanted.request.source.clone();
            let pruning = match &self.rule {
                Some((keep, zone)) if whole => {
                    let span = deed("prune", &source);
                    let watch = Logged::of(Arc::clone(&self.cancel), span.clone());
                    let pruned = self.prune(wanted, keep, zone, &watch).instrument(span.clone()).await;
                    Some((span, pruned))
                }
                Some(_) | None => None,
            };
            all.push(Ended { source, rule: rule.clone(), backup: (span, backup), pruning });
        }
        all
    }

    /// One for each that is wanted, in that order.
    async fn backups(&self) -> Vec<(Span, Result<BackupReport, Failure>)> {
        let spans: Vec<Span> = self.wanted.iter().map(|one| deed("backup", &one.request.source)).collect();
        let Some(span) = spans.first() else { return Vec::new() };
        let watch = Logged::of(Arc::clone(&self.cancel), span.clone());
        let requests: Vec<BackupRequest> = self.wanted.iter().map(|one| one.request.clone()).collect();
        let done =
            backup_scheduled(&self.host, &requests, self.patient, &watch).instrument(span.clone()).await;
        let each = self.wanted.iter().map(|one| one.request.source.to_string());
        match done {
            Ok(mut reports) => {
                let mut of = |source: String| {
                    let at = reports.iter().position(|report| report.source == source);
                    at.map(|at| reports.swap_remove(at))
                        .ok_or_else(|| Failure::failed(format!("`{source}` is missing from its set")))
                };
                spans.iter().cloned().zip(each.map(&mut of).collect::<Vec<_>>()).collect()
            }
            Err(failure) => {
                let (class, words) = (failure.class, failure.to_string());
                // The first one tells why; the others, that it was not they.
                let mut first = Some(failure);
                let also = || Failure::new(class, format!("its set failed: {words}"));
                spans.into_iter().map(|span| (span, Err(first.take().unwrap_or_else(also)))).collect()
            }
        }
    }

    async fn prune(
        &self,
        wanted: &Wanted,
        keep: &Keep,
        zone: &TimeZone,
        watch: &Logged,
    ) -> Result<Pruning, Failure> {
        let plan = retention(&self.host, &wanted.request.source, keep, zone).await?;
        if plan.is_sweeping() && !(wanted.same_rule && plan.is_by_count()) {
            return Ok(Pruning::Sweeping);
        }
        prune(&self.host, &plan, watch).await.map(Pruning::Done)
    }
}
