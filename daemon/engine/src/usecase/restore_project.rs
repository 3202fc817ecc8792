//! Restores a compose project: all its sources on this host, as one deed.
//!
//! Of one moment, if there is a set that holds all of them; else the newest of each, and then the plan says how far apart
//! they were taken. What belongs to the project is what carries its label now, and what is gone and carried it when it was
//! last backed up: after `docker compose down -v` nothing else tells.
//!
//! Always true: what belongs to it and is not restored is named, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use policies::policy::Folder;
use policies::select::{Source, Verdict, choose};
use serde::Serialize;

use crate::failure::Failure;
use crate::usecase::host::Host;
use crate::usecase::opened::open;
use crate::usecase::restore::{RestorePlan, plan_restore};
use crate::usecase::restore_members::restore_members;
use crate::usecase::restore_set::{SetReport, SetTerms};
use crate::usecase::snapshots::{SnapshotLine, Wanted, WantedHost, snapshots};
use crate::usecase::stores::Stores;
use crate::usecase::watch::Watch;
use crate::words::{Number, SourceName};

/// What compose says of a volume that it made.
const PROJECT_LABEL: &str = "com.docker.compose.project";

/// What to restore.
#[derive(Debug, Clone)]
pub struct ProjectRequest {
    /// The compose project.
    pub project: String,
    /// As it was by then.
    pub at: Option<Timestamp>,
    /// How each is restored.
    pub terms: SetTerms,
}

/// A source that is not restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Which.
    pub source: String,
    /// Why.
    pub why: String,
}

/// What a restore of a project would do.
#[derive(Clone, Serialize)]
pub struct ProjectPlan {
    /// The project.
    pub project: String,
    /// The set that all are of, if there is one.
    pub set: Option<String>,
    /// So much time lies between the oldest and the newest, if they are not of one moment.
    pub span_seconds: Option<i64>,
    /// What would be done for each, in the order of names.
    pub members: Vec<RestorePlan>,
    /// What cannot be restored.
    pub left: Vec<Left>,
    /// What somebody decided not to back up.
    pub aside: Vec<Left>,
    /// This host at the store of each member.
    #[serde(skip)]
    hosts: Vec<Host>,
}

/// The sources of this host, and what its policies say of them, as far as these could be read.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// All of them.
    pub sources: &'a [Source],
    /// The policies.
    pub policies: Option<&'a Folder>,
}

/// Plans it. Changes nothing.
pub async fn plan_restore_project(
    stores: &Stores,
    known: Known<'_>,
    request: &ProjectRequest,
) -> Result<ProjectPlan, Failure> {
    let aside = aside(known, &request.project);
    let mut belongs = belongs_now(known.sources, &request.project);
    let mut found: Vec<OfStore<'_>> = Vec::new();
    for at in stores.in_use() {
        let lines = fitting(at, request.at).await?;
        belongs.extend(belonged(at, &lines, known.sources, &request.project).await?);
        found.push((at, lines));
    }
    belongs.retain(|source| !aside.iter().any(|left| left.source == source.to_string()));
    if belongs.is_empty() {
        return Err(Failure::not_found(format!("nothing of project `{}` is known here", request.project))
            .because("no source of this host carries its label, and no snapshot of it did")
            .hint("`docker compose ls` lists projects, `backupctl snapshots` what was backed up"));
    }
    let has = |source: &SourceName| found.iter().any(|(_, lines)| lines.contains_key(source));
    let (there, without): (Vec<SourceName>, Vec<SourceName>) = belongs.into_iter().partition(has);
    let by = request.at.map_or_else(String::new, |at| format!(" that was taken by {at:.0}"));
    let why = format!("there is no snapshot of it{by}");
    let left = without.iter().map(|source| Left { source: source.to_string(), why: why.clone() }).collect();
    let mut plan = ProjectPlan { left, aside, ..ProjectPlan::new(request.project.clone()) };
    match whole_set(&found, &there, request) {
        Some((at, of_set)) => plan.add_set(at, &of_set, request).await?,
        None => plan.add_newest(stores, &there, request).await?,
    }
    Ok(plan)
}

