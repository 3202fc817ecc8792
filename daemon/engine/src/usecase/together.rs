//! Which sources are backed up as a set: those of one policy that says so, and of one compose project.
//!
//! Always true: a source belongs to one set or to none; those without a project belong together, under their policy.

use std::collections::BTreeMap;

use crate::usecase::cover::Cover;
use crate::usecase::health::backed_up;
use crate::words::SourceName;

/// What sources have in common that are of one set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bond {
    /// Their policy.
    pub policy: String,
    /// Their compose project; empty for those without one.
    pub project: String,
}

/// The set that each source belongs to; those of no set are left out.
pub fn bonds(cover: &Cover) -> BTreeMap<SourceName, Bond> {
    let in_sets = backed_up(cover).into_iter().filter(|(.., terms)| terms.consistency.set);
    let bond = |(source, policy, _): (SourceName, &policies::policy::Policy, _)| {
        let name = source.to_string();
        let known = cover.sources.iter().find(|known| known.name == name);
        let project = known.and_then(|known| known.projects().min()).unwrap_or_default().to_owned();
        (source, Bond { policy: policy.name.clone(), project })
    };
    in_sets.map(bond).collect()
}

/// Sources, those of one set together, in the order in which the first of each comes.
pub fn grouped(sources: Vec<SourceName>, bonds: &BTreeMap<SourceName, Bond>) -> Vec<Vec<SourceName>> {
    let mut groups: Vec<(Option<&Bond>, Vec<SourceName>)> = Vec::new();
    for source in sources {
        let bond = bonds.get(&source);
        match groups.iter_mut().find(|(of, _)| bond.is_some() && *of == bond) {
            Some((_, group)) => group.push(source),
            None => groups.push((bond, vec![source])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

#[cfg(test)]
mod tests {
    use policies::policy::Folder;
    use policies::select::{Source, SourceKind};

    use super::*;
    use crate::usecase::cover::Policies;

    fn source(name: &str, project: Option<&str>) -> Source {
        let label = |project: &str| ("com.docker.compose.project".to_owned(), project.to_owned());
        Source {
            name: name.into(),
            kind: SourceKind::Volume,
            driver: "local".into(),
            labels: project.map(label).into_iter().collect(),
            users: Vec::new(),
        }
    }

    #[test]
    fn sources_of_one_policy_and_project_belong_together() {
        let set = "schedule = \"0 2 * * *\"\nconsistency = { mode = \"pause\", set = true }\nselect.volumes = [\"s-*\"]\n";
        let alone = "schedule = \"0 2 * * *\"\nconsistency.mode = \"pause\"\nselect.volumes = [\"a-*\"]\n";
        let folder = Folder::judge([("set.toml", set), ("alone.toml", alone)]).unwrap();
        let sources = [
            source("s-db", Some("shop")),
            source("a-1", Some("shop")),
            source("s-log", Some("shop")),
            source("s-other", Some("blog")),
            source("s-x", None),
            source("s-y", None),
            source("a-2", Some("shop")),
        ];
        let names: Vec<SourceName> = sources.iter().map(|source| source.name.parse().unwrap()).collect();
        let cover = Cover { policies: Policies { folder, shipped: false }, sources: sources.into() };
        let groups = grouped(names, &bonds(&cover));
        let told: Vec<String> = groups
            .iter()
            .map(|group| group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(told, ["s-db s-log", "a-1", "s-other", "s-x s-y", "a-2"]);
    }
}
