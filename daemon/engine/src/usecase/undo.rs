//! Undoes a restore: what it kept of the content that was there before comes back, and what is there now is kept in its
//! place, so that undoing can be undone.
//!
//! ```text
//! plan → locks → run row, with the containers that will be stopped → the kept content is staged → stop containers
//!      → swap by rename → start what ran before → row
//! ```
//!
//! Always true: nothing is copied and nothing is fetched, so it takes as long with a large volume as with a small one;
//! and whatever is cut off leaves one of the two contents in place, and the other kept.

use archive::channel::{Job, RecallJob};
use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::Verb;
use crate::catalog::journal::RestoreJournal;
use crate::failure::{Class, Failure};
use crate::format::names::Lineage;
use crate::lock::LockOn;
use crate::port::docker::{Access, Docker};
use crate::usecase::host::Host;
use crate::usecase::job::{ask, spec};
use crate::usecase::kept::{KeptLine, find, look, nothing};
use crate::usecase::restore::{Broken, end};
use crate::usecase::restore_down::{TRIES_AGAIN, still_down};
use crate::usecase::restore_place::Place;
use crate::usecase::restore_plan::{PlannedStop, stops};
use crate::usecase::resume::{self, Settled};
use crate::usecase::run::Run;
use crate::usecase::runs_again::RunsAgain;
use crate::usecase::service;
use crate::usecase::watch::{Told, Watch};
use crate::words::{RunId, SourceName};

/// Which restore to undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoRequest {
    /// Of which source.
    pub source: SourceName,
    /// The run of the restore; `None` is the last that kept what it replaced.
    pub run: Option<RunId>,
    /// What is there now is removed instead of kept.
    pub discard: bool,
}

/// What undoing would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UndoPlan {
    /// The source.
    pub source: String,
    /// The volume or folder.
    pub target: String,
    /// The run that kept what comes back.
    pub run: String,
    /// When it was replaced.
    pub kept_at: Timestamp,
    /// How long ago.
    pub age_seconds: i64,
    /// Entries that come back.
    pub entries: u64,
    /// Bytes on the disk that come back.
    pub bytes: u64,
    /// The paths that change places; none if all of it does.
    pub paths: Vec<String>,
    /// What is there now is kept.
    pub keeps_current: bool,
    /// Containers that use it, in the order in which they stop; they start in reverse.
    pub stops: Vec<PlannedStop>,
    /// What was asked for.
    #[serde(skip)]
    pub request: UndoRequest,
}

/// What was undone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UndoReport {
    /// The source.
    pub source: String,
    /// The volume or folder.
    pub target: String,
    /// The run that had kept what is there again.
    pub undone: String,
    /// Entries that came back.
    pub entries: u64,
    /// The paths that changed places; none if all of it did.
    pub paths: Vec<String>,
    /// Where what was there until now is kept, if it is.
    pub previous: Option<String>,
    /// Containers that run again.
    pub started: Vec<String>,
    /// How these are.
    pub health: Vec<RunsAgain>,
    /// What a person should know, a line each.
    pub warnings: Vec<String>,
    /// The run.
    pub run: String,
    /// How long it took.
    pub seconds: f64,
}

/// Plans it. Changes nothing.
pub async fn plan_undo(host: &Host, request: &UndoRequest) -> Result<UndoPlan, Failure> {
    let docker = host.docker().await?;
    let place = find(host, &*docker, &request.source).await?;
    service::journal(&place.users)?;
    let kept = choose(request, look(host, &*docker, &place).await?)?;
    Ok(UndoPlan {
        source: request.source.to_string(),
        target: place.name().to_owned(),
        run: kept.run,
        kept_at: kept.kept_at,
        age_seconds: kept.age_seconds,
        entries: kept.entries,
        bytes: kept.bytes,
        paths: kept.paths,
        keeps_current: !request.discard,
        stops: stops(&place.users),
        request: request.clone(),
    })
}

fn choose(request: &UndoRequest, kept: Vec<KeptLine>) -> Result<KeptLine, Failure> {
    let UndoRequest { source, run, .. } = request;
    let mut kept = kept.into_iter();
    let found = match run {
        Some(run) => kept.find(|line| line.run == run.as_str()),
        None => kept.rfind(|line| line.whole),
    };
    let found = found.ok_or_else(|| nothing(source, run.as_ref()))?;
    if found.whole {
        return Ok(found);
    }
    Err(Failure::new(Class::Unsafe, format!("what run `{}` kept of `{source}` is not whole", found.run))
        .because("it is what was left when it could not be removed")
        .hint(format!("`backupctl undo-restore {source} --list` shows what can come back")))
}

/// Carries a plan out.
pub async fn undo(host: &Host, plan: UndoPlan, watch: &dyn Watch) -> Result<UndoReport, Failure> {
    let began = host.clock().elapsed();
    let docker = host.docker().await?;
    let source = &plan.request.source;
    let place = find(host, &*docker, source).await?;
    if stops(&place.users) != plan.stops {
        return Err(Failure::new(
            Class::Busy,
            format!("`{}` has changed since this was planned", plan.target),
        )
        .hint("plan it again: repeat the command"));
    }
    let lineage = Lineage { host: host.settings().host.clone(), source: source.clone() };
    let own = LockOn::Lineage(lineage.clone());
    let run = Run::begin_on(host, Verb::Undo, &lineage, Some(own), Some(place.lock()))?;
    let _held = watch.cancel().until_over(run.id());
    let done = Deed { host, docker: &*docker, place: &place, plan: &plan, run: &run, watch }.run().await;
    let mut report = end(run, done)?;
    report.seconds = host.clock().elapsed().saturating_sub(began).as_secs_f64();
    Ok(report)
}

