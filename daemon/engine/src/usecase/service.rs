//! Containers that must be down for a moment, and run again afterwards, as they were and nothing else.
//!
//! What is stopped was written into the run's journal before. A stop takes the restart policy away first, so
//! that an engine that restarts meanwhile does not start the container in the middle; starting puts it back
//! first. What a human did meanwhile wins: a container that is up, or was started since, is left alone. All are started
//! before it is waited for how they are (`rising.rs`).

use std::time::Duration;

use crate::catalog::journal::{ComposeService, StoppedContainer};
use crate::failure::{Class, Failure};
use crate::port::clock::Clock;
use crate::port::docker::{Container, ContainerState, Docker, DockerError, DockerErrorKind};
use crate::usecase::blame;
use crate::usecase::rising::{Looks, Rising};
use crate::usecase::runs_again::Again;
use crate::usecase::source::User;
use crate::usecase::stop_order::dependents_first;

/// A database may need this long to write out what it holds.
const STOP_GRACE: Duration = Duration::from_secs(120);

/// The kernel may not get hold of a container that is busy. The engine is asked so often, each time after twice the time.
const PAUSES: u32 = 6;

const PAUSE_AGAIN: Duration = Duration::from_millis(50);

/// The engine is asked so often to start what we stopped, each time after twice the time.
const STARTS: u32 = 4;

const START_AGAIN: Duration = Duration::from_millis(200);

/// The journal of containers that are up: dependents first, which is the order to stop in.
pub(crate) fn journal(users: &[User]) -> Result<Vec<StoppedContainer>, Failure> {
    let mut up: Vec<&Container> = Vec::new();
    for user in users.iter().filter(|user| user.is_up()) {
        if !up.iter().any(|known| known.id == user.container.id) {
            up.push(&user.container);
        }
    }
    for container in &up {
        refuse_unstoppable(container)?;
    }
    dependents_first(&mut up);
    Ok(up.into_iter().map(stopped).collect())
}

fn refuse_unstoppable(container: &Container) -> Result<(), Failure> {
    let name = &container.name;
    if container.has_us {
        return Err(Failure::new(
            Class::Unsafe,
            format!("this program runs in container `{name}`, which would be stopped"),
        )
        .hint("run it on the host, or restore beside it with `--into NEW`"));
    }
    if container.auto_remove {
        return Err(Failure::new(
            Class::Unsafe,
            format!("container `{name}` would be gone after a stop: it was started with `--rm`"),
        )
        .hint(format!("stop it yourself (`docker stop {name}`), or restore beside it with `--into NEW`")));
    }
    if container.state == ContainerState::Paused {
        return Err(Failure::new(Class::Unsafe, format!("container `{name}` is paused"))
            .hint(format!("`docker unpause {name}` first, or restore beside it with `--into NEW`")));
    }
    Ok(())
}

/// A container as it is, to be brought back to.
pub(crate) fn stopped(container: &Container) -> StoppedContainer {
    let label = |name: &str| container.labels.get(name).cloned();
    let project = label("com.docker.compose.project");
    let service = label("com.docker.compose.service");
    StoppedContainer {
        id: container.id.clone(),
        name: container.name.clone(),
        restart_policy: container.restart_policy.clone(),
        was_running: true,
        started_at: container.started_at,
        compose: project.zip(service).map(|(project, service)| ComposeService { project, service }),
    }
}

/// Pauses a container, in a few tries if the engine says that it cannot: it has then let go of it again. Whoever holds
/// others meanwhile bounds the time that this takes.
pub(crate) async fn pause(
    docker: &dyn Docker,
    clock: &dyn Clock,
    container: &Container,
) -> Result<(), Failure> {
    let (id, name) = (&container.id, &container.name);
    let mut again = PAUSE_AGAIN;
    for _ in 1..PAUSES {
        match docker.pause(id).await {
            Err(e) if e.kind == DockerErrorKind::Other => clock.sleep(again).await,
            done => return done.map_err(|e| blame::docker(format!("hold container `{name}`"), e)),
        }
        again *= 2;
    }
    docker.pause(id).await.map_err(|e| {
        let what = format!("hold container `{name}`, in {PAUSES} tries");
        blame::docker(what, e).hint(format!(
            "a program in it may wait for a disk: `docker top {name} -eo pid,stat,wchan,args`; back it up when it does \
             less, or choose mode `stop`"
        ))
    })
}

/// Starts what was stopped, in a few tries: an engine that died may not be done with what it ran, a port not be free yet.
async fn start(docker: &dyn Docker, clock: &dyn Clock, stopped: &StoppedContainer) -> Result<(), Failure> {
    let mut again = START_AGAIN;
    for _ in 1..STARTS {
        match docker.start(&stopped.id).await {
            Err(e) if e.kind == DockerErrorKind::Other => clock.sleep(again).await,
            done => return done.map_err(|e| not_started(stopped, e)),
        }
        again *= 2;
    }
    docker.start(&stopped.id).await.map_err(|e| not_started(stopped, e))
}

