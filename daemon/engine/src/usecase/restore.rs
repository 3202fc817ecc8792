//! Restores a snapshot: plan, print the plan, carry out the same plan.
//!
//! In place, the new content is staged beside the old, inside the target; only when all of it is written,
//! checked and synced are the containers stopped, the two swapped by renames, and the containers started
//! again. So a download that fails at 99 % has touched neither content nor service, and the next restore goes on with what
//! it had. A missing volume is made again as it was recorded, and filled in the same way.
//!
//! The journal is written before anything of the host is touched, and says how to finish or undo it.

use archive::channel::{Swapped, Target, Unpacked};

use crate::catalog::Verb;
use crate::catalog::journal::{RestoreJournal, StoppedContainer};
use crate::failure::{Class, Failure};
use crate::lock::LockOn;
use crate::pipeline::feed::Fed;
use crate::port::docker::Docker;
pub use crate::usecase::delta::DeltaReport;
use crate::usecase::fill::Fill;
use crate::usecase::host::{Host, with_hint};
use crate::usecase::notes::warnings;
use crate::usecase::opened::{Opened, open};
use crate::usecase::restore_down::TRIES_AGAIN;
use crate::usecase::restore_place::{Place, place};
use crate::usecase::restore_plan::stops;
pub use crate::usecase::restore_plan::{PlannedStop, RestorePlan, RestoreRequest, plan_restore};
pub use crate::usecase::restore_report::RestoreReport;
use crate::usecase::resume::{self, Settled};
use crate::usecase::run::Run;
use crate::usecase::runs_again::Again;
use crate::usecase::service;
use crate::usecase::unfinished;
use crate::usecase::watch::{Told, Watch};

/// Carries a plan out.
pub async fn restore(host: &Host, plan: RestorePlan, watch: &dyn Watch) -> Result<RestoreReport, Failure> {
    let began = host.clock().elapsed();
    let docker = host.docker().await?;
    let found = find(host, &*docker, &plan).await?;
    let run = begin(host, &found)?;
    let _held = watch.cancel().until_over(run.id());
    let deed = Deed { host, docker: &*docker, found: &found, plan: &plan, run: &run, watch };
    let done = deed.run().await;
    let mut report = end(run, done)?;
    report.seconds = host.clock().elapsed().saturating_sub(began).as_secs_f64();
    Ok(report)
}

/// A snapshot and the place where it goes, which is still as it was planned.
pub(super) struct Found {
    pub(super) opened: Opened,
    pub(super) place: Place,
}

pub(super) async fn find(host: &Host, docker: &dyn Docker, plan: &RestorePlan) -> Result<Found, Failure> {
    let opened = open(host, &plan.name).await?;
    let place = place(host, docker, &plan.request).await?;
    if stops(&place.users) != plan.stops || place.exists != plan.target_exists {
        return Err(Failure::new(
            Class::Busy,
            format!("`{}` has changed since the restore was planned", plan.target),
        )
        .hint("plan it again: repeat the command"));
    }
    Ok(Found { opened, place })
}

/// Takes the locks, and writes the row.
pub(super) fn begin<'a>(host: &'a Host, found: &Found) -> Result<Run<'a>, Failure> {
    let lineage = &found.opened.lineage;
    let (first, second) = (LockOn::Lineage(lineage.clone()), found.place.lock());
    Run::begin_on(host, Verb::Restore, lineage, Some(first), Some(second))
}

/// What failed, and whether all is as it was before, or as it should be.
pub(super) type Broken = (Failure, bool);

/// Writes how it ended. The row of what could not be settled stays unfinished: recovery tries again.
pub(super) fn end<T>(run: Run<'_>, done: Result<T, Broken>) -> Result<T, Failure> {
    match done {
        Ok(done) => run.end(Ok(done)),
        Err((failure, true)) => run.end(Err(failure)),
        Err((failure, false)) => Err(failure),
    }
}

/// One restore, with everything that it needs.
pub(super) struct Deed<'a> {
    pub(super) host: &'a Host,
    pub(super) docker: &'a dyn Docker,
    pub(super) found: &'a Found,
    pub(super) plan: &'a RestorePlan,
    pub(super) run: &'a Run<'a>,
    pub(super) watch: &'a dyn Watch,
}

/// Restored content that waits beside what is there.
pub(super) struct Staged {
    pub(super) journal: RestoreJournal,
    filled: Filled,
    /// Who uses the target was stopped.
    pub(super) stopped: bool,
    /// Where the previous content is kept, once the two are swapped.
    pub(super) previous: Option<String>,
}

