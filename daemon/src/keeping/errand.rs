//! One slot of one source: the backup, and after a good one what its policy no longer keeps.
//!
//! Always true: pruning comes only after a snapshot that is whole, its failure takes nothing from that snapshot, and
//! a plan that would delete more than it keeps is left for a person, unless it is a backlog: by a rule that was
//! carried out before, and by counts alone. Such a one comes by itself, after a failure that held what is newer, or
//! weeks without deletes, and nobody would ever look.

use std::sync::Arc;

use engine::failure::Failure;
use engine::usecase::backup::{BackupReport, BackupRequest, backup};
use engine::usecase::host::Host;
use engine::usecase::prune::{Pruned, prune};
use engine::usecase::retention::retention;
use engine::usecase::rule::rule_line;
use engine::usecase::watch::Cancel;
use jiff::tz::TimeZone;
use policies::retention::Keep;
use tracing::{Instrument as _, Span};

use crate::watching::{Logged, deed};

/// What is to be done.
pub(super) struct Errand {
    /// At the store of the policy.
    pub(super) host: Host,
    pub(super) request: BackupRequest,
    /// What is kept, in whose days and weeks; everything if `None`.
    pub(super) rule: Option<(Keep, TimeZone)>,
    /// It is the rule by which the source was pruned last.
    pub(super) same_rule: bool,
    pub(super) cancel: Arc<Cancel>,
}

/// How it ended, each with the span that its lines are in.
pub(crate) struct Ended {
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
    pub(super) async fn run(self) -> Ended {
        let source = self.request.source.clone();
        let span = deed("backup", &source);
        let watch = Logged::of(Arc::clone(&self.cancel), span.clone());
        let backup = backup(&self.host, &self.request, &watch).instrument(span.clone()).await;
        let whole = backup.as_ref().is_ok_and(|report| !report.partial);
        let pruning = match &self.rule {
            Some((keep, zone)) if whole => {
                let span = deed("prune", &source);
                let watch = Logged::of(Arc::clone(&self.cancel), span.clone());
                let pruned = self.prune(&source, keep, zone, &watch).instrument(span.clone()).await;
                Some((span, pruned))
            }
            Some(_) | None => None,
        };
        let rule = self.rule.as_ref().map(|(keep, zone)| rule_line(keep, zone));
        Ended { rule, backup: (span, backup), pruning }
    }

    async fn prune(
        &self,
        source: &engine::words::SourceName,
        keep: &Keep,
        zone: &TimeZone,
        watch: &Logged,
    ) -> Result<Pruning, Failure> {
        let plan = retention(&self.host, source, keep, zone).await?;
        if plan.is_sweeping() && !(self.same_rule && plan.is_by_count()) {
            return Ok(Pruning::Sweeping);
        }
        prune(&self.host, &plan, watch).await.map(Pruning::Done)
    }
}
