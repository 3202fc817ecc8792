//! What belongs to a compose project: what carries its label now or is used by who does, and what is gone and did so when it
//! was last backed up. After `docker compose down -v` nothing else tells.
//!
//! Always true: of what is gone and of which nobody can tell, the name is given.

use std::collections::{BTreeMap, BTreeSet};

use policies::policy::Folder;
use policies::select::{Source, Verdict, choose};
use serde::Serialize;

use crate::failure::Failure;
use crate::format::manifest::Manifest;
use crate::usecase::host::Host;
use crate::usecase::opened::open;
use crate::usecase::snapshots::{Listed, SnapshotLine};
use crate::usecase::source::PROJECT_LABEL;
use crate::words::SourceName;

/// A source that is not restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Which.
    pub source: String,
    /// Why.
    pub why: String,
}

/// The sources of this host, and what its policies say of them, as far as these could be read.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// All of them.
    pub sources: &'a [Source],
    /// The policies.
    pub policies: Option<&'a Folder>,
}

impl Known<'_> {
    pub(super) fn is_here(&self, source: &SourceName) -> bool {
        let name = source.to_string();
        self.sources.iter().any(|known| known.name == name)
    }

    /// What carries the label of the project now, or is used by who does.
    pub(super) fn belongs(&self, project: &str) -> BTreeSet<SourceName> {
        let of_project = self.sources.iter().filter(|source| source.projects().any(|of| of == project));
        of_project.filter_map(|source| source.name.parse().ok()).collect()
    }

    /// What of the project somebody decided not to back up: an old snapshot of it is not what is missed.
    pub(super) fn aside(&self, project: &str) -> Vec<Left> {
        let Some(folder) = self.policies else { return Vec::new() };
        let outcomes = choose(folder, self.sources).into_iter();
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
}

/// What a store has of each source of this host.
#[derive(Debug, Default)]
pub(super) struct OfStore {
    /// What can be read, oldest first.
    pub(super) lines: BTreeMap<SourceName, Vec<SnapshotLine>>,
    /// Why the newest that cannot be read cannot.
    pub(super) unread: BTreeMap<SourceName, Failure>,
}

impl OfStore {
    pub(super) fn of(listed: Listed) -> Self {
        let mut of_store = Self::default();
        for line in listed.lines {
            of_store.lines.entry(line.source.clone()).or_default().push(line);
        }
        for one in listed.unread {
            of_store.unread.insert(one.lineage.source, one.failure);
        }
        of_store
    }

    pub(super) fn has(&self, source: &SourceName) -> bool {
        self.lines.contains_key(source) || self.unread.contains_key(source)
    }
}

/// What is gone.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// It belongs to the project.
    pub(super) belongs: BTreeSet<SourceName>,
    /// Its snapshots cannot be read, so nobody knows.
    pub(super) unknown: BTreeMap<SourceName, String>,
    /// Its snapshots do not say whose it was: they are of a time when that was not recorded.
    pub(super) perhaps: BTreeSet<SourceName>,
}

impl Gone {
    /// Adds what one store has of this host's sources that are gone.
    pub(super) async fn look(&mut self, at: &Host, has: &OfStore, known: Known<'_>, project: &str) {
        let sources: BTreeSet<&SourceName> = has.lines.keys().chain(has.unread.keys()).collect();
        for source in sources.into_iter().filter(|source| !known.is_here(source)) {
            let last = has.lines.get(source).and_then(|lines| lines.iter().max_by_key(|line| line.number));
            let Some(last) = last else {
                let why = has.unread.get(source).map_or_else(String::new, ToString::to_string);
                self.unknown.insert(source.clone(), why);
                continue;
            };
            match open(at, &last.name()).await {
                Ok(opened) => match belonged(&opened.signed.manifest, project) {
                    Some(true) => drop(self.belongs.insert(source.clone())),
                    Some(false) => {}
                    None => drop(self.perhaps.insert(source.clone())),
                },
                Err(failure) => drop(self.unknown.insert(source.clone(), failure.to_string())),
            }
        }
    }

    /// What cannot be restored, since nobody knows whether it should be.
    pub(super) fn left(&self) -> Vec<Left> {
        let unknown = self.unknown.iter().filter(|(source, _)| !self.belongs.contains(source));
        let left = |(source, why): (&SourceName, &String)| Left {
            source: source.to_string(),
            why: format!(
                "it is not on this host any more, and whether it belongs to the project is not known: {why}"
            ),
        };
        unknown.map(left).collect()
    }

    /// What may belong to it.
    pub(super) fn perhaps(&self) -> Vec<Left> {
        let known =
            |source: &&SourceName| !self.belongs.contains(source) && !self.unknown.contains_key(source);
        let left = |source: &SourceName| Left {
            source: source.to_string(),
            why: format!(
                "it is not on this host any more, and its snapshots do not say whose it was: `backupctl restore {source}`"
            ),
        };
        self.perhaps.iter().filter(known).map(left).collect()
    }
}

/// Whether it belonged to the project when it was backed up; `None` if it does not say.
fn belonged(manifest: &Manifest, project: &str) -> Option<bool> {
    let own = manifest.volume.labels.get(PROJECT_LABEL);
    let of_users = manifest.users.iter().filter_map(|user| user.project.as_ref());
    if own.into_iter().chain(of_users).any(|of| of == project) {
        return Some(true);
    }
    let told = own.is_some() || manifest.users.iter().all(|user| user.project.is_some());
    told.then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(label: Option<&str>, users: &[Option<&str>]) -> Manifest {
        let users: Vec<_> = users
            .iter()
            .map(|project| {
                let mut user = serde_json::json!({
                    "container": "c", "image": "i", "image_id": "sha256:1", "at": "/data", "running": true,
                });
                if let Some(project) = project {
                    user["project"] = serde_json::json!(project);
                }
                user
            })
            .collect();
        let labels: BTreeMap<_, _> = label.map(|label| (PROJECT_LABEL, label)).into_iter().collect();
        serde_json::from_value(serde_json::json!({
            "format": 1, "host": "h1", "source": "c:/data", "number": 1, "run": "00112233445566aa",
            "taken_at": "2026-11-20T13:00:05Z", "finished_at": "2026-11-20T13:00:05Z", "kind": "full",
            "consistency": "idle", "by_hand": false,
            "totals": { "entries": 0, "files": 0, "bytes": 0, "data_bytes": 0 },
            "packs": [], "entries": [], "notes": {
                "changed": 0, "vanished": 0, "unreadable": 0, "other_mounts": 0, "sockets": 0, "attributes": 0, "named": [],
            },
            "volume": { "name": "/srv", "driver": "local", "labels": labels }, "users": users, "made_by": {}, "parent": null,
        }))
        .unwrap()
    }

    #[test]
    fn a_manifest_says_whose_it_was_or_that_nobody_recorded_it() {
        for (label, users, want) in [
            (Some("shop"), &[][..], Some(true)),
            (Some("blog"), &[None][..], Some(false)),
            (None, &[Some("shop"), Some("")], Some(true)),
            (None, &[Some("")], Some(false)),
            (None, &[Some(""), None], None),
            (None, &[None], None),
            (None, &[], Some(false)),
            (Some("blog"), &[Some("shop")], Some(true)),
        ] {
            assert_eq!(belonged(&manifest(label, users), "shop"), want, "{label:?} {users:?}");
        }
    }
}
