//! Settles a restore that cannot go on: finished forwards if its swap had begun, else undone; and in both
//! cases what was stopped runs again.
//!
//! What decides is the staging folder's own journal, not ours: it is beside the content that it speaks of.

use archive::channel::{Job, Looked, SwapJob, Swapped};

use crate::catalog::journal::{RestoreJournal, RestoreTarget};
use crate::catalog::run_state::RunState;
use crate::catalog::{Outcome, RunRow, Verb};
use crate::failure::{Class, Failure};
use crate::lock::LockOn;
use crate::port::docker::{Access, Docker, HelperMount, Volume};
use crate::usecase::blame;
use crate::usecase::host::{Host, catalog_failure, lock_failure};
use crate::usecase::job::{ask, spec};
use crate::usecase::recover::{holder, sweep};
use crate::usecase::restore_new;
use crate::usecase::service;
use crate::usecase::unfinished;
use crate::usecase::watch::{Told, Watch};
use crate::words::RunId;

/// What became of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The new content is in place.
    Forwards,
    /// The target is as it was before.
    Back,
    /// A volume that was made for it is somebody's who has begun to use it.
    Left,
    /// The target is as it was before, or was made for it, and so many bytes wait for whoever goes on.
    Unfinished(u64),
}

/// Swaps in what a run staged, or finishes its swap.
pub(crate) async fn swap(
    host: &Host,
    docker: &dyn Docker,
    run: &RunId,
    mount: &HelperMount,
    keep_previous: bool,
) -> Result<Swapped, Failure> {
    let job = Job::Swap(SwapJob { run: run.to_string(), keep_previous });
    ask(docker, &spec(host, run, mount, Access::Write), &job, "swap the restored content in").await
}

/// Removes what `staged_by` staged and had not begun to swap; tells if only the folder of a swap that was over
/// was left.
pub(crate) async fn discard(
    host: &Host,
    docker: &dyn Docker,
    run: &RunId,
    mount: &HelperMount,
    staged_by: &str,
) -> Result<Swapped, Failure> {
    let job = Job::Discard { run: staged_by.to_owned() };
    let spec = spec(host, run, mount, Access::Write);
    ask(docker, &spec, &job, "remove staged content").await
}

/// A target's name, the lock that is on it, and how a helper sees it.
pub(super) fn place_of(target: &RestoreTarget) -> (&str, LockOn, HelperMount) {
    match target {
        RestoreTarget::Volume(name) => {
            (name, LockOn::Volume(name.clone()), HelperMount::Volume(name.clone()))
        }
        RestoreTarget::Folder(path) => {
            (path, LockOn::Folder(path.clone()), HelperMount::Folder(path.clone()))
        }
    }
}

/// Settles the content, then brings the containers back. The run's row is in `resuming` afterwards.
pub(crate) async fn settle(
    host: &Host,
    docker: &dyn Docker,
    run: &RunId,
    journal: &RestoreJournal,
) -> Result<Settled, Failure> {
    // A helper that still writes must not do so beside the next one.
    sweep(docker, &host.owner(), run).await?;
    let row = host.catalog().run(run).map_err(|e| catalog_failure("look up the run", e))?;
    let settled = match row.state {
        RunState::Resuming => Settled::Back,
        RunState::Planned
        | RunState::Working
        | RunState::Uploading
        | RunState::Committing
        | RunState::Preparing
        | RunState::Unpacking
        | RunState::Swapping
        | RunState::Ended => content(host, docker, &row, journal).await?,
    };
    let noted = match settled {
        Settled::Forwards => host.catalog().note_in_place(run),
        Settled::Back | Settled::Left | Settled::Unfinished(_) => host.catalog().note_resume(run),
    };
    noted.map_err(|e| catalog_failure("note what the run does", e))?;
    // What the row says now, since the caller's copy may be older.
    let stopping = row.journal.is_some_and(|journal| journal.stopping);
    service::start_again(docker, host.clock(), &journal.containers, stopping).await?;
    Ok(settled)
}

