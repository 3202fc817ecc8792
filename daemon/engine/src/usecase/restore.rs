//! Restores a snapshot: plan, print the plan, carry out the same plan.
//!
//! In place, the new content is staged beside the old, inside the target; only when all of it is written,
//! checked and synced are the containers stopped, the two swapped by renames, and the containers started
//! again. So a download that fails at 99 % has touched neither content nor service. A missing volume is made
//! again as it was recorded and filled directly; it becomes somebody's only when it is whole.
//!
//! The journal is written before anything of the host is touched, and says how to finish or undo it.

use std::sync::Arc;

use archive::channel::{Job, Looked, Swapped, Target, UnpackJob, Unpacked};
use archive::path::TreePath;
use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::Verb;
use crate::catalog::journal::{RestoreJournal, RestoreTarget, StoppedContainer};
use crate::failure::{Class, Failure};
use crate::format::manifest::Consistency;
use crate::lock::LockOn;
use crate::pipeline::feed::{Fed, FeedError, feed};
use crate::port::docker::{Access, Docker, HelperMount, NewVolume};
use crate::usecase::backup::warnings;
use crate::usecase::blame;
use crate::usecase::choice::choose;
use crate::usecase::host::Host;
use crate::usecase::job::{Session, ask, spec};
use crate::usecase::opened::{Opened, open};
use crate::usecase::resume::Settled;
use crate::usecase::run::{Glance, Run};
use crate::usecase::source::{self, User};
use crate::usecase::watch::{Progress, Told, Watch};
use crate::usecase::{resume, service};
use crate::words::{HostName, Number, SnapshotName, SourceName};

/// A restored tree needs room for its blocks, folders and inodes too.
const SPARE_BYTES: u64 = 16 << 20;

/// What to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRequest {
    /// Which source.
    pub source: SourceName,
    /// Whose; `None` is this host.
    pub host: Option<HostName>,
    /// Which snapshot; `None` is the newest.
    pub number: Option<Number>,
    /// The newest that was taken by then.
    pub at: Option<Timestamp>,
    /// Into a new volume of this name, instead of in place.
    pub into: Option<String>,
    /// Only what lies at or beneath these; all if empty.
    pub paths: Vec<TreePath>,
    /// Keep what was there before.
    pub keep_previous: bool,
    /// A partial snapshot will do.
    pub accept_partial: bool,
}

/// A container that is stopped meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedStop {
    /// Its name.
    pub container: String,
    /// Its image.
    pub image: String,
    /// It runs now, and so will run again.
    pub running: bool,
}

/// What a restore would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestorePlan {
    /// Which snapshot.
    pub snapshot: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// How old it is.
    pub age_seconds: i64,
    /// Why this one.
    pub why: String,
    /// How writers were held.
    pub consistency: Consistency,
    /// When it was last read back whole.
    pub proven_at: Option<Timestamp>,
    /// Where it goes: a volume's name or a host folder.
    pub target: String,
    /// The target is there.
    pub target_exists: bool,
    /// The target is a volume that is made for it.
    pub creates_volume: bool,
    /// What is there is replaced.
    pub in_place: bool,
    /// So many entries at the top of the target.
    pub replaces_entries: u64,
    /// Regular files in the snapshot.
    pub files: u64,
    /// Entries in the snapshot.
    pub entries: u64,
    /// Apparent bytes in the snapshot.
    pub bytes: u64,
    /// Bytes to fetch at most.
    pub fetch_bytes: u64,
    /// Bytes free at the target.
    pub free_bytes: Option<u64>,
    /// Containers that use the target.
    pub stops: Vec<PlannedStop>,
    /// What a person should know before.
    pub warnings: Vec<String>,
    /// What was asked for.
    #[serde(skip)]
    pub request: RestoreRequest,
    /// The very snapshot that was planned.
    #[serde(skip)]
    pub name: SnapshotName,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RestoreReport {
    /// Which snapshot.
    pub snapshot: String,
    /// Where it went.
    pub target: String,
    /// Regular files.
    pub files: u64,
    /// Apparent bytes.
    pub bytes: u64,
    /// Bytes that came from the store.
    pub fetched_bytes: u64,
    /// Every byte was checked against its hash.
    pub verified: bool,
    /// How long it took.
    pub seconds: f64,
    /// All entries.
    pub entries: u64,
    /// The run.
    pub run: String,
    /// What a person should know, a line each.
    pub warnings: Vec<String>,
    /// Where the previous content is, if it was kept.
    pub previous: Option<String>,
    /// Containers that run again.
    pub started: Vec<String>,
}

