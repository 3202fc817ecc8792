//! Backs up one source: helper, pack, manifest, row, in this order and no other.
//!
//! ```text
//! lock the lineage → run row → upload row → helper → pack on its way → trailer → pack complete
//!   → the same of a second pass, as the recipe says: while writers are held, whose pack waits in a file of ours until
//!     they go on, or over what the first pass has left
//!   → what the guard says → commit row → manifest (If-None-Match: *)  = the commit → catalog row → run ended
//! ```
//!
//! Whatever stops in between leaves earlier snapshots as they were and the new one either whole or absent:
//! before the manifest nothing names the pack, so what was uploaded is an orphan of this run that recovery
//! removes; after it the snapshot is in the store, and recovery writes the rows that are missing.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use policies::policy::{self, Terms};
use policies::retention::guard::Limits;
use serde::Serialize;

use crate::catalog::Verb;
use crate::failure::{Class, Failure};
use crate::format::manifest::{Consistency, Manifest, SetOf, SnapshotKind};
use crate::format::names::{Lineage, owner_key};
use crate::format::owner::Owner;
use crate::port::docker::Docker;
use crate::port::store::{Put, Store, StoreErrorKind};
use crate::usecase::begun::Begun;
use crate::usecase::blame;
use crate::usecase::guarding;
use crate::usecase::host::Host;
use crate::usecase::index::{self, Signed};
use crate::usecase::notes::warnings;
use crate::usecase::opened;
use crate::usecase::pass::Passed;
use crate::usecase::recover;
use crate::usecase::run::Run;
use crate::usecase::source::{self, Source};
use crate::usecase::terms::RunTerms;
use crate::usecase::watch::{Told, Watch};
use crate::words::{Number, SourceName};

/// What to back up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRequest {
    /// Which source.
    pub source: SourceName,
    /// Asked for by a person, so outside the count of retention.
    pub by_hand: bool,
    /// An empty source is meant.
    pub allow_empty: bool,
    /// Lean on no earlier snapshot.
    pub full: bool,
    /// What looks so wrong that nothing is pruned.
    pub guard: Limits,
    /// How files come to be of one moment.
    pub consistency: policy::Consistency,
    /// How it is packed, and how much of the host it takes.
    pub terms: RunTerms,
}

impl BackupRequest {
    /// What a schedule asks for, as the terms of its policy say.
    pub fn scheduled(source: SourceName, terms: Option<&Terms>) -> Self {
        Self {
            source,
            by_hand: false,
            allow_empty: false,
            full: false,
            guard: terms.map(|terms| terms.guard.limits()).unwrap_or_default(),
            consistency: terms.map(|terms| terms.consistency.clone()).unwrap_or_default(),
            terms: terms.map(RunTerms::of).unwrap_or_default(),
        }
    }
}

/// A committed snapshot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupReport {
    /// Its id.
    pub snapshot: String,
    /// The source.
    pub source: String,
    /// Full or incremental.
    pub kind: SnapshotKind,
    /// Regular files.
    pub files: u64,
    /// Apparent bytes of them.
    pub bytes: u64,
    /// Bytes that went to the store.
    pub sent_bytes: u64,
    /// The set that it belongs to.
    pub set: Option<String>,
    /// Whether files are of one moment.
    pub consistency: Consistency,
    /// How long writers were held.
    pub freeze_seconds: f64,
    /// How long it took.
    pub seconds: f64,
    /// What a person should know, a line each.
    pub warnings: Vec<String>,
    /// Something that should be in it is not: `warnings` says what.
    pub partial: bool,
    /// All entries.
    pub entries: u64,
    /// The run.
    pub run: String,
}

