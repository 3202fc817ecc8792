//! What a restore that was cut off leaves in its target, and how the next one goes on with it.
//!
//! ```text
//! cut off → settled: the content is put away in the target, and the row says so
//!         → the next restore of all of it compares what waits with its snapshot, fetches what is missing, stages the whole
//!         → or nobody does for a day, and recovery removes it
//! ```
//!
//! Always true: what waits counts for nothing until it was read again and hashed to what the snapshot says; so it may be of
//! another snapshot, or lack what a power cut took. Little is not worth it, and neither is anything on a disk that is nearly full.

use archive::channel::{Job, Logged, Looked, Unpacked};
use jiff::{SignedDuration, Timestamp};

use crate::catalog::journal::RestoreTarget;
use crate::catalog::{RunRow, Verb};
use crate::failure::{Class, Failure};
use crate::port::docker::{Access, Docker, HelperMount, Volume};
use crate::usecase::blame;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::job::{Session, ask, spec};
use crate::usecase::recover::{Recovered, holder};
use crate::usecase::restore::{Deed, Filled};
use crate::usecase::restore_new;
use crate::usecase::restore_room::check_room;
use crate::usecase::resume::place_of;
use crate::usecase::watch::Told;
use crate::words::RunId;

/// Who has not repeated the command by then is not going to.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Whoever shares the disk with a target needs room more than the next restore needs time.
const FREE_BYTES_MIN: u64 = 256 << 20;

const FREE_INODES_MIN: u64 = 4096;

impl Deed<'_> {
    /// Completes what waits in the target, and stages it.
    pub(super) async fn go_on(&self) -> Result<Filled, Failure> {
        let what = self.what();
        self.found.opened.reading.keep_tables().await.map_err(|e| blame::read(what.clone(), e))?;
        // What is missing must fit beside what is there.
        let most_bytes = self.look().await?.free_bytes.saturating_sub(FREE_BYTES_MIN);
        let spec = spec(self.host, self.run.id(), &self.found.place.mount, Access::Write);
        let session = Session::ready(self.docker, &spec, what).await?;
        let (target, snapshot) = (&self.plan.target, &self.plan.snapshot);
        let step = format!("comparing what an earlier restore left in {target} with {snapshot}");
        self.watch.tell(Told::Step(step));
        let (fed, Logged { compared, notes }) = self.compare(session, Some(most_bytes)).await?;
        if compared.too_much {
            // What waited is gone by now, so there may be room for all of it.
            check_room(self.plan, &self.look().await?)?;
            let (fed, unpacked) = self.fill().await?;
            return Ok(Filled { fed, unpacked, delta: None });
        }
        Ok(Filled { fed, unpacked: Unpacked { totals: compared.totals, notes }, delta: None })
    }

    /// Removes what waits, for it is not wanted.
    pub(super) async fn begin_anew(&self) -> Result<(), Failure> {
        remove(self.host, self.docker, self.run.id(), &self.found.place.mount).await?;
        if self.plan.delta {
            return Ok(());
        }
        check_room(self.plan, &self.look().await?)
    }
}

/// The content is in place, so nothing waits for anybody.
pub(super) fn nothing_waits(host: &Host, target: &RestoreTarget) -> Result<(), Failure> {
    let failed = |e| catalog_failure("note that nothing waits", e);
    for row in host.catalog().unfinished_restores().map_err(failed)? {
        if row.journal.as_ref().is_some_and(|journal| journal.target == *target) {
            note(host, &row.id, false)?;
        }
    }
    Ok(())
}

/// Puts away what a run had unpacked, and notes it; gives how many bytes wait, 0 if it was not worth it.
pub(super) async fn leave(
    host: &Host,
    docker: &dyn Docker,
    row: &RunRow,
    mount: &HelperMount,
    looked: &Looked,
) -> Result<u64, Failure> {
    let is_full =
        looked.free_bytes < FREE_BYTES_MIN || looked.free_inodes.is_some_and(|free| free < FREE_INODES_MIN);
    if row.verb != Verb::Restore || is_full {
        return Ok(0);
    }
    // First the note, so that what is there is known of; a note of nothing is found out by whoever looks.
    note(host, &row.id, true)?;
    let least_bytes = host.settings().effort.unfinished_bytes;
    let job = Job::Leave { run: row.id.to_string(), least_bytes };
    let spec = spec(host, &row.id, mount, Access::Write);
    let bytes: u64 = ask(docker, &spec, &job, "put away what was unpacked").await?;
    if bytes == 0 {
        note(host, &row.id, false)?;
    }
    Ok(bytes)
}