/// Carries a plan out. Fails as a whole as long as nothing was replaced.
pub async fn restore_project(plan: &ProjectPlan, watch: &dyn Watch) -> Result<SetReport, Failure> {
    let members: Vec<_> = plan.hosts.iter().zip(&plan.members).collect();
    restore_members(&members, watch).await
}

impl ProjectPlan {
    /// Of nothing yet.
    pub fn new(project: String) -> Self {
        Self {
            project,
            set: None,
            span_seconds: None,
            members: Vec::new(),
            left: Vec::new(),
            aside: Vec::new(),
            hosts: Vec::new(),
        }
    }

    /// All of one moment. What has a newer snapshot of its own is told so.
    async fn add_set(
        &mut self,
        at: &Host,
        of_set: &[OfSet<'_>],
        request: &ProjectRequest,
    ) -> Result<(), Failure> {
        let mut broke = None;
        for (line, newer) in of_set {
            let wanted = request.terms.request(line.source.clone(), Number::new(line.number), None);
            match plan_restore(at, &wanted).await {
                Ok(mut member) => {
                    let set = line.set.clone().unwrap_or_default();
                    member.why = format!("it belongs to set {set}, which has all of the project");
                    member.warnings.extend(newer.map(|newer| {
                        format!("a newer one was taken of it alone: `{}`, {:.0}", newer.id, newer.taken_at)
                    }));
                    self.set = Some(set);
                    self.add(at, member);
                }
                Err(failure) => self.leave(&line.source, failure, &mut broke),
            }
        }
        self.refuse_nothing(broke)
    }

    /// The newest of each, which may be of different moments.
    async fn add_newest(
        &mut self,
        stores: &Stores,
        there: &[SourceName],
        request: &ProjectRequest,
    ) -> Result<(), Failure> {
        let mut broke = None;
        for source in there {
            let wanted = request.terms.request(source.clone(), None, request.at);
            let planned = async {
                let at = stores.newest(None, source, request.at).await?;
                let member = plan_restore(&at, &wanted).await?;
                Ok::<_, Failure>((at, member))
            };
            match planned.await {
                Ok((at, member)) => self.add(&at, member),
                Err(failure) => self.leave(source, failure, &mut broke),
            }
        }
        let taken = || self.members.iter().map(|member| member.taken_at.as_second());
        self.span_seconds = taken()
            .max()
            .zip(taken().min())
            .filter(|_| self.members.len() > 1)
            .map(|(last, first)| last - first);
        self.refuse_nothing(broke)
    }

    fn add(&mut self, at: &Host, member: RestorePlan) {
        self.hosts.push(at.clone());
        self.members.push(member);
    }

    fn leave(&mut self, source: &SourceName, failure: Failure, broke: &mut Option<Failure>) {
        let hint = failure.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
        self.left.push(Left { source: source.to_string(), why: format!("{failure}{hint}") });
        // The first one's class tells what went wrong, if it is with all of them.
        broke.get_or_insert(failure);
    }

    fn refuse_nothing(&self, broke: Option<Failure>) -> Result<(), Failure> {
        if !self.members.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.left.iter().map(|left| format!("`{}`", left.source)).collect();
        let nothing = format!("nothing of project `{}` can be restored", self.project);
        Err(broke.unwrap_or_else(|| {
            Failure::not_found(nothing)
                .because(format!("there is no snapshot of {}", names.join(", ")))
                .hint("`backupctl snapshots` shows what there is")
        }))
    }
}

/// What carries the label of the project now, or is used by who does.
fn belongs_now(sources: &[Source], project: &str) -> BTreeSet<SourceName> {
    let of_project = sources.iter().filter(|source| source.projects().any(|of| of == project));
    of_project.filter_map(|source| source.name.parse().ok()).collect()
}

/// What of the project somebody decided not to back up: an old snapshot of it is not what is missed.
fn aside(known: Known<'_>, project: &str) -> Vec<Left> {
    let Some(folder) = known.policies else { return Vec::new() };
    let outcomes = choose(folder, known.sources).into_iter();
    let of_project = outcomes.filter(|outcome| outcome.source.projects().any(|of| of == project));
    let decided = of_project.filter_map(|outcome| match outcome.verdict {
        Verdict::DecidedNot { why } => Some(Left { source: outcome.source.name.clone(), why }),
        Verdict::Chosen { .. }
        | Verdict::Unprotected { .. }
        | Verdict::Clash { .. }
        | Verdict::UnknownPolicy { .. } => None,
    });
    decided.collect()
}

/// The snapshots of this host at one store that were taken by then, by source.
async fn fitting(
    at: &Host,
    by: Option<Timestamp>,
) -> Result<BTreeMap<SourceName, Vec<SnapshotLine>>, Failure> {
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    let mut of_source: BTreeMap<SourceName, Vec<SnapshotLine>> = BTreeMap::new();
    for line in snapshots(at, &wanted).await?.lines {
        if by.is_none_or(|by| line.taken_at <= by) {
            of_source.entry(line.source.clone()).or_default().push(line);
        }
    }
    Ok(of_source)
}

/// What is not on this host any more, and belonged to the project when it was last backed up.
async fn belonged(
    at: &Host,
    lines: &BTreeMap<SourceName, Vec<SnapshotLine>>,
    now: &[Source],
    project: &str,
) -> Result<Vec<SourceName>, Failure> {
    let mut found = Vec::new();
    for (source, lines) in lines {
        let name = source.to_string();
        let Some(last) = lines.iter().max_by_key(|line| line.number) else { continue };
        if now.iter().any(|known| known.name == name) {
            continue;
        }
        // One that cannot be read is told by whoever restores it by its name.
        let Ok(opened) = open(at, &last.name()).await.inspect_err(|e| tracing::warn!("passed over: {e}"))
        else {
            continue;
        };
        let label = opened.signed.manifest.volume.labels.get(PROJECT_LABEL);
        if label.is_some_and(|of| of == project) {
            found.push(source.clone());
        }
    }
    Ok(found)
}

/// This host at a store, and what that has.
type OfStore<'a> = (&'a Host, BTreeMap<SourceName, Vec<SnapshotLine>>);

