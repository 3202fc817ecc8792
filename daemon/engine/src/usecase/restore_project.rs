//! Restores a compose project: all its sources on this host, as one deed.
//!
//! Each comes back as its newest whole snapshot. If these are all of one set, all is of one moment. If there is a set that has
//! all of it and some of its sources have newer snapshots, nobody guesses which of the two is meant: a person says.
//!
//! Always true: what belongs to it and is not restored is named, with the reason; and nothing of it is replaced if another
//! source of it was refused or could not be looked at, unless somebody accepts that.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use crate::failure::{Class, Failure};
use crate::usecase::belonging::{Gone, OfStore};
pub use crate::usecase::belonging::{Known, Left};
use crate::usecase::host::Host;
use crate::usecase::restore::{RestorePlan, plan_restore};
use crate::usecase::restore_members::restore_members;
use crate::usecase::restore_set::{SetReport, SetTerms};
use crate::usecase::snapshots::{SnapshotLine, Wanted, WantedHost, snapshots};
use crate::usecase::stores::Stores;
use crate::usecase::watch::Watch;
use crate::words::SourceName;

/// What to restore.
#[derive(Debug, Clone)]
pub struct ProjectRequest {
    /// The compose project.
    pub project: String,
    /// As it was by then.
    pub at: Option<Timestamp>,
    /// The newest of each will do, though there is a set that has all of it.
    pub newest: bool,
    /// How each is restored.
    pub terms: SetTerms,
}

/// What a restore of a project would do.
#[derive(Clone, Serialize)]
pub struct ProjectPlan {
    /// The project.
    pub project: String,
    /// The set that all are of, if there is one.
    pub set: Option<String>,
    /// Snapshots that are not of that set: of sources that are not on this host any more, and that it does not have.
    pub beside_set: Vec<String>,
    /// So much time lies between the oldest and the newest, if they are not of one moment.
    pub span_seconds: Option<i64>,
    /// What would be done for each, in the order of names.
    pub members: Vec<RestorePlan>,
    /// What cannot be restored.
    pub left: Vec<Left>,
    /// What is gone and may belong to it: nobody recorded that.
    pub perhaps: Vec<Left>,
    /// What somebody decided not to back up.
    pub aside: Vec<Left>,
    /// This host at the store of each member.
    #[serde(skip)]
    hosts: Vec<Host>,
}

/// Plans it. Changes nothing.
pub async fn plan_restore_project(
    stores: &Stores,
    known: Known<'_>,
    request: &ProjectRequest,
) -> Result<ProjectPlan, Failure> {
    let aside = known.aside(&request.project);
    let mut belongs = known.belongs(&request.project);
    let (mut found, mut gone) = (Vec::new(), Gone::default());
    for at in stores.in_use() {
        let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
        let mut listed = snapshots(at, &wanted).await?;
        listed.lines.retain(|line| request.at.is_none_or(|by| line.taken_at <= by));
        let of_store = OfStore::of(listed);
        gone.look(at, &of_store, known, &request.project).await;
        found.push((at, of_store));
    }
    belongs.extend(gone.belongs.iter().cloned());
    belongs.retain(|source| !aside.iter().any(|left| left.source == source.to_string()));
    let (left, perhaps) = (gone.left(), gone.perhaps());
    if belongs.is_empty() {
        return Err(nothing_known(&request.project, &left, &perhaps));
    }
    let (there, without): (Vec<_>, Vec<_>) =
        belongs.into_iter().partition(|source| found.iter().any(|(_, of_store)| of_store.has(source)));
    let mut plan = ProjectPlan { left, perhaps, aside, ..ProjectPlan::new(request.project.clone()) };
    let by = request.at.map_or_else(String::new, |at| format!(" that was taken by {at:.0}"));
    plan.left.extend(
        without.iter().map(|source| Left {
            source: source.to_string(),
            why: format!("there is no snapshot of it{by}"),
        }),
    );
    plan.add(stores, &there, known, request).await?;
    plan.compare(whole_set(&found, &plan, known, request), request)?;
    Ok(plan)
}