fn note(host: &Host, run: &RunId, waits: bool) -> Result<(), Failure> {
    let noted = host.catalog().note_unfinished(run, waits);
    noted.map_err(|e| catalog_failure("note what waits for a restore", e))
}

async fn remove(host: &Host, docker: &dyn Docker, run: &RunId, mount: &HelperMount) -> Result<bool, Failure> {
    let spec = spec(host, run, mount, Access::Write);
    ask(docker, &spec, &Job::RemoveUnfinished, "remove what a restore left that was cut off").await
}

/// Whether a volume is there only because a restore was cut off that had made it: nothing is in it but what waits.
pub(super) async fn waits_in(host: &Host, docker: &dyn Docker, volume: &Volume) -> Result<bool, Failure> {
    let rows = host.catalog().unfinished_restores();
    let target = RestoreTarget::Volume(volume.name.clone());
    for row in rows.map_err(|e| catalog_failure("look for restores that were cut off", e))? {
        let made =
            row.journal.as_ref().is_some_and(|journal| journal.created_volume && journal.target == target);
        if made && restore_new::is_ours(host, docker, &row, volume).await? {
            let looked = look(host, docker, &row, &HelperMount::Volume(volume.name.clone())).await?;
            let waits = looked.top_entries == 0 && looked.unfinished_at.is_some();
            return Ok(waits && !restore_new::is_used(docker, &row, volume).await?);
        }
    }
    Ok(false)
}

async fn look(
    host: &Host,
    docker: &dyn Docker,
    row: &RunRow,
    mount: &HelperMount,
) -> Result<Looked, Failure> {
    let looking = spec(host, &row.id, mount, Access::Read);
    ask(docker, &looking, &Job::Look, "look for what a restore left").await
}

/// Removes what has waited for a day; a volume that holds nothing else, and that the restore had made, goes with it.
/// Trouble with one does not keep the others.
pub(super) async fn tidy(host: &Host, recovered: &mut Recovered) -> Result<(), Failure> {
    let rows = host.catalog().unfinished_restores();
    let rows = rows.map_err(|e| catalog_failure("look for restores that were cut off", e))?;
    let due = |row: &RunRow| row.ended_at.is_some_and(|at| is_long_ago(host, at));
    for row in rows.into_iter().filter(due) {
        let Some(target) = row.journal.as_ref().map(|journal| journal.target.clone()) else { continue };
        let (name, on, mount) = place_of(&target);
        // Whoever has it may be going on.
        let Ok(_held) = host.locks().try_lock(&on, &holder(host, &row)) else { continue };
        match one(host, &row, &mount).await {
            Ok(false) => {}
            Ok(true) => recovered
                .said
                .push(format!("removed what a restore of {name} had left that was cut off and not repeated")),
            // Gone with all that was in it.
            Err(failure) if failure.class == Class::NotFound => note(host, &row.id, false)?,
            Err(failure) => {
                recovered.left.push(format!("what a restore of {name} left that was cut off: {failure}"));
            }
        }
    }
    Ok(())
}

fn is_long_ago(host: &Host, at: Timestamp) -> bool {
    host.clock().now().duration_since(at) >= KEPT_FOR
}

/// Whether something was removed.
async fn one(host: &Host, row: &RunRow, mount: &HelperMount) -> Result<bool, Failure> {
    let docker = host.docker().await?;
    let found = match mount {
        HelperMount::Folder(_) => None,
        HelperMount::Volume(name) => {
            let found = docker.volume(name).await;
            let found = found.map_err(|e| blame::docker(format!("look up volume `{name}`"), e))?;
            if found.is_none() {
                note(host, &row.id, false)?;
                return Ok(false);
            }
            found
        }
    };
    let looked = look(host, &*docker, row, mount).await?;
    let since = looked.unfinished_at.and_then(|at| Timestamp::from_second(at).ok());
    if since.is_some_and(|since| !is_long_ago(host, since)) {
        // Another run left it since.
        return Ok(false);
    }
    let removed = since.is_some() && remove(host, &*docker, &row.id, mount).await?;
    let created = row.journal.as_ref().is_some_and(|journal| journal.created_volume);
    if let Some(volume) = found.filter(|_| created) {
        restore_new::take_back(host, &*docker, row, &volume).await?;
    }
    note(host, &row.id, false)?;
    Ok(removed)
}
