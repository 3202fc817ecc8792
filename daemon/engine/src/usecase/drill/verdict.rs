//! What came of a drill: into the catalog first, then to whoever asked, then the end of its run.
//!
//! Always true: one that was interrupted says nothing of its snapshot; and a run whose drill left something is not over.

use serde::Serialize;

use super::checker::Checker;
use super::found::seconds;
use super::plan::DrillPlan;
use super::stage::Found;
use crate::catalog::{DrillResult, DrillRow};
use crate::failure::{Class, Failure};
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::opened::Opened;
use crate::usecase::run::Run;

/// What a drill found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillReport {
    /// Which snapshot.
    pub snapshot: String,
    /// Who judged.
    pub checker: Checker,
    /// The verdict.
    pub result: DrillResult,
    /// In words.
    pub what: String,
    /// The image that was started, if one was.
    pub image: Option<String>,
    /// How long the restore took.
    pub restore_seconds: f64,
    /// How long all of it took.
    pub seconds: f64,
    /// Regular files.
    pub files: u64,
    /// Apparent bytes.
    pub bytes: u64,
    /// Bytes that came from the store.
    pub fetched_bytes: u64,
    /// The run.
    pub run: String,
    /// The end of what the programs said.
    pub output: String,
    /// What a person should know, a line each.
    pub warnings: Vec<String>,
}

/// What was restored.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Restored {
    pub(super) ms: u64,
    pub(super) fetched_bytes: u64,
}

/// Ends the run: a row whose drill left something stays unfinished, so that recovery removes it.
pub(super) fn end(
    run: Run<'_>,
    result: Result<DrillReport, Failure>,
    cleared: Result<(), Failure>,
) -> Result<DrillReport, Failure> {
    if let Err(left) = cleared {
        let warning = format!("{left}; the next backupctl that changes something, or backupd, tries again");
        return match result {
            Ok(mut report) => {
                report.warnings.push(warning);
                Ok(report)
            }
            Err(failure) => Err(Failure::new(failure.class, format!("{failure}; {warning}"))),
        };
    }
    match result {
        Ok(report) => {
            let what = || format!("`{}` is not proven: {}", report.snapshot, report.what);
            let ended = match report.result {
                DrillResult::Proven => Ok(()),
                DrillResult::Unchecked => Err(Failure::new(Class::Partial, what())),
                DrillResult::Unproven | DrillResult::Failed => Err(Failure::failed(what())),
            };
            // What is passed on is the report, which says the same.
            drop(run.end(ended));
            Ok(report)
        }
        Err(failure) => run.end(Err(failure)),
    }
}

/// What came of it, to be written down.
pub(super) struct Verdict {
    pub(super) judged: Result<Found, Failure>,
    pub(super) restored: Option<Restored>,
    pub(super) ms: u64,
    pub(super) output: String,
}

impl Verdict {
    pub(super) async fn note(
        self,
        host: &Host,
        run: &Run<'_>,
        opened: &Opened,
        plan: &DrillPlan,
    ) -> Result<DrillReport, Failure> {
        let (result, what, failed) = match self.judged {
            Ok(Found::Good(what)) => (DrillResult::Proven, what, None),
            Ok(Found::Bad(what)) => (DrillResult::Unproven, what, None),
            Ok(Found::Missing(what)) => (DrillResult::Unchecked, what, None),
            // Whoever stopped it knows; that says nothing of the snapshot, and nothing went wrong.
            Err(failure) if failure.class == Class::Interrupted => return Err(failure),
            Err(failure) => (DrillResult::Failed, failure.to_string(), Some(failure)),
        };
        let key = host.snapshot_key(&opened.lineage, opened.signed.manifest.number).await?;
        let row = DrillRow {
            run: run.id().clone(),
            key,
            at: host.clock().now(),
            checker: plan.checker.word().to_owned(),
            result,
            what: what.clone(),
            restore_ms: self.restored.map(|restored| restored.ms),
            ms: self.ms,
        };
        let noted = host.catalog().note_drill(&row, &self.output);
        noted.map_err(|e| catalog_failure(format!("note the drill of `{}`", plan.snapshot), e))?;
        match result {
            DrillResult::Proven => host.note_verified(&opened.lineage, &opened.signed, true).await?,
            DrillResult::Unproven => host.note_verified(&opened.lineage, &opened.signed, false).await?,
            DrillResult::Unchecked | DrillResult::Failed => {}
        }
        if let Some(failure) = failed {
            return Err(failure);
        }
        let restored = self.restored.unwrap_or_default();
        Ok(DrillReport {
            snapshot: plan.snapshot.clone(),
            checker: plan.checker,
            result,
            what,
            image: plan.image.clone(),
            restore_seconds: seconds(restored.ms),
            seconds: seconds(self.ms),
            files: plan.files,
            bytes: plan.bytes,
            fetched_bytes: restored.fetched_bytes,
            run: run.id().to_string(),
            output: self.output,
            warnings: Vec::new(),
        })
    }
}
