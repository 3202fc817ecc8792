//! The freeze: those who write to a source are held while the second pass reads it.
//!
//! ```text
//! tables of the first pass fetched → helper waits for its job → containers claimed → the recipe's part → each noted,
//!   then held → second pass, or its picture → all still held? → let go → the recipe's part undone → nobody else wrote? → upload
//! ```
//!
//! Always true: a container is noted before it is touched, and let go whatever happens, here or by the next start of
//! any program; nobody is held longer than `max_freeze`, but for the time that letting go takes; and a snapshot is
//! called paused or stopped only if that was so from the first byte of the second pass to its last, or until a picture of
//! what it had yet to read was taken.

use std::time::Duration;

use futures_util::future::BoxFuture;
use policies::policy::{OnUnfreezable, print_time};

use crate::catalog::How;
use crate::catalog::journal::StoppedContainer;
use crate::failure::{Class, Failure};
use crate::format::manifest::Consistency;
use crate::port::docker::{Container, ContainerState};
use crate::usecase::backup::Deed;
use crate::usecase::blame;
use crate::usecase::host::catalog_failure;
use crate::usecase::recipe::Recipe;
use crate::usecase::service;
use crate::usecase::source::{self, Source, User};
use crate::usecase::stop_order::dependents_first;
use crate::usecase::thaw::let_go;
use crate::usecase::watch::Told;
use crate::words::RunId;

/// How often another run's hold of a container is looked at, and how many times.
const CLAIM_AGAIN: Duration = Duration::from_millis(500);
const CLAIMS_MAX: u32 = 1200;

/// The status of a process that SIGKILL has ended.
const KILLED: i64 = 137;

/// A container of an orchestrator: who stops it gets another one.
const TASK_LABEL: &str = "com.docker.swarm.task.id";

/// How a source was held while it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) consistency: Consistency,
    pub(super) millis: u64,
}

/// Containers that are held.
pub(super) struct Freeze {
    how: How,
    /// The sources right before.
    before: Vec<Source>,
    held: Vec<Container>,
    /// By the clock that never goes back.
    began: Duration,
}

/// Those who may write, dependents first.
pub(super) fn writers(source: &Source) -> Vec<Container> {
    chosen(std::slice::from_ref(source), |user| user.writable)
}

/// Those who are up, and chosen.
fn chosen(sources: &[Source], is_chosen: impl Fn(&User) -> bool) -> Vec<Container> {
    let mut chosen: Vec<&Container> = Vec::new();
    let users = sources.iter().flat_map(|source| &source.users);
    for user in users.filter(|user| is_chosen(user) && user.is_up()) {
        if !chosen.iter().any(|known| known.id == user.container.id) {
            chosen.push(&user.container);
        }
    }
    dependents_first(&mut chosen);
    chosen.into_iter().cloned().collect()
}

/// Why a container cannot be held in this way.
pub(super) fn refusal(container: &Container, how: &How) -> Option<String> {
    let name = &container.name;
    if container.state == ContainerState::Restarting {
        return Some(format!("container `{name}` is being restarted"));
    }
    match how {
        How::Pause | How::Stop if container.has_us => Some(format!(
            "this program runs in container `{name}`, which may write there; run it on the host, or mount that for reading only"
        )),
        How::Pause | How::Hooks { .. } | How::Redis { .. } => None,
        How::Stop if container.auto_remove => {
            Some(format!("container `{name}` would be gone after a stop: it was started with `--rm`"))
        }
        How::Stop if container.labels.contains_key(TASK_LABEL) => {
            Some(format!("container `{name}` belongs to a swarm, which would start another one"))
        }
        How::Stop => None,
    }
}

fn started(users: &[User]) -> Vec<(&str, Option<jiff::Timestamp>)> {
    users.iter().map(|user| (user.container.id.as_str(), user.container.started_at)).collect()
}

