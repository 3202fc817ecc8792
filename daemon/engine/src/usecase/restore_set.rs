//! Restores a set: all its members, so that those who use them find what belongs together.
//!
//! ```text
//! plan of each → all are staged beside what is there → who uses them is stopped, and each swapped in → all start again
//! ```
//!
//! Always true: nothing is stopped or replaced before every member is staged, whole and checked; whatever fails until
//! then leaves all as it was. What could not be put in place after another one was is named, for only a person can
//! say what is better then.

use serde::Serialize;

use crate::failure::{Class, Failure};
use crate::usecase::host::Host;
use crate::usecase::opened::open;
use crate::usecase::restore::{
    Broken, Deed, Found, RestorePlan, RestoreReport, RestoreRequest, Staged, begin, end, find, plan_restore,
};
use crate::usecase::run::Run;
use crate::usecase::snapshots::{SnapshotLine, Wanted, WantedHost, snapshots};
use crate::usecase::watch::Watch;
use crate::words::{Number, RunId, SourceName};

/// What a restore of a set would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetPlan {
    /// Its id.
    pub set: String,
    /// What would be done for each member, in the order of names.
    pub members: Vec<RestorePlan>,
    /// Sources that belong to it and have no snapshot of it any more.
    pub missing: Vec<SourceName>,
}

/// What became of a restore of a set.
#[derive(Debug)]
pub struct SetReport {
    /// What was put in place.
    pub restored: Vec<RestoreReport>,
    /// What was not, by snapshot, and why.
    pub failed: Vec<(String, Failure)>,
}

/// How members are restored.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetTerms {
    /// Keep what was there before.
    pub keep_previous: bool,
    /// A partial snapshot will do, and a set of which members are missing.
    pub accept_partial: bool,
    /// Another major version of a server will do.
    pub accept_version: bool,
}

/// Plans a restore of this host's set, each member in place. Changes nothing.
pub async fn plan_restore_set(host: &Host, set: &RunId, terms: SetTerms) -> Result<SetPlan, Failure> {
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    let of_set = |line: &SnapshotLine| line.set.as_deref() == Some(set.as_str());
    let mut lines: Vec<SnapshotLine> = snapshots(host, &wanted).await?.into_iter().filter(of_set).collect();
    lines.sort_by(|a, b| a.source.cmp(&b.source));
    let (mut there, mut sources) = (Vec::with_capacity(lines.len()), None);
    for line in lines {
        match open(host, &line.name()).await {
            Ok(opened) => {
                sources = sources.or(opened.signed.manifest.set.map(|set| set.sources));
                there.push(line);
            }
            // The catalog remembers it, and the store has it no more.
            Err(failure) if failure.class == Class::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    let (lines, Some(sources)) = (there, sources) else {
        return Err(Failure::not_found(format!("there is no set `{set}` of this host"))
            .hint("`backupctl snapshots --json` tells the sets of snapshots"));
    };
    let missing: Vec<SourceName> =
        sources.into_iter().filter(|source| !lines.iter().any(|line| line.source == *source)).collect();
    if !missing.is_empty() && !terms.accept_partial {
        let names: Vec<String> = missing.iter().map(|source| format!("`{source}`")).collect();
        return Err(Failure::new(Class::Unsafe, format!("set `{set}` is not whole"))
            .because(format!("it has no snapshot of {} any more", names.join(", ")))
            .hint("take another set, or restore what is there with `--accept-partial`"));
    }
    let mut members = Vec::with_capacity(lines.len());
    for line in lines {
        let request = RestoreRequest {
            source: line.source,
            host: None,
            number: Number::new(line.number),
            at: None,
            into: None,
            to: None,
            paths: Vec::new(),
            keep_previous: terms.keep_previous,
            delta: false,
            accept_partial: terms.accept_partial,
            accept_version: terms.accept_version,
        };
        let mut plan = plan_restore(host, &request).await?;
        plan.why = format!("it belongs to set {set}");
        members.push(plan);
    }
    Ok(SetPlan { set: set.to_string(), members, missing })
}

/// Carries a plan out. Fails as a whole as long as nothing was replaced.
pub async fn restore_set(host: &Host, plan: &SetPlan, watch: &dyn Watch) -> Result<SetReport, Failure> {
    let began = host.clock().elapsed();
    let docker = host.docker().await?;
    let mut found: Vec<Found> = Vec::with_capacity(plan.members.len());
    for member in &plan.members {
        found.push(find(host, &*docker, member).await?);
    }
    let mut runs: Vec<Run<'_>> = Vec::with_capacity(found.len());
    for one in &found {
        match begin(host, one) {
            Ok(run) => runs.push(run),
            Err(failure) => {
                runs.into_iter().for_each(|run| give_up(run, &failure));
                return Err(failure);
            }
        }
    }
    let members = found.iter().zip(&plan.members).zip(&runs);
    let deed = |((found, plan), run)| Deed { host, docker: &*docker, found, plan, run, watch };
    let deeds: Vec<Deed<'_>> = members.map(deed).collect();
    let (ends, culprit) = carry_out(&deeds).await;
    drop(deeds);
    let seconds = host.clock().elapsed().saturating_sub(began).as_secs_f64();
    let mut report = SetReport { restored: Vec::new(), failed: Vec::new() };
    for (i, ((run, done), member)) in runs.into_iter().zip(ends).zip(&plan.members).enumerate() {
        match end(run, done) {
            Ok(done) => report.restored.push(RestoreReport { seconds, ..done }),
            // Whose failure it is comes first: the others only follow from it.
            Err(failure) if culprit == Some(i) => report.failed.insert(0, (member.snapshot.clone(), failure)),
            Err(failure) => report.failed.push((member.snapshot.clone(), failure)),
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

type End = Result<RestoreReport, Broken>;

/// How each ended, and whose failure it was, if it was one's.
async fn carry_out(deeds: &[Deed<'_>]) -> (Vec<End>, Option<usize>) {
    let mut staged = Vec::with_capacity(deeds.len());
    for (i, deed) in deeds.iter().enumerate() {
        match deed.stage().await {
            Ok(one) => staged.push(one),
            Err(broken) => return (take_all_back(deeds, staged, broken).await, Some(i)),
        }
    }
    let mut placed = Vec::with_capacity(deeds.len());
    let mut culprit: Option<(usize, String)> = None;
    for (i, (deed, mut staged)) in deeds.iter().zip(staged).enumerate() {
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
    // Nobody starts before all are in place.
    let mut ends = Vec::with_capacity(deeds.len());
    for (deed, placed) in deeds.iter().zip(placed) {
        ends.push(match placed {
            Ok(staged) => deed.bring_back(staged).await,
            Err(broken) => Err(broken),
        });
    }
    (ends, culprit.map(|(i, _)| i))
}

/// One could not be staged, so none is restored.
async fn take_all_back(deeds: &[Deed<'_>], staged: Vec<Staged>, broken: Broken) -> Vec<End> {
    let (class, words) = (broken.0.class, broken.0.to_string());
    let also = || Failure::new(class, format!("its set was not restored: {words}"));
    let mut ends = Vec::with_capacity(deeds.len());
    for (deed, staged) in deeds.iter().zip(&staged) {
        ends.push(Err(deed.take_back(staged, also()).await));
    }
    ends.push(Err(broken));
    ends.resize_with(deeds.len(), || Err((also(), true)));
    ends
}
