//! `[select]`: what a policy claims for itself, apart from the sources that ask for it by label.
//!
//! `volumes`, `mounts` and `paths` name sources: one of their patterns must match. `labels`,
//! `container_labels` and `project` are conditions: each must hold. Where nothing is named, the conditions
//! choose among all volumes.
//!
//! Always true: a folder of the host is claimed by name alone, never by conditions or `rest`; and
//! a `[select]` that says nothing claims nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::complaint::shown;
use crate::select::glob::{Glob, Globs};
use crate::select::source::{Source, SourceKind, User};

/// The table `[select]` of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Select {
    /// Names of volumes.
    pub volumes: Globs,
    /// `container:/mount/point`.
    pub mounts: Globs,
    /// Folders of the host.
    pub paths: Globs,
    /// Labels that the volume must have.
    pub labels: BTreeSet<LabelTest>,
    /// Labels that one container which uses the source must have, all of them.
    pub container_labels: BTreeSet<LabelTest>,
    /// The compose project that it must belong to.
    pub project: Option<Glob>,
    /// Volumes that no other policy claims.
    pub rest: bool,
}

/// `key`, or `key=value`, as in `docker volume ls --filter label=…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelTest {
    /// The label.
    pub key: String,
    /// What it must say; anything if `None`.
    pub value: Option<String>,
}

impl LabelTest {
    pub(crate) fn new(text: &str) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Self { key: key.to_owned(), value: Some(value.to_owned()) },
            None => Self { key: text.to_owned(), value: None },
        }
    }

    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(&self.key).is_some_and(|has| self.value.as_ref().is_none_or(|want| want == has))
    }

    fn text(&self) -> String {
        match &self.value {
            Some(value) => shown(&format!("{}={value}", self.key)),
            None => shown(&self.key),
        }
    }
}

impl Select {
    /// Names nothing and asks for nothing.
    pub fn is_empty(&self) -> bool {
        !self.names_something() && !self.has_conditions() && !self.rest
    }

    fn names_something(&self) -> bool {
        !(self.volumes.is_empty() && self.mounts.is_empty() && self.paths.is_empty())
    }

    pub(crate) fn has_conditions(&self) -> bool {
        !self.labels.is_empty() || !self.container_labels.is_empty() || self.project.is_some()
    }

    /// Why this claims the source, in words: `` `volumes` has `*-data`, `project` is `shop` ``.
    pub fn claims(&self, source: &Source) -> Option<String> {
        let mut why = Vec::new();
        if self.names_something() {
            why.push(self.name_of(source)?);
        } else if !self.has_conditions() || !claimed_in_bulk(source) {
            return None;
        }
        if !self.labels.iter().all(|test| test.holds(&source.labels)) {
            return None;
        }
        why.extend(self.labels.iter().map(|test| format!("the volume has label `{}`", test.text())));
        if !self.container_labels.is_empty() {
            let has_all = |user: &&User| self.container_labels.iter().all(|test| test.holds(&user.labels));
            let one = source.users.iter().find(has_all)?;
            let tests: Vec<String> = self.container_labels.iter().map(LabelTest::text).collect();
            why.push(format!("container `{}` has label `{}`", shown(&one.container), tests.join("`, `")));
        }
        if let Some(project) = &self.project {
            let found = source.projects().find(|name| project.matches(name))?;
            why.push(format!("its compose project is `{}`", shown(found)));
        }
        Some(why.join(", "))
    }

    fn name_of(&self, source: &Source) -> Option<String> {
        let said = |key: &str, glob: &Glob| format!("`{key}` has `{}`", shown(glob.as_str()));
        let by_volume = || match &source.kind {
            SourceKind::Volume => self.volumes.find(&source.name).map(|glob| said("volumes", glob)),
            SourceKind::Anonymous | SourceKind::Folder { .. } => None,
        };
        let by_path = || match &source.kind {
            SourceKind::Folder { path } => self.paths.find(path).map(|glob| said("paths", glob)),
            SourceKind::Volume | SourceKind::Anonymous => None,
        };
        let by_mount = || {
            let places = source.users.iter().map(|user| format!("{}:{}", user.container, user.at));
            places.into_iter().find_map(|place| self.mounts.find(&place).map(|glob| said("mounts", glob)))
        };
        by_volume().or_else(by_mount).or_else(by_path)
    }

    /// The names in it that stand for one thing each, with their keys.
    pub(crate) fn literals(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let volumes = self.volumes.literals().map(|name| ("volumes", name));
        let mounts = self.mounts.literals().map(|name| ("mounts", name));
        let paths = self.paths.literals().map(|name| ("paths", name));
        volumes.chain(mounts).chain(paths)
    }

    /// The list of a key that [`Self::literals`] gives.
    pub(crate) fn list(&self, key: &str) -> Option<&Globs> {
        match key {
            "volumes" => Some(&self.volumes),
            "mounts" => Some(&self.mounts),
            "paths" => Some(&self.paths),
            _ => None,
        }
    }
}

/// Whether a source can be claimed without being named.
pub(crate) fn claimed_in_bulk(source: &Source) -> bool {
    match source.kind {
        SourceKind::Volume => true,
        SourceKind::Anonymous => !source.is_orphan(),
        SourceKind::Folder { .. } => false,
    }
}