fn not_started(stopped: &StoppedContainer, error: DockerError) -> Failure {
    blame::docker(format!("start container `{}` again", stopped.name), error)
        .hint(format!("start it by hand: `docker start {}`", stopped.name))
}

/// Stops what the journal lists, in its order.
pub(crate) async fn stop(docker: &dyn Docker, journal: &[StoppedContainer]) -> Result<(), Failure> {
    for container in journal {
        let what = || format!("stop container `{}`", container.name);
        docker.set_restart_policy(&container.id, "no").await.map_err(|e| blame::docker(what(), e))?;
        docker.stop(&container.id, STOP_GRACE).await.map_err(|e| blame::docker(what(), e))?;
    }
    Ok(())
}

/// Brings back what the journal lists, in reverse, and looks after it. Gives what was started
/// and how it is; fails only if something that ran before does not run now. If the engine may still be
/// `stopping` them for someone who died, what runs is stopped to the end first: else it would go down later.
pub(crate) async fn start_again(
    docker: &dyn Docker,
    clock: &dyn Clock,
    journal: &[StoppedContainer],
    stopping: bool,
) -> Result<Again, Failure> {
    let mut rising = Rising::new(docker, clock);
    let (mut warnings, mut failed) = (Vec::new(), None);
    for stopped in journal.iter().rev() {
        match bring_back(&mut rising, stopped, stopping).await {
            Ok(Back::Started | Back::LeftAlone) => {}
            Ok(Back::Gone) => warnings.push(gone(stopped)),
            // The others must come back all the same.
            Err(failure) => failed = failed.or(Some(failure)),
        }
    }
    match failed {
        None => {
            let mut again = rising.settle(Looks::Twice).await?;
            warnings.append(&mut again.warnings);
            Ok(Again { warnings, ..again })
        }
        Some(failure) => Err(failure),
    }
}

/// What to say of a container that nobody can bring back.
pub(crate) fn gone(stopped: &StoppedContainer) -> String {
    format!("container `{}` was removed meanwhile", stopped.name)
}

/// What became of a container that is to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Back {
    /// It was started; how it is shows later.
    Started,
    LeftAlone,
    Gone,
}

/// Starts what was stopped, as it was and if nobody else did. Those that it needs, and that were started before, are
/// waited for.
pub(crate) async fn bring_back(
    rising: &mut Rising<'_>,
    stopped: &StoppedContainer,
    stopping: bool,
) -> Result<Back, Failure> {
    let (docker, clock) = (rising.docker, rising.clock);
    let what = || format!("start container `{}` again", stopped.name);
    let mut found = docker.container(&stopped.id).await.map_err(|e| blame::docker(what(), e))?;
    let untouched =
        |now: &Container| now.state == ContainerState::Running && now.started_at == stopped.started_at;
    if stopping && found.as_ref().is_some_and(untouched) {
        docker.stop(&stopped.id, STOP_GRACE).await.map_err(|e| blame::docker(what(), e))?;
        found = docker.container(&stopped.id).await.map_err(|e| blame::docker(what(), e))?;
    }
    // Re-created under another id: whoever did that decides whether it runs.
    let Some(found) = found else { return Ok(Back::Gone) };
    let policy = docker.set_restart_policy(&stopped.id, &stopped.restart_policy).await;
    policy.map_err(|e| blame::docker(what(), e))?;
    if found.state != ContainerState::Down || found.started_at != stopped.started_at || !stopped.was_running {
        return Ok(Back::LeftAlone);
    }
    rising.wait_for_needs(&found).await;
    start(docker, clock, stopped).await?;
    rising.add(found);
    Ok(Back::Started)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::port::docker::Health;

    fn container(name: &str) -> Container {
        Container {
            id: name.to_owned(),
            name: name.to_owned(),
            image: String::new(),
            image_id: String::new(),
            state: ContainerState::Running,
            health: Health::None,
            started_at: None,
            restart_policy: "always".to_owned(),
            labels: BTreeMap::new(),
            mounts: Vec::new(),
            auto_remove: false,
            has_us: false,
            versions: BTreeMap::new(),
        }
    }

    #[test]
    fn what_a_stop_would_destroy_is_refused() {
        let mut once = container("job");
        once.auto_remove = true;
        let user = User { container: once, at: String::new(), writable: true, whole: true };
        assert_eq!(journal(&[user]).unwrap_err().class, Class::Unsafe);
    }
}