/// Where a restore goes, as it is now.
struct Place {
    mount: HelperMount,
    exists: bool,
    users: Vec<User>,
}

impl Place {
    fn name(&self) -> &str {
        match &self.mount {
            HelperMount::Volume(name) | HelperMount::Folder(name) => name,
        }
    }

    fn lock(&self) -> LockOn {
        match &self.mount {
            HelperMount::Volume(name) => LockOn::Volume(name.clone()),
            HelperMount::Folder(path) => LockOn::Folder(path.clone()),
        }
    }

    fn journal_target(&self) -> RestoreTarget {
        match &self.mount {
            HelperMount::Volume(name) => RestoreTarget::Volume(name.clone()),
            HelperMount::Folder(path) => RestoreTarget::Folder(path.clone()),
        }
    }
}

async fn place(docker: &dyn Docker, request: &RestoreRequest) -> Result<Place, Failure> {
    if let Some(new) = &request.into {
        let found =
            docker.volume(new).await.map_err(|e| blame::docker(format!("look up volume `{new}`"), e))?;
        return match found {
            None => Ok(Place { mount: HelperMount::Volume(new.clone()), exists: false, users: Vec::new() }),
            Some(_) => {
                Err(Failure::new(Class::Unsafe, format!("volume `{new}` exists already")).hint(format!(
                    "choose another name, or restore `{0}` in place with `backupctl restore {0}`",
                    request.source
                )))
            }
        };
    }
    match source::resolve(docker, &request.source).await {
        Ok(source) => Ok(Place { mount: source.mount, exists: true, users: source.users }),
        Err(failure) if failure.class == Class::NotFound => match &request.source {
            SourceName::Volume(name) => {
                Ok(Place { mount: HelperMount::Volume(name.clone()), exists: false, users: Vec::new() })
            }
            SourceName::Mount { .. } => {
                Err(failure.hint("create the container first, or restore into a volume with `--into NEW`"))
            }
        },
        Err(failure) => Err(failure),
    }
}

/// Plans a restore. Changes nothing.
pub async fn plan_restore(host: &Host, request: &RestoreRequest) -> Result<RestorePlan, Failure> {
    let (name, why) = choose(host, request).await?;
    let opened = open(host, &name).await?;
    let docker = host.docker().await?;
    let place = place(&*docker, request).await?;
    let manifest = &opened.signed.manifest;
    if manifest.is_partial() && !request.accept_partial {
        return Err(Failure::new(
            Class::Unsafe,
            format!("snapshot `{}` is partial: {}", opened.id(host), warnings(&manifest.notes).join("; ")),
        )
        .hint("choose another (`backupctl snapshots`), or accept it with `--accept-partial`"));
    }
    if place.exists && request.into.is_none() && !request.paths.is_empty() {
        return Err(Failure::new(
            Class::Usage,
            "`--path` restores into a new volume, so that nothing beside it is replaced",
        )
        .hint("add `--into NEW`, then copy what you need"));
    }
    let key = host.snapshot_key(&opened.lineage, manifest.number).await?;
    let row = host.catalog().snapshot(&key).ok().flatten();
    let proven_at = row.and_then(|row| row.verified).map(|verified| verified.at);
    let mut plan = RestorePlan {
        snapshot: opened.id(host),
        taken_at: manifest.taken_at,
        age_seconds: host.clock().now().as_second() - manifest.taken_at.as_second(),
        why,
        consistency: manifest.consistency,
        proven_at,
        target: place.name().to_owned(),
        target_exists: place.exists,
        creates_volume: !place.exists,
        in_place: place.exists,
        replaces_entries: 0,
        files: manifest.totals.files,
        entries: manifest.totals.entries,
        bytes: manifest.totals.bytes,
        fetch_bytes: manifest.packs.iter().map(|pack| pack.length).sum(),
        free_bytes: None,
        stops: stops(&place.users),
        warnings: Vec::new(),
        request: request.clone(),
        name,
    };
    if place.exists {
        service::journal(&place.users)?;
        let looked = look(host, &*docker, &place).await?;
        check_room(&plan, &looked)?;
        plan.replaces_entries = looked.top_entries;
        plan.free_bytes = Some(looked.free_bytes);
    }
    plan.warnings = plan_warnings(&plan, &opened);
    Ok(plan)
}

