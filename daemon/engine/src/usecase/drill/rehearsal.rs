//! Carries a drill out: scratch volume, restore, server, checker, verdict; and whatever happens, the end of all of it.
//!
//! Always true: the run's row is there before anything is made, and what is made carries the run's label, so recovery finds
//! it after any death; the verdict is written down before anything is told; and the run is over only once nothing of the
//! drill is left.

use std::sync::Mutex;
use std::time::Duration;

use archive::channel::{Job, Looked, Target};

use super::checker::Checker;
use super::files::ReadBack;
use super::plan::DrillPlan;
use super::signs::{Place, Signs};
use super::stage::{Found, Stage};
use super::verdict::{DrillReport, Restored, Verdict, end};
use super::{mysql, postgres, redis, rrd};
use crate::catalog::Verb;
use crate::failure::{Class, Failure};
use crate::lock::LockOn;
use crate::port::docker::{Access, Docker, HelperMount};
use crate::usecase::blame;
use crate::usecase::fill::Fill;
use crate::usecase::host::Host;
use crate::usecase::job::{ask, spec};
use crate::usecase::opened::{Opened, open};
use crate::usecase::run::Run;
use crate::usecase::scratch;
use crate::usecase::watch::{Told, Watch};

/// Room beside the files themselves: a server that recovers writes.
const SPARE_BYTES: u64 = 64 << 20;

/// Carries a plan out. The report says what was found; an error, that it could not be found out.
pub async fn drill(host: &Host, plan: DrillPlan, watch: &dyn Watch) -> Result<DrillReport, Failure> {
    let began = host.clock().elapsed();
    let docker = host.docker().await?;
    scratch::clear_strays(host, &*docker).await;
    let opened = open(host, &plan.name).await?;
    let lock = LockOn::Drill(opened.lineage.clone());
    let run = Run::begin_on(host, Verb::Drill, &opened.lineage, Some(lock), None)?;
    run.working(Some(opened.signed.manifest.number))?;
    let stage = Stage {
        host,
        docker: &*docker,
        run: run.id(),
        image: plan.image_id.clone().unwrap_or_default(),
        image_name: plan.image.clone().unwrap_or_default(),
        volume: scratch::name(run.id()),
        at: plan.mounted_at.clone().unwrap_or_default(),
        arguments: plan.arguments.clone(),
        memory_bytes: plan.memory_bytes,
        deadline: began.saturating_add(plan.timeout),
        said: Mutex::default(),
    };
    let restored = Mutex::new(None);
    let rehearsal =
        Rehearsal { stage: &stage, run: &run, opened: &opened, plan: &plan, watch, restored: &restored };
    let judged = tokio::select! {
        judged = Box::pin(rehearsal.judge()) => judged,
        () = watch.cancel().asked() => Err(interrupted(&plan)),
        () = run.cancel_requested() => Err(interrupted(&plan)),
        () = host.clock().sleep(plan.timeout) => Err(too_late(&plan)),
    };
    let restored = *restored.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let cleared = scratch::clear(&*docker, &host.owner(), run.id()).await;
    let ms = millis(host.clock().elapsed().saturating_sub(began));
    let verdict = Verdict { judged, restored, ms, output: stage.noted() };
    let result = verdict.note(host, &run, &opened, &plan).await;
    end(run, result, cleared)
}

fn interrupted(plan: &DrillPlan) -> Failure {
    Failure::new(Class::Interrupted, format!("drill of `{}` was interrupted", plan.snapshot))
        .hint("all that it had made was removed; repeat the command to begin anew")
}

fn too_late(plan: &DrillPlan) -> Failure {
    Failure::failed(format!("drill `{}`", plan.snapshot))
        .because(format!("it was not over after {} s", plan.timeout_seconds))
        .hint("give it longer with `--timeout`, or `timeout` in `[drill]` of its policy")
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

struct Rehearsal<'a> {
    stage: &'a Stage<'a>,
    run: &'a Run<'a>,
    opened: &'a Opened,
    plan: &'a DrillPlan,
    watch: &'a dyn Watch,
    /// Told apart from the verdict: also a drill that fails later has measured its restore.
    restored: &'a Mutex<Option<Restored>>,
}

