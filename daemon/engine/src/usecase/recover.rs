//! Puts right what dead runs left: service first, data second.
//!
//! It runs whenever a program opens this host for writing. A run is dead if its row is not finished and its
//! lock is free; the kernel frees the lock of every process that ends, however it ends. Recovery takes the
//! lock itself, so two of them do not meet, and every step can be done again, so it may be cut off as well.
//! The row names the store that the run worked on, and that one is opened, whatever is named today.

use crate::catalog::{CatalogError, Outcome, RunRow, Verb};
use crate::failure::{Class, Failure};
use crate::format::names::Lineage;
use crate::lock::{Held, Holder};
use crate::pipeline::spool::Spool;
use crate::port::docker::Docker;
use crate::port::store::{OpenUpload, Store, StoreErrorKind};
use crate::usecase::blame;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::index::{self, Signed};
use crate::usecase::opened::trusted;
use crate::usecase::resume;
use crate::usecase::runs::lock_of;
use crate::usecase::scratch;
use crate::usecase::thaw::thaw;
use crate::usecase::unfinished;
use crate::usecase::watch::{Told, Watch};
use crate::words::RunId;

/// A helper that only looks has no row; it ends, or is given up, sooner than this.
const STRAY_AGE_SECONDS: i64 = 20 * 60;

/// What was put right, a line for a person each; empty when there was nothing to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// What.
    pub said: Vec<String>,
    /// What could not be put right yet; it will be tried again.
    pub left: Vec<String>,
}

/// Recovers all dead runs. Trouble with one does not keep the others from being recovered.
pub async fn recover(host: &Host, watch: &dyn Watch) -> Result<Recovered, Failure> {
    let mut recovered = thaw(host).await?;
    let unfinished =
        host.catalog().unfinished_runs().map_err(|e| catalog_failure("look for dead runs", e))?;
    for row in unfinished {
        let Some(held) = hold(host, &row)? else { continue };
        // It may have ended between the list and the lock.
        let row = host.catalog().run(&row.id).map_err(|e| catalog_failure("look for dead runs", e))?;
        if row.ended_at.is_some() {
            continue;
        }
        watch.tell(Told::Step(format!("recovering {} run {}", row.verb.word(), row.id)));
        match one(&where_it_worked(host, &row), &row, watch).await {
            Ok(said) => recovered.said.push(said),
            Err(failure) => {
                let next = failure.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
                recovered.left.push(format!("{} run {}: {failure}{next}", row.verb.word(), row.id));
            }
        }
        drop(held);
    }
    sweep_strays(host, &mut recovered).await;
    unfinished::tidy(host, &mut recovered).await?;
    Ok(recovered)
}

/// Helpers and trials of this installation whose run is over, or that nobody knows and that are older than any helper
/// without a row may get.
async fn sweep_strays(host: &Host, recovered: &mut Recovered) {
    let Ok(docker) = host.docker().await else { return };
    // An engine that does not answer runs no helpers either; verbs that need it say so themselves.
    let Ok(found) = docker.leftovers().await else { return };
    let now = host.clock().now().as_second();
    for leftover in found.iter().filter(|leftover| leftover.owner == host.owner()) {
        let mut abandoned = None;
        let stray = match host.catalog().run(&leftover.run) {
            Ok(row) => row.ended_at.is_some(),
            Err(CatalogError::NoRun(_)) => {
                abandoned = host.locks().abandoned_look(&leftover.run);
                let old = leftover.created_at.is_some_and(|at| now - at.as_second() > STRAY_AGE_SECONDS);
                abandoned.is_some() || old
            }
            Err(_) => false,
        };
        if !stray {
            continue;
        }
        match docker.remove_leftover(leftover).await {
            Ok(()) => recovered.said.push(format!("removed a container that run {} had left", leftover.run)),
            Err(e) => recovered.left.push(format!("helper of run {}: {e}", leftover.run)),
        }
        drop(abandoned);
    }
}

/// Whether a run is dead though its lock is not free: another run has it, and a run that lives keeps its own.
pub(super) fn has_successor(host: &Host, row: &RunRow) -> Result<bool, Failure> {
    let Some(on) = lock_of(row) else { return Ok(false) };
    let holder = host.locks().holder(&on);
    let holder = holder.map_err(|e| crate::usecase::host::lock_failure("look for dead runs", e))?;
    Ok(holder.is_some_and(|holder| holder.run != row.id))
}

/// Who holds a lock to put right what a run left.
pub(super) fn holder(host: &Host, row: &RunRow) -> Holder {
    let since = host.clock().now();
    Holder { run: row.id.clone(), pid: std::process::id(), verb: Verb::Recover, since }
}

/// The lock of a dead run; `None` while the run lives.
pub(super) fn hold(host: &Host, row: &RunRow) -> Result<Option<Held>, Failure> {
    let Some(on) = lock_of(row) else { return Ok(None) };
    let holder = holder(host, row);
    match host.locks().try_lock_to_recover(&on, &holder) {
        Ok(held) => Ok(Some(held)),
        Err(crate::lock::LockError::Busy { .. }) => Ok(None),
        Err(e) => Err(crate::usecase::host::lock_failure("look for dead runs", e)),
    }
}

/// This host at the store that a run worked on, whatever settings and policies say now.
fn where_it_worked(host: &Host, row: &RunRow) -> Host {
    row.store.as_deref().map_or_else(|| host.clone(), |store| host.at(store)).anew()
}

