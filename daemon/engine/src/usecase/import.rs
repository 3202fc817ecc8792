//! Makes a snapshot of an archive that other software had made, so that people can come over.
//!
//! ```text
//! lock of the lineage → run row → scratch volume → a helper unpacks the archive into it, and says that it was whole
//!   → a helper reads it, as every backup does → manifest, which is the commit → the scratch volume goes
//! ```
//!
//! Nothing outside a helper looks inside the archive. Always true: a snapshot is committed only of an archive that came to
//! its own end; what could not be carried is in the snapshot's notes, and makes it partial; and whatever stops in between
//! leaves nothing but what recovery finds by the run's label.

use std::io::Read;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use archive::channel::{FailedCause, Job, UntarJob, Untarred};
use archive::path::TreePath;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::Verb;
use crate::failure::{Class, Failure};
use crate::format::manifest::{Consistency, Imported, Manifest, VolumeShape};
use crate::format::names::Lineage;
use crate::pipeline::channel::ChannelError;
use crate::pipeline::pour::{PourError, Poured, pour};
use crate::port::docker::{Access, Docker, HelperMount};
use crate::usecase::backup::{BackupReport, BackupRequest, Deed, Settled, cancelled};
use crate::usecase::blame;
use crate::usecase::host::Host;
use crate::usecase::job::{Session, spec};
use crate::usecase::run::Run;
use crate::usecase::scratch;
use crate::usecase::snapshots::{Refreshed, refresh};
use crate::usecase::source::{self, Source};
use crate::usecase::unread;
use crate::usecase::watch::{Progress, Told, Watch};
use crate::words::SourceName;

/// What to import, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRequest {
    /// The source that it becomes a snapshot of. It need not exist.
    pub source: SourceName,
    /// When what is in it was copied; now, if nobody knows better.
    pub taken_at: Option<Timestamp>,
    /// What the archive is called, without folders.
    pub archive: String,
    /// Only what lies beneath this, which becomes the root.
    pub beneath: TreePath,
    /// So many folders in front of what is left are taken off.
    pub strip: u32,
}

/// A committed snapshot, and what it came from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportReport {
    /// As of every backup.
    #[serde(flatten)]
    pub backup: BackupReport,
    /// When what is in it was copied.
    pub taken_at: Timestamp,
    /// The archive's name.
    pub archive: String,
    /// Bytes of the archive.
    pub archive_bytes: u64,
}

/// Imports an archive, and gives the snapshot once it is committed.
pub async fn import(
    host: &Host,
    request: &ImportRequest,
    archive: Box<dyn Read + Send>,
    watch: &dyn Watch,
) -> Result<ImportReport, Failure> {
    let began = host.clock().elapsed();
    let taken_at = taken_at(host, request)?;
    let docker = host.docker().await?;
    scratch::clear_strays(host, &*docker).await;
    let shape = shape(&*docker, &request.source).await?;
    let store = host.store_to_fill().await?;
    let lineage = Lineage { host: host.settings().host.clone(), source: request.source.clone() };
    let run = Run::begin(host, Verb::Import, &lineage)?;
    let mount = HelperMount::Volume(scratch::name(run.id()));
    let source = Source { mount, shape, users: Vec::new(), place: None };
    let usual = BackupRequest::scheduled(request.source.clone(), None);
    let together = [request.source.clone()];
    let deed = Deed {
        together: &together,
        set: None,
        host,
        docker: &*docker,
        store: &*store,
        lineage: &lineage,
        source: &source,
        request: &BackupRequest { by_hand: true, full: true, ..usual },
        run: &run,
        watch,
        warned: Mutex::default(),
    };
    let work = Work { deed: &deed, request, taken_at };
    let done = tokio::select! {
        // What is unpacked must go, also after a bug of ours.
        done = AssertUnwindSafe(work.run(archive)).catch_unwind() => done.unwrap_or_else(|_panic| {
            Err(Failure::failed(format!("import `{}`", request.archive)).because("it broke down"))
        }),
        () = cancelled(&run, watch) => Err(Failure::new(
            Class::Interrupted,
            format!("import of `{}` was interrupted", request.archive),
        )),
    };
    let (done, is_over) = clean_up(&deed, done).await;
    let (mut backup, archive_bytes) = if is_over { run.end(done)? } else { done? };
    backup.seconds = (host.clock().elapsed().saturating_sub(began)).as_secs_f64();
    Ok(ImportReport { backup, taken_at, archive: request.archive.clone(), archive_bytes })
}