fn stops(users: &[User]) -> Vec<PlannedStop> {
    users
        .iter()
        .map(|user| PlannedStop {
            container: user.container.name.clone(),
            image: user.container.image.clone(),
            running: user.is_up(),
        })
        .collect()
}

fn plan_warnings(plan: &RestorePlan, opened: &Opened) -> Vec<String> {
    let manifest = &opened.signed.manifest;
    let mut said = warnings(&manifest.notes);
    if plan.consistency == Consistency::Live {
        said.push("it was read while containers wrote: its files may be of different moments".to_owned());
    }
    for user in &manifest.users {
        for now in plan.stops.iter().filter(|now| now.container == user.container && now.image != user.image)
        {
            said.push(format!("`{}` ran `{}` then and runs `{}` now", now.container, user.image, now.image));
        }
    }
    said
}

async fn look(host: &Host, docker: &dyn Docker, place: &Place) -> Result<Looked, Failure> {
    let glance = Glance::begin(host)?;
    let spec = spec(host, glance.id(), &place.mount, Access::Read);
    ask(docker, &spec, &Job::Look, format!("look at `{}`", place.name())).await
}

fn check_room(plan: &RestorePlan, looked: &Looked) -> Result<(), Failure> {
    let needed = plan.bytes.min(plan.fetch_bytes.saturating_mul(1000)).saturating_add(SPARE_BYTES);
    let inodes = looked.free_inodes.is_none_or(|free| free > plan.entries);
    // The apparent size of sparse files is more than they take, so it only refuses what cannot fit anyhow.
    if inodes && looked.free_bytes >= plan.fetch_bytes.min(needed) {
        return Ok(());
    }
    let what = format!(
        "`{}` has {} MiB and {} inodes free",
        plan.target,
        looked.free_bytes >> 20,
        looked.free_inodes.unwrap_or(0)
    );
    Err(Failure::failed(what)
        .because(format!(
            "the snapshot needs about {} MiB and {} inodes beside what is there",
            plan.bytes >> 20,
            plan.entries
        ))
        .hint("make room, or restore into a volume on another disk with `--into NEW`"))
}

/// Carries a plan out.
pub async fn restore(host: &Host, plan: RestorePlan, watch: &dyn Watch) -> Result<RestoreReport, Failure> {
    let began = host.clock().elapsed();
    let docker = host.docker().await?;
    let opened = open(host, &plan.name).await?;
    let place = place(&*docker, &plan.request).await?;
    if stops(&place.users) != plan.stops || place.exists != plan.target_exists {
        return Err(Failure::new(
            Class::Busy,
            format!("`{}` has changed since the restore was planned", plan.target),
        )
        .hint("plan it again: repeat the command"));
    }
    let run = Run::begin_on(
        host,
        Verb::Restore,
        &opened.lineage,
        Some(LockOn::Lineage(opened.lineage.clone())),
        Some(place.lock()),
    )?;
    let deed = Deed { host, docker: &*docker, opened: &opened, place: &place, plan: &plan, run: &run, watch };
    let done = deed.run().await;
    let mut report = match done {
        Ok(report) => run.end(Ok(report))?,
        Err((failure, settled)) if settled => run.end(Err(failure))?,
        // The row stays unfinished: recovery tries again what could not be settled now.
        Err((failure, _)) => return Err(failure),
    };
    report.seconds = host.clock().elapsed().saturating_sub(began).as_secs_f64();
    Ok(report)
}

