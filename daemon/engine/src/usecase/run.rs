//! A run of this process: it holds its locks, and its row says what it is about to do before it does it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::catalog::journal::RestoreJournal;
use crate::catalog::{CatalogError, NewRun, Outcome, Progress, Verb};
use crate::failure::Failure;
use crate::format::names::Lineage;
use crate::lock::{Held, Holder, LockOn};
use crate::usecase::host::{Host, catalog_failure, lock_failure};
use crate::words::{Number, RunId, SourceName};

/// Progress goes into the row this often, and whether somebody wants an end is looked up as often.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// A run without a row, for what only looks and leaves nothing to finish or undo. While this lives, its helper
/// is somebody's.
pub(crate) struct Glance {
    id: RunId,
    _held: Option<Held>,
}

impl Glance {
    pub(crate) fn begin(host: &Host) -> Result<Self, Failure> {
        let id = RunId::random().map_err(|e| Failure::failed("make a run id").because(e.to_string()))?;
        // Without the lock, a helper that it leaves is found by its age.
        let held = host.locks().look(&id).inspect_err(|e| tracing::debug!("{e}")).ok();
        Ok(Self { id, _held: held })
    }

    pub(crate) fn id(&self) -> &RunId {
        &self.id
    }
}

/// A run that has begun. Dropped without [`Run::end`], its row stays unfinished, for recovery.
pub(crate) struct Run<'a> {
    host: &'a Host,
    id: RunId,
    _held: Vec<Held>,
    noted: Mutex<(Duration, u64)>,
}

impl<'a> Run<'a> {
    /// Takes the lineage's lock, then writes the row: an unfinished row whose lock is free is a dead run's.
    pub(crate) fn begin(host: &'a Host, verb: Verb, lineage: &Lineage) -> Result<Self, Failure> {
        Self::begin_on(host, verb, lineage, Some(LockOn::Lineage(lineage.clone())), None)
    }

    /// With other locks: none for what only reads, one more for what writes to a target.
    pub(crate) fn begin_on(
        host: &'a Host,
        verb: Verb,
        lineage: &Lineage,
        first: Option<LockOn>,
        second: Option<LockOn>,
    ) -> Result<Self, Failure> {
        let id = RunId::random().map_err(|e| Failure::failed("make a run id").because(e.to_string()))?;
        let now = host.clock().now();
        let holder = Holder { run: id.clone(), pid: std::process::id(), verb, since: now };
        let what = || format!("{} `{}`", verb.word(), lineage.source);
        let mut held = Vec::new();
        for on in first.iter().chain(&second) {
            held.push(host.locks().try_lock(on, &holder).map_err(|e| lock_failure(what(), e))?);
        }
        if verb == Verb::Backup
            && let SourceName::Volume(name) = &lineage.source
        {
            // A restore of another host's snapshot into this volume holds the lock of another lineage, and who reads while
            // it swaps reads a mix.
            let reading = host.locks().try_share(&LockOn::Volume(name.clone()));
            held.push(reading.map_err(|e| lock_failure(what(), e))?);
        }
        let new = NewRun {
            id: id.clone(),
            verb,
            host: lineage.host.clone(),
            source: Some(lineage.source.clone()),
            store: Some(host.store_name()?),
            pid: std::process::id(),
        };
        host.catalog().begin_run(&new, now).map_err(|e| catalog_failure(what(), e))?;
        // Whoever logs this deed in a span of its own that asks for the run has it in each line from here on.
        tracing::Span::current().record("run", id.as_str());
        Ok(Self { host, id, _held: held, noted: Mutex::new((host.clock().elapsed(), 0)) })
    }

    pub(crate) fn id(&self) -> &RunId {
        &self.id
    }

    /// A pack is about to be written under `key`, or its upload has got its id.
    pub(crate) fn uploading(&self, key: &str, id: Option<&str>) -> Result<(), Failure> {
        self.note(match id {
            None => self.host.catalog().note_upload(&self.id, key),
            Some(id) => self.host.catalog().note_upload_id(&self.id, key, id),
        })
    }

    pub(crate) fn committing(&self, number: Number) -> Result<(), Failure> {
        self.note(self.host.catalog().note_commit(&self.id, number))
    }

    pub(crate) fn working(&self, number: Option<Number>) -> Result<(), Failure> {
        self.note(self.host.catalog().note_work(&self.id, number))
    }

    pub(crate) fn preparing(
        &self,
        number: impl Into<Option<Number>>,
        journal: &RestoreJournal,
    ) -> Result<(), Failure> {
        self.note(self.host.catalog().note_prepare(&self.id, number, journal))
    }

    pub(crate) fn unpacking(&self) -> Result<(), Failure> {
        self.note(self.host.catalog().note_unpack(&self.id))
    }

    pub(crate) fn swapping(&self) -> Result<(), Failure> {
        self.note(self.host.catalog().note_swap(&self.id))
    }

    /// The content is in place, and containers are about to be started.
    pub(crate) fn resuming(&self) -> Result<(), Failure> {
        self.note(self.host.catalog().note_in_place(&self.id))
    }

    fn note(&self, noted: Result<(), CatalogError>) -> Result<(), Failure> {
        noted.map_err(|e| catalog_failure(format!("note what run {} does", self.id), e))
    }

    /// Shows others how far it is; at most once a second, and never a reason to fail.
    pub(crate) fn progress(&self, entries: u64, bytes: u64, path: &str) {
        let now = self.host.clock().elapsed();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_sub(noted.0);
        if since < NOTE_EVERY {
            return;
        }
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1);
        let bytes_per_second = bytes.saturating_sub(noted.1).saturating_mul(1000) / millis;
        *noted = (now, bytes);
        drop(noted);
        let progress = Progress { entries, bytes, bytes_per_second, path: path.to_owned() };
        if let Err(e) = self.host.catalog().note_progress(&self.id, &progress) {
            tracing::debug!("note progress: {e}");
        }
    }

    /// Shows how much it was in the end, however fast it was.
    pub(crate) fn done(&self, entries: u64, bytes: u64) {
        let progress = Progress { entries, bytes, ..Progress::default() };
        if let Err(e) = self.host.catalog().note_progress(&self.id, &progress) {
            tracing::debug!("note progress: {e}");
        }
    }

    /// Returns when `backupctl cancel` has named this run.
    pub(crate) async fn cancel_requested(&self) {
        loop {
            self.host.clock().sleep(NOTE_EVERY).await;
            // A catalog that is busy now is asked again.
            if matches!(self.host.catalog().is_cancel_requested(&self.id), Ok(true)) {
                return;
            }
        }
    }

    /// Writes how it ended, and passes that on. The deed is done whatever becomes of the row: a row that
    /// cannot be written is finished by recovery.
    pub(crate) fn end<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        let (outcome, message) = match &result {
            Ok(_) => (Outcome::Done, None),
            Err(failure) => (Outcome::Not(failure.class), Some(failure.to_string())),
        };
        let now = self.host.clock().now();
        if let Err(e) = self.host.catalog().finish_run(&self.id, outcome, message.as_deref(), now) {
            tracing::warn!("note the end of run {}: {e}", self.id);
        }
        result
    }
}