fn nothing_known(project: &str, left: &[Left], perhaps: &[Left]) -> Failure {
    let failure = Failure::not_found(format!("nothing of project `{project}` is known here"));
    let Some(one) = left.iter().chain(perhaps).next() else {
        return failure
            .because("no source of this host carries its label, and no snapshot of it did")
            .hint("`docker compose ls` lists projects, `backupctl snapshots` what was backed up");
    };
    failure
        .because(format!("of `{}`: {}", one.source, one.why))
        .hint("`backupctl snapshots` shows what was backed up; `backupctl restore SOURCE` restores one")
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
            beside_set: Vec::new(),
            span_seconds: None,
            members: Vec::new(),
            left: Vec::new(),
            perhaps: Vec::new(),
            aside: Vec::new(),
            hosts: Vec::new(),
        }
    }

    /// The newest of each. What cannot be planned ends it: whoever wants all of a project is not served by some of it.
    async fn add(
        &mut self,
        stores: &Stores,
        there: &[SourceName],
        known: Known<'_>,
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
                Ok((at, member)) => {
                    self.hosts.push(at);
                    self.members.push(member);
                }
                Err(failure) if request.terms.accept_partial || has_no_place(source, known, &failure) => {
                    let hint = failure.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
                    self.left.push(Left { source: source.to_string(), why: format!("{failure}{hint}") });
                    // The first one's class tells what went wrong, if it is with all of them.
                    broke.get_or_insert(failure);
                }
                Err(failure) => {
                    let failure =
                        failure.within(&format!("restore `{source}` of project `{}`", self.project));
                    let without = "`--accept-partial` restores the others without it";
                    let hint = match &failure.hint {
                        Some(hint) => format!("{hint}; {without}"),
                        None => without.to_owned(),
                    };
                    return Err(failure.hint(hint));
                }
            }
        }
        self.refuse_nothing(broke)
    }

    /// Whether they are of one moment; and if they are not and a set is, whether somebody has said what is meant.
    fn compare(&mut self, set: Option<WholeSet<'_>>, request: &ProjectRequest) -> Result<(), Failure> {
        let mut other = None;
        if let Some(set) = &set {
            for (at, member) in self.hosts.iter().zip(&self.members) {
                let of_set = set.lines.iter().find(|line| line.source == member.request.source);
                let same = |line: &&&SnapshotLine| {
                    at.store_address() == set.at.store_address() && Some(line.number) == number(member)
                };
                match of_set {
                    Some(line) if !same(&line) => other = other.or(Some((member, *line))),
                    Some(_) => {}
                    None => self.beside_set.push(member.snapshot.clone()),
                }
            }
        }
        match (set, other) {
            (Some(set), None) => {
                let beside = &self.beside_set;
                for member in self.members.iter_mut().filter(|one| !beside.contains(&one.snapshot)) {
                    member.why = format!("it belongs to set {}, which has all of the project", set.id);
                }
                self.set = Some(set.id.to_owned());
            }
            (Some(set), Some((member, line))) if !request.newest => {
                return Err(Failure::new(
                    Class::Unsafe,
                    format!("set `{}` has all of project `{}`, and not the newest of each", set.id, self.project),
                )
                .because(format!(
                    "`{}` of {:.0} is not of it: that has `{}` of {:.0}",
                    member.snapshot, member.taken_at, line.id, line.taken_at
                ))
                .hint(format!(
                    "`backupctl restore --set {}` restores what belongs together; `--newest` the newest of each, taken at \
                     different times",
                    set.id
                )));
            }
            (Some(_), Some(_)) | (None, _) => self.beside_set.clear(),
        }
        if self.set.is_none() || !self.beside_set.is_empty() {
            let taken = || self.members.iter().map(|member| member.taken_at.as_second());
            let span = taken().max().zip(taken().min()).filter(|_| self.members.len() > 1);
            self.span_seconds = span.map(|(last, first)| last - first);
        }
        Ok(())
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

/// A container's mount has no place until the container is there again, and that is nothing to wait for.
fn has_no_place(source: &SourceName, known: Known<'_>, failure: &Failure) -> bool {
    match source {
        SourceName::Mount { .. } => failure.class == Class::NotFound && !known.is_here(source),
        SourceName::Volume(_) => false,
    }
}

fn number(member: &RestorePlan) -> Option<u64> {
    member.name.number.map(crate::words::Number::get)
}

/// The newest set that has all that is on this host, whole.
struct WholeSet<'a> {
    id: &'a str,
    at: &'a Host,
    /// Its snapshots of sources of the project.
    lines: Vec<&'a SnapshotLine>,
}

/// What is gone keeps no set from being one: it may have been retired before. Where all is gone, two make a set.
fn whole_set<'a>(
    found: &'a [(&'a Host, OfStore)],
    plan: &ProjectPlan,
    known: Known<'_>,
    request: &ProjectRequest,
) -> Option<WholeSet<'a>> {
    let mut best: Option<(Timestamp, WholeSet<'a>)> = None;
    let sources = || plan.members.iter().map(|member| &member.request.source);
    for (at, of_store) in found {
        let whole = |line: &&SnapshotLine| !line.damaged && (!line.partial || request.terms.accept_partial);
        let sets: BTreeSet<&String> =
            of_store.lines.values().flatten().filter_map(|line| line.set.as_ref()).collect();
        for id in sets {
            let line = |source: &SourceName| {
                let lines = of_store.lines.get(source)?;
                lines.iter().filter(|line| line.set.as_ref() == Some(id)).find(whole)
            };
            let lines: Vec<&SnapshotLine> = sources().filter_map(line).collect();
            let lacks = sources().any(|source| known.is_here(source) && line(source).is_none());
            let Some(taken) = lines.iter().map(|line| line.taken_at).max() else { continue };
            if lacks || lines.len() < 2 || best.as_ref().is_some_and(|(before, _)| taken <= *before) {
                continue;
            }
            best = Some((taken, WholeSet { id, at, lines }));
        }
    }
    best.map(|(_, set)| set)
}
