//! Which sources a command line means, and which of them are backed up as a set.

use std::collections::BTreeMap;

use engine::failure::{Class, Failure};
use engine::usecase::cover::Cover;
use engine::usecase::health::backed_up;
use engine::usecase::together::{bonds, grouped};
use engine::words::SourceName;
use policies::select::Verdict;

use super::Args;

/// Sources that are backed up by one call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) sources: Vec<SourceName>,
    pub(super) is_set: bool,
}

/// In the order in which they are backed up. Sources that were named are a set only if that was said.
pub(super) fn groups(args: &Args, cover: Option<&Cover>) -> Result<Vec<Group>, Failure> {
    if args.set && args.policy.is_none() && args.project.is_none() {
        return Ok(vec![Group { sources: args.sources.clone(), is_set: true }]);
    }
    let one = |source: &SourceName| Group { sources: vec![source.clone()], is_set: false };
    let Some(what) = what(args) else { return Ok(args.sources.iter().map(one).collect()) };
    let Some(cover) = cover else {
        return Err(Failure::new(Class::Usage, format!("{what}: there are no policies"))
            .hint("name the sources, or the folder of policies with `--policies DIR`"));
    };
    let sources = of(args, cover);
    if sources.is_empty() {
        return Err(Failure::not_found(format!("{what}: no policy backs up anything of it"))
            .hint("`backupctl volumes` shows the sources of this host and their policies"));
    }
    if args.set {
        return Ok(vec![Group { sources, is_set: true }]);
    }
    let bonds = bonds(cover);
    let group = |sources: Vec<SourceName>| {
        let is_set = sources.iter().any(|source| bonds.contains_key(source));
        Group { sources, is_set }
    };
    Ok(grouped(sources, &bonds).into_iter().map(group).collect())
}

/// Fails where policies contradict each other about a source, or a label names none that there is: somebody meant something,
/// and nobody knows how those who write are to be held.
pub(super) fn settled(group: &Group, cover: Option<&Cover>) -> Result<(), Failure> {
    let outcomes = cover.map(Cover::outcomes).unwrap_or_default();
    for source in &group.sources {
        let name = source.to_string();
        let Some(outcome) = outcomes.iter().find(|outcome| outcome.source.name == name) else { continue };
        match &outcome.verdict {
            Verdict::Clash { why, .. } | Verdict::UnknownPolicy { why, .. } => {
                return Err(Failure::new(Class::Usage, format!("no policy says how to back `{name}` up"))
                    .because(why.clone())
                    .hint("`backupctl volumes`; correct it, or say how writers are held: `--consistency`"));
            }
            Verdict::Chosen { .. } | Verdict::DecidedNot { .. } | Verdict::Unprotected { .. } => {}
        }
    }
    Ok(())
}

/// What was asked for instead of sources.
fn what(args: &Args) -> Option<String> {
    let policy = args.policy.as_ref().map(|name| format!("policy `{name}`"));
    policy.or_else(|| args.project.as_ref().map(|name| format!("project `{name}`")))
}

fn of(args: &Args, cover: &Cover) -> Vec<SourceName> {
    let projects: BTreeMap<&str, Vec<&str>> =
        cover.sources.iter().map(|source| (source.name.as_str(), source.projects().collect())).collect();
    let of_policy = |name: &str| args.policy.as_ref().is_none_or(|wanted| wanted == name);
    let of_project = |source: &SourceName| {
        let known = projects.get(source.to_string().as_str());
        args.project.as_deref().is_none_or(|wanted| known.is_some_and(|known| known.contains(&wanted)))
    };
    let all = backed_up(cover).into_iter();
    let chosen = all.filter(|(source, policy, _)| of_policy(&policy.name) && of_project(source));
    chosen.map(|(source, ..)| source).collect()
}
