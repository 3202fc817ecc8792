//! Folders of policies as they lie on disks, and hosts as Docker describes them.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::port::docker::{Container, ContainerState, Health, Mount, MountOf, Volume};

const GOOD: &str = "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\n";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        crate::durable::replace(&dir.path().join(name), text.as_bytes(), 0o644).unwrap();
    }
    dir
}

fn complaints(dir: &tempfile::TempDir, trust: Trust) -> Vec<String> {
    match read_folder(dir.path(), trust) {
        Ok(_) => Vec::new(),
        Err(unread) => unread.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn policies_are_the_toml_files_and_nothing_else() {
    let dir = folder(&[("a.toml", GOOD), ("Cargo.toml", "x"), (".b.toml", "x"), ("notes.md", "x")]);
    symlink("a.toml", dir.path().join("link.toml")).unwrap();
    let read = read_folder(dir.path(), Trust::Owned).unwrap();
    let names: Vec<_> = read.policies().iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["a", "link"]);
}

#[test]
fn every_bad_file_is_named_at_once() {
    let dir = folder(&[("a.toml", GOOD), ("b.toml", "schedul = 1\n"), ("d.toml", GOOD)]);
    symlink("nowhere", dir.path().join("c.toml")).unwrap();
    std::fs::create_dir(dir.path().join("e.toml")).unwrap();
    crate::durable::replace(&dir.path().join("f.toml"), b"\xff\n", 0o644).unwrap();
    std::fs::set_permissions(dir.path().join("d.toml"), std::fs::Permissions::from_mode(0o666)).unwrap();
    let said = complaints(&dir, Trust::Owned);
    let starts = [
        "b.toml:1:1: unknown key `schedul`; did you mean `schedule`?",
        "b.toml:2:1: `schedule` is missing",
        "b.toml:2:1: `mode` is missing",
        "c.toml:1:1: is a link to nothing",
        "d.toml:1:1: may be written by everybody",
        "e.toml:1:1: is no regular file",
        "f.toml:1:1: is not text in UTF-8",
    ];
    assert_eq!(said.len(), starts.len(), "{said:#?}");
    assert!(said.iter().zip(starts).all(|(said, start)| said.starts_with(start)), "{said:#?}");
    assert!(complaints(&dir, Trust::Anybodys).iter().all(|said| !said.starts_with("d.toml")));
}

#[test]
fn a_fifo_is_no_policy_and_nobody_waits_for_it() {
    let dir = folder(&[]);
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("a.toml"), mode).unwrap();
    assert_eq!(complaints(&dir, Trust::Owned), ["a.toml:1:1: is no regular file"]);
}

#[test]
fn the_address_of_a_store_is_read_to_its_end() {
    let text = "schedule = \"0 2 * * *\"\nstore = \"s3://b/p?regoin=eu-1\"\nconsistency.mode = \"live\"\n";
    let said = complaints(&folder(&[("a.toml", text)]), Trust::Owned);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("a.toml:2:1: `store` cannot be used: ") && said[0].contains("`region`"),
        "{said:?}"
    );
    assert!(
        read_folder(folder(&[("a.toml", &text.replace("regoin", "region"))]).path(), Trust::Owned).is_ok()
    );
}

#[test]
fn without_a_folder_the_shipped_default_stands_in_unless_a_folder_was_named() {
    let dir = folder(&[]);
    let mut places = Places { policies: dir.path().join("none"), named: false, folders: Vec::new() };
    let found = policies(&places).unwrap();
    assert!(found.shipped && found.folder.find("default").is_some());
    places.named = true;
    assert!(matches!(policies(&places), Err(Unread::Folder(failure)) if failure.hint.is_some()));
    places.policies = dir.path().to_owned();
    assert_eq!(policies(&places).unwrap().folder.policies(), []);
}

/// H6: a checkout that is away for a moment is not a host without policies.
#[test]
fn a_link_to_nothing_is_a_folder_that_is_missing_and_not_one_that_nobody_has() {
    let dir = folder(&[]);
    symlink("nowhere", dir.path().join("link")).unwrap();
    for policies in ["link", "link/policies"] {
        let policies = dir.path().join(policies);
        for named in [false, true] {
            let places = Places { policies: policies.clone(), named, folders: Vec::new() };
            let failure = Failure::from(super::policies(&places).unwrap_err());
            assert!(failure.to_string().contains("a link to nothing") && failure.hint.is_some(), "{failure}");
        }
    }
}

fn volume(name: &str, anonymous: bool) -> Volume {
    let maps = || std::collections::BTreeMap::new();
    let (driver, mountpoint, created_at) = ("local".to_owned(), None, None);
    Volume { name: name.into(), driver, options: maps(), labels: maps(), mountpoint, created_at, anonymous }
}

fn container(name: &str, mounts: &[(MountOf, &str)]) -> Container {
    Container {
        id: name.into(),
        name: name.into(),
        image: "i".into(),
        image_id: "sha256:1".into(),
        state: ContainerState::Running,
        health: Health::None,
        started_at: None,
        restart_policy: "no".into(),
        labels: [("com.docker.compose.project".to_owned(), "shop".to_owned())].into(),
        mounts: mounts
            .iter()
            .map(|(of, at)| Mount { of: of.clone(), at: (*at).to_owned(), writable: true })
            .collect(),
        auto_remove: false,
        has_us: false,
        versions: BTreeMap::new(),
    }
}

#[test]
fn a_thing_is_one_source_and_keeps_its_name() {
    let of = |name: &str| MountOf::Volume { name: name.into() };
    let bind = |path: &str| MountOf::Bind { path: path.into() };
    let volumes = [volume("db-data", false), volume("aaaa", true), volume("orphan", true)];
    let containers = [
        container("web", &[(of("aaaa"), "/var/lib/web"), (bind("/srv/app/data"), "/data")]),
        container("aide", &[(of("aaaa"), "/w"), (bind("/srv/app/data"), "/d"), (bind("/etc/x"), "/x")]),
        container("db", &[(of("db-data"), "/db"), (bind("/srv-other"), "/o"), (bind("/srv/root"), "/")]),
        container("zone", &[(bind("/srv/zone"), "/etc/localtime")]),
    ];
    let files = BTreeSet::from(["/srv/zone".to_owned()]);
    let names = |known: &[&str]| {
        let known = known.iter().map(|name| (*name).to_owned()).collect();
        let sources = describe::describe(&volumes, &containers, &["/srv".into()], &files, &known);
        sources.into_iter().map(|source| (source.name, source.users.len())).collect::<Vec<_>>()
    };
    let own = |all: &[(&str, usize)]| all.iter().map(|(n, u)| ((*n).to_owned(), *u)).collect::<Vec<_>>();
    assert_eq!(names(&[]), own(&[("aide:/d", 2), ("aide:/w", 2), ("db-data", 1), ("orphan", 0)]));
    assert_eq!(
        names(&["web:/var/lib/web"]),
        own(&[("aide:/d", 2), ("db-data", 1), ("orphan", 0), ("web:/var/lib/web", 2)])
    );
}
