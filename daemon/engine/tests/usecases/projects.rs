//! Compose projects: all that belongs to one comes back as one deed, of one moment if there is such a set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine::failure::Class;
use engine::port::docker::{ContainerState as State, Docker as _, NewVolume};
use engine::testing::fake_docker::{Calls, Script};
use engine::usecase::backup::BackupRequest;
use engine::usecase::cover::{Places, sources};
use engine::usecase::host::Host;
use engine::usecase::restore_project::{
    Known, ProjectPlan, ProjectRequest, plan_restore_project, restore_project,
};
use engine::usecase::restore_set::SetTerms;
use engine::usecase::set::backup_set;
use engine::usecase::stores::Stores;
use engine::usecase::watch::Silent;
use policies::policy::{Consistency, Folder, Mode};

use crate::support::tree::{but_root_time, differences, plant};
use crate::support::world::{World, back_up, backup_request, container};

const LABEL: &str = "com.docker.compose.project";

/// `db`, which `server` writes, and `alog`, which `web` writes, who needs the server; `other` is somebody else's.
async fn world() -> World {
    let world = World::new();
    for (name, flavour, project) in [("db", 1, "shop"), ("alog", 2, "shop"), ("other", 3, "blog")] {
        let labels = BTreeMap::from([(LABEL.to_owned(), project.to_owned())]);
        let new = NewVolume { name: name.to_owned(), labels, ..NewVolume::default() };
        world.docker.create_volume(&new).await.unwrap();
        plant(&world.docker.volume_folder(name), flavour);
    }
    for (name, volume, needs) in [("server", "db", ""), ("web", "alog", "server")] {
        let mut one = container(name, volume, State::Running, "always");
        let labels = [("project", "shop"), ("service", name), ("depends_on", needs)];
        one.labels = labels.map(|(k, v)| (format!("com.docker.compose.{k}"), v.to_owned())).into();
        world.docker.put_container(one);
    }
    world
}

async fn host(world: &World, script: Script) -> Host {
    world
        .host_with(
            std::sync::Arc::new(world.store.clone()),
            std::sync::Arc::new(world.docker.reopened(script)),
        )
        .await
}

async fn plan(host: &Host, folder: Option<&Folder>) -> Result<ProjectPlan, engine::failure::Failure> {
    let places = Places { policies: PathBuf::from("/none"), named: false, folders: Vec::new() };
    let found = sources(host, &places).await.unwrap();
    let request = ProjectRequest { project: "shop".to_owned(), at: None, terms: SetTerms::default() };
    let known = Known { sources: &found, policies: folder };
    plan_restore_project(&Stores::only(host), known, &request).await
}

fn names(plan: &ProjectPlan) -> Vec<&str> {
    plan.members.iter().map(|member| member.snapshot.as_str()).collect()
}

fn same(world: &World, name: &str, want: &crate::support::tree::Tree) {
    let (got, want) = (but_root_time(world.tree(name)), but_root_time(want.clone()));
    assert_eq!(differences(&got, &want), "", "{name}");
}

#[tokio::test]
async fn the_newest_of_each_comes_back_as_one_deed_and_the_time_between_them_is_told() {
    let (world, calls) = (world().await, Calls::new());
    let trees = [("db", world.tree("db")), ("alog", world.tree("alog"))];
    back_up(&world.host().await, "db").await.unwrap();
    world.clock.advance(3600);
    back_up(&world.host().await, "alog").await.unwrap();
    back_up(&world.host().await, "other").await.unwrap();
    let other = world.replant("other", 9);
    world.replant("db", 7);
    world.replant("alog", 8);

    let host = host(&world, calls.script()).await;
    let plan = plan(&host, None).await.unwrap();
    assert_eq!(names(&plan), ["alog@1", "db@1"]);
    assert_eq!((&plan.set, plan.span_seconds), (&None, Some(3600)));
    assert!(plan.left.is_empty() && plan.aside.is_empty());
    let report = restore_project(&plan, &Silent::default()).await.unwrap();
    assert!(report.failed.is_empty());
    trees.iter().for_each(|(name, want)| same(&world, name, want));
    same(&world, "other", &other);
    let is_deed = |call: &String| call.starts_with("stop ") || call.starts_with("start ");
    let done: Vec<_> =
        calls.log().into_iter().filter(is_deed).map(|call| call.replace("id-of-", "")).collect();
    assert_eq!(
        done,
        ["stop web", "stop server", "start server", "start web"],
        "who needs another stops first"
    );
    let started: Vec<_> = report.restored.iter().flat_map(|one| one.started.clone()).collect();
    assert_eq!(started, ["web", "server"], "each is told once");
    assert_eq!(host.catalog().unfinished_runs().unwrap(), []);
}

#[tokio::test]
async fn one_set_with_all_of_it_is_preferred_and_what_is_newer_is_told() {
    let world = world().await;
    let host = world.host().await;
    let request = |name: &str| {
        let consistency = Consistency { mode: Mode::Pause, ..Consistency::default() };
        BackupRequest { consistency, ..backup_request(name) }
    };
    let made = backup_set(&host, &[request("db"), request("alog")], &Silent::default()).await.unwrap();
    world.clock.advance(60);
    world.replant("db", 7);
    back_up(&host, "db").await.unwrap();
    let plan = plan(&host, None).await.unwrap();
    assert_eq!(names(&plan), ["alog@1", "db@1"]);
    assert_eq!((&plan.set, plan.span_seconds), (&made[0].set, None));
    let newer: Vec<_> =
        plan.members.iter().flat_map(|one| &one.warnings).filter(|w| w.contains("newer")).collect();
    assert!(newer.len() == 1 && newer[0].contains("`db@2`"), "{newer:?}");
}

#[tokio::test]
async fn what_is_gone_comes_back_and_what_cannot_is_named() {
    let world = world().await;
    let host = world.host().await;
    let db = world.tree("db");
    back_up(&host, "db").await.unwrap();
    for name in ["server", "web"] {
        world.docker.drop_container(&format!("id-of-{name}"));
    }
    world.docker.remove_volume("db").await.unwrap();
    let found = plan(&host, None).await.unwrap();
    assert_eq!(names(&found), ["db@1"]);
    assert!(found.members[0].creates_volume && found.span_seconds.is_none());
    assert_eq!(found.left.iter().map(|left| left.source.as_str()).collect::<Vec<_>>(), ["alog"]);
    // What nobody wants backed up is nothing that is missed.
    let text = "nothing = \"a log\"\nselect.volumes = [\"alog\"]\n";
    let folder = Folder::judge([("log.toml", text)]).unwrap();
    let decided = plan(&host, Some(&folder)).await.unwrap();
    assert_eq!((decided.left.len(), decided.aside.len()), (0, 1));
    restore_project(&found, &Silent::default()).await.unwrap();
    same(&world, "db", &db);
}

#[tokio::test]
async fn a_project_that_nobody_knows_is_not_found() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    assert_eq!(plan(&host, None).await.err().unwrap().class, Class::NotFound);
}
