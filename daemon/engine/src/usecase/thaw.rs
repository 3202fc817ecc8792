//! Lets go of containers that a run held while it read what they write.
//!
//! To thaw is to make run again as it was, not to unpause: an engine that dies kills what is paused, and what a recipe changed
//! inside a container outlives the run. What was not held is not touched, and what a human did meanwhile wins: a container
//! that was started since, or that runs, is left alone. Always true: a container is forgotten only once it runs again, or
//! once it is somebody else's, or once its hook was run, however that ended.

use std::time::Duration;

use crate::catalog::{CatalogError, Freeze, How};
use crate::failure::Failure;
use crate::lock::Held;
use crate::port::docker::{ContainerState, Docker};
use crate::usecase::blame;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::recipe::hooks::{After, before_has_ended, overtaken, run_after};
use crate::usecase::recipe::redis::give_back;
use crate::usecase::recover::{Recovered, has_successor, hold};
use crate::usecase::rising::{Looks, Rising};
use crate::usecase::service::{self, Back, bring_back};
use crate::words::RunId;

/// An engine that does not do it is asked so often, each time after twice the time.
const TRIES: u32 = 6;

const TRY_AGAIN: Duration = Duration::from_millis(100);

/// An order that was on its way to the engine when whoever gave it died has arrived after this.
const LATE: Duration = Duration::from_secs(1);

/// Makes run again whatever runs held that died. Nothing else is put right; [`recover`](crate::usecase::recover) does
/// this first.
pub async fn thaw(host: &Host) -> Result<Recovered, Failure> {
    let mut recovered = Recovered::default();
    let freezes = host.catalog().freezes().map_err(|e| catalog_failure("look for held containers", e))?;
    let mut runs: Vec<RunId> = freezes.into_iter().map(|freeze| freeze.run).collect();
    runs.dedup();
    let mut ours = Vec::with_capacity(runs.len());
    for run in runs {
        match claim(host, &run) {
            Ok(Claim::Ours(held)) => ours.push((run, held)),
            Ok(Claim::Lives) => {}
            // Those whom others held must run all the same.
            Err(failure) => {
                recovered.left.push(failure.within(&format!("look after what run {run} holds")).to_string());
            }
        }
    }
    if ours.is_empty() {
        return Ok(recovered);
    }
    let docker = host.docker().await?;
    let mut rising = Rising::new(&*docker, host.clock());
    for (run, held) in ours {
        match release(host, &mut rising, &run, true).await {
            Ok(said) => recovered.said.extend(said),
            Err(failure) => recovered.left.push(failure.to_string()),
        }
        drop(held);
    }
    match rising.settle(Looks::Once).await {
        Ok(again) => recovered.said.extend(again.warnings),
        Err(failure) => recovered.left.push(failure.to_string()),
    }
    Ok(recovered)
}

/// Whose what a run holds is to let go.
enum Claim {
    /// Ours, as long as this is held, if there is a lock to hold.
    Ours(Option<Held>),
    /// Its own: it lives, and lets go by itself.
    Lives,
}

fn claim(host: &Host, run: &RunId) -> Result<Claim, Failure> {
    let row = match host.catalog().run(run) {
        Ok(row) => row,
        Err(CatalogError::NoRun(_)) => return Ok(Claim::Ours(None)),
        Err(e) => return Err(catalog_failure("look for held containers", e)),
    };
    Ok(match hold(host, &row)? {
        Some(held) => Claim::Ours(Some(held)),
        // It is dead, and those whom it held are not what its successor has come for.
        None if has_successor(host, &row)? => Claim::Ours(None),
        None => Claim::Lives,
    })
}

/// Lets go of all that a run holds, and says what was not as expected. With `late`, orders to hold may still be on their
/// way. Trouble with one container does not keep the others from running.
pub(crate) async fn let_go(
    host: &Host,
    docker: &dyn Docker,
    run: &RunId,
    late: bool,
) -> Result<Vec<String>, Failure> {
    let mut rising = Rising::new(docker, host.clock());
    let mut said = release(host, &mut rising, run, late).await?;
    // All run, and nothing is left to be done for them: how they are is news, no more.
    said.extend(rising.settle(Looks::Once).await?.warnings);
    Ok(said)
}