/// Bytes of the archive stand beside the report.
type Done = Result<(BackupReport, u64), Failure>;

/// Takes back what a failed import did, and removes the scratch volume in any case. Where something is left the run is not
/// over: its row stays, and recovery tries again.
async fn clean_up(deed: &Deed<'_>, done: Done) -> (Done, bool) {
    let (done, settled) = match done {
        Ok(done) => (Ok(done), true),
        Err(failure) => match deed.clean_up(failure).await {
            Settled::Over(done) => (done.map(|report| (report, 0)), true),
            Settled::Left(failure) => (Err(failure), false),
        },
    };
    match scratch::clear(deed.docker, &deed.host.owner(), deed.run.id()).await {
        Ok(()) => (done, settled),
        Err(left) => {
            tracing::warn!("{left}");
            let done = done.map(|(mut backup, bytes)| {
                backup
                    .warnings
                    .push(format!("{left}; the next backupctl that changes something tries again"));
                (backup, bytes)
            });
            (done, false)
        }
    }
}

fn taken_at(host: &Host, request: &ImportRequest) -> Result<Timestamp, Failure> {
    let now = host.clock().now();
    match request.taken_at {
        Some(at) if at > now => {
            Err(Failure::new(Class::Usage, format!("{at:.0} lies in the future")).hint("check `--taken-at`"))
        }
        at => Ok(at.unwrap_or(now)),
    }
}

/// What a restore onto a bare host makes the volume of: as it is here, or the plainest there is.
async fn shape(docker: &dyn Docker, name: &SourceName) -> Result<VolumeShape, Failure> {
    match (source::resolve(docker, name).await, name) {
        (Ok(source), _) => Ok(source.shape),
        (Err(failure), SourceName::Volume(volume)) if failure.class == Class::NotFound => {
            Ok(VolumeShape { name: volume.clone(), driver: "local".to_owned(), ..VolumeShape::default() })
        }
        (Err(failure), _) => Err(failure),
    }
}

struct Work<'a> {
    deed: &'a Deed<'a>,
    request: &'a ImportRequest,
    taken_at: Timestamp,
}

