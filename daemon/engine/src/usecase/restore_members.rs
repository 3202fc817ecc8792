//! Restores several sources as one deed.
//!
//! ```text
//! all are staged beside what is there → all who use any of them are stopped, dependents first → each is swapped in
//!   → all start again, in reverse
//! ```
//!
//! Always true: nothing is stopped or replaced before every member is staged, whole and checked; whatever fails until
//! then leaves all as it was. What could not be put in place after another one was is named, for only a person can
//! say what is better then.

use crate::catalog::journal::StoppedContainer;
use crate::failure::Failure;
use crate::port::docker::Docker;
use crate::usecase::host::Host;
use crate::usecase::restore::{Broken, Deed, Found, RestorePlan, RestoreReport, Staged, begin, end, find};
use crate::usecase::restore_down::still_down;
use crate::usecase::run::Run;
use crate::usecase::runs_again::Again;
use crate::usecase::service;
use crate::usecase::source::User;
use crate::usecase::watch::{Told, Watch};

/// What became of it.
#[derive(Debug)]
pub struct SetReport {
    /// What was put in place.
    pub restored: Vec<RestoreReport>,
    /// What was not, by snapshot, and why.
    pub failed: Vec<(String, Failure)>,
    /// Why not all who use what was put in place run again.
    pub down: Option<Failure>,
}

/// A plan for each member, and this host at the store that has its snapshot. Fails as a whole as long as nothing was
/// replaced.
pub(super) async fn restore_members(
    members: &[(&Host, &RestorePlan)],
    watch: &dyn Watch,
) -> Result<SetReport, Failure> {
    let Some((host, _)) = members.first() else {
        return Ok(SetReport { restored: Vec::new(), failed: Vec::new(), down: None });
    };
    let began = host.clock().elapsed();
    let docker = host.docker().await?;
    let mut found: Vec<Found> = Vec::with_capacity(members.len());
    for (host, plan) in members {
        found.push(find(host, &*docker, plan).await?);
    }
    let mut runs: Vec<Run<'_>> = Vec::with_capacity(found.len());
    for ((host, _), one) in members.iter().zip(&found) {
        match begin(host, one) {
            Ok(run) => runs.push(run),
            Err(failure) => {
                runs.into_iter().for_each(|run| give_up(run, &failure));
                return Err(failure);
            }
        }
    }
    let _held: Vec<_> = runs.iter().map(|run| watch.cancel().until_over(run.id())).collect();
    let deeds = members.iter().zip(&found).zip(&runs);
    let deed = |((&(host, plan), found), run)| Deed { host, docker: &*docker, found, plan, run, watch };
    let deeds: Vec<Deed<'_>> = deeds.map(deed).collect();
    let Ends { ends, culprit, down } =
        Together { deeds: &deeds, docker: &*docker, host, watch }.carry_out().await;
    drop(deeds);
    let seconds = host.clock().elapsed().saturating_sub(began).as_secs_f64();
    let mut report = SetReport { restored: Vec::new(), failed: Vec::new(), down };
    for (i, ((run, done), (_, plan))) in runs.into_iter().zip(ends).zip(members).enumerate() {
        let done = match done {
            End::Over(done) => done,
            // Its row stays unfinished, so recovery starts who uses it.
            End::InPlace(done) => {
                report.restored.push(RestoreReport { seconds, ..done });
                continue;
            }
        };
        match end(run, done) {
            Ok(done) => report.restored.push(RestoreReport { seconds, ..done }),
            // Whose failure it is comes first: the others only follow from it.
            Err(failure) if culprit == Some(i) => report.failed.insert(0, (plan.snapshot.clone(), failure)),
            Err(failure) => report.failed.push((plan.snapshot.clone(), failure)),
        }
    }
    if report.restored.is_empty() && !report.failed.is_empty() {
        return Err(report.failed.swap_remove(0).1);
    }
    Ok(report)
}

fn give_up(run: Run<'_>, failure: &Failure) {
    let also = Failure::new(failure.class, format!("its set was not restored: {failure}"));
    let _told: Result<(), Failure> = run.end(Err(also));
}

/// How one ended.
enum End {
    /// It is over.
    Over(Result<RestoreReport, Broken>),
    /// What it restored is in place, and not all who use it run.
    InPlace(RestoreReport),
}

/// How all ended.
struct Ends {
    /// Each, in the order of members.
    ends: Vec<End>,
    /// Whose failure it was, if it was one's.
    culprit: Option<usize>,
    /// Why not all who were stopped run again.
    down: Option<Failure>,
}

/// All members, with what they need together.
struct Together<'a> {
    deeds: &'a [Deed<'a>],
    docker: &'a dyn Docker,
    host: &'a Host,
    watch: &'a dyn Watch,
}

