//! Backs up one source: helper, pack, manifest, row, in this order and no other.
//!
//! ```text
//! lock the lineage → run row → helper → upload row → pack on its way → trailer → pack complete
//!   → commit row → manifest (If-None-Match: *)  = the commit → catalog row → run ended
//! ```
//!
//! Whatever stops in between leaves earlier snapshots as they were and the new one either whole or absent:
//! before the manifest nothing names the pack, so what was uploaded is an orphan of this run that recovery
//! removes; after it the snapshot is in the store, and recovery writes the rows that are missing.

use archive::channel::{Job, PackJob, Packed};
use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::Verb;
use crate::failure::{Class, Failure};
use crate::format::manifest::{Manifest, PackRef, SnapshotKind};
use crate::format::names::{Lineage, owner_key};
use crate::format::owner::Owner;
use crate::pipeline::receive::{Listener, ReceiveError, receive};
use crate::port::docker::{Access, Docker};
use crate::port::store::{OpenUpload, Put, Store, StoreErrorKind, Upload};
use crate::usecase::blame;
use crate::usecase::host::Host;
use crate::usecase::index::{self, Folder, Signed};
use crate::usecase::job::{Session, spec};
use crate::usecase::notes::warnings;
use crate::usecase::opened;
use crate::usecase::recover;
use crate::usecase::run::Run;
use crate::usecase::source::{self, Source};
use crate::usecase::watch::{Progress, Told, Watch};
use crate::words::{Number, SourceName};

/// A manifest that was still on its way when its run ended has arrived, or never will, after this.
const ORPHAN_AGE_SECONDS: i64 = 24 * 3600;

/// What to back up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRequest {
    /// Which source.
    pub source: SourceName,
    /// Asked for by a person, so outside the count of retention.
    pub by_hand: bool,
    /// An empty source is meant.
    pub allow_empty: bool,
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
    let deed = Deed {
        host,
        docker: &*docker,
        store: &*store,
        lineage: &lineage,
        source: &source,
        request,
        run: &run,
        watch,
    };
    let done = tokio::select! {
        done = deed.run() => done,
        // The future that was dropped holds no locks; what it began is undone like after a crash.
        () = cancelled(&run, watch) => Err(Failure::new(
            Class::Interrupted,
            format!("backup of `{}` was interrupted", request.source),
        )),
    };
    let done = match done {
        Ok(report) => Ok(report),
        Err(failure) => match deed.take_back().await {
            Ok(None) => Err(nothing_was_committed(failure)),
            // What failed came after the commit, so the snapshot is there.
            Ok(Some(signed)) => {
                let mut report = deed.report(&signed.manifest);
                report.warnings.push(format!("after the commit: {failure}"));
                Ok(report)
            }
            // The row stays unfinished: recovery tries again what could not be taken back now.
            Err(also) => {
                tracing::warn!("clean up after run {}: {also}", run.id());
                return Err(failure);
            }
        },
    };
    let mut report = run.end(done)?;
    report.seconds = (host.clock().elapsed().saturating_sub(began)).as_secs_f64();
    Ok(report)
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
async fn cancelled(run: &Run<'_>, watch: &dyn Watch) {
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
}