/// What was brought.
pub(super) struct Filled {
    pub(super) fed: Fed,
    pub(super) unpacked: Unpacked,
    pub(super) delta: Option<DeltaReport>,
}

impl Deed<'_> {
    async fn run(&self) -> Result<RestoreReport, Broken> {
        let mut staged = self.stage().await?;
        self.put_in_place(&mut staged).await?;
        self.bring_back(staged).await
    }

    /// Restores beside what is there, which nobody notices.
    pub(super) async fn stage(&self) -> Result<Staged, Broken> {
        let journal = self.prepare().map_err(|failure| (failure, true))?;
        let unpacked = tokio::select! {
            unpacked = self.unpack(&journal) => unpacked,
            () = self.watch.cancel().asked() => Err(self.interrupted()),
            () = self.run.cancel_requested() => Err(self.interrupted()),
        };
        match unpacked {
            Ok(filled) => Ok(Staged { journal, filled, stopped: self.plan.delta, previous: None }),
            Err(failure) => Err(self.undo(&journal, failure).await),
        }
    }

    /// Puts it in the place of what is there. From here on nobody interrupts: it is a moment, and half of it is worse than
    /// all.
    pub(super) async fn put_in_place(&self, staged: &mut Staged) -> Result<(), Broken> {
        match self.swap(staged).await {
            Ok(previous) => {
                staged.previous = previous;
                Ok(())
            }
            Err(failure) => Err(self.undo(&staged.journal, failure).await),
        }
    }

    /// Gives up what was staged.
    pub(super) async fn take_back(&self, staged: &Staged, failure: Failure) -> Broken {
        self.undo(&staged.journal, failure).await
    }

    /// Starts again who was stopped, and tells what was done.
    async fn bring_back(&self, staged: Staged) -> Result<RestoreReport, Broken> {
        match self.resume(&staged.journal.containers).await {
            Ok(again) => Ok(self.report(staged, again)),
            Err(failure) => Err((self.down(&staged, failure), false)),
        }
    }

    /// What was done, when who was stopped runs again.
    pub(super) fn report(&self, staged: Staged, again: Again) -> RestoreReport {
        let Staged { filled: Filled { fed, unpacked, delta }, previous, .. } = staged;
        self.run.done(unpacked.totals.entries, unpacked.totals.bytes);
        let mut said = warnings(&unpacked.notes);
        let started = again.names();
        said.extend(again.warnings);
        if let Some(rest) = previous.as_ref().filter(|_rest| !self.plan.request.keep_previous) {
            said.push(format!("what was there before could not be removed; the rest is in `{rest}`"));
        }
        RestoreReport {
            snapshot: self.plan.snapshot.clone(),
            target: self.plan.target.clone(),
            files: unpacked.totals.files,
            bytes: unpacked.totals.bytes,
            fetched_bytes: fed.fetched_bytes,
            verified: true,
            seconds: 0.0,
            entries: unpacked.totals.entries,
            paths: self.plan.paths.clone(),
            run: self.run.id().to_string(),
            warnings: said,
            previous,
            started,
            health: again.started,
            delta,
        }
    }

    fn interrupted(&self) -> Failure {
        Failure::new(Class::Interrupted, format!("restore of `{}` was interrupted", self.plan.snapshot))
            .hint("the target is as it was before; repeat the command to restore")
    }

    /// Writes down what will be touched, before it is.
    fn prepare(&self) -> Result<RestoreJournal, Failure> {
        let journal = RestoreJournal {
            target: self.found.place.journal_target(),
            created_volume: !self.found.place.exists,
            volume_made_at: None,
            keep_previous: self.plan.request.keep_previous,
            containers: service::journal(&self.found.place.users)?,
            stopping: false,
            unfinished: false,
            swapped: false,
        };
        self.run.preparing(self.found.opened.signed.manifest.number, &journal)?;
        Ok(journal)
    }

    async fn unpack(&self, journal: &RestoreJournal) -> Result<Filled, Failure> {
        let waits = self.found.place.exists && self.clear_old_staging().await?;
        self.run.unpacking()?;
        if !self.found.place.exists {
            self.make_volume(journal).await?;
            self.check_room_of_new().await?;
        }
        if waits && self.plan.request.paths.is_empty() {
            if self.plan.unfinished_at.is_some() {
                return self.go_on().await;
            }
            self.begin_anew().await?;
        }
        if self.plan.delta {
            return self.log_what_differs(journal).await;
        }
        let (fed, unpacked) = self.fill().await?;
        Ok(Filled { fed, unpacked, delta: None })
    }

    /// All of the snapshot, beside what is there, or into the volume that was made for it.
    pub(super) async fn fill(&self) -> Result<(Fed, Unpacked), Failure> {
        self.watch.tell(Told::Step(format!("restoring {} into {}", self.plan.snapshot, self.plan.target)));
        let fill = Fill {
            host: self.host,
            docker: self.docker,
            run: self.run,
            opened: &self.found.opened,
            mount: &self.found.place.mount,
            into: Target::Staging,
            paths: self.plan.request.paths.clone(),
            watch: self.watch,
        };
        fill.fill(self.what()).await
    }

    pub(super) fn what(&self) -> String {
        format!("restore `{}` into `{}`", self.plan.snapshot, self.plan.target)
    }

    /// What an earlier restore of another installation left in the target: finished if its swap began, else
    /// removed. Our own dead runs were recovered before. Tells whether something waits to be gone on with.
    async fn clear_old_staging(&self) -> Result<bool, Failure> {
        let looked = self.look().await?;
        for staged in looked.staged {
            if staged.swapping {
                return Err(Failure::new(Class::Unsafe, format!("a restore by run `{}` was cut off while it swapped `{}`", staged.run, self.plan.target))
                    .hint("`backupctl catalog rebuild` on the installation that began it finishes it; or restore into a new volume with `--into NEW`"));
            }
            resume::discard(self.host, self.docker, self.run.id(), &self.found.place.mount, &staged.run)
                .await?;
        }
        Ok(looked.unfinished_at.is_some())
    }

    /// Stops who uses the target, and swaps.
    async fn swap(&self, staged: &Staged) -> Result<Option<String>, Failure> {
        self.watch.tell(Told::Step(format!("putting the restored content of {} in place", self.plan.target)));
        if !staged.stopped {
            self.stop(&staged.journal).await?;
        }
        // Someone may have started a container since the plan; with a writer inside, a swap would mix.
        if self.found.place.exists {
            self.nobody_is_up().await?;
        } else {
            self.nobody_began().await?;
        }
        self.run.swapping()?;
        let keep_previous = self.plan.request.keep_previous;
        let swapped: Swapped =
            resume::swap(self.host, self.docker, self.run.id(), &self.found.place.mount, keep_previous)
                .await?;
        if !swapped.swapped {
            return Err(Failure::failed(format!("swap the restored content of `{}` in", self.plan.target))
                .because("what was staged is not there any more")
                .hint("the target is as it was before; repeat the command to restore"));
        }
        if self.plan.request.paths.is_empty() {
            unfinished::nothing_waits(self.host, &staged.journal.target)?;
        }
        Ok(swapped.previous)
    }

    /// Stops who uses the target, which is written down first.
    pub(super) async fn stop(&self, journal: &RestoreJournal) -> Result<(), Failure> {
        if journal.containers.is_empty() {
            return Ok(());
        }
        self.note_stop(journal)?;
        service::stop(self.docker, &journal.containers).await
    }

    /// Writes down that they are about to be stopped. Until they run again, nobody ends this program by asking twice.
    pub(super) fn note_stop(&self, journal: &RestoreJournal) -> Result<(), Failure> {
        self.watch.cancel().holds(self.run.id());
        let stopping = RestoreJournal { stopping: true, ..journal.clone() };
        self.run.preparing(self.found.opened.signed.manifest.number, &stopping)
    }

    async fn resume(&self, containers: &[StoppedContainer]) -> Result<Again, Failure> {
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
            Ok(Settled::Left) => {
                let what =
                    format!("{failure}; `{}` is left as it is, for a container has it", self.plan.target);
                (with_hint(Failure::new(failure.class, what), failure.hint), true)
            }
            Ok(Settled::Unfinished(bytes)) => {
                let waits = format!("{} MiB of it wait in `{}` for a day", bytes >> 20, self.plan.target);
                let what = format!("{failure}; {waits}");
                let again =
                    "repeat the command, which goes on with what waits; `--fresh` begins anew".to_owned();
                let hint = failure.hint.filter(|_| failure.class != Class::Interrupted).unwrap_or(again);
                (Failure::new(failure.class, what).hint(hint), true)
            }
            Ok(Settled::Forwards) => {
                let what = format!("{failure}; the swap was finished, and the restored content is in place");
                (Failure::new(failure.class, what), true)
            }
            Err(also) => {
                let what = format!("{failure}; and it could not be undone: {also}");
                let failure = Failure::new(failure.class, what);
                (
                    failure.hint(format!(
                        "containers may be down; `backupctl doctor` looks for the cause, {TRIES_AGAIN}"
                    )),
                    false,
                )
            }
        }
    }
}