impl Together<'_> {
    async fn carry_out(&self) -> Ends {
        let mut staged = Vec::with_capacity(self.deeds.len());
        for (i, deed) in self.deeds.iter().enumerate() {
            match deed.stage().await {
                Ok(one) => staged.push(one),
                Err(broken) => return self.take_all_back(staged, broken, Some(i)).await,
            }
        }
        let users = match self.stop(&mut staged).await {
            Ok(users) => users,
            Err(failure) => {
                // All are staged, so the last one is taken back as the others are.
                let last = staged.pop().zip(self.deeds.last());
                let broken = match last {
                    Some((staged, deed)) => deed.take_back(&staged, failure).await,
                    None => (failure, true),
                };
                return self.take_all_back(staged, broken, self.deeds.len().checked_sub(1)).await;
            }
        };
        let (placed, culprit) = self.put_in_place(staged).await;
        let (ends, down) = self.bring_back(placed, &users).await;
        Ends { ends, culprit, down }
    }

    /// Stops who uses any of them, each once, whoever depends on another before it.
    async fn stop(&self, staged: &mut [Staged]) -> Result<Vec<StoppedContainer>, Failure> {
        let users: Vec<User> =
            self.deeds.iter().flat_map(|deed| deed.found.place.users.iter().cloned()).collect();
        let users = service::journal(&users)?;
        // Each has written down its own before any is stopped.
        for (deed, staged) in self.deeds.iter().zip(staged) {
            if !staged.journal.containers.is_empty() {
                deed.note_stop(&staged.journal)?;
            }
            staged.stopped = true;
        }
        if !users.is_empty() {
            self.watch.tell(Told::Step("stopping who uses what is restored".to_owned()));
        }
        service::stop(self.docker, &users).await?;
        Ok(users)
    }

    async fn put_in_place(&self, staged: Vec<Staged>) -> (Vec<Result<Staged, Broken>>, Option<usize>) {
        let mut placed = Vec::with_capacity(self.deeds.len());
        let mut culprit: Option<(usize, String)> = None;
        for (i, (deed, mut staged)) in self.deeds.iter().zip(staged).enumerate() {
            // After one that failed, no further one is replaced: what was not touched is the way back.
            placed.push(match &culprit {
                Some((_, words)) => {
                    let what = format!("`{}` was not restored", deed.plan.target);
                    Err(deed.take_back(&staged, Failure::failed(what).because(words.clone())).await)
                }
                None => match deed.put_in_place(&mut staged).await {
                    Ok(()) => Ok(staged),
                    Err(broken) => {
                        culprit = Some((i, broken.0.to_string()));
                        Err(broken)
                    }
                },
            });
        }
        (placed, culprit.map(|(i, _)| i))
    }

    /// Nobody starts before all are in place. Of a container that uses several, the first tells.
    async fn bring_back(
        &self,
        placed: Vec<Result<Staged, Broken>>,
        users: &[StoppedContainer],
    ) -> (Vec<End>, Option<Failure>) {
        let mut unsettled: Option<Failure> = None;
        for (deed, placed) in self.deeds.iter().zip(&placed) {
            if placed.is_ok() {
                unsettled = unsettled.or(deed.run.resuming().err());
            }
        }
        let again = match unsettled {
            Some(failure) => Err(failure),
            None => {
                if !users.is_empty() {
                    self.watch.tell(Told::Step("starting containers again".to_owned()));
                }
                service::start_again(self.docker, self.host.clock(), users, false).await
            }
        };
        let (mut left, down) = match again {
            Ok(again) => (again, None),
            Err(failure) => (Again::default(), Some(still_down(failure, ""))),
        };
        let mut ends = Vec::with_capacity(self.deeds.len());
        for (deed, placed) in self.deeds.iter().zip(placed) {
            ends.push(match (placed, &down) {
                (Err(broken), _) => End::Over(Err(broken)),
                (Ok(staged), Some(_)) => End::InPlace(deed.report(staged, Again::default())),
                (Ok(staged), None) => {
                    let own = |name: &String| staged.journal.containers.iter().any(|one| one.name == *name);
                    let (started, others) = left.started.into_iter().partition(|one| own(&one.container));
                    let warnings = std::mem::take(&mut left.warnings);
                    left.started = others;
                    End::Over(Ok(deed.report(staged, Again { started, warnings })))
                }
            });
        }
        (ends, down)
    }

    /// One could not be staged, or nobody could be stopped, so none is restored.
    async fn take_all_back(&self, staged: Vec<Staged>, broken: Broken, culprit: Option<usize>) -> Ends {
        let (class, words) = (broken.0.class, broken.0.to_string());
        let also = || Failure::new(class, format!("its set was not restored: {words}"));
        let mut ends = Vec::with_capacity(self.deeds.len());
        for (deed, staged) in self.deeds.iter().zip(&staged) {
            ends.push(End::Over(Err(deed.take_back(staged, also()).await)));
        }
        ends.push(End::Over(Err(broken)));
        ends.resize_with(self.deeds.len(), || End::Over(Err((also(), true))));
        Ends { ends, culprit, down: None }
    }
}
