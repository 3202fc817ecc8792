//! Settles a restore that cannot go on: finished forwards if its swap had begun, else undone; and in both
//! cases what was stopped runs again.
//!
//! What decides is the staging folder's own journal, not ours: it is beside the content that it speaks of.

use archive::channel::{Job, Looked, SwapJob, Swapped};

use crate::catalog::journal::{RestoreJournal, RestoreTarget};
use crate::catalog::run_state::RunState;
use crate::catalog::{Outcome, RunRow, Verb};
use crate::failure::{Class, Failure};
use crate::lock::{Holder, LockOn};
use crate::port::docker::{Access, Docker, HelperMount};
use crate::usecase::blame;
use crate::usecase::host::{Host, catalog_failure, lock_failure};
use crate::usecase::job::{ask, spec};
use crate::usecase::recover::sweep;
use crate::usecase::service;
use crate::usecase::watch::{Told, Watch};
use crate::words::RunId;

/// The engine tells creation times in whole seconds.
const CREATED_SLACK_SECONDS: i64 = 2;

/// What became of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The new content is in place.
    Forwards,
    /// The target is as it was before.
    Back,
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
    host.catalog().note_resume(run).map_err(|e| catalog_failure("note what the run does", e))?;
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
    let mount = match &journal.target {
        RestoreTarget::Volume(name) => HelperMount::Volume(name.clone()),
        RestoreTarget::Folder(path) => HelperMount::Folder(path.clone()),
    };
    if let HelperMount::Volume(name) = &mount {
        let found =
            docker.volume(name).await.map_err(|e| blame::docker(format!("look up volume `{name}`"), e))?;
        let Some(found) = found else { return Ok(Settled::Back) };
        if journal.created_volume {
            // Only what was made since this run began can be what this run made.
            let since = row.began_at.as_second() - CREATED_SLACK_SECONDS;
            if row.state == RunState::Unpacking && found.created_at.is_some_and(|at| at.as_second() >= since)
            {
                let removed = docker.remove_volume(name).await;
                removed.map_err(|e| blame::docker(format!("remove the unfinished volume `{name}`"), e))?;
            }
            return Ok(Settled::Back);
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
            let gone = discard(host, docker, &row.id, &mount, row.id.as_str()).await?;
            Ok(if gone.swapped { Settled::Forwards } else { Settled::Back })
        }
        // Nothing staged: it was never begun, or the swap was done to its end.
        None if row.state == RunState::Swapping => Ok(Settled::Forwards),
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
    let (target, on) = match &journal.target {
        RestoreTarget::Volume(name) => (name, LockOn::Volume(name.clone())),
        RestoreTarget::Folder(path) => (path, LockOn::Folder(path.clone())),
    };
    let holder = Holder {
        run: row.id.clone(),
        pid: std::process::id(),
        verb: Verb::Recover,
        since: host.clock().now(),
    };
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
