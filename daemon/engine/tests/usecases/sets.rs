//! Sets: held at one moment, committed together or not at all, restored together or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::failure::{Class, Failure};
use engine::format::manifest::Consistency as Kind;
use engine::port::docker::{ContainerState as State, Docker as _, Mount, MountOf};
use engine::testing::fake_docker::{Calls, Script};
use engine::usecase::backup::{BackupReport, BackupRequest};
use engine::usecase::host::Host;
use engine::usecase::restore_set::{SetTerms, plan_restore_set, restore_set};
use engine::usecase::set::backup_set;
use engine::usecase::snapshots::{SnapshotLine, Wanted, WantedHost, snapshots};
use engine::usecase::watch::{Cancel, Silent, Told, Watch};
use engine::words::RunId;
use policies::policy::{Consistency, Mode, OnUnfreezable};

use crate::support::tree::{but_root_time, differences};
use crate::support::world::{World, backup_request, container};

/// `app` writes to both volumes, `web` to the log alone; `idle` is down.
async fn world() -> World {
    let world = World::new();
    world.volume("db", 1).await;
    world.volume("log", 2).await;
    let mut app = container("app", "db", State::Running, "always");
    app.mounts.push(Mount {
        of: MountOf::Volume { name: "log".to_owned() },
        at: "/log".to_owned(),
        writable: true,
    });
    let web = container("web", "log", State::Running, "no");
    for container in [app, web, container("idle", "log", State::Down, "always")] {
        world.docker.put_container(container);
    }
    world
}

async fn host(world: &World, script: Script) -> Host {
    world.host_with(Arc::new(world.store.clone()), Arc::new(world.docker.reopened(script))).await
}

fn request(name: &str, mode: Mode) -> BackupRequest {
    let consistency = Consistency { mode, ..Consistency::default() };
    BackupRequest { consistency, ..backup_request(name) }
}

async fn make(host: &Host, mode: Mode) -> Result<Vec<BackupReport>, Failure> {
    backup_set(host, &[request("log", mode), request("db", mode)], &Silent::default()).await
}

async fn lines(host: &Host) -> Vec<SnapshotLine> {
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    snapshots(host, &wanted).await.unwrap().lines
}

fn deeds(calls: &Calls, verbs: &[&str]) -> Vec<String> {
    let is_deed = |call: &String| verbs.contains(&call.split(' ').next().unwrap());
    let short = |call: String| match call.split_once(' ') {
        Some((verb @ ("open_helper" | "finish_helper"), _)) => verb.to_owned(),
        _ => call.replace("id-of-", ""),
    };
    calls.log().into_iter().filter(is_deed).map(short).collect()
}