async fn one(host: &Host, row: &RunRow, watch: &dyn Watch) -> Result<String, Failure> {
    let (outcome, said) = match row.verb {
        Verb::Backup => backup(host, row).await?,
        Verb::Import => {
            // What it had unpacked goes first; whether it was committed, the store tells.
            scratch::clear(&*host.docker().await?, &host.owner(), &row.id).await?;
            backup(host, row).await?
        }
        Verb::Restore | Verb::Undo => resume::recover(host, row, watch).await?,
        Verb::Drill => {
            scratch::clear(&*host.docker().await?, &host.owner(), &row.id).await?;
            let of = row.source.as_ref().map(ToString::to_string).unwrap_or_default();
            let said = format!("drill of {of} was cut off; all that it had made was removed");
            (Outcome::Not(Class::Interrupted), said)
        }
        // Done again, they do no harm; what they had not done is not done.
        Verb::Verify | Verb::Export | Verb::Delete | Verb::Prune | Verb::Rebuild | Verb::Recover => {
            sweep(&*host.docker().await?, &host.owner(), &row.id).await?;
            (
                Outcome::Not(Class::Interrupted),
                format!("{} run {} was cut off; start it again", row.verb.word(), row.id),
            )
        }
    };
    let now = host.clock().now();
    let finished = host.catalog().finish_run(&row.id, outcome, Some(&said), now);
    finished.map_err(|e| catalog_failure(format!("note the end of run {}", row.id), e))?;
    Ok(said)
}

async fn backup(host: &Host, row: &RunRow) -> Result<(Outcome, String), Failure> {
    let Some(source) = row.source.clone() else {
        return Ok((
            Outcome::Not(Class::Interrupted),
            format!("{} run {} was cut off", row.verb.word(), row.id),
        ));
    };
    let lineage = Lineage { host: row.host.clone(), source };
    // Where Docker does not answer, no helper runs either; the store can be put right without it.
    match host.docker().await {
        Ok(docker) => sweep(&*docker, &host.owner(), &row.id).await?,
        Err(failure) => tracing::debug!("{failure}"),
    }
    let store = host.store().await?;
    match undo_backup(host, &*store, &lineage, &row.id).await? {
        Some(_) => Ok((
            Outcome::Done,
            format!("{} of {} had been committed before it was cut off", row.verb.word(), lineage.source),
        )),
        None => Ok((
            Outcome::Not(Class::Interrupted),
            format!(
                "{} of {} was cut off before its commit; its upload was removed",
                row.verb.word(),
                lineage.source
            ),
        )),
    }
}

/// Takes back what a run put into the store, unless it was committed; then gives what was.
///
/// Before its state was `committing`, nobody has asked for its manifest, so its pack may go. Afterwards the
/// manifest may still be on its way: then the pack stays, as an orphan that a later backup removes.
pub(crate) async fn undo_backup(
    host: &Host,
    store: &dyn Store,
    lineage: &Lineage,
    run: &RunId,
) -> Result<Option<Signed>, Failure> {
    let spool = host.spool(run);
    Spool::remove(&spool).map_err(|e| Failure::failed(format!("remove `{}`", spool.display())).because(e))?;
    let row = host.catalog().run(run).map_err(|e| catalog_failure("look up the run", e))?;
    if let Some(number) = row.snapshot {
        let keys = trusted(host, store, &lineage.host).await?;
        match index::manifest(store, lineage, number, false, &keys).await {
            Ok(signed) if signed.manifest.run == *run => {
                host.note_snapshot(&lineage.manifest(number), &signed, &signed.signed_by).await?;
                return Ok(Some(signed));
            }
            // Another run's.
            Ok(_) => {}
            Err(failure) if failure.class == Class::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    for upload in &row.uploads {
        abort_uploads(store, &upload.key).await?;
        if row.snapshot.is_none() {
            let what = || format!("delete orphan `{}`", upload.key);
            match store.delete(&upload.key).await {
                Ok(()) => {}
                // A key that may not delete leaves an orphan: invisible, and no reason to fail.
                Err(e) if e.kind == StoreErrorKind::Denied => tracing::debug!("{}: {e}", what()),
                Err(e) => return Err(blame::store(what(), e)),
            }
        }
    }
    Ok(None)
}

/// Aborts uploads of exactly this key, which carries the run's id: nobody else's.
async fn abort_uploads(store: &dyn Store, key: &str) -> Result<(), Failure> {
    let what = || format!("abort the upload of `{key}`");
    let open = store.open_uploads(key).await.map_err(|e| blame::store(what(), e))?;
    for upload in open.iter().filter(|upload: &&OpenUpload| upload.key == key) {
        store.abort_upload(upload).await.map_err(|e| blame::store(what(), e))?;
    }
    Ok(())
}

/// Removes containers of this installation that a run left.
pub(crate) async fn sweep(docker: &dyn Docker, owner: &str, run: &RunId) -> Result<(), Failure> {
    let what = || format!("remove helpers of run {run}");
    let found = docker.leftovers().await.map_err(|e| blame::docker(what(), e))?;
    for leftover in found.iter().filter(|leftover| leftover.owner == owner && leftover.run == *run) {
        docker.remove_leftover(leftover).await.map_err(|e| blame::docker(what(), e))?;
    }
    Ok(())
}
