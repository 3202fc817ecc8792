//! Where the programs of a recipe run: in which of the containers that use a source.
//!
//! Always true: nothing is guessed. It is the only container that writes to the source, or the one that a person has
//! labelled; otherwise the backup is refused, and told how to choose.

use archive::path::TreePath;
use policies::policy::Mode;
use policies::select::COMMANDS_LABEL;

use crate::failure::{Class, Failure};
use crate::port::docker::{Container, ContainerState, Mount};
use crate::usecase::source::{Source, User};
use crate::words::SourceName;

const PROJECT_LABEL: &str = "com.docker.compose.project";
const SERVICE_LABEL: &str = "com.docker.compose.service";

/// A container that runs, and where it sees the source.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) container: Container,
    at: Vec<String>,
    source: SourceName,
}

impl Place {
    /// Whether a folder of the container is in the source: nothing else is mounted over it.
    pub(super) fn sees(&self, folder: &str) -> bool {
        self.path(folder).is_some()
    }

    /// Whether it is, with all that is in it.
    pub(super) fn sees_all_of(&self, folder: &str) -> bool {
        let mut mounts = self.container.mounts.iter();
        self.sees(folder)
            && !mounts.any(|mount| below(&mount.at, folder).is_some_and(|rest| !rest.is_empty()))
    }

    /// Where a folder of the container is in the source, if it is in it.
    pub(super) fn path(&self, folder: &str) -> Option<TreePath> {
        let (at, path) = self.at.iter().find_map(|at| Some((at, below(folder, at)?)))?;
        let is_over = |mount: &&Mount| {
            below(&mount.at, at).is_some_and(|rest| !rest.is_empty()) && below(folder, &mount.at).is_some()
        };
        match self.container.mounts.iter().find(is_over) {
            Some(_other) => None,
            None => TreePath::parse(path.as_bytes().to_vec()).ok(),
        }
    }

    /// A server keeps its files somewhere else, so a copy of the source is no copy of them.
    pub(super) fn elsewhere(&self, server: &str, folder: &str) -> Failure {
        let what = format!("{server} in container `{}` keeps its files in `{folder}`", self.container.name);
        let within = |mount: &&Mount| {
            let is_within = |at: &String| below(&mount.at, at).is_some_and(|rest| !rest.is_empty());
            self.at.iter().any(is_within)
        };
        let other = self.container.mounts.iter().find(within);
        let other = other.map_or_else(String::new, |mount| format!(", with another mount at `{}`", mount.at));
        let at = self.at.join("` and `");
        Failure::new(Class::Unsafe, what)
            .because(format!("`{}` is mounted at `{at}`{other}", self.source))
            .hint("`backupctl volumes` shows what is mounted there; for this source, choose another `mode`")
    }
}

/// Somebody else who writes to the source.
pub(super) fn somebody_else<'a>(users: &'a [User], server: &Container) -> Option<&'a str> {
    let other = |user: &&User| user.writable && user.is_up() && user.container.id != server.id;
    users.iter().find(other).map(|user| user.container.name.as_str())
}

/// What is left of a path below a folder; nothing if it is that folder.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_matches('/'))
}

/// The container of this name, whatever it has mounted.
pub(super) fn named(containers: &[Container], name: &str) -> Result<Container, Failure> {
    match containers.iter().find(|container| container.name == name) {
        Some(container) => running(container.clone()),
        None => Err(Failure::not_found(format!("there is no container `{name}`")).hint("`docker ps -a`")),
    }
}