struct Deed<'a> {
    host: &'a Host,
    docker: &'a dyn Docker,
    opened: &'a Opened,
    place: &'a Place,
    plan: &'a RestorePlan,
    run: &'a Run<'a>,
    watch: &'a dyn Watch,
}

impl Deed<'_> {
    /// Gives the report, or what failed and whether everything is as it was before.
    async fn run(&self) -> Result<RestoreReport, (Failure, bool)> {
        let journal = match self.prepare() {
            Ok(journal) => journal,
            Err(failure) => return Err((failure, true)),
        };
        let unpacked = tokio::select! {
            unpacked = self.unpack() => unpacked,
            () = self.watch.cancel().asked() => Err(self.interrupted()),
            () = self.run.cancel_requested() => Err(self.interrupted()),
        };
        let (fed, unpacked) = match unpacked {
            Ok(done) => done,
            Err(failure) => return Err(self.undo(&journal, failure).await),
        };
        // From here on nobody interrupts: it is a moment, and half of it is worse than all.
        let previous = match self.put_in_place(&journal).await {
            Ok(previous) => previous,
            Err(failure) => return Err(self.undo(&journal, failure).await),
        };
        let resumed = self.resume(&journal.containers).await;
        let (started, unhealthy) = resumed.map_err(|failure| (failure, false))?;
        let mut said = warnings(&unpacked.notes);
        said.extend(unhealthy);
        Ok(RestoreReport {
            snapshot: self.plan.snapshot.clone(),
            target: self.plan.target.clone(),
            files: unpacked.totals.files,
            bytes: unpacked.totals.bytes,
            fetched_bytes: fed.fetched_bytes,
            verified: true,
            seconds: 0.0,
            entries: unpacked.totals.entries,
            run: self.run.id().to_string(),
            warnings: said,
            previous,
            started,
        })
    }

    fn interrupted(&self) -> Failure {
        Failure::new(Class::Interrupted, format!("restore of `{}` was interrupted", self.plan.snapshot))
            .hint("the target is as it was before; repeat the command to restore")
    }

    /// Writes down what will be touched, before it is.
    fn prepare(&self) -> Result<RestoreJournal, Failure> {
        let journal = RestoreJournal {
            target: self.place.journal_target(),
            created_volume: !self.place.exists,
            keep_previous: self.plan.request.keep_previous,
            containers: service::journal(&self.place.users)?,
            stopping: false,
        };
        self.run.preparing(self.opened.signed.manifest.number, &journal)?;
        Ok(journal)
    }

    async fn unpack(&self) -> Result<(Fed, Unpacked), Failure> {
        let what = format!("restore `{}` into `{}`", self.plan.snapshot, self.plan.target);
        if self.place.exists {
            self.clear_old_staging().await?;
        }
        self.run.unpacking()?;
        if !self.place.exists {
            let shape = &self.opened.signed.manifest.volume;
            let new = NewVolume {
                name: self.plan.target.clone(),
                driver: shape.driver.clone(),
                options: shape.options.clone(),
                labels: shape.labels.clone(),
            };
            self.docker
                .create_volume(&new)
                .await
                .map_err(|e| blame::docker(format!("make volume `{}`", new.name), e))?;
        }
        self.watch.tell(Told::Step(format!("restoring {} into {}", self.plan.snapshot, self.plan.target)));
        let into = if self.place.exists { Target::Staging } else { Target::Empty };
        let workers = self.host.settings().effort.workers();
        let job = Job::Unpack(UnpackJob { run: self.run.id().to_string(), workers, into });
        let spec = spec(self.host, self.run.id(), &self.place.mount, Access::Write);
        let mut session = Session::open(self.docker, &spec, &job, what.clone()).await?;
        let of_bytes = Some(self.plan.bytes).filter(|_| self.plan.request.paths.is_empty());
        let progress = |progress: archive::channel::Progress| {
            self.run.progress(progress.entries, progress.bytes, &progress.path);
            let archive::channel::Progress { entries, bytes, path } = progress;
            self.watch.tell(Told::Progress(Progress { entries, bytes, of_bytes, path }));
        };
        let reading = Arc::clone(&self.opened.reading);
        let paths = self.plan.request.paths.clone();
        match feed(reading, paths, &mut *session.helper.from, &mut *session.helper.to, progress).await {
            Ok(done) => {
                session.close().await?;
                Ok(done)
            }
            Err(FeedError::Channel(e)) => Err(session.broke(e).await),
            Err(other) => {
                session.kill().await;
                Err(blame::feed(what, other))
            }
        }
    }

    /// What an earlier restore of another installation left in the target: finished if its swap began, else
    /// removed. Our own dead runs were recovered before.
    async fn clear_old_staging(&self) -> Result<(), Failure> {
        for staged in look(self.host, self.docker, self.place).await?.staged {
            if staged.swapping {
                return Err(Failure::new(Class::Unsafe, format!("a restore by run `{}` was cut off while it swapped `{}`", staged.run, self.plan.target))
                    .hint("`backupctl runs` on the installation that began it finishes it; or restore into a new volume with `--into NEW`"));
            }
            resume::discard(self.host, self.docker, self.run.id(), &self.place.mount, &staged.run).await?;
        }
        Ok(())
    }

    /// Stops who uses the target, and swaps. A volume that was made for it is in place already.
    async fn put_in_place(&self, journal: &RestoreJournal) -> Result<Option<String>, Failure> {
        if !self.place.exists {
            return Ok(None);
        }
        self.watch.tell(Told::Step(format!("putting the restored content of {} in place", self.plan.target)));
        if !journal.containers.is_empty() {
            let stopping = RestoreJournal { stopping: true, ..journal.clone() };
            self.run.preparing(self.opened.signed.manifest.number, &stopping)?;
            service::stop(self.docker, &journal.containers).await?;
        }
        // Someone may have started a container since the plan; with a writer inside, a swap would mix.
        let now = place(self.docker, &self.plan.request).await?;
        if let Some(user) = now.users.iter().find(|user| user.is_up()) {
            return Err(Failure::new(
                Class::Busy,
                format!(
                    "container `{}` was started while `{}` was being restored",
                    user.container.name, self.plan.target
                ),
            )
            .hint("the target is as it was before; repeat the command to restore"));
        }
        self.run.swapping()?;
        let keep_previous = self.plan.request.keep_previous;
        let swapped: Swapped =
            resume::swap(self.host, self.docker, self.run.id(), &self.place.mount, keep_previous).await?;
        Ok(swapped.previous)
    }

    async fn resume(&self, containers: &[StoppedContainer]) -> Result<(Vec<String>, Vec<String>), Failure> {
        self.run.resuming()?;
        if !containers.is_empty() {
            self.watch.tell(Told::Step("starting containers again".to_owned()));
        }
        service::start_again(self.docker, self.host.clock(), containers, false).await
    }

    /// Takes back what was begun. Says whether all is as it was before.
    async fn undo(&self, journal: &RestoreJournal, failure: Failure) -> (Failure, bool) {
        match resume::settle(self.host, self.docker, self.run.id(), journal).await {
            Ok(Settled::Back) => (failure, true),
            Ok(Settled::Forwards) => {
                let what = format!("{failure}; the swap was finished, and the restored content is in place");
                (Failure::new(failure.class, what), true)
            }
            Err(also) => {
                let what = format!("{failure}; and it could not be undone: {also}");
                let failure = Failure::new(failure.class, what);
                (
                    failure.hint(
                        "containers may be down; `backupctl doctor`, then any backupctl command tries again",
                    ),
                    false,
                )
            }
        }
    }
}