/// Backs up a source and gives the snapshot once it is committed.
pub async fn backup(
    host: &Host,
    request: &BackupRequest,
    watch: &dyn Watch,
) -> Result<BackupReport, Failure> {
    let began = host.clock().elapsed();
    let docker = host.docker().await?;
    let source = source::resolve(&*docker, &request.source).await?;
    source::refuse_own_folders(host, &source)?;
    let store = host.store_to_fill().await?;
    let lineage = Lineage { host: host.settings().host.clone(), source: request.source.clone() };
    let run = Run::begin(host, Verb::Backup, &lineage)?;
    let together = [request.source.clone()];
    let deed = Deed {
        together: &together,
        set: None,
        host,
        docker: &*docker,
        store: &*store,
        lineage: &lineage,
        source: &source,
        request,
        run: &run,
        watch,
        warned: Mutex::default(),
    };
    let done = tokio::select! {
        // What is held must be let go, also after a bug of ours.
        done = AssertUnwindSafe(deed.run()).catch_unwind() => done.unwrap_or_else(|_panic| {
            Err(Failure::failed(format!("back up `{}`", request.source)).because("it broke down"))
        }),
        // The future that was dropped holds no locks; what it began is undone like after a crash.
        () = cancelled(&run, watch) => Err(Failure::new(
            Class::Interrupted,
            format!("backup of `{}` was interrupted", request.source),
        )),
    };
    let done = match done {
        Ok(report) => Ok(report),
        Err(failure) => match deed.clean_up(failure).await {
            Settled::Over(done) => done,
            // The row stays unfinished: recovery tries again what could not be taken back now.
            Settled::Left(failure) => return Err(failure),
        },
    };
    let mut report = run.end(done)?;
    report.seconds = (host.clock().elapsed().saturating_sub(began)).as_secs_f64();
    Ok(report)
}

/// What became of a backup that failed.
pub(super) enum Settled {
    Over(Result<BackupReport, Failure>),
    Left(Failure),
}

fn nothing_was_committed(failure: Failure) -> Failure {
    match failure.class {
        Class::Interrupted => failure.hint("nothing was committed; earlier snapshots are as they were"),
        Class::Failed
        | Class::Usage
        | Class::Partial
        | Class::NotFound
        | Class::Busy
        | Class::WrongKey
        | Class::Unsafe => failure,
    }
}

/// Returns when somebody asks for an end, here or with `backupctl cancel`.
pub(super) async fn cancelled(run: &Run<'_>, watch: &dyn Watch) {
    tokio::select! {
        () = watch.cancel().asked() => {}
        () = run.cancel_requested() => {}
    }
}

/// One backup, with everything that it needs.
pub(super) struct Deed<'a> {
    pub(super) host: &'a Host,
    pub(super) docker: &'a dyn Docker,
    pub(super) store: &'a dyn Store,
    pub(super) lineage: &'a Lineage,
    pub(super) source: &'a Source,
    pub(super) request: &'a BackupRequest,
    pub(super) run: &'a Run<'a>,
    pub(super) watch: &'a dyn Watch,
    pub(super) warned: Mutex<Vec<String>>,
    /// The sources whose writers are held at one moment; its own, unless it belongs to a set.
    pub(super) together: &'a [SourceName],
    pub(super) set: Option<SetOf>,
}