/// The running container of this service in the compose project that the source belongs to.
pub(super) fn of_service(
    source: &Source,
    containers: &[Container],
    service: &str,
) -> Result<Container, Failure> {
    let label = |container: &Container, label: &str, is: &str| {
        container.labels.get(label).is_some_and(|found| found == is)
    };
    let of_users = source.users.iter().find_map(|user| user.container.labels.get(PROJECT_LABEL));
    let what = format!("look for the container of service `{service}`");
    let Some(project) = source.shape.labels.get(PROJECT_LABEL).or(of_users) else {
        return Err(Failure::new(Class::Unsafe, what)
            .because("the source belongs to no compose project")
            .hint("name the container instead: `container = \"NAME\"`"));
    };
    let of_it = |container: &&Container| {
        label(container, PROJECT_LABEL, project) && label(container, SERVICE_LABEL, service)
    };
    let found: Vec<&Container> = containers.iter().filter(of_it).collect();
    let mut up = found.iter().filter(|container| container.state == ContainerState::Running);
    match (up.next(), up.next(), found.first()) {
        (Some(only), None, _) => Ok((*only).clone()),
        (Some(_), Some(_), _) => Err(Failure::new(Class::Unsafe, what)
            .because(format!("project `{project}` runs more than one of it"))
            .hint("name one of them: `container = \"NAME\"`")),
        (None, _, Some(down)) => running((*down).clone()),
        (None, _, None) => Err(Failure::not_found(what)
            .because(format!("project `{project}` has no such service"))
            .hint(format!("`docker ps -a --filter label={PROJECT_LABEL}={project}`"))),
    }
}

/// Programs are started only in one that runs.
fn running(container: Container) -> Result<Container, Failure> {
    let name = &container.name;
    let hint = match container.state {
        ContainerState::Running => return Ok(container),
        ContainerState::Paused => format!("`docker unpause {name}`"),
        ContainerState::Restarting => format!("`docker logs {name}` may tell why it does not stay up"),
        ContainerState::Down => format!("`docker start {name}`"),
    };
    Err(Failure::new(Class::Unsafe, format!("container `{name}` does not run")).hint(hint))
}

/// The container for the programs of `mode`.
pub(super) fn find(source: &Source, name: &SourceName, mode: Mode) -> Result<Place, Failure> {
    let refuse = |why: String| {
        Failure::new(
            Class::Unsafe,
            format!("mode `{}` of `{name}` needs a container for its programs", mode.word()),
        )
        .because(why)
    };
    let labelled =
        names(source, |user| user.container.labels.get(COMMANDS_LABEL).is_some_and(|on| on == "true"));
    let chosen =
        if labelled.is_empty() { names(source, |user| user.writable && user.is_up()) } else { labelled };
    let [only] = chosen[..] else {
        let why = format!("`{}` could be meant", chosen.join("` and `"));
        let hint = format!("label the one that is meant, and no other: `{COMMANDS_LABEL}=true`");
        return Err(refuse(why).hint(hint));
    };
    let of_it = || source.users.iter().filter(move |user| user.container.name == only);
    let Some(container) = of_it().map(|user| user.container.clone()).next() else {
        return Err(refuse(format!("`{only}` is gone")));
    };
    let at = of_it().map(|user| user.at.clone()).collect();
    let hint = match container.state {
        ContainerState::Running => return Ok(Place { container, at, source: name.clone() }),
        ContainerState::Paused => format!("`docker unpause {only}`"),
        ContainerState::Restarting => format!("`docker logs {only}` may tell why it does not stay up"),
        ContainerState::Down => {
            format!("`docker start {only}`, or take the label `{COMMANDS_LABEL}` from it")
        }
    };
    Err(refuse(format!("`{only}` does not run")).hint(hint))
}

