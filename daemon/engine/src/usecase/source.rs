//! Finds out what a source's name stands for on this host. Asks Docker, creates nothing, guesses nothing.

use std::borrow::Borrow;
use std::path::{Path, PathBuf};

use crate::failure::{Class, Failure};
use crate::format::manifest::{Consistency, UserOfSource, VolumeShape};
use crate::port::docker::{Container, ContainerState, Docker, HelperMount, MountOf, Volume};
use crate::usecase::blame;
use crate::usecase::host::Host;
use crate::usecase::overlap::{self, Leads, Places};
use crate::usecase::server::Server;
use crate::words::SourceName;

/// What compose says of a container or volume that it made.
pub(crate) const PROJECT_LABEL: &str = "com.docker.compose.project";

/// A container that has the source mounted, or can write to files of it through a mount of something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// The container.
    pub(crate) container: Container,
    /// Where.
    pub(crate) at: String,
    /// May it write.
    pub(crate) writable: bool,
    /// It sees all of the source, and not a part.
    pub(crate) whole: bool,
}

impl Borrow<Container> for User {
    fn borrow(&self) -> &Container {
        &self.container
    }
}

impl User {
    /// Whether its processes exist, frozen or not.
    pub(crate) fn is_up(&self) -> bool {
        match self.container.state {
            ContainerState::Running | ContainerState::Paused | ContainerState::Restarting => true,
            ContainerState::Down => false,
        }
    }
}

/// A source as it is right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// What a helper mounts.
    pub(crate) mount: HelperMount,
    /// What to remember of the volume.
    pub(crate) shape: VolumeShape,
    /// Who has it mounted, running or not.
    pub(crate) users: Vec<User>,
    /// Where the host sees it, if anywhere.
    pub(crate) place: Option<String>,
}

impl Source {
    /// What can be said of a copy that is read now: with a running writer, files are of different moments.
    pub(crate) fn consistency(&self) -> Consistency {
        let written = self.users.iter().any(|user| user.writable && user.is_up());
        if written { Consistency::Live } else { Consistency::Idle }
    }

    /// For the manifest.
    pub(crate) fn users_of_source(&self) -> Vec<UserOfSource> {
        self.users
            .iter()
            .filter(|user| user.whole)
            .map(|user| UserOfSource {
                container: user.container.name.clone(),
                image: user.container.image.clone(),
                image_id: user.container.image_id.clone(),
                at: user.at.clone(),
                running: user.is_up(),
                server: Server::of_container(&user.container, &user.at).map(|server| server.to_string()),
                project: Some(user.container.labels.get(PROJECT_LABEL).cloned().unwrap_or_default()),
            })
            .collect()
    }
}

/// A source that holds the store, or our own state, would grow by being backed up, and a restore would put an
/// old one in the place of what it reads from.
pub(crate) fn refuse_own_folders(host: &Host, source: &Source) -> Result<(), Failure> {
    let Some(folder) = source.place.as_deref().map(|place| real(Path::new(place))) else { return Ok(()) };
    let mut own = host.store_folders();
    own.push(host.settings().state.clone());
    match own.into_iter().find(|own| real(own).starts_with(&folder)) {
        None => Ok(()),
        Some(own) => {
            let what = format!("`{}` holds `{}` of backupd itself", folder.display(), own.display());
            Err(Failure::new(Class::Unsafe, what)
                .hint("mount a folder beside it, or move the store with `--store`"))
        }
    }
}

/// As the kernel sees it: a link to a folder is that folder. What is not there yet will be where its parent is.
fn real(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|known| Some((known, std::fs::canonicalize(known).ok()?)));
    let (Some((known, real)), true) = (known, path.is_absolute()) else { return path.to_owned() };
    real.join(path.strip_prefix(known).unwrap_or(Path::new("")))
}

/// What `name` is now.
pub(crate) async fn resolve(docker: &dyn Docker, name: &SourceName) -> Result<Source, Failure> {
    let what = || format!("look up source `{name}`");
    let containers = docker.containers().await.map_err(|e| blame::docker(what(), e))?;
    let mut source = match name {
        SourceName::Volume(volume) => {
            match docker.volume(volume).await.map_err(|e| blame::docker(what(), e))? {
                Some(volume) => of_volume(volume, &containers),
                None => return Err(no_volume(docker, volume, &containers).await),
            }
        }
        SourceName::Mount { container, at } => of_mount(docker, name, &containers, container, at).await?,
    };
    let volumes = docker.volumes().await.map_err(|e| blame::docker(what(), e))?;
    source.users.extend(others(&source, &containers, &Places::of(&volumes)));
    Ok(source)
}