/// The same, without waiting for how those are who were started.
async fn release(
    host: &Host,
    rising: &mut Rising<'_>,
    run: &RunId,
    late: bool,
) -> Result<Vec<String>, Failure> {
    let what = || format!("let go of what run {run} held");
    let freezes = host.catalog().freezes().map_err(|e| catalog_failure(what(), e))?;
    let (mut said, mut failed) = (Vec::new(), None);
    for freeze in freezes.iter().rev().filter(|freeze| freeze.run == *run) {
        let done = match freeze.begun {
            true => patiently(rising, freeze, late).await,
            false => Ok(LetGo::Quietly),
        };
        let done = done.and_then(|done| {
            let forgotten = host.catalog().end_freeze(&freeze.was.id);
            forgotten.map(|()| done).map_err(|e| catalog_failure(what(), e))
        });
        match done {
            Ok(LetGo::Quietly) => {}
            Ok(LetGo::Said(line)) => said.push(line),
            Ok(LetGo::Badly(failure)) => failed = failed.or(Some(failure)),
            Err(failure) => {
                tracing::error!("container `{}` is still held: {failure}", freeze.was.name);
                let hint = "`backupctl thaw` tries again; so does `backupd`, until it runs";
                failed = failed.or(Some(failure.hint(hint)));
            }
        }
    }
    match failed {
        None => Ok(said),
        Some(failure) => Err(failure),
    }
}

/// How a container was let go.
enum LetGo {
    /// As expected.
    Quietly,
    /// It is, and this is news.
    Said(String),
    /// Its hook was run, and failed: there is nothing to try again.
    Badly(Failure),
}

impl From<Option<String>> for LetGo {
    fn from(said: Option<String>) -> Self {
        said.map_or(Self::Quietly, Self::Said)
    }
}

/// Tries again for some seconds: whoever is held is worse off than we are.
async fn patiently(rising: &mut Rising<'_>, freeze: &Freeze, late: bool) -> Result<LetGo, Failure> {
    let mut pause = TRY_AGAIN;
    for _ in 1..TRIES {
        if let Ok(done) = one(rising, freeze, late).await {
            return Ok(done);
        }
        rising.clock.sleep(pause).await;
        pause *= 2;
    }
    one(rising, freeze, late).await
}

async fn one(rising: &mut Rising<'_>, freeze: &Freeze, late: bool) -> Result<LetGo, Failure> {
    let (docker, clock) = (rising.docker, rising.clock);
    match &freeze.how {
        How::Pause => unpause(rising, freeze, late).await.map(LetGo::from),
        // Whatever the engine was told is done to its end before it is undone.
        How::Stop => Ok(match bring_back(rising, &freeze.was, late).await? {
            Back::Started => late.then(|| format!("started container `{}`", freeze.was.name)).into(),
            Back::LeftAlone => LetGo::Quietly,
            Back::Gone => LetGo::Said(service::gone(&freeze.was)),
        }),
        How::Hooks { before, after, patience_seconds } => {
            let patience = Duration::from_secs(*patience_seconds);
            let mut in_order = true;
            if late {
                clock.sleep(LATE).await;
                in_order = before_has_ended(docker, clock, freeze, before, patience).await?;
            }
            Ok(match run_after(docker, clock, freeze, after, patience).await? {
                After::Done if !in_order => LetGo::Badly(overtaken(freeze, after, patience)),
                After::Done => {
                    late.then(|| format!("ran the hook `after` in container `{}`", freeze.was.name)).into()
                }
                After::Needless(why) => LetGo::Said(why),
                After::Failed(failure) => LetGo::Badly(failure),
            })
        }
        How::Redis { percentage } => {
            give_back(docker, clock, freeze, percentage, late).await.map(LetGo::from)
        }
    }
}

async fn unpause(rising: &mut Rising<'_>, freeze: &Freeze, late: bool) -> Result<Option<String>, Failure> {
    let (docker, clock, was) = (rising.docker, rising.clock, &freeze.was);
    let what = || format!("let container `{}` go on", was.name);
    let mut found = docker.container(&was.id).await.map_err(|e| blame::docker(what(), e))?;
    if late && found.as_ref().is_some_and(|found| found.state == ContainerState::Running) {
        clock.sleep(LATE).await;
        found = docker.container(&was.id).await.map_err(|e| blame::docker(what(), e))?;
    }
    let Some(found) = found else {
        return Ok(Some(service::gone(was)));
    };
    let is_same = found.started_at == was.started_at;
    match found.state {
        ContainerState::Paused if is_same => {
            let gone_on = docker.unpause(&was.id).await;
            gone_on.map_err(|e| {
                blame::docker(what(), e).hint(format!("let it go on by hand: `docker unpause {}`", was.name))
            })?;
            Ok(late.then(|| format!("let container `{}` go on", was.name)))
        }
        // Its engine died, and took it along.
        ContainerState::Down if is_same => {
            bring_back(rising, was, false).await?;
            Ok(Some(format!("container `{}` had ended while it was paused; it was started", was.name)))
        }
        ContainerState::Running
        | ContainerState::Paused
        | ContainerState::Restarting
        | ContainerState::Down => Ok(None),
    }
}