/// The names of containers, each once.
fn names(source: &Source, is_one: impl Fn(&User) -> bool) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for user in source.users.iter().filter(|user| is_one(user)) {
        if !names.contains(&user.container.name.as_str()) {
            names.push(&user.container.name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::format::manifest::VolumeShape;
    use crate::port::docker::{Health, HelperMount, MountOf};

    fn user(name: &str, at: &str, state: ContainerState, words: &str) -> User {
        let label = (COMMANDS_LABEL.to_owned(), "true".to_owned());
        let container = Container {
            id: format!("id-of-{name}"),
            name: name.to_owned(),
            image: String::new(),
            image_id: String::new(),
            state,
            health: Health::None,
            started_at: None,
            restart_policy: "no".to_owned(),
            labels: if words.contains("labelled") { BTreeMap::from([label]) } else { BTreeMap::new() },
            mounts: Vec::new(),
            auto_remove: false,
            has_us: false,
            versions: BTreeMap::new(),
        };
        User { container, at: at.to_owned(), writable: !words.contains("reads"), whole: true }
    }

    fn source(users: Vec<User>) -> Source {
        let (mount, shape) = (HelperMount::Volume("v".to_owned()), VolumeShape::default());
        Source { mount, shape, users, place: None }
    }

    #[track_caller]
    fn check(users: &[(&str, ContainerState, &str)], want: Result<&str, &str>) {
        let users = users.iter().map(|(name, state, words)| user(name, "/data", *state, words)).collect();
        let found = find(&source(users), &"v".parse().unwrap(), Mode::Mysql);
        match (&found, want) {
            (Ok(place), Ok(name)) => assert_eq!(place.container.name, name),
            (Err(failure), Err(words)) => {
                let said = format!("{failure}; {}", failure.hint.as_deref().unwrap_or_default());
                assert!(failure.class == Class::Unsafe && said.contains(words), "{said}");
            }
            _ => panic!("{found:?}, not {want:?}"),
        }
    }

    #[test]
    fn the_only_writer_or_the_labelled_one_is_taken() {
        use ContainerState::{Down, Paused, Restarting, Running};
        check(&[("db", Running, "")], Ok("db"));
        check(&[("db", Running, ""), ("web", Running, "reads"), ("old", Down, "")], Ok("db"));
        check(&[("db", Running, ""), ("side", Running, "")], Err("`db` and `side` could be meant"));
        check(&[("db", Running, ""), ("side", Running, "")], Err("backupd.commands=true"));
        check(&[("db", Running, "labelled"), ("side", Running, "")], Ok("db"));
        check(&[("db", Running, ""), ("admin", Running, "labelled reads")], Ok("admin"));
        check(&[("db", Running, "labelled"), ("side", Running, "labelled")], Err("could be meant"));
        check(&[("db", Down, "labelled"), ("side", Running, "")], Err("docker start db"));
        check(&[("db", Paused, "")], Err("docker unpause db"));
        check(&[("db", Restarting, "")], Err("docker logs db"));
    }

    #[test]
    fn what_is_mounted_over_a_part_of_the_source_is_not_in_it() {
        let mut db = user("db", "/var/lib/mysql", ContainerState::Running, "");
        let mount = |at: &str| Mount {
            of: MountOf::Volume { name: at.to_owned() },
            at: at.to_owned(),
            writable: true,
        };
        db.container.mounts =
            ["/var/lib/mysql", "/var/lib/mysql/redo", "/var/lib/mysql-files"].map(mount).into();
        let place = find(&source(vec![db]), &"v".parse().unwrap(), Mode::Mysql).unwrap();
        for (folder, sees, all) in [
            ("/var/lib/mysql", true, false),
            ("/var/lib/mysql/shop", true, true),
            ("/var/lib/mysql/redo", false, false),
            ("/var/lib/mysql/redo/log", false, false),
            ("/var/lib/mysql/redo-2", true, true),
            ("/var/lib/mysql-files", false, false),
        ] {
            assert_eq!((place.sees(folder), place.sees_all_of(folder)), (sees, all), "{folder}");
        }
    }

    #[test]
    fn a_folder_is_in_the_source_or_it_is_not() {
        let users = [("db", "/var/lib/mysql"), ("db", "/copy/")]
            .map(|(name, at)| user(name, at, ContainerState::Running, ""));
        let place = find(&source(users.into()), &"v".parse().unwrap(), Mode::Mysql).unwrap();
        for (folder, want) in [
            ("/var/lib/mysql", true),
            ("/var/lib/mysql/", true),
            ("/var/lib/mysql/data", true),
            ("/copy", true),
            ("/var/lib/mysql-8", false),
            ("/var/lib", false),
            ("/", false),
        ] {
            assert_eq!(place.sees(folder), want, "{folder}");
        }
        assert!(place.sees_all_of("/var/lib/mysql") && !place.sees_all_of("/var/lib"));
        let said = place.elsewhere("MariaDB", "/data").to_string();
        assert!(said.contains("keeps its files in `/data`") && said.contains("/copy/"), "{said}");
    }
}