impl Deed<'_> {
    async fn run(&self) -> Result<BackupReport, Failure> {
        self.own().await?;
        let folder = index::folder(self.store, self.lineage).await?;
        let parent = self.parent(&folder).await?;
        let number = match &parent {
            None => Number::FIRST,
            Some(parent) => parent.manifest.number.next().ok_or_else(|| {
                Failure::failed(format!("lineage `{}` has used up its numbers", self.lineage.source))
            })?,
        };
        let taken_at = self.host.clock().now();
        self.watch.tell(Told::Step(format!("reading {}", self.request.source)));
        let pack = self.pack(number, taken_at).await?;
        let manifest = self.manifest(number, taken_at, pack, parent.as_ref()).await?;
        let signed = self.commit(manifest).await?;
        self.host.note_snapshot(&self.lineage.manifest(number), &signed, &signed.signed_by).await?;
        self.sweep_orphans(folder).await;
        self.run.done(signed.manifest.totals.entries, signed.manifest.totals.bytes);
        Ok(self.report(&signed.manifest))
    }

    /// Makes sure that no other machine writes under this name.
    async fn own(&self) -> Result<(), Failure> {
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

    /// The manifest before, deleted ones among them, so that numbers are never used twice.
    async fn parent(&self, folder: &Folder) -> Result<Option<Signed>, Failure> {
        let Some(highest) = folder.highest() else { return Ok(None) };
        let deleted = !folder.live.contains(&highest);
        let trusted = opened::trusted(self.host, self.store, &self.lineage.host).await?;
        index::manifest(self.store, self.lineage, highest, deleted, &trusted).await.map(Some)
    }

    /// Reads the source into a complete pack object.
    async fn pack(&self, number: Number, taken_at: Timestamp) -> Result<(PackRef, Packed), Failure> {
        let id = number.pack_id(0);
        let name = Lineage::pack_name(number, taken_at, self.run.id());
        let key = format!("{}{name}", self.lineage.prefix());
        let effort = self.host.settings().effort;
        let job = Job::Pack(PackJob { pack: id, level: effort.level, workers: effort.workers(), base: None });
        let spec = spec(self.host, self.run.id(), &self.source.mount, Access::Read);
        // The intent goes first: whatever happens from here on, recovery knows the key.
        self.run.uploading(&key, None)?;
        let what = format!("read source `{}`", self.request.source);
        let mut session = Session::open(self.docker, &spec, &job, what).await?;
        let store_what = || format!("write pack `{key}`");
        let mut upload = match self.store.begin(&key).await {
            Ok(upload) => upload,
            Err(e) => {
                session.kill().await;
                return Err(blame::store(store_what(), e));
            }
        };
        let mut listener = Teller { run: self.run, watch: self.watch };
        let packed = match receive(&mut *session.helper.from, &mut *upload, &mut listener).await {
            Ok(packed) => packed,
            Err(ReceiveError::Source(e)) => {
                abort(upload).await;
                return Err(session.broke(e).await);
            }
            Err(ReceiveError::Store(e)) => {
                session.kill().await;
                abort(upload).await;
                return Err(blame::store(store_what(), e));
            }
        };
        if let Err(failure) = session.close().await.and_then(|()| self.not_empty(&packed)) {
            abort(upload).await;
            return Err(failure);
        }
        let length = upload.finish().await.map_err(|e| blame::store(store_what(), e))?;
        if length != packed.length {
            let why = format!("the store has {length} bytes of {}", packed.length);
            return Err(Failure::failed(store_what()).because(why).hint("`backupctl doctor`"));
        }
        let pack = PackRef {
            id,
            name,
            length,
            hash: packed.hash,
            raw_bytes: packed.raw_bytes,
            footer: packed.footer,
        };
        Ok((pack, packed))
    }

    /// An empty source is far more often a wrong mount than a wish.
    fn not_empty(&self, packed: &Packed) -> Result<(), Failure> {
        if packed.totals.entries > 1 || self.request.allow_empty {
            return Ok(());
        }
        Err(Failure::new(Class::Unsafe, format!("source `{}` is empty", self.request.source))
            .hint("if it is meant to be, add `--allow-empty`"))
    }

    fn report(&self, manifest: &Manifest) -> BackupReport {
        BackupReport {
            snapshot: opened::snapshot_id(self.host, self.lineage, manifest.number),
            source: self.lineage.source.to_string(),
            kind: manifest.kind,
            files: manifest.totals.files,
            bytes: manifest.totals.bytes,
            sent_bytes: manifest.sent_bytes(),
            freeze_seconds: 0.0,
            seconds: 0.0,
            warnings: warnings(&manifest.notes),
            partial: manifest.is_partial(),
            entries: manifest.totals.entries,
            run: self.run.id().to_string(),
        }
    }

    /// Takes back what this run put into the store before it failed, unless it had been committed.
    async fn take_back(&self) -> Result<Option<Signed>, Failure> {
        recover::sweep(self.docker, &self.host.owner(), self.run.id()).await?;
        recover::undo_backup(self.host, self.store, self.lineage, self.run.id()).await
    }

    /// Deletes packs that a run of this installation left long ago without a commit. A failure here takes
    /// nothing from the snapshot that was just made; the next backup tries again.
    async fn sweep_orphans(&self, before: Folder) {
        let now = self.host.clock().now().as_second();
        for orphan in before.orphans() {
            let ended = self.host.catalog().run(&orphan.run).ok().and_then(|row| row.ended_at);
            if ended.is_some_and(|at| now - at.as_second() > ORPHAN_AGE_SECONDS)
                && let Err(e) = self.store.delete(&orphan.key).await
            {
                tracing::debug!("delete orphan: {e}");
            }
        }
    }
}

/// Passes on what comes by while a pack is received.
struct Teller<'a> {
    run: &'a Run<'a>,
    watch: &'a dyn Watch,
}

impl Listener for Teller<'_> {
    fn progress(&mut self, progress: archive::channel::Progress) {
        self.run.progress(progress.entries, progress.bytes, &progress.path);
        let archive::channel::Progress { entries, bytes, path } = progress;
        self.watch.tell(Told::Progress(Progress { entries, bytes, of_bytes: None, path }));
    }

    fn opened(&mut self, upload: OpenUpload) {
        // Without the id, recovery still finds the upload by its key.
        if let Err(failure) = self.run.uploading(&upload.key, Some(&upload.id)) {
            tracing::debug!("{failure}");
        }
    }
}

/// Gives up an upload. If even that fails, the run's row names it and recovery aborts it.
async fn abort(upload: Box<dyn Upload>) {
    if let Err(e) = upload.abort().await {
        tracing::debug!("abort upload: {e}");
    }
}
