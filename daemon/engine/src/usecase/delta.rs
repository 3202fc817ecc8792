//! Restores in place by changing only what differs from the snapshot.
//!
//! ```text
//! tables fetched, helper ready → who uses the target is stopped → all that is there is compared
//!   → what differs is fetched and logged beside it → (as with any restore) the log is carried out, who was stopped starts again
//! ```
//!
//! Always true: nobody is stopped before all that can be made ready is; nothing of the target changes before all that
//! differs is there and checked; and who was started meanwhile ends it, for what was compared may be another by then.

use std::sync::Arc;

use archive::base::Base;
use archive::channel::{DeltaJob, Differing, Job, Logged, Unpacked};
use serde::Serialize;

use crate::catalog::journal::RestoreJournal;
use crate::failure::{Class, Failure};
use crate::pipeline::feed::{Fed, FeedError, Heard, feed_differing};
use crate::port::docker::{Access, ContainerState};
use crate::usecase::blame;
use crate::usecase::job::{Session, spec};
use crate::usecase::restore::{Deed, Filled};
use crate::usecase::restore_plan::RestoreRequest;
use crate::usecase::restore_room::check_room;
use crate::usecase::watch::{Progress, Told};

/// Below this, how much of a snapshot differs makes no difference.
const LITTLE_BYTES: u64 = 64 << 20;

/// What a delta restore found to differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeltaReport {
    /// Entries that were made, changed or removed.
    pub differing: u64,
    /// Bytes of files that were written.
    pub written_bytes: u64,
    /// So much differed that all was restored beside it instead.
    pub too_much: bool,
}

/// Refuses what cannot be had of one.
pub(super) fn check(request: &RestoreRequest) -> Result<(), Failure> {
    let refused = |what: &str, hint: &str| Err(Failure::new(Class::Usage, what).hint(hint));
    if !request.delta {
        return Ok(());
    }
    if request.keep_previous {
        return refused(
            "`--delta` overwrites what differs, so nothing is left of it that could be kept",
            "leave one of `--delta` and `--keep-previous` out",
        );
    }
    if !request.paths.is_empty() {
        return refused(
            "`--delta` compares and changes all of a source, and `--path` is a part of it",
            "leave `--delta` out: only what lies at the paths is fetched, and who uses it is down for a moment",
        );
    }
    if request.into.is_some() || request.to.is_some() {
        return refused("`--delta` is for all of a source, in place", "leave it out");
    }
    Ok(())
}

impl Deed<'_> {
    /// Compares, and makes what differs ready beside what is there. If that is most of it, makes all of it ready.
    pub(super) async fn log_what_differs(&self, journal: &RestoreJournal) -> Result<Filled, Failure> {
        let what = self.what();
        let reading = &self.found.opened.reading;
        reading.keep_tables().await.map_err(|e| blame::read(what.clone(), e))?;
        let spec = spec(self.host, self.run.id(), &self.found.place.mount, Access::Write);
        let session = Session::ready(self.docker, &spec, what.clone()).await?;
        if let Err(failure) = self.nobody_writes(journal).await {
            session.kill().await;
            return Err(failure);
        }
        self.watch.tell(Told::Step(format!("comparing {} with {}", self.plan.target, self.plan.snapshot)));
        let (fed, Logged { compared, notes }) = self.compare(session, None).await?;
        let Differing { totals, differing, wanted_bytes, too_much } = compared;
        let report = DeltaReport { differing, written_bytes: wanted_bytes, too_much };
        if too_much {
            let so_much = format!("{} of {} MiB differ", wanted_bytes >> 20, totals.data_bytes >> 20);
            self.watch
                .tell(Told::Step(format!("{so_much}: all is restored beside what is there, and swapped in")));
            // The plan could not know that all of it would need room. Who is down is not to wait for a disk to fill.
            check_room(self.plan, &self.look().await?)?;
            let (fed, unpacked) = self.fill().await?;
            return Ok(Filled { fed, unpacked, delta: Some(report) });
        }
        self.nobody_was_started(journal).await?;
        Ok(Filled { fed, unpacked: Unpacked { totals, notes }, delta: Some(report) })
    }

    async fn nobody_writes(&self, journal: &RestoreJournal) -> Result<(), Failure> {
        if !journal.containers.is_empty() {
            self.watch.tell(Told::Step(format!("stopping who uses {}", self.plan.target)));
        }
        self.stop(journal).await?;
        self.nobody_is_up().await
    }

    /// Compares the target, or what waits in it, and fetches what is wanted; of what waits, so many bytes at most.
    pub(super) async fn compare(
        &self,
        mut session: Session,
        unfinished: Option<u64>,
    ) -> Result<(Fed, Logged), Failure> {
        let manifest = &self.found.opened.signed.manifest;
        let (entries, pages) = (manifest.entries.clone(), manifest.pages.clone());
        let job = Job::Delta(DeltaJob {
            run: self.run.id().to_string(),
            workers: self.host.settings().effort.workers(),
            snapshot: Base { entries, pages, ..Base::default() },
            most_bytes: unfinished.unwrap_or((manifest.totals.data_bytes / 2).max(LITTLE_BYTES)),
            unfinished: unfinished.is_some(),
        });
        if let Err(e) = session.give(&job).await {
            return Err(session.broke(e).await);
        }
        let mut of_bytes = manifest.totals.bytes;
        let heard = |heard: Heard| match heard {
            Heard::Progress(progress) => {
                self.run.progress(progress.entries, progress.bytes, &progress.path);
                let archive::channel::Progress { entries, bytes, path } = progress;
                self.watch.tell(Told::Progress(Progress { entries, bytes, of_bytes: Some(of_bytes), path }));
            }
            Heard::Differing(compared) => {
                of_bytes = compared.wanted_bytes;
                if !compared.too_much {
                    let differs = if unfinished.is_some() { "is missing" } else { "differs" };
                    let what = format!("fetching what {differs} of {}", self.plan.target);
                    self.watch.tell(Told::Step(what));
                }
            }
        };
        let reading = Arc::clone(&self.found.opened.reading);
        let (from, to) = (&mut *session.helper.from, &mut *session.helper.to);
        match feed_differing(reading, from, to, heard).await {
            Ok(done) => {
                session.close().await?;
                Ok(done)
            }
            Err(FeedError::Channel(e)) => Err(session.broke(e).await),
            Err(other) => {
                session.kill().await;
                Err(blame::feed(self.what(), other))
            }
        }
    }

    /// Also who was started and has ended again may have written.
    async fn nobody_was_started(&self, journal: &RestoreJournal) -> Result<(), Failure> {
        self.nobody_is_up().await?;
        for stopped in &journal.containers {
            let what = || format!("look at container `{}`", stopped.name);
            let now = self.docker.container(&stopped.id).await.map_err(|e| blame::docker(what(), e))?;
            let Some(now) = now else { continue };
            if now.state != ContainerState::Down || now.started_at != stopped.started_at {
                let what = format!(
                    "container `{}` was started while `{}` was being compared",
                    stopped.name, self.plan.target
                );
                return Err(Failure::new(Class::Busy, what)
                    .hint("the target is as it was before; repeat the command to restore"));
            }
        }
        Ok(())
    }
}
