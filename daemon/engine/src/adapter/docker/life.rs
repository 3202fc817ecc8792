//! A helper's container from its creation to its removal: what it is doing, why it ended, removing it.
//!
//! Why it ended is read by inspecting the container, again and again: the engine's "wait" breaks off when the
//! engine restarts and sometimes never returns. An exit status of zero proves nothing about the work done.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{ContainerState, ContainerStateStatusEnum as Status};
use bollard::query_parameters::RemoveContainerOptions;
use tokio::time::{Instant, sleep};

use super::attached::LastWords;
use super::call::{CHANGE, Engine, found};
use super::containers;
use crate::port::docker::{DockerError, DockerErrorKind, HelperLife};

/// The first look after this; each further one after twice the time, up to the longest.
pub(super) const LOOK_AFTER: Duration = Duration::from_millis(10);
pub(super) const LOOK_AFTER_MAX: Duration = Duration::from_millis(250);

/// A container of ours, by id.
pub(super) struct Life {
    pub(super) engine: Arc<Engine>,
    pub(super) id: String,
    pub(super) words: Option<LastWords>,
}

impl Life {
    /// Why it is not running; `None` while it is (or was not started yet).
    pub(super) async fn ended(&self) -> Result<Option<Ended>, DockerError> {
        let Some(seen) = containers::inspect(&self.engine, &self.id).await? else {
            return Ok(Some(Ended { status: None, why: "someone removed its container".to_owned() }));
        };
        Ok(ended(&seen.state.unwrap_or_default()))
    }

    /// Ends it if need be, and leaves nothing of it. Volumes that have a name are never touched.
    pub(super) async fn remove(&self) -> Result<(), DockerError> {
        remove(&self.engine, &self.id).await
    }

    /// The error of a helper that ended so.
    pub(super) fn died(&self, deed: &str, ended: &Ended) -> DockerError {
        let words = self.words.as_ref().map(LastWords::text).unwrap_or_default();
        let why = if words.is_empty() { ended.why.clone() } else { format!("{}: {words}", ended.why) };
        DockerError { kind: DockerErrorKind::HelperDied, deed: deed.to_owned(), why }
    }

    /// Waits for its end, at most `patience`; an engine that is away for a while is waited for as well.
    async fn wait(&self, patience: Duration) -> Result<Ended, DockerError> {
        let deadline = Instant::now() + patience;
        let mut pause = LOOK_AFTER;
        loop {
            let seen = self.ended().await;
            let late = Instant::now() >= deadline;
            match seen {
                Ok(Some(ended)) => return Ok(ended),
                Ok(None) if late => {
                    let why = format!("it was still running after {:.1} s", patience.as_secs_f64());
                    return Ok(Ended { status: None, why });
                }
                Err(e) if late || e.kind != DockerErrorKind::Unreachable => return Err(e),
                Ok(None) | Err(_) => sleep(pause).await,
            }
            pause = (pause * 2).min(LOOK_AFTER_MAX);
        }
    }
}

#[async_trait]
impl HelperLife for Life {
    async fn finish(self: Box<Self>, patience: Duration) -> Result<(), DockerError> {
        let ended = self.wait(patience).await;
        let removed = self.remove().await;
        let ended = ended?;
        if ended.status != Some(0) {
            // Its end is the news; a container that stayed is found again by its labels.
            return Err(self.died("run the helper", &ended));
        }
        removed
    }

    async fn kill(self: Box<Self>) -> Result<(), DockerError> {
        self.remove().await
    }
}

/// How a helper ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// Exit status; `None` if nobody knows.
    pub(super) status: Option<i64>,
    /// In words.
    pub(super) why: String,
}

fn ended(state: &ContainerState) -> Option<Ended> {
    ended_of(state, "the helper")
}

/// How a container ended; `who` is what people know it as.
pub(super) fn ended_of(state: &ContainerState, who: &str) -> Option<Ended> {
    match state.status {
        Some(Status::EXITED | Status::DEAD | Status::REMOVING) => {}
        Some(
            Status::EMPTY
            | Status::CREATED
            | Status::RUNNING
            | Status::PAUSED
            | Status::RESTARTING
            | Status::STOPPING,
        )
        | None => return None,
    }
    let status = state.exit_code.unwrap_or(-1);
    let error = state.error.as_deref().unwrap_or("").trim();
    if state.oom_killed.unwrap_or(false) {
        // A thread that was refused memory can end the process with any status, zero excepted.
        let why = format!("{who} was killed for using more than its memory limit (status {status})");
        return Some(Ended { status: Some(if status == 0 { -1 } else { status }), why });
    }
    let why = match status {
        0 => format!("{who} ended"),
        137 => format!("{who} was killed (status 137, SIGKILL)"),
        143 => format!("{who} was stopped (status 143, SIGTERM)"),
        other => format!("{who} ended with status {other}"),
    };
    let why = if error.is_empty() { why } else { format!("{why}: {error}") };
    Some(Ended { status: Some(status), why })
}

/// Removes a container by force, with volumes that have no name; one that is gone, or going, is fine.
pub(super) async fn remove(engine: &Engine, id: &str) -> Result<(), DockerError> {
    let client = engine.client().await?;
    let options = RemoveContainerOptions { v: true, force: true, link: false };
    let call = client.remove_container(id, Some(options));
    let removed = engine.within(&format!("remove container `{id}`"), CHANGE, call).await;
    match found(removed) {
        Ok(_gone) => Ok(()),
        // Someone removes it at this moment; it is over when it cannot be found.
        Err(e) if e.kind == DockerErrorKind::Conflict => gone(engine, id, e).await,
        Err(e) => Err(e),
    }
}

async fn gone(engine: &Engine, id: &str, otherwise: DockerError) -> Result<(), DockerError> {
    let deadline = Instant::now() + CHANGE;
    while Instant::now() < deadline {
        if containers::inspect(engine, id).await?.is_none() {
            return Ok(());
        }
        sleep(LOOK_AFTER_MAX).await;
    }
    Err(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: Status, exit_code: i64, oom_killed: bool, want: Option<(Option<i64>, &str)>) {
        let state = ContainerState {
            status: Some(status),
            exit_code: Some(exit_code),
            oom_killed: Some(oom_killed),
            ..Default::default()
        };
        let got = ended(&state);
        let got = got.as_ref().map(|e| (e.status, e.why.as_str()));
        match (got, want) {
            (None, None) => {}
            (Some((status, why)), Some((want, words))) => {
                assert!(status == want && why.contains(words), "{status:?} {why}");
            }
            _ => panic!("{got:?} is not {want:?}"),
        }
    }

    #[test]
    fn the_true_cause_of_an_end_is_told() {
        check(Status::RUNNING, 0, false, None);
        check(Status::CREATED, 0, false, None);
        check(Status::PAUSED, 0, false, None);
        check(Status::EXITED, 0, false, Some((Some(0), "ended")));
        check(Status::EXITED, 3, false, Some((Some(3), "status 3")));
        check(Status::EXITED, 137, false, Some((Some(137), "SIGKILL")));
        check(Status::EXITED, 137, true, Some((Some(137), "memory limit")));
        check(Status::EXITED, 0, true, Some((Some(-1), "memory limit")));
        check(Status::DEAD, 1, false, Some((Some(1), "status 1")));
    }
}
