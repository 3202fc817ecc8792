//! Compose projects: all that belongs to one comes back as one deed, of one moment if there is such a set.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::port::docker::{ContainerState as State, Docker as _, MountOf, NewVolume};
use engine::port::store::StoreErrorKind as Kind;
use engine::testing::calls::{CallLog, When};
use engine::testing::fake_docker::{Calls, FakeDocker, Script};
use engine::testing::faulty_store::{Effect, Fault, FaultyStore, Verb};
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
    world.host_with(Arc::new(world.store.clone()), Arc::new(world.docker.reopened(script))).await
}

fn request() -> ProjectRequest {
    ProjectRequest { project: "shop".to_owned(), at: None, newest: false, terms: SetTerms::default() }
}

async fn plan(host: &Host, folder: Option<&Folder>) -> Result<ProjectPlan, Failure> {
    plan_as(host, folder, request()).await
}

async fn plan_as(
    host: &Host,
    folder: Option<&Folder>,
    request: ProjectRequest,
) -> Result<ProjectPlan, Failure> {
    let places = Places { policies: PathBuf::from("/none"), named: false, folders: Vec::new() };
    let found = sources(host, &places).await.unwrap();
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

async fn set_of(host: &Host, names: &[&str]) -> String {
    let consistency = Consistency { mode: Mode::Pause, ..Consistency::default() };
    let requests: Vec<_> = names
        .iter()
        .map(|name| BackupRequest { consistency: consistency.clone(), ..backup_request(name) })
        .collect();
    backup_set(host, &requests, &Silent::default()).await.unwrap()[0].set.clone().unwrap()
}

#[tokio::test]
async fn one_set_with_all_of_it_is_told_and_what_is_newer_is_never_passed_over() {
    let world = world().await;
    let host = world.host().await;
    let set = set_of(&host, &["db", "alog"]).await;
    let of_set = plan(&host, None).await.unwrap();
    assert_eq!(names(&of_set), ["alog@1", "db@1"]);
    assert_eq!((&of_set.set, of_set.span_seconds), (&Some(set.clone()), None));
    assert!(of_set.members.iter().all(|one| one.why.contains("it belongs to set")));
    world.clock.advance(60);
    world.replant("db", 7);
    back_up(&host, "db").await.unwrap();
    let refused = plan(&host, None).await.err().unwrap();
    assert_eq!(refused.class, Class::Unsafe);
    let words = format!("{refused}: {:?}", refused.hint);
    for part in [&format!("--set {set}"), "--newest", "`db@2`", "`db@1`"] {
        assert!(words.contains(part), "{words}");
    }
    let newest = plan_as(&host, None, ProjectRequest { newest: true, ..request() }).await.unwrap();
    assert_eq!((names(&newest), newest.span_seconds), (vec!["alog@1", "db@2"], Some(60)));
    assert_eq!(newest.set, None);
    // By a time at which it was the newest, it is.
    let at = Some(of_set.members[0].taken_at);
    let then = plan_as(&host, None, ProjectRequest { at, ..request() }).await.unwrap();
    assert_eq!((names(&then), &then.set), (vec!["alog@1", "db@1"], &Some(set)));
}

/// What is not on this host any more, and was not when the set was made.
#[tokio::test]
async fn what_was_retired_keeps_no_set_from_being_one() {
    let world = world().await;
    let host = world.host().await;
    let labels = BTreeMap::from([(LABEL.to_owned(), "shop".to_owned())]);
    let new = NewVolume { name: "old".to_owned(), labels, ..NewVolume::default() };
    world.docker.create_volume(&new).await.unwrap();
    plant(&world.docker.volume_folder("old"), 4);
    back_up(&host, "old").await.unwrap();
    world.docker.remove_volume("old").await.unwrap();
    world.clock.advance(60);
    let set = set_of(&host, &["db", "alog"]).await;
    let plan = plan(&host, None).await.unwrap();
    assert_eq!(names(&plan), ["alog@1", "db@1", "old@1"]);
    assert_eq!((plan.set, plan.beside_set), (Some(set), vec!["old@1".to_owned()]));
    assert_eq!(plan.span_seconds, Some(60));
}

/// What was refused, or could not be looked at, is no reason to replace the others.
#[tokio::test]
async fn all_of_it_or_nothing_unless_somebody_accepts_less() {
    let world = world().await;
    for name in ["db", "alog"] {
        back_up(&world.host().await, name).await.unwrap();
    }
    let fault = Fault::always(Verb::Get, Effect::Fail(When::Before, Kind::Unavailable));
    let store = FaultyStore::new(
        Arc::new(world.store.clone()),
        Arc::new(CallLog::default()),
        vec![fault.at("h1/db/00000001.manifest")],
    );
    let host = world.host_with(Arc::new(store), Arc::<FakeDocker>::clone(&world.docker)).await;
    let failed = plan(&host, None).await.err().unwrap();
    assert_eq!(failed.class, Class::Failed);
    assert!(failed.to_string().starts_with("restore `db` of project `shop`: "), "{failed}");
    let terms = SetTerms { accept_partial: true, ..SetTerms::default() };
    let accepted = plan_as(&host, None, ProjectRequest { terms, ..request() }).await.unwrap();
    assert_eq!(names(&accepted), ["alog@1"]);
    assert_eq!(accepted.left.iter().map(|left| left.source.as_str()).collect::<Vec<_>>(), ["db"]);
}

/// After `docker compose down -v`: whose it was stands in manifests alone, and some cannot be read.
#[tokio::test]
async fn what_is_gone_and_cannot_be_told_is_named() {
    let world = world().await;
    let host = world.host().await;
    let mut files = container("files", "alog", State::Running, "always");
    files.labels = BTreeMap::from([(LABEL.to_owned(), "shop".to_owned())]);
    files.mounts[0].of = MountOf::Bind { path: world.docker.volume_folder("alog").display().to_string() };
    world.docker.put_container(files);
    for name in ["db", "alog", "other", "files:/data"] {
        back_up(&host, name).await.unwrap();
    }
    for name in ["server", "web", "files"] {
        world.docker.drop_container(&format!("id-of-{name}"));
    }
    for name in ["db", "alog", "other"] {
        world.docker.remove_volume(name).await.unwrap();
    }
    let key = "h1/db/00000001.manifest";
    let mut bad = world.store.lose(key).unwrap().to_vec();
    bad[10] ^= 1;
    world.store.plant(key, bad);
    let plan = plan(&host, None).await.unwrap();
    assert_eq!(names(&plan), ["alog@1"]);
    let left: Vec<_> = plan.left.iter().map(|left| left.source.as_str()).collect();
    assert_eq!(left, ["db", "files:/data"], "{:?}", plan.left);
    assert!(plan.left[0].why.contains("is not known"), "{:?}", plan.left);
    assert!(plan.perhaps.is_empty(), "{:?}", plan.perhaps);
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