impl Deed<'_> {
    async fn run(&self) -> Result<BackupReport, Failure> {
        self.own().await?;
        let begun = self.begin().await?;
        let (number, taken_at, parent) = (begun.number, begun.taken_at, begun.parent.as_ref());
        let mut recipe = self.recipe().await?;
        let (first, lost) = self.read_first(&begun, recipe.as_deref_mut()).await?;
        let passed = match &mut recipe {
            None => first,
            Some(recipe) => self.read_again(number, taken_at, first, parent, &mut **recipe).await?,
        };
        let manifest = self.judge(&begun, passed).await?;
        let mut report = self.settle(&begun, manifest).await?;
        report.warnings.extend(lost.map(|why| format!("took a full backup: {why}")));
        Ok(report)
    }

    /// The manifest of what was read, if that is what was promised. What the guard says of it is noted.
    pub(super) async fn judge(&self, begun: &Begun, passed: Passed) -> Result<Manifest, Failure> {
        let was_written = passed.packed.writes > 0;
        let manifest = self.manifest(begun.number, begun.taken_at, passed, begun.parent.as_ref()).await?;
        self.as_promised(&manifest, was_written)?;
        let before = begun.parent.as_ref().map(|parent| &parent.manifest);
        guarding::guard(self.host, self.lineage, &manifest, before, &self.request.guard).await?;
        Ok(manifest)
    }

    /// Commits, and writes the rows that follow from it.
    pub(super) async fn settle(&self, begun: &Begun, manifest: Manifest) -> Result<BackupReport, Failure> {
        let signed = self.commit(manifest).await?;
        self.host.note_snapshot(&self.lineage.manifest(begun.number), &signed, &signed.signed_by).await?;
        self.sweep_orphans(&begun.folder, &signed.manifest).await;
        self.run.done(signed.manifest.totals.entries, signed.manifest.totals.bytes);
        Ok(self.report(&signed.manifest))
    }

    /// Makes sure that no other machine writes under this name.
    pub(super) async fn own(&self) -> Result<(), Failure> {
        let host = &self.lineage.host;
        if index::owner(self.store, host).await?.is_none() {
            let key = owner_key(host);
            let owner = Owner::new(
                host.clone(),
                self.host.installation(),
                self.host.key()?.public(),
                self.host.clock().now(),
            );
            let bytes = owner.to_bytes().map_err(|e| Failure::failed(format!("write `{key}`")).because(e))?;
            match self.store.put(&key, bytes.into(), Put::IfAbsent).await {
                Ok(()) => {}
                // Someone was faster, or a reply was lost; who it was is read back next.
                Err(e) if e.kind == StoreErrorKind::Exists => {}
                Err(e) => return Err(blame::store(format!("write `{key}`"), e)),
            }
        }
        match index::owner(self.store, host).await? {
            Some(owner) => self.host.allowed_by(&owner),
            None => Err(Failure::failed(format!("`{}` was written and is not there", owner_key(host)))
                .hint("the store loses what it has taken; do not rely on it")),
        }
    }

    fn report(&self, manifest: &Manifest) -> BackupReport {
        BackupReport {
            snapshot: opened::snapshot_id(self.host, self.lineage, manifest.number),
            source: self.lineage.source.to_string(),
            kind: manifest.kind,
            files: manifest.totals.files,
            bytes: manifest.totals.bytes,
            sent_bytes: manifest.sent_bytes(),
            set: manifest.set.as_ref().map(|set| set.id.to_string()),
            consistency: manifest.consistency,
            freeze_seconds: Duration::from_millis(manifest.freeze_ms).as_secs_f64(),
            seconds: 0.0,
            warnings: [self.warned(), warnings(&manifest.notes), self.flags(manifest.number)].concat(),
            partial: manifest.is_partial(),
            entries: manifest.totals.entries,
            run: self.run.id().to_string(),
        }
    }

    fn warned(&self) -> Vec<String> {
        self.warned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the guard said of the snapshot. That it cannot be read now does not unsay it.
    fn flags(&self, number: Number) -> Vec<String> {
        let flags = guarding::standing(self.host, &self.store.name(), self.lineage);
        let flags =
            flags.inspect_err(|e| tracing::warn!("read what the guard said: {e}")).unwrap_or_default();
        let of_this = flags.iter().filter(|flagged| flagged.key.number == number);
        of_this.map(|flagged| guarding::warning(&self.lineage.source, &flagged.flag)).collect()
    }

    /// Service first: what is held goes on. Then what was put into the store is taken back.
    pub(super) async fn clean_up(&self, failure: Failure) -> Settled {
        let failure = match self.let_go(true).await {
            Ok(()) => failure,
            Err(held) => held.within(&failure.to_string()),
        };
        // Whom it could not let go waits for the next start, not for this program.
        self.watch.cancel().has_let_go(self.run.id());
        match self.take_back().await {
            Ok(None) => Settled::Over(Err(nothing_was_committed(failure))),
            // What failed came after the commit, so the snapshot is there.
            Ok(Some(signed)) => {
                let mut report = self.report(&signed.manifest);
                report.warnings.push(format!("after the commit: {failure}"));
                Settled::Over(Ok(report))
            }
            Err(also) => {
                tracing::warn!("clean up after run {}: {also}", self.run.id());
                Settled::Left(failure)
            }
        }
    }

    /// Tells something that does not end the backup, now and in its report.
    pub(super) fn warn(&self, what: String) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        // What is tried again may tell it again.
        if !warned.contains(&what) {
            self.watch.tell(Told::Warning(what.clone()));
            warned.push(what);
        }
    }

    /// Takes back what this run put into the store before it failed, unless it had been committed.
    async fn take_back(&self) -> Result<Option<Signed>, Failure> {
        recover::sweep(self.docker, &self.host.owner(), self.run.id()).await?;
        recover::undo_backup(self.host, self.store, self.lineage, self.run.id()).await
    }
}