async fn states(world: &World) -> Vec<(String, State)> {
    let mut all: Vec<_> =
        world.docker.containers().await.unwrap().into_iter().map(|one| (one.name, one.state)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[tokio::test]
async fn all_who_write_to_any_member_are_held_once_while_all_are_read_again() {
    let (world, calls) = (world().await, Calls::new());
    let before = states(&world).await;
    let host = host(&world, calls.script()).await;
    let reports = make(&host, Mode::Pause).await.unwrap();
    let names: Vec<&str> = reports.iter().map(|report| report.snapshot.as_str()).collect();
    assert_eq!(names, ["db@1", "log@1"]);
    assert!(reports.iter().all(|report| report.consistency == Kind::Paused && report.freeze_seconds >= 0.0));
    let set = reports[0].set.clone().unwrap();
    assert!(reports.iter().all(|report| report.set.as_ref() == Some(&set) && report.warnings.is_empty()));
    let done = deeds(&calls, &["open_helper", "pause", "unpause", "finish_helper"]);
    let pauses: Vec<usize> = (0..done.len()).filter(|i| done[*i].starts_with("pause ")).collect();
    assert_eq!(done.iter().filter(|deed| deed.starts_with("pause ")).count(), 2, "{done:?}");
    assert_eq!(done[..pauses[0]].iter().filter(|deed| *deed == "open_helper").count(), 4, "{done:?}");
    assert!(done[pauses[0]..].iter().all(|deed| deed != "open_helper"), "{done:?}");
    assert_eq!(states(&world).await, before);
    assert_eq!(host.catalog().freezes().unwrap(), []);
    assert!(lines(&host).await.iter().all(|line| line.set.as_ref() == Some(&set)));
}

#[tokio::test]
async fn nobody_commits_unless_all_can() {
    let world = world().await;
    let host = world.host().await;
    crate::support::tree::clear(&world.docker.volume_folder("log"));
    let failure = make(&host, Mode::Pause).await.unwrap_err();
    assert!(failure.class == Class::Unsafe && failure.to_string().contains("empty"), "{failure}");
    assert!(lines(&host).await.is_empty());
    let left: Vec<String> =
        world.store.snapshot().into_keys().filter(|key| !key.ends_with("owner.json")).collect();
    assert_eq!(left, [""; 0], "packs of it");
    assert_eq!(host.catalog().freezes().unwrap(), []);
    assert_eq!(world.docker.leftovers().await.unwrap(), []);
}

#[tokio::test]
async fn a_mode_that_does_not_hold_all_at_one_moment_makes_no_set() {
    let world = world().await;
    let host = world.host().await;
    for mode in [Mode::Live, Mode::Hooks, Mode::Redis] {
        let failure = make(&host, mode).await.unwrap_err();
        assert!(failure.class == Class::Usage && failure.hint.is_some(), "{failure}");
    }
    assert!(backup_set(&host, &[], &Silent::default()).await.is_err());
}

/// Whether somebody was held when it came to letting go.
#[derive(Default)]
struct Held {
    cancel: Cancel,
    seen: AtomicBool,
}

impl Watch for Held {
    fn tell(&self, told: Told) {
        if told == Told::Step("starting containers again".to_owned()) {
            self.seen.store(self.cancel.is_holding(), Ordering::SeqCst);
        }
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

async fn plan_and_restore(host: &Host, set: &str) -> Result<Vec<String>, Failure> {
    let set: RunId = set.parse().unwrap();
    let plan = plan_restore_set(host, &set, SetTerms::default()).await?;
    let watch = Held::default();
    let restored = restore_set(host, &plan, &watch).await;
    // Nobody waits for a run that is over, however it ended.
    assert!(!watch.cancel.is_holding());
    let report = restored?;
    assert!(watch.seen.load(Ordering::SeqCst), "somebody is down when they are started again");
    assert!(report.failed.is_empty());
    Ok(report.restored.into_iter().map(|one| one.snapshot).collect())
}

#[tokio::test]
async fn a_set_comes_back_as_a_whole_and_nobody_starts_before_all_is_in_place() {
    let (world, calls) = (world().await, Calls::new());
    let (db, log) = (world.tree("db"), world.tree("log"));
    let set = make(&world.host().await, Mode::Stop).await.unwrap()[0].set.clone().unwrap();
    world.replant("db", 7);
    world.replant("log", 8);
    let before = states(&world).await;
    let host = host(&world, calls.script()).await;
    assert_eq!(plan_and_restore(&host, &set).await.unwrap(), ["db@1", "log@1"]);
    for (name, want) in [("db", db), ("log", log)] {
        assert_eq!(differences(&but_root_time(world.tree(name)), &but_root_time(want)), "", "{name}");
    }
    assert_eq!(states(&world).await, before);
    let done = deeds(&calls, &["stop", "start", "finish_helper"]);
    let last_stop = done.iter().rposition(|deed| deed.starts_with("stop")).unwrap();
    let first_start = done.iter().position(|deed| deed.starts_with("start")).unwrap();
    assert!(last_stop < first_start, "{done:?}");
    assert_eq!(done.iter().filter(|deed| deed.starts_with("start")).count(), 2, "{done:?}");
}

#[tokio::test]
async fn a_member_that_cannot_be_read_keeps_all_as_they_are() {
    let (world, calls) = (world().await, Calls::new());
    let set = make(&world.host().await, Mode::Pause).await.unwrap()[0].set.clone().unwrap();
    let (db, log) = (world.replant("db", 7), world.replant("log", 8));
    let pack =
        world.store.snapshot().into_keys().find(|key| key.contains("/log/") && key.ends_with(".tar.zst"));
    world.store.lose(&pack.unwrap()).unwrap();
    let host = host(&world, calls.script()).await;
    assert!(plan_and_restore(&host, &set).await.is_err());
    for (name, want) in [("db", db), ("log", log)] {
        assert_eq!(differences(&but_root_time(world.tree(name)), &but_root_time(want)), "", "{name}");
    }
    assert_eq!(deeds(&calls, &["stop", "start"]), [""; 0]);
    assert_eq!(world.docker.leftovers().await.unwrap(), []);
}

#[tokio::test]
async fn a_set_that_lacks_a_member_says_so_and_needs_consent() {
    let world = world().await;
    let host = world.host().await;
    let set = make(&host, Mode::Pause).await.unwrap()[0].set.clone().unwrap();
    let keys: Vec<String> = world.store.snapshot().into_keys().filter(|key| key.contains("/log/")).collect();
    keys.iter().for_each(|key| drop(world.store.lose(key)));
    let set: RunId = set.parse().unwrap();
    let failure = plan_restore_set(&host, &set, SetTerms::default()).await.unwrap_err();
    assert!(failure.class == Class::Unsafe && failure.to_string().contains("`log`"), "{failure}");
    let terms = SetTerms { accept_partial: true, ..SetTerms::default() };
    let plan = plan_restore_set(&host, &set, terms).await.unwrap();
    assert_eq!((plan.members.len(), plan.missing.len()), (1, 1));
    let unknown = plan_restore_set(&host, &"0000000000000000".parse().unwrap(), terms).await.unwrap_err();
    assert_eq!(unknown.class, Class::NotFound);
}

/// One moment is one way to hold, for so long and no longer.
#[tokio::test]
async fn members_that_are_to_be_held_in_different_ways_are_no_set() {
    let world = world().await;
    let host = world.host().await;
    let pause = request("db", Mode::Pause);
    let longer = Consistency { max_freeze: pause.consistency.max_freeze * 2, ..pause.consistency.clone() };
    let live = Consistency { on_unfreezable: OnUnfreezable::Live, ..pause.consistency.clone() };
    let stop = Consistency { mode: Mode::Stop, ..pause.consistency.clone() };
    for (consistency, words) in [
        (stop, "`mode` is `pause` for `db` and `stop` for `log`"),
        (longer, "`max_freeze` is `1m` for `db` and `2m` for `log`"),
        (live, "`on_unfreezable` is `refuse` for `db` and `live` for `log`"),
    ] {
        let other = BackupRequest { consistency, ..backup_request("log") };
        let refused = backup_set(&host, &[pause.clone(), other], &Silent::default()).await.unwrap_err();
        assert_eq!((refused.class, refused.hint.is_some()), (Class::Usage, true));
        assert!(refused.to_string().contains(words), "{refused}");
    }
    assert!(world.store.snapshot().is_empty());
}