/// Who can write to files of the source through a mount of something else.
fn others(source: &Source, containers: &[Container], places: &Places) -> Vec<User> {
    let Some(place) = source.place.as_deref().map(Path::new) else { return Vec::new() };
    let itself = match &source.mount {
        HelperMount::Volume(name) => MountOf::Volume { name: name.clone() },
        HelperMount::Folder(path) => MountOf::Bind { path: path.clone() },
    };
    let mut found = Vec::new();
    for container in containers {
        for mount in container.mounts.iter().filter(|mount| mount.writable && mount.of != itself) {
            let (at, whole) = match places.leads(mount, place) {
                Some(Leads::ToAll(at)) => (at, true),
                Some(Leads::ToPart) => (mount.at.clone(), false),
                None => continue,
            };
            found.push(User { container: container.clone(), at, writable: true, whole });
        }
    }
    found
}

async fn of_mount(
    docker: &dyn Docker,
    name: &SourceName,
    containers: &[Container],
    container: &str,
    at: &str,
) -> Result<Source, Failure> {
    let Some(owner) = containers.iter().find(|c| c.name == container) else {
        return Err(Failure::not_found(format!("there is no container `{container}`"))
            .hint("`docker ps -a` shows the containers of this host"));
    };
    let Some(mount) = owner.mounts.iter().find(|mount| mount.at == at) else {
        let points: Vec<_> = owner.mounts.iter().map(|mount| format!("`{container}:{}`", mount.at)).collect();
        let failure = Failure::not_found(format!("container `{container}` has nothing mounted at `{at}`"));
        return Err(match points.is_empty() {
            true => failure.hint(format!("`{container}` has no mounts at all")),
            false => failure.hint(format!("it has {}", points.join(", "))),
        });
    };
    match &mount.of {
        MountOf::Volume { name: volume } => {
            let found = docker.volume(volume).await;
            let found = found.map_err(|e| blame::docker(format!("look up source `{name}`"), e))?;
            let Some(volume) = found else {
                return Err(Failure::not_found(format!("the volume `{volume}` behind `{name}` is gone")));
            };
            if !volume.anonymous {
                return Err(Failure::new(
                    Class::Usage,
                    format!("`{name}` is the named volume `{}`", volume.name),
                )
                .hint(format!("call it by its name, so that it has one history: `{}`", volume.name)));
            }
            Ok(of_volume(volume, containers))
        }
        MountOf::Bind { path } => Ok(of_folder(path, containers)),
        MountOf::Other => Err(Failure::new(
            Class::Usage,
            format!("`{name}` is a temporary file system: it has nothing that could be backed up"),
        )),
    }
}

/// A folder of the engine's host, by its absolute path.
pub(crate) async fn folder(docker: &dyn Docker, path: &str) -> Result<Source, Failure> {
    let containers = docker.containers().await;
    let containers = containers.map_err(|e| blame::docker(format!("look who uses `{path}`"), e))?;
    Ok(of_folder(path, &containers))
}

fn of_folder(path: &str, containers: &[Container]) -> Source {
    let users = users(containers, &MountOf::Bind { path: path.to_owned() });
    let shape = VolumeShape { name: path.to_owned(), ..VolumeShape::default() };
    Source { mount: HelperMount::Folder(path.to_owned()), shape, users, place: Some(path.to_owned()) }
}

fn of_volume(volume: Volume, containers: &[Container]) -> Source {
    let users = users(containers, &MountOf::Volume { name: volume.name.clone() });
    Source {
        place: overlap::place(&volume).map(str::to_owned),
        mount: HelperMount::Volume(volume.name.clone()),
        shape: VolumeShape {
            name: volume.name,
            driver: volume.driver,
            options: volume.options,
            labels: volume.labels,
        },
        users,
    }
}

/// Everybody who has it mounted by its name.
pub(crate) fn users(containers: &[Container], of: &MountOf) -> Vec<User> {
    let mut users = Vec::new();
    for container in containers {
        for mount in container.mounts.iter().filter(|mount| mount.of == *of) {
            let (container, at) = (container.clone(), mount.at.clone());
            users.push(User { container, at, writable: mount.writable, whole: true });
        }
    }
    users
}

/// A name that does not exist is an error with a suggestion, never a new volume.
async fn no_volume(docker: &dyn Docker, wanted: &str, containers: &[Container]) -> Failure {
    let failure = Failure::not_found(format!("there is no volume `{wanted}`"));
    if let Some(container) = containers.iter().find(|container| container.name == wanted) {
        let points: Vec<_> =
            container.mounts.iter().map(|mount| format!("`{wanted}:{}`", mount.at)).collect();
        return failure.hint(format!("`{wanted}` is a container; its mounts are {}", points.join(", ")));
    }
    let volumes = docker.volumes().await.unwrap_or_default();
    let near = volumes
        .iter()
        .filter(|volume| !volume.anonymous)
        .map(|volume| (distance(&volume.name, wanted), &volume.name))
        .filter(|(distance, name)| *distance <= 3 || name.contains(wanted))
        .min();
    match near {
        Some((_, name)) => failure.hint(format!("did you mean `{name}`? `docker volume ls` shows all")),
        None => failure.hint("`docker volume ls` shows the volumes of this host"),
    }
}

/// How many letters must change to make one name of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_near() {
        assert_eq!(distance("db-data", "db-data"), 0);
        assert_eq!(distance("db-data", "dbdata"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