async fn content(
    host: &Host,
    docker: &dyn Docker,
    row: &RunRow,
    journal: &RestoreJournal,
) -> Result<Settled, Failure> {
    let (_name, _on, mount) = place_of(&journal.target);
    let mut made = None;
    if let HelperMount::Volume(name) = &mount {
        let found =
            docker.volume(name).await.map_err(|e| blame::docker(format!("look up volume `{name}`"), e))?;
        let Some(found) = found else { return Ok(Settled::Back) };
        // What the row says now: whether it could be made, and when it was.
        if row.journal.as_ref().unwrap_or(journal).created_volume {
            made = Some(found);
        }
    }
    let looking = spec(host, &row.id, &mount, Access::Read);
    let looked: Looked = ask(docker, &looking, &Job::Look, "look at the target").await?;
    match looked.staged.iter().find(|staged| staged.run == row.id.as_str()) {
        Some(staged) if staged.swapping => {
            swap(host, docker, &row.id, &mount, journal.keep_previous).await?;
            Ok(Settled::Forwards)
        }
        Some(_) => {
            let used = match &made {
                Some(volume) => restore_new::is_used(docker, row, volume).await?,
                None => false,
            };
            let bytes = if used {
                0
            } else {
                // That it cannot be kept is no reason to keep anybody waiting.
                unfinished::leave(host, docker, row, &mount, &looked).await.unwrap_or_else(|failure| {
                    tracing::debug!("{failure}");
                    0
                })
            };
            if bytes > 0 {
                return Ok(Settled::Unfinished(bytes));
            }
            let gone = discard(host, docker, &row.id, &mount, row.id.as_str()).await?;
            if gone.swapped { Ok(Settled::Forwards) } else { back(host, docker, row, made).await }
        }
        // Nothing staged: it was never begun, was put away before, or the swap was done to its end.
        None if row.journal.as_ref().is_some_and(|journal| journal.unfinished)
            && looked.unfinished_at.is_some() =>
        {
            Ok(Settled::Unfinished(0))
        }
        None if row.state == RunState::Swapping => match &made {
            // Another one of its name, where the engine tells.
            Some(volume)
                if volume.created_at.is_some()
                    && !restore_new::is_ours(host, docker, row, volume).await? =>
            {
                Ok(Settled::Back)
            }
            _ => Ok(Settled::Forwards),
        },
        None => back(host, docker, row, made).await,
    }
}

async fn back(
    host: &Host,
    docker: &dyn Docker,
    row: &RunRow,
    made: Option<Volume>,
) -> Result<Settled, Failure> {
    match made {
        Some(volume) => restore_new::take_back(host, docker, row, &volume).await,
        None => Ok(Settled::Back),
    }
}

/// Settles a dead restore run.
pub(crate) async fn recover(
    host: &Host,
    row: &RunRow,
    watch: &dyn Watch,
) -> Result<(Outcome, String), Failure> {
    let Some(journal) = &row.journal else {
        return Ok((
            Outcome::Not(Class::Interrupted),
            format!("{} run {} was cut off before it began", row.verb.word(), row.id),
        ));
    };
    let (target, on, _mount) = place_of(&journal.target);
    let holder = holder(host, row);
    // Whoever has begun to read it, or to restore into it, is done first: containers are not started beneath a swap.
    let held = host.locks().try_lock(&on, &holder);
    let _held = held.map_err(|e| lock_failure(format!("settle the restore of {target}"), e))?;
    let deed = if row.verb == Verb::Undo { "undoing a restore" } else { "restore" };
    watch.tell(Told::Step(format!("settling the {deed} of {target}")));
    let docker = host.docker().await?;
    Ok(match settle(host, &*docker, &row.id, journal).await? {
        Settled::Forwards => {
            (Outcome::Done, format!("{deed} of {target} was cut off while it swapped; it was finished"))
        }
        Settled::Left => (
            Outcome::Not(Class::Interrupted),
            format!(
                "{deed} of {target} was cut off, and containers have begun to use the volume: restore again, in the place of \
                 what they wrote"
            ),
        ),
        Settled::Unfinished(_) => (
            Outcome::Not(Class::Interrupted),
            format!(
                "{deed} of {target} was cut off; what it had fetched waits: restore again, and that is gone on with"
            ),
        ),
        Settled::Back if row.state == RunState::Resuming && journal.swapped => (
            Outcome::Done,
            format!(
                "{deed} of {target} is in place; it was cut off while containers were started, and they run again"
            ),
        ),
        Settled::Back if row.state == RunState::Resuming => (
            Outcome::Not(Class::Interrupted),
            format!("{deed} of {target} was cut off while containers were started; they run again"),
        ),
        Settled::Back => (
            Outcome::Not(Class::Interrupted),
            format!("{deed} of {target} was cut off; the target is as it was before"),
        ),
    })
}