impl Work<'_> {
    async fn run(&self, archive: Box<dyn Read + Send>) -> Done {
        let Self { deed, request, taken_at } = *self;
        deed.own().await?;
        self.refuse_newer().await?;
        let mut begun = deed.begin().await?;
        begun.taken_at = taken_at;
        let (poured, untarred) = self.unpack(archive).await?;
        deed.watch.tell(Told::Step(format!("reading what was in {}", request.archive)));
        let passed = match deed.pass(begun.number, taken_at, None, None).await {
            Ok(passed) => passed,
            Err(ended) => return Err(ended.failure(|| "read what was unpacked".to_owned()).await),
        };
        let draft = deed.draft(begun.number, taken_at, passed, begun.parent.as_ref());
        let manifest = Manifest {
            consistency: Consistency::Imported,
            made_by: deed.made_by().await?,
            notes: untarred.notes.and(draft.notes),
            imported: Some(Imported {
                archive: request.archive.clone(),
                bytes: poured.bytes,
                hash: poured.hash,
                beneath: String::from_utf8_lossy(request.beneath.as_bytes()).into_owned(),
            }),
            ..draft
        };
        Ok((deed.settle(&begun, manifest).await?, poured.bytes))
    }

    /// Without a time, a restore takes what was committed last. An old archive must not become that.
    async fn refuse_newer(&self) -> Result<(), Failure> {
        let Deed { host, store, lineage, .. } = *self.deed;
        let Refreshed { rows, unread, .. } = refresh(host, store, lineage).await?;
        // One that cannot be read may be later than the archive too.
        unread::refuse(unread, &rows, None, rows.iter().map(|row| row.key.number).max())
            .map_err(|failure| failure.hint("import it as another source, say `--as NAME-of-before`"))?;
        let live = rows.iter().filter(|row| row.deleted_at.is_none());
        let Some(newer) = live.filter(|row| row.taken_at > self.taken_at).max_by_key(|row| row.taken_at)
        else {
            return Ok(());
        };
        let source = &self.request.source;
        Err(Failure::new(Class::Unsafe, format!("import `{}` as `{source}`", self.request.archive))
            .because(format!(
                "`{source}@{}` is of {:.0}, which is later, and a restore that names no snapshot would take the import",
                newer.key.number, newer.taken_at
            ))
            .hint("import it as another source, say `--as NAME-of-before`; several archives go in with the oldest first"))
    }

    async fn unpack(&self, archive: Box<dyn Read + Send>) -> Result<(Poured, Untarred), Failure> {
        let Self { deed, request, .. } = *self;
        let Deed { host, docker, run, watch, .. } = *deed;
        let new = scratch::volume(&host.owner(), run.id());
        let made = docker.create_volume(&new).await;
        made.map_err(|e| blame::docker(format!("make scratch volume `{}`", new.name), e))?;
        watch.tell(Told::Step(format!("unpacking {}", request.archive)));
        let what = format!("import `{}`", request.archive);
        let spec = spec(host, run.id(), &deed.source.mount, Access::Write);
        let job = Job::Untar(UntarJob { beneath: request.beneath.clone(), strip: request.strip });
        let mut session = Session::open(docker, &spec, &job, what.clone()).await?;
        let progress = |progress: archive::channel::Progress| {
            run.progress(progress.entries, progress.bytes, &progress.path);
            let archive::channel::Progress { entries, bytes, path } = progress;
            watch.tell(Told::Progress(Progress { entries, bytes, of_bytes: None, path }));
        };
        let done = pour(archive, &mut *session.helper.from, &mut *session.helper.to, progress).await;
        let (poured, untarred) = match done {
            Ok(done) => done,
            Err(PourError::Archive(e)) => {
                session.kill().await;
                return Err(Failure::failed(format!("{what}: read it")).because(e));
            }
            Err(PourError::Channel(e)) => {
                let hint = hint(&e);
                let failure = session.broke(e).await;
                return Err(match hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                });
            }
        };
        session.close().await?;
        self.refuse_nothing(&untarred)?;
        Ok((poured, untarred))
    }

    /// A wrong `--beneath` is far more often the reason than an empty archive.
    fn refuse_nothing(&self, untarred: &Untarred) -> Result<(), Failure> {
        if untarred.totals.entries > 1 {
            return Ok(());
        }
        let what = format!("nothing of `{}` is taken", self.request.archive);
        Err(Failure::new(Class::Unsafe, what)
            .because(format!("of its {} members none lies where you say", untarred.members))
            .hint("`tar -tf FILE | head` shows names; `--beneath PATH` and `--strip N` say which are wanted"))
    }
}

/// What to do about an archive that the helper refuses; of what has nothing to do with archives, others say that.
fn hint(error: &ChannelError) -> Option<&'static str> {
    let ChannelError::Failed(failed) = error else { return None };
    match failed.cause {
        FailedCause::Damaged => {
            Some("nothing was committed; fetch the archive again, and look at it: `tar -tf FILE | tail`")
        }
        FailedCause::Hostile => {
            Some("unpack it by hand where it can do no harm, and back that up: docs/moving.md")
        }
        FailedCause::Tree
        | FailedCause::Full
        | FailedCause::ReadOnly
        | FailedCause::Updating
        | FailedCause::Occupied
        | FailedCause::Channel => None,
    }
}