/// A member of a set, and the newest of its source, if that is newer.
type OfSet<'a> = (&'a SnapshotLine, Option<&'a SnapshotLine>);

/// The newest set that has all of these, whole, and of each the snapshot that is newer, if there is one.
fn whole_set<'a>(
    found: &'a [OfStore<'a>],
    there: &[SourceName],
    request: &ProjectRequest,
) -> Option<(&'a Host, Vec<OfSet<'a>>)> {
    let mut best: Option<(Timestamp, &Host, Vec<OfSet<'_>>)> = None;
    for (at, of_source) in found {
        let sets: BTreeSet<&String> =
            of_source.values().flatten().filter_map(|line| line.set.as_ref()).collect();
        for set in sets {
            let members: Option<Vec<_>> = there
                .iter()
                .map(|source| {
                    let lines = of_source.get(source)?;
                    let is_it = |line: &&SnapshotLine| line.set.as_ref() == Some(set);
                    let whole = |line: &&SnapshotLine| !line.partial || request.terms.accept_partial;
                    let line = lines.iter().filter(is_it).find(whole)?;
                    let newest = lines.iter().max_by_key(|newer| newer.number);
                    Some((line, newest.filter(|newest| newest.number > line.number)))
                })
                .collect();
            let Some(members) = members else { continue };
            let Some(taken) = members.iter().map(|(line, _)| line.taken_at).max() else { continue };
            if best.as_ref().is_none_or(|(before, ..)| taken > *before) {
                best = Some((taken, *at, members));
            }
        }
    }
    best.map(|(_, at, members)| (at, members))
}
