//! From what Docker has to sources, as policies see them.
//!
//! Always true: a thing is one source, however many containers have it mounted; and a source that has a
//! history keeps its name, whatever containers come and go beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use policies::select::{Source, SourceKind, User};

use crate::port::docker::{Container, MountOf, Volume};
use crate::words::SourceName;

/// What there is, in the order of names. `folders` are the roots of bind mounts that count, `files` those mounts that are
/// no folders; `known` are the names under which snapshots were made before.
pub(super) fn describe(
    volumes: &[Volume],
    containers: &[Container],
    folders: &[PathBuf],
    files: &BTreeSet<String>,
    known: &BTreeSet<String>,
) -> Vec<Source> {
    let mut used = users(containers);
    let mut sources = Vec::new();
    for volume in volumes {
        let users = used.volumes.remove(volume.name.as_str()).unwrap_or_default();
        let (kind, name) = if volume.anonymous {
            let name = mount_name(&users, known).unwrap_or_else(|| volume.name.clone());
            (SourceKind::Anonymous, name)
        } else {
            (SourceKind::Volume, volume.name.clone())
        };
        let (driver, labels) = (volume.driver.clone(), volume.labels.clone());
        sources.push(Source { name, kind, driver, labels, users });
    }
    for (path, users) in used.folders {
        let allowed = folders.iter().any(|root| Path::new(path).starts_with(root));
        let Some(name) = mount_name(&users, known).filter(|_| allowed && !files.contains(path)) else {
            continue;
        };
        let kind = SourceKind::Folder { path: path.to_owned() };
        sources.push(Source { name, kind, driver: "local".to_owned(), labels: BTreeMap::new(), users });
    }
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}

/// Who has what mounted.
#[derive(Default)]
struct Used<'a> {
    volumes: BTreeMap<&'a str, Vec<User>>,
    folders: BTreeMap<&'a str, Vec<User>>,
}

fn users(containers: &[Container]) -> Used<'_> {
    let mut used = Used::default();
    for container in containers {
        for mount in &container.mounts {
            let users = match &mount.of {
                MountOf::Volume { name } => used.volumes.entry(name).or_default(),
                MountOf::Bind { path } => used.folders.entry(path).or_default(),
                MountOf::Other => continue,
            };
            users.push(User {
                container: container.name.clone(),
                labels: container.labels.clone(),
                at: mount.at.clone(),
            });
        }
    }
    let all = used.volumes.values_mut().chain(used.folders.values_mut());
    all.for_each(|users| users.sort_by(|a, b| (&a.container, &a.at).cmp(&(&b.container, &b.at))));
    used
}

/// `container:/at` of one of its users: the one that has a history, else the first whose name can be typed.
fn mount_name(users: &[User], known: &BTreeSet<String>) -> Option<String> {
    let names: Vec<String> = users.iter().map(|user| format!("{}:{}", user.container, user.at)).collect();
    let typed = |name: &&String| name.parse::<SourceName>().is_ok();
    names.iter().find(|name| known.contains(*name)).or_else(|| names.iter().find(typed)).cloned()
}
