//! Containers on their way up again: who waits for whom, and how they are in the end.
//!
//! Always true: nobody stays down because another one takes its time. A container waits to be started only for those that it
//! needs healthy, as compose says, and for all of them together no longer than [`NEEDS_PATIENCE`]; how they are is looked at
//! when all were started, all at once, for no longer than [`HEALTH_PATIENCE`].

use std::time::Duration;

use jiff::Timestamp;

use crate::failure::Failure;
use crate::port::clock::Clock;
use crate::port::docker::{Container, ContainerState, Docker, Health};
use crate::usecase::blame;
use crate::usecase::runs_again::{Again, Condition, RunsAgain};
use crate::usecase::stop_order::needs_healthy;

/// How long all of them may take to become healthy before we say that some have not.
const HEALTH_PATIENCE: Duration = Duration::from_secs(120);

/// How long they may wait for each other, one after the other. A service of systemd that is told to stop has 90 s or more.
const NEEDS_PATIENCE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(250);

/// What cannot run with what it found has ended after this, where no health check tells.
const STEADY_AFTER: Duration = Duration::from_secs(3);

/// How often one is looked at that has no health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looks {
    /// Right after its start: its files are as they were.
    Once,
    /// Again after a moment, for it has been given other files.
    Twice,
}

/// What was started, in that order.
pub(crate) struct Rising<'a> {
    pub(crate) docker: &'a dyn Docker,
    pub(crate) clock: &'a dyn Clock,
    up: Vec<Risen>,
    needs_patience: Duration,
}

struct Risen {
    /// As it was when it was down.
    was: Container,
    began: Duration,
    seen: Option<Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    condition: Condition,
    started_at: Option<Timestamp>,
    after: Duration,
}

impl<'a> Rising<'a> {
    pub(crate) fn new(docker: &'a dyn Docker, clock: &'a dyn Clock) -> Self {
        Self { docker, clock, up: Vec::new(), needs_patience: NEEDS_PATIENCE }
    }

    /// One that was started just now.
    pub(crate) fn add(&mut self, was: Container) {
        self.up.push(Risen { was, began: self.clock.elapsed(), seen: None });
    }

    /// Waits for those that a container needs healthy, if they are among these. One that will not be is not waited for.
    pub(crate) async fn wait_for_needs(&mut self, container: &Container) {
        for needed in self.up.iter().filter(|risen| needs_healthy(container, &risen.was)) {
            while !self.needs_patience.is_zero() {
                // Whatever is wrong with the engine, the start that comes next says it.
                let Ok(Some(now)) = self.docker.container(&needed.was.id).await else { break };
                if condition(&now).is_some() {
                    break;
                }
                self.clock.sleep(POLL).await;
                self.needs_patience = self.needs_patience.saturating_sub(POLL);
            }
        }
    }

    /// Looks at all of them until it is known how they are.
    pub(crate) async fn settle(mut self, looks: Looks) -> Result<Again, Failure> {
        let mut again = Again::default();
        let began = self.clock.elapsed();
        for _ in 0..=HEALTH_PATIENCE.as_millis() / POLL.as_millis() {
            self.look(&mut again).await?;
            let took = self.clock.elapsed().saturating_sub(began);
            if self.up.iter().all(|risen| risen.seen.is_some()) || took > HEALTH_PATIENCE {
                break;
            }
            self.clock.sleep(POLL).await;
        }
        let is_unchecked =
            |risen: &Risen| risen.seen.is_some_and(|seen| seen.condition == Condition::Unchecked);
        if looks == Looks::Twice && self.up.iter().any(is_unchecked) {
            self.clock.sleep(STEADY_AFTER).await;
            self.look_again(&mut again).await?;
        }
        for Risen { was, began, seen } in self.up {
            let (container, after) = (was.name, self.clock.elapsed().saturating_sub(began));
            let (health, after) =
                seen.map_or((Condition::NotHealthy, after), |seen| (seen.condition, seen.after));
            if health == Condition::NotHealthy {
                again.warnings.push(format!(
                    "container `{container}` was started and is not healthy yet; see `docker logs {container}`"
                ));
            }
            again.started.push(RunsAgain { container, health, seconds: after.as_secs_f64() });
        }
        Ok(again)
    }

    /// One look at each of whom it is not known yet how it is.
    async fn look(&mut self, again: &mut Again) -> Result<(), Failure> {
        let mut up = Vec::with_capacity(self.up.len());
        for mut risen in self.up.drain(..) {
            if risen.seen.is_none() {
                let Some(now) = one(self.docker, &risen).await? else {
                    again.warnings.push(gone(&risen));
                    continue;
                };
                let after = self.clock.elapsed().saturating_sub(risen.began);
                let started_at = now.started_at;
                risen.seen = condition(&now).map(|condition| Seen { condition, started_at, after });
            }
            up.push(risen);
        }
        self.up = up;
        Ok(())
    }

    /// A second look at those without a health check: one that was started anew meanwhile does not stay up.
    async fn look_again(&mut self, again: &mut Again) -> Result<(), Failure> {
        let mut up = Vec::with_capacity(self.up.len());
        for mut risen in self.up.drain(..) {
            if let Some(seen) = risen.seen.filter(|seen| seen.condition == Condition::Unchecked) {
                let Some(now) = one(self.docker, &risen).await? else {
                    again.warnings.push(gone(&risen));
                    continue;
                };
                if now.state != ContainerState::Running || now.started_at != seen.started_at {
                    let after = self.clock.elapsed().saturating_sub(risen.began);
                    risen.seen = Some(Seen { condition: Condition::NotHealthy, after, ..seen });
                }
            }
            up.push(risen);
        }
        self.up = up;
        Ok(())
    }
}

async fn one(docker: &dyn Docker, risen: &Risen) -> Result<Option<Container>, Failure> {
    let what = || format!("look at container `{}`, which was started again", risen.was.name);
    docker.container(&risen.was.id).await.map_err(|e| blame::docker(what(), e))
}

fn gone(risen: &Risen) -> String {
    format!("container `{}` was removed meanwhile", risen.was.name)
}

/// How it is; `None` as long as that is not known.
fn condition(now: &Container) -> Option<Condition> {
    match (now.state, now.health) {
        (ContainerState::Running, Health::None) => Some(Condition::Unchecked),
        (ContainerState::Running, Health::Healthy) => Some(Condition::Healthy),
        (ContainerState::Down, _) | (_, Health::Unhealthy) => Some(Condition::NotHealthy),
        (ContainerState::Running | ContainerState::Restarting | ContainerState::Paused, _) => None,
    }
}