impl Rehearsal<'_> {
    async fn judge(&self) -> Result<Found, Failure> {
        let signs = &self.plan.signs;
        self.step(
            format!("asking image {} what it is", self.stage.image_name),
            self.plan.checker.needs_image(),
        );
        self.prepare(signs).await?;
        let mount = self.restore().await?;
        self.step(format!("{} judges {}", self.plan.checker, self.plan.snapshot), true);
        match self.plan.checker {
            Checker::Postgres => self.cluster(place(signs, self.plan)?)?.judge().await,
            Checker::Mysql => self.database(place(signs, self.plan)?)?.judge().await,
            Checker::Redis => self.redis(signs, place(signs, self.plan)?).judge().await,
            Checker::Rrd => rrd::judge(self.stage, place(signs, self.plan)?, signs.rrd_files).await,
            Checker::Files => {
                let Stage { host, docker, .. } = *self.stage;
                let (run, opened, watch) = (self.run, self.opened, self.watch);
                ReadBack { host, docker, run, opened, mount: &mount, watch }.judge().await
            }
        }
    }

    fn step(&self, what: String, said: bool) {
        if said {
            self.watch.tell(Told::Step(what));
        }
    }

    /// What can be refused is refused before anything is fetched.
    async fn prepare(&self, signs: &Signs) -> Result<(), Failure> {
        match self.plan.checker {
            Checker::Postgres => self.cluster(place(signs, self.plan)?)?.prepare().await,
            Checker::Mysql => self.database(place(signs, self.plan)?)?.prepare().await,
            Checker::Redis => self.redis(signs, place(signs, self.plan)?).prepare().await,
            Checker::Rrd | Checker::Files => Ok(()),
        }
    }

    /// Makes the scratch volume and fills it.
    async fn restore(&self) -> Result<HelperMount, Failure> {
        let Stage { host, docker, .. } = *self.stage;
        let new = scratch::volume(&host.owner(), self.run.id());
        let made = docker.create_volume(&new).await;
        made.map_err(|e| blame::docker(format!("make scratch volume `{}`", new.name), e))?;
        let mount = HelperMount::Volume(new.name);
        self.check_room(host, docker, &mount).await?;
        self.step(format!("restoring {} into a scratch volume", self.plan.snapshot), true);
        let (began, opened, run) = (host.clock().elapsed(), self.opened, self.run);
        let (into, paths, watch) = (Target::Empty, Vec::new(), self.watch);
        let fill = Fill { host, docker, run, opened, mount: &mount, into, paths, watch };
        let (fed, unpacked) = fill.fill(format!("restore `{}` for a drill", self.plan.snapshot)).await?;
        self.run.done(unpacked.totals.entries, unpacked.totals.bytes);
        let ms = millis(host.clock().elapsed().saturating_sub(began));
        let restored = Restored { ms, fetched_bytes: fed.fetched_bytes };
        *self.restored.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(restored);
        Ok(mount)
    }

    async fn check_room(&self, host: &Host, docker: &dyn Docker, mount: &HelperMount) -> Result<(), Failure> {
        let looking = spec(host, self.run.id(), mount, Access::Read);
        let looked: Looked = ask(docker, &looking, &Job::Look, "look at the scratch volume").await?;
        let totals = &self.opened.signed.manifest.totals;
        let needed = totals.data_bytes.saturating_add(SPARE_BYTES);
        let inodes = looked.free_inodes.is_none_or(|free| free > totals.entries);
        if looked.free_bytes >= needed && inodes {
            return Ok(());
        }
        let has = format!(
            "where Docker keeps volumes {} MiB and {} inodes are free",
            looked.free_bytes >> 20,
            looked.free_inodes.unwrap_or_default()
        );
        Err(Failure::failed(format!("drill `{}`", self.plan.snapshot))
            .because(format!("{has}, and it needs {} MiB and {} inodes", needed >> 20, totals.entries))
            .hint("make room, or drill it on another host: `backupctl drill --from-host`"))
    }

    fn cluster<'b>(&'b self, place: &'b Place) -> Result<postgres::Cluster<'b>, Failure> {
        let version = self.plan.version.clone();
        let version = version.ok_or_else(|| {
            Failure::failed(format!("drill `{}`", self.plan.snapshot))
                .because("it has no `PG_VERSION`, so nobody knows which server it is of")
        })?;
        Ok(postgres::Cluster { stage: self.stage, place, version, data: self.folder(place)? })
    }

    fn database<'b>(&'b self, place: &'b Place) -> Result<mysql::Database<'b>, Failure> {
        let version = self.plan.version.clone();
        Ok(mysql::Database { stage: self.stage, place, version, data: self.folder(place)? })
    }

    fn redis<'b>(&'b self, signs: &'b Signs, place: &'b Place) -> redis::Files<'b> {
        redis::Files { stage: self.stage, signs, place, root: self.stage.at.clone() }
    }

    /// A folder of the snapshot, as the programs see it.
    fn folder(&self, place: &Place) -> Result<String, Failure> {
        let at = &self.stage.at;
        if place.folder.is_root() {
            return Ok(at.clone());
        }
        match std::str::from_utf8(place.folder.as_bytes()) {
            Ok(folder) => Ok(format!("{at}/{folder}")),
            Err(_) => Err(Failure::failed(format!("drill `{}`", self.plan.snapshot))
                .because(format!("the name of its folder `{}` is no UTF-8", place.folder))),
        }
    }
}

/// The plan said that there is one.
fn place<'a>(signs: &'a Signs, plan: &DrillPlan) -> Result<&'a Place, Failure> {
    plan.checker.place(signs).ok_or_else(|| Failure::failed(format!("find the files of `{}`", plan.snapshot)))
}