impl Deed<'_> {
    /// Writers cannot be held: reads while they run where that is allowed, else refuses.
    pub(super) fn or_live(&self, why: &str) -> Result<(), Failure> {
        let source = &self.request.source;
        match self.request.consistency.on_unfreezable {
            OnUnfreezable::Live => {
                self.warn(format!("`{source}` is read while it is written to: {why}"));
                Ok(())
            }
            OnUnfreezable::Refuse => {
                Err(Failure::new(Class::Unsafe, format!("`{source}` cannot be frozen")).because(why).hint(
                    "choose another `mode` in its policy (`--consistency` by hand): `pause`, `stop`, or `live`; or \
                     allow `on_unfreezable = \"live\"`",
                ))
            }
        }
    }

    /// Whether somebody writes, or wrote since the run began.
    pub(super) async fn is_written(&self) -> Result<bool, Failure> {
        let now = source::resolve(self.docker, &self.request.source).await?;
        let idle = self.source.consistency() == Consistency::Idle && now.consistency() == Consistency::Idle;
        Ok(!idle || started(&self.source.users) != started(&now.users))
    }

    /// Holds all whom the recipe wants held. `None`: they cannot be held, and the source may be read all the same.
    pub(super) async fn freeze(&self, how: How, recipe: &mut dyn Recipe) -> Result<Option<Freeze>, Failure> {
        let before = self.claim(&how, recipe).await?;
        let held = chosen(&before, |user| recipe.holds(user));
        // The one that the recipe speaks to has ended, and others write on.
        if held.is_empty()
            && let Some(writer) = chosen(&before, |user| user.writable).first()
        {
            let what = format!(
                "read `{}` as mode `{}` does",
                self.request.source,
                self.request.consistency.mode.word()
            );
            let why = format!("the container that it speaks to has ended, and `{}` writes on", writer.name);
            return Err(Failure::failed(what).because(why).hint("nothing was committed; `docker ps -a`"));
        }
        let freeze = Freeze { how, held, before, began: self.host.clock().elapsed() };
        let names: Vec<&str> = freeze.held.iter().map(|container| container.name.as_str()).collect();
        if !names.is_empty() {
            self.watch.tell(Told::Step(format!("holding {}", names.join(", "))));
        }
        self.watch.cancel().holds(self.run.id());
        let hold = async {
            if !freeze.held.is_empty() {
                recipe.quiesce(self, &freeze.held).await?;
            }
            self.hold(&freeze.how, &freeze.held).await
        };
        let held = tokio::select! {
            held = hold => Some(held),
            () = self.host.clock().sleep(self.request.consistency.max_freeze) => None,
        };
        if let Some(Ok(())) = held {
            return Ok(Some(freeze));
        }
        self.let_go(true).await?;
        match held {
            Some(Err(failure)) if recipe.may_be_live() => self.or_live(&failure.to_string()).map(|()| None),
            Some(Err(failure)) => Err(failure),
            Some(Ok(())) | None => Err(self.too_long(&freeze.how)),
        }
    }

    /// Has `read` read while containers are held, and lets go of them.
    pub(super) async fn frozen<T>(
        &self,
        freeze: Freeze,
        recipe: &mut dyn Recipe,
        read: BoxFuture<'_, Result<T, Failure>>,
    ) -> Result<(T, Held), Failure> {
        let Freeze { how, before, held, began } = freeze;
        let clock = self.host.clock();
        self.watch.tell(Told::Step(format!("reading what changed in {}", self.request.source)));
        let whole = async {
            let read = read.await?;
            self.still_held(&how, &held).await.map(|()| read)
        };
        let left = self.request.consistency.max_freeze.saturating_sub(clock.elapsed().saturating_sub(began));
        let done = tokio::select! {
            done = whole => done,
            () = clock.sleep(left) => Err(self.too_long(&how)),
        };
        self.let_go(done.is_err()).await?;
        let read = done?;
        if !held.is_empty() {
            recipe.release(self).await?;
        }
        let held_for = clock.elapsed().saturating_sub(began);
        self.nobody_else(&before, &held).await?;
        let (consistency, millis) = match held.is_empty() {
            true => (Consistency::Idle, 0),
            false => (recipe.consistency(), held_for.as_millis()),
        };
        Ok((read, Held { consistency, millis: u64::try_from(millis).unwrap_or(u64::MAX) }))
    }

    /// Lets go of all that the run holds; `late`, if orders to hold may still be on their way.
    pub(super) async fn let_go(&self, late: bool) -> Result<(), Failure> {
        let said = let_go(self.host, self.docker, self.run.id(), late).await?;
        self.watch.cancel().has_let_go(self.run.id());
        said.into_iter().for_each(|said| self.warn(said));
        Ok(())
    }

    fn too_long(&self, how: &How) -> Failure {
        let (source, max) = (&self.request.source, print_time(self.request.consistency.max_freeze));
        let (what, undone) = match how {
            How::Pause | How::Stop => ("its writers are held", "they were let go"),
            How::Hooks { .. } | How::Redis { .. } => ("its hooks hold it", "`after` was run"),
        };
        Failure::failed(format!("read `{source}` while {what}"))
            .because(format!("that took longer than {max}, so {undone}"))
            .hint("raise `max_freeze` in its policy, or back it up when less is written")
    }

    /// Claims all whom the recipe wants held; waits for another run that holds one of them, because it has two sources, say.
    pub(super) async fn claim(&self, how: &How, recipe: &mut dyn Recipe) -> Result<Vec<Source>, Failure> {
        let what = || format!("hold those who write to `{}`", self.request.source);
        let mut by = None;
        for _ in 0..CLAIMS_MAX {
            let seen = self.sources().await?;
            let claimed = chosen(&seen, |user| recipe.holds(user));
            let claimed: Vec<StoppedContainer> = claimed.iter().map(service::stopped).collect();
            let claim = self.host.catalog().claim(self.run.id(), how, &claimed);
            by = claim.map_err(|e| catalog_failure(what(), e))?;
            match &by {
                // What another run held when we looked first may run by now.
                None => {
                    let now = self.sources().await?;
                    if seen
                        .iter()
                        .map(|one| started(&one.users))
                        .eq(now.iter().map(|one| started(&one.users)))
                    {
                        return Ok(now);
                    }
                    self.let_go(false).await?;
                }
                // We have the lock of its lineage, and it is not this run, so it is dead.
                Some(run) if self.is_of_ours(run)? => {
                    let_go(self.host, self.docker, run, true).await?;
                }
                Some(_) => {}
            }
            self.host.clock().sleep(CLAIM_AGAIN).await;
        }
        let by = by.map_or_else(String::new, |run| format!("run {run} holds them"));
        Err(Failure::new(Class::Busy, what()).because(by).hint("`backupctl runs`; `backupctl thaw`"))
    }

    fn is_of_ours(&self, run: &RunId) -> Result<bool, Failure> {
        let row = self.host.catalog().run(run);
        let row =
            row.map_err(|e| catalog_failure(format!("look up run {run}, which holds containers"), e))?;
        Ok(row.host == self.lineage.host && row.source.is_some_and(|source| self.together.contains(&source)))
    }

    /// All that are held at one moment, as they are now.
    async fn sources(&self) -> Result<Vec<Source>, Failure> {
        let mut sources = Vec::with_capacity(self.together.len());
        for name in self.together {
            sources.push(source::resolve(self.docker, name).await?);
        }
        Ok(sources)
    }

    /// Holds them, each noted before. One that somebody else has paused does not write.
    async fn hold(&self, how: &How, held: &[Container]) -> Result<(), Failure> {
        for container in held {
            if container.state == ContainerState::Paused && matches!(how, How::Pause | How::Stop) {
                continue;
            }
            if let Some(why) = refusal(container, how) {
                return Err(Failure::failed(why));
            }
            let noted = self.host.catalog().begin_freeze(&container.id, how);
            noted.map_err(|e| catalog_failure(format!("hold container `{}`", container.name), e))?;
            match how {
                How::Pause => service::pause(self.docker, self.host.clock(), container).await?,
                How::Stop => {
                    service::stop(self.docker, &[service::stopped(container)]).await?;
                    self.ended_by_itself(container).await?;
                }
                How::Hooks { .. } => self.hook_before(container).await?,
                // It was told before the first pass.
                How::Redis { .. } => {}
            }
        }
        Ok(())
    }

    /// One that was killed because it did not stop has written out nothing: its files are those of a crash.
    async fn ended_by_itself(&self, container: &Container) -> Result<(), Failure> {
        let name = &container.name;
        let status = self.docker.exit_status(&container.id).await;
        match status.map_err(|e| blame::docker(format!("look how container `{name}` ended"), e))? {
            Some(KILLED) => {
                let why = "it did not end when it was asked to";
                Err(Failure::new(Class::Unsafe, format!("container `{name}` was killed")).because(why).hint(
                    format!("`docker logs {name}` may tell why; or choose mode `pause`, which needs no end"),
                ))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// All that were held are held still, and were all the time: a start shows.
    async fn still_held(&self, how: &How, held: &[Container]) -> Result<(), Failure> {
        for before in held {
            let what = format!("look at container `{}`", before.name);
            let now = self.docker.container(&before.id).await.map_err(|e| blame::docker(what, e))?;
            let wanted = match (before.state, how) {
                (_, How::Hooks { .. } | How::Redis { .. }) => ContainerState::Running,
                (ContainerState::Paused, _) | (_, How::Pause) => ContainerState::Paused,
                (_, How::Stop) => ContainerState::Down,
            };
            let is_held =
                now.as_ref().is_some_and(|now| now.state == wanted && now.started_at == before.started_at);
            // One that is gone writes no more, but may have been started before.
            if !is_held {
                return Err(self.voided(&before.name));
            }
        }
        Ok(())
    }

    /// Nobody came up meanwhile who was not held.
    pub(super) async fn nobody_else(&self, before: &[Source], held: &[Container]) -> Result<(), Failure> {
        let now = self.sources().await?;
        for user in now.iter().flat_map(|source| &source.users).filter(|user| user.writable) {
            let id = &user.container.id;
            let was = before.iter().flat_map(|source| &source.users).find(|was| was.container.id == *id);
            let is_new = was.is_none_or(|was| was.container.started_at != user.container.started_at);
            if is_new && user.container.started_at.is_some() && !held.iter().any(|held| held.id == *id) {
                return Err(self.voided(&user.container.name));
            }
        }
        Ok(())
    }

    fn voided(&self, name: &str) -> Failure {
        Failure::failed(format!("read `{}` while its writers are held", self.request.source))
            .because(format!("container `{name}` was started, stopped or let go meanwhile"))
            .hint("nothing was committed; try again when nobody works on its containers")
    }
}