struct Deed<'a> {
    host: &'a Host,
    docker: &'a dyn Docker,
    place: &'a Place,
    plan: &'a UndoPlan,
    run: &'a Run<'a>,
    watch: &'a dyn Watch,
}

impl Deed<'_> {
    async fn run(&self) -> Result<UndoReport, Broken> {
        let journal = self.prepare().map_err(|failure| (failure, true))?;
        let previous = match self.swap(&journal).await {
            Ok(previous) => previous,
            Err(failure) => return Err(self.settle(&journal, failure).await),
        };
        let unsettled = |failure: Failure| {
            let what = format!(
                "`{}` holds again what it held before run {}, but not all who use it run again",
                self.plan.target, self.plan.run
            );
            (still_down(failure.within(&what), ""), false)
        };
        self.run.resuming().map_err(unsettled)?;
        let again = service::start_again(self.docker, self.host.clock(), &journal.containers, false)
            .await
            .map_err(unsettled)?;
        let (started, mut warnings) = (again.names(), again.warnings);
        if let Some(rest) = previous.as_ref().filter(|_rest| self.plan.request.discard) {
            warnings.push(format!("what was there until now could not be removed; the rest is in `{rest}`"));
        }
        Ok(UndoReport {
            source: self.plan.source.clone(),
            target: self.plan.target.clone(),
            undone: self.plan.run.clone(),
            entries: self.plan.entries,
            paths: self.plan.paths.clone(),
            previous,
            started,
            health: again.started,
            warnings,
            run: self.run.id().to_string(),
            seconds: 0.0,
        })
    }

    /// Writes down what will be touched, before it is.
    fn prepare(&self) -> Result<RestoreJournal, Failure> {
        let journal = RestoreJournal {
            target: self.place.journal_target(),
            created_volume: false,
            unfinished: false,
            swapped: false,
            volume_made_at: None,
            keep_previous: !self.plan.request.discard,
            containers: service::journal(&self.place.users)?,
            stopping: false,
        };
        self.run.preparing(None, &journal)?;
        Ok(journal)
    }

    async fn swap(&self, journal: &RestoreJournal) -> Result<Option<String>, Failure> {
        let Self { host, docker, place, plan, run, watch } = self;
        run.unpacking()?;
        let job = Job::Recall(RecallJob { run: run.id().to_string(), kept: plan.run.clone() });
        let spec = spec(host, run.id(), &place.mount, Access::Write);
        let what = format!("stage what run `{}` kept of `{}`", plan.run, plan.target);
        let _staged: bool = ask(*docker, &spec, &job, what).await?;
        watch.tell(Told::Step(format!("putting back what {} held before run {}", plan.target, plan.run)));
        if watch.cancel().is_asked() {
            return Err(Failure::new(
                Class::Interrupted,
                format!("undoing run `{}` was interrupted", plan.run),
            )
            .hint(format!("`{}` is as it was before; repeat the command", plan.target)));
        }
        if !journal.containers.is_empty() {
            watch.cancel().holds(run.id());
            run.preparing(None, &RestoreJournal { stopping: true, ..journal.clone() })?;
            service::stop(*docker, &journal.containers).await?;
        }
        // Someone may have started a container since the plan; with a writer inside, a swap would mix.
        let now = find(host, *docker, &plan.request.source).await?;
        if let Some(user) = now.users.iter().find(|user| user.is_up()) {
            let what = format!("container `{}` was started meanwhile", user.container.name);
            return Err(Failure::new(Class::Busy, what)
                .hint(format!("`{}` is as it was before; repeat the command", plan.target)));
        }
        run.swapping()?;
        let swapped = resume::swap(host, *docker, run.id(), &place.mount, journal.keep_previous).await?;
        if !swapped.swapped {
            return Err(Failure::failed(format!("put back what `{}` held", plan.target))
                .because("what was staged is not there any more")
                .hint(format!("`{}` is as it was before; repeat the command", plan.target)));
        }
        Ok(swapped.previous)
    }

    /// Takes back what was begun, or finishes it. Says whether all is as it was before, or as it should be.
    async fn settle(&self, journal: &RestoreJournal, failure: Failure) -> Broken {
        match resume::settle(self.host, self.docker, self.run.id(), journal).await {
            Ok(Settled::Back | Settled::Left | Settled::Unfinished(_)) => (failure, true),
            Ok(Settled::Forwards) => {
                let what = format!("{failure}; the swap was finished, and what was there before is in place");
                (Failure::new(failure.class, what), true)
            }
            Err(also) => {
                let what = format!("{failure}; and it could not be taken back: {also}");
                let hint =
                    format!("containers may be down; `backupctl doctor` looks for the cause, {TRIES_AGAIN}");
                (Failure::new(failure.class, what).hint(hint), false)
            }
        }
    }
}
