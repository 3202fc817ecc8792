//! The drills that policies want: one at a time, whoever waits for longest first, beside the backups.
//!
//! Always true: that a drill is wanted is in the ledger before the first is late; one that cannot even be planned counts
//! as tried, so nothing is tried again each minute.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::catalog::DrillResult;
use engine::failure::{Class, Failure};
use engine::usecase::drill::{DrillReport, DrillRequest, rehearse};
use engine::usecase::health::backed_up;
use engine::usecase::stores::host_for;
use engine::words::SourceName;
use tokio::task::JoinSet;
use tracing::{Instrument as _, Span, info, warn};

use super::Keeping;
use crate::watching::{Logged, deed, line, tell_failure};

/// The drill that is on.
#[derive(Default)]
pub(super) struct Drilling {
    pub(super) tasks: JoinSet<Ended>,
    source: Option<SourceName>,
}

/// How a drill ended, with the span that its lines are in.
pub(super) type Ended = (Span, Result<DrillReport, Failure>);

impl Drilling {
    pub(super) fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }
}

impl Keeping {
    /// Starts the drill that is due for longest, if none is on.
    pub(super) fn drill(&mut self) -> Result<(), Failure> {
        let wanted = self.note_wanted();
        if wanted.is_empty() || !self.drilling.is_idle() || self.cancel.is_asked() {
            return Ok(());
        }
        let now = self.host.clock().now();
        let due = self.health()?.into_iter().filter_map(|health| {
            let drill = health.drill.filter(|drill| drill.is_due(now))?;
            Some((drill.next, health.source.parse::<SourceName>().ok()?))
        });
        // What is being backed up has a newer snapshot in a moment.
        let free = |source: &SourceName| wanted.contains(source) && !self.busy.contains_key(source);
        let due: Option<(_, SourceName)> = due.filter(|(_, source)| free(source)).min();
        if let Some((_, source)) = due {
            self.begin_drill(source);
        }
        Ok(())
    }

    /// The sources whose policies want drills; since when is in the ledger.
    fn note_wanted(&mut self) -> BTreeSet<SourceName> {
        if !self.looked {
            return BTreeSet::new();
        }
        let wanted = backed_up(&self.cover).into_iter().filter(|(_, _, terms)| terms.drill.is_some());
        let wanted: BTreeSet<SourceName> = wanted.map(|(source, ..)| source).collect();
        let before = self.ledger.drills.clone();
        let now = self.host.clock().now();
        self.ledger.drills.retain(|source, _| wanted.contains(source));
        for source in &wanted {
            // By a clock that was ahead, it is wanted from ten years on.
            let since = self.ledger.drills.entry(source.clone()).or_insert(now);
            *since = now.min(*since);
        }
        if self.ledger.drills != before
            && let Err(failure) = self.ledger.write(&self.host)
        {
            // This process remembers.
            tell_failure(&failure);
        }
        wanted
    }

    fn begin_drill(&mut self, source: SourceName) {
        let all = backed_up(&self.cover);
        let terms = all.iter().find(|(of, ..)| *of == source).map(|(_, _, terms)| *terms);
        let request = DrillRequest::of(source.clone(), terms.and_then(|terms| terms.drill.as_ref()));
        let (host, span) = (host_for(&self.host, terms).anew(), deed("drill", &source));
        let watch = Logged::of(Arc::clone(&self.cancel), span.clone());
        span.in_scope(|| info!("drill begins"));
        self.drilling.source = Some(source);
        self.drilling.tasks.spawn(async move {
            let rehearsed = rehearse(&host, &request, &watch).instrument(span.clone()).await;
            (span, rehearsed)
        });
    }

    pub(super) fn drill_ended(&mut self, ended: Ended) {
        let (span, rehearsed) = ended;
        let _lines = span.entered();
        let source = self.drilling.source.take().map_or_else(String::new, |source| source.to_string());
        match rehearsed {
            Ok(report) => {
                report.warnings.iter().for_each(|warning| warn!("{}", line(warning)));
                match report.result {
                    DrillResult::Proven => info!(
                        snapshot = report.snapshot,
                        checker = report.checker.word(),
                        restore_seconds = report.restore_seconds,
                        seconds = report.seconds,
                        "proven"
                    ),
                    DrillResult::Unproven | DrillResult::Unchecked | DrillResult::Failed => {
                        self.alarm(&format!("`{}` is not proven: {}", report.snapshot, report.what));
                    }
                }
            }
            Err(failure) if failure.class == Class::Interrupted => warn!("{}", line(&failure.to_string())),
            Err(failure) => self.alarm(&format!("drill of `{source}` failed: {failure}")),
        }
    }
}
