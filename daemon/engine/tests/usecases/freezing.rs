//! Backups that hold those who write: in which order, what voids it, what is refused, and that all run again.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::catalog::Verb;
use engine::failure::{Class, Failure};
use engine::format::manifest::Consistency as Kind;
use engine::format::names::Lineage;
use engine::lock::{Holder, LockOn, Locks};
use engine::port::docker::{
    Container, ContainerState as State, Docker as _, DockerErrorKind, Mount, MountOf,
};
use engine::testing::fake_docker::{Calls, FakeDocker, JobRunner, Moment, Script, Verdict, real_jobs};
use engine::usecase::backup::{BackupReport, BackupRequest, backup};
use engine::usecase::host::Host;
use engine::usecase::thaw::thaw;
use engine::usecase::watch::{Silent, Watch as _};
use engine::words::RunId;
use jiff::Timestamp;
use policies::policy::{Consistency, Mode, OnUnfreezable};

use crate::incremental::manifest;
use crate::support::tree::differences;
use crate::support::world::{World, backup_request, container, restore_as, restore_request, source};

/// A volume with two writers, a reader, and one that is down.
async fn world() -> World {
    let world = World::new();
    people(&world).await;
    world
}

async fn people(world: &World) {
    world.volume("db", 1).await;
    let mut reader = container("reader", "db", State::Running, "always");
    reader.mounts[0].writable = false;
    let mut web = container("web", "db", State::Running, "always");
    let mut db = container("db", "db", State::Running, "unless-stopped");
    for (container, service, needs) in [(&mut web, "web", "db:service_healthy:true"), (&mut db, "db", "")] {
        for (label, value) in [("project", "p"), ("service", service), ("depends_on", needs)] {
            container.labels.insert(format!("com.docker.compose.{label}"), value.to_owned());
        }
    }
    for container in [reader, web, db, container("idle", "db", State::Down, "always")] {
        world.docker.put_container(container);
    }
}

fn by(mode: Mode) -> Consistency {
    Consistency { mode, ..Consistency::default() }
}

async fn host(world: &World, script: Script) -> Host {
    world.host_with(Arc::new(world.store.clone()), Arc::new(world.docker.reopened(script))).await
}

async fn run(world: &World, script: Script, consistency: Consistency) -> Result<BackupReport, Failure> {
    let request = BackupRequest { consistency, ..backup_request("db") };
    backup(&host(world, script).await, &request, &Silent::default()).await
}

async fn all(world: &World) -> Vec<Container> {
    world.docker.containers().await.unwrap()
}

async fn state(world: &World, name: &str) -> State {
    world.docker.container(name).await.unwrap().unwrap().state
}

async fn holds_nothing(world: &World) {
    assert_eq!(world.host().await.catalog().freezes().unwrap(), []);
    assert_eq!(world.docker.leftovers().await.unwrap(), []);
}

/// What was done to containers, in order.
fn deeds(calls: &Calls) -> Vec<String> {
    let is_deed = |call: &String| {
        let verb = call.split(' ').next().unwrap();
        ["open_helper", "pause", "unpause", "stop", "start", "set_restart_policy", "finish_helper"]
            .contains(&verb)
    };
    let short = |call: String| match call.split_once(' ') {
        Some((verb @ ("open_helper" | "finish_helper"), _)) => verb.to_owned(),
        _ => call.replace("id-of-", ""),
    };
    calls.log().into_iter().filter(is_deed).map(short).collect()
}

/// Does something to the world right before the freeze is looked at, after the last byte was read.
fn meanwhile(world: &World, change: impl Fn(&FakeDocker) + Send + Sync + 'static) -> Script {
    let (docker, done) = (Arc::clone(&world.docker), AtomicBool::new(false));
    Arc::new(move |moment, deed| {
        if moment == Moment::Before && deed == "container id-of-web" && !done.swap(true, Ordering::SeqCst) {
            change(&docker);
        }
        Verdict::Pass
    })
}

#[tokio::test]
async fn writers_are_paused_after_all_that_takes_time_and_go_on_before_the_upload() {
    let (world, calls) = (world().await, Calls::new());
    let before = all(&world).await;
    let report = run(&world, calls.script(), by(Mode::Pause)).await.unwrap();
    assert_eq!(report.consistency, Kind::Paused);
    assert_eq!(
        deeds(&calls),
        [
            "open_helper",
            "finish_helper",
            "open_helper",
            "pause web",
            "pause db",
            "unpause db",
            "unpause web",
            "finish_helper"
        ]
    );
    assert_eq!(all(&world).await, before, "not even the start times differ");
    holds_nothing(&world).await;
    restore_as(&world.host().await, &restore_request("db", 1, Some("copy"))).await.unwrap();
    assert_eq!(differences(&world.tree("copy"), &world.tree("db")), "");
}

/// A container that has a folder mounted, and no volume.
pub(crate) fn with_folder(name: &str, path: &Path, writable: bool) -> Container {
    let mut container = container(name, "db", State::Running, "no");
    let of = MountOf::Bind { path: path.to_str().unwrap().to_owned() };
    container.mounts = vec![Mount { of, at: "/srv".to_owned(), writable }];
    container
}

#[tokio::test]
async fn who_writes_through_folders_above_and_within_is_held_too() {
    let (world, calls) = (World::new(), Calls::new());
    for name in ["db", "other"] {
        world.volume(name, 1).await;
    }
    let folder = world.docker.volume_folder("db");
    let above = folder.parent().unwrap();
    for (name, path, writable) in [
        ("above", above, true),
        ("itself", &folder, true),
        ("within", &folder.join("a"), true),
        ("looker", above, false),
        ("monitor", Path::new("/"), true),
        ("beside", &above.join("other"), true),
    ] {
        world.docker.put_container(with_folder(name, path, writable));
    }
    let report = run(&world, calls.script(), by(Mode::Pause)).await.unwrap();
    assert_eq!(report.consistency, Kind::Paused);
    let mut held: Vec<String> = deeds(&calls).into_iter().filter(|deed| deed.starts_with("pause ")).collect();
    held.sort();
    assert_eq!(held, ["pause above", "pause itself", "pause within"]);
    holds_nothing(&world).await;
    // Of whom it is told what they saw: all of it, in its place in what they have mounted.
    let manifest = manifest(&world, 1);
    let users: Vec<_> = manifest.users.iter().map(|user| (&*user.container, &*user.at)).collect();
    assert_eq!(users, [("above", "/srv/db"), ("itself", "/srv")]);
}

/// Who could not let go has tried: a second signal does not wait for what this program will do no more.
#[tokio::test]
async fn who_cannot_let_go_keeps_no_signal_waiting() {
    let world = world().await;
    let dead = AtomicBool::new(false);
    let script: Script = Arc::new(move |_moment, deed| {
        let is_dead = dead.load(Ordering::SeqCst);
        dead.fetch_or(deed.starts_with("pause "), Ordering::SeqCst);
        if is_dead { Verdict::Fail(DockerErrorKind::Unreachable) } else { Verdict::Pass }
    });
    let docker = Arc::new(world.docker.reopened(script));
    let host = world.host_with(Arc::new(world.store.clone()), docker).await;
    let request = BackupRequest { consistency: by(Mode::Pause), ..backup_request("db") };
    let watch = Silent::default();
    backup(&host, &request, &watch).await.unwrap_err();
    assert_ne!(host.catalog().freezes().unwrap(), [], "it did let go");
    assert!(!watch.cancel().is_holding());
}

#[tokio::test]
async fn writers_are_stopped_without_their_restart_policy_and_started_with_it() {
    let (world, calls) = (world().await, Calls::new());
    let report = run(&world, calls.script(), by(Mode::Stop)).await.unwrap();
    assert_eq!(report.consistency, Kind::Stopped);
    assert_eq!(
        deeds(&calls)[3..],
        [
            "set_restart_policy web no",
            "stop web",
            "set_restart_policy db no",
            "stop db",
            "set_restart_policy db unless-stopped",
            "start db",
            "set_restart_policy web always",
            "start web",
            "finish_helper"
        ]
    );
    assert_eq!(state(&world, "idle").await, State::Down);
    holds_nothing(&world).await;
}

#[tokio::test]
async fn what_nobody_writes_is_read_once_in_every_mode() {
    let world = world().await;
    for name in ["web", "db"] {
        world.docker.stop(name, Duration::ZERO).await.unwrap();
    }
    // A dump is what somebody says who runs.
    for mode in Mode::ALL.iter().filter(|mode| **mode != Mode::Dump) {
        let calls = Calls::new();
        let report = run(&world, calls.script(), by(*mode)).await.unwrap();
        assert_eq!(report.consistency, Kind::Idle, "{}", mode.word());
        assert_eq!(deeds(&calls), ["open_helper", "finish_helper"], "{}", mode.word());
    }
}

#[tokio::test]
async fn a_mode_that_cannot_be_had_is_refused_before_anything_is_done() {
    let world = world().await;
    // B20, and a container that a stop would remove; to pause them is fine.
    for what in ["com.docker.swarm.task.id", ""] {
        let mut web = container("web", "db", State::Running, "no");
        web.auto_remove = what.is_empty();
        web.labels.insert(what.to_owned(), String::new());
        world.docker.put_container(web);
        let refused = run(&world, Calls::new().script(), by(Mode::Stop)).await.unwrap_err();
        assert_eq!(refused.class, Class::Unsafe, "{refused}");
        run(&world, Calls::new().script(), by(Mode::Pause)).await.unwrap();
    }
}

/// Whoever holds the container that this program runs in is held with it.
#[tokio::test]
async fn nobody_holds_the_container_that_they_run_in() {
    let world = world().await;
    let mut web = container("web", "db", State::Running, "no");
    web.has_us = true;
    world.docker.put_container(web);
    let before = all(&world).await;
    for mode in [Mode::Pause, Mode::Stop] {
        let refused = run(&world, Calls::new().script(), by(mode)).await.unwrap_err();
        assert_eq!(refused.class, Class::Unsafe, "{refused}");
        assert!(refused.to_string().contains("this program runs in container `web`"), "{refused}");
    }
    let allowed = Consistency { on_unfreezable: OnUnfreezable::Live, ..by(Mode::Pause) };
    assert_eq!(run(&world, Calls::new().script(), allowed).await.unwrap().consistency, Kind::Live);
    assert_eq!(all(&world).await, before);
}

/// B15: never a silent fall to live.
#[tokio::test]
async fn an_engine_that_cannot_pause_is_told_of() {
    for nth in [1, 2] {
        for moment in [Moment::Before, Moment::After] {
            let (world, calls) = (world().await, Calls::new());
            let before = all(&world).await;
            calls.fail("pause", nth, moment, DockerErrorKind::Unsupported);
            let refused = run(&world, calls.script(), by(Mode::Pause)).await.unwrap_err();
            assert_eq!(refused.class, Class::Unsafe, "{refused}");
            assert_eq!(all(&world).await, before);
            let calls = Calls::new();
            calls.fail("pause", nth, moment, DockerErrorKind::Unsupported);
            let allowed = Consistency { on_unfreezable: OnUnfreezable::Live, ..by(Mode::Pause) };
            let report = run(&world, calls.script(), allowed).await.unwrap();
            assert_eq!(report.consistency, Kind::Live);
            assert_eq!(all(&world).await, before);
            holds_nothing(&world).await;
        }
    }
}

/// The engine says of `web` so many times that it cannot pause it, before or after it did.
fn busy(times: u32, moment: Moment) -> Script {
    let left = AtomicU32::new(times);
    Arc::new(move |now, deed| {
        let fails = now == moment
            && deed == "pause id-of-web"
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { Verdict::Fail(DockerErrorKind::Other) } else { Verdict::Pass }
    })
}

/// The kernel's freezer does not always get hold of a container that is busy.
#[tokio::test]
async fn a_pause_that_does_not_succeed_is_tried_again_and_not_for_ever() {
    for moment in [Moment::Before, Moment::After] {
        let world = world().await;
        let before = all(&world).await;
        let report = run(&world, busy(3, moment), by(Mode::Pause)).await.unwrap();
        assert_eq!((report.consistency, report.warnings), (Kind::Paused, Vec::<String>::new()));
        assert_eq!(all(&world).await, before);
        let failed = run(&world, busy(u32::MAX, moment), by(Mode::Pause)).await.unwrap_err();
        assert!(failed.to_string().contains("hold container `web`, in 6 tries"), "{failed}");
        assert!(failed.hint.unwrap().contains("`stop`"));
        assert_eq!(all(&world).await, before, "nobody stays paused");
        // They count as held: it ends with the longest freeze, not with the tries.
        let short = Consistency { max_freeze: Duration::from_secs(1), ..by(Mode::Pause) };
        let failed = run(&world, busy(u32::MAX, moment), short).await.unwrap_err();
        assert!(failed.to_string().contains("took longer than 1s"), "{failed}");
        assert_eq!(all(&world).await, before);
        holds_nothing(&world).await;
    }
}

/// What is paused already stays paused, and does not write.
#[tokio::test]
async fn what_a_human_has_paused_stays_paused() {
    for mode in [Mode::Pause, Mode::Stop] {
        let (world, calls) = (world().await, Calls::new());
        world.docker.pause("web").await.unwrap();
        let report = run(&world, calls.script(), by(mode)).await.unwrap();
        assert_ne!(report.consistency, Kind::Live);
        assert!(!deeds(&calls).iter().any(|deed| deed.ends_with(" web")), "{:?}", deeds(&calls));
        assert_eq!((state(&world, "web").await, state(&world, "db").await), (State::Paused, State::Running));
    }
}

#[tokio::test]
async fn what_others_do_meanwhile_voids_the_freeze_and_wins() {
    fn set(docker: &FakeDocker, state: State, started: i64) {
        let mut web = container("web", "db", state, "always");
        web.started_at = Some(Timestamp::from_second(started).unwrap());
        docker.put_container(web);
    }
    type Change = fn(&FakeDocker);
    let changes: [(&str, Change, Option<State>); 5] = [
        ("let go on", |docker| set(docker, State::Running, 0), Some(State::Running)),
        ("started anew", |docker| set(docker, State::Running, 77), Some(State::Running)),
        ("started anew and stopped", |docker| set(docker, State::Down, 77), Some(State::Down)),
        ("removed", |docker| docker.drop_container("id-of-web"), None),
        // B2: it was killed with its engine, so it is started, which a new start time shows.
        ("killed", |docker| set(docker, State::Down, 0), Some(State::Running)),
    ];
    for (what, change, want) in changes {
        let world = world().await;
        let failed = run(&world, meanwhile(&world, change), by(Mode::Pause)).await.unwrap_err();
        assert_eq!(failed.class, Class::Failed, "{what}");
        assert!(failed.to_string().contains("container `web` was started, stopped or let go"), "{failed}");
        let web = world.docker.container("web").await.unwrap().map(|web| web.state);
        assert_eq!((web, state(&world, "db").await), (want, State::Running), "{what}");
        assert!(world.store.snapshot().keys().all(|key| key.ends_with("owner.json")), "{what}");
        holds_nothing(&world).await;
    }
}

#[tokio::test]
async fn a_writer_that_comes_up_meanwhile_voids_the_freeze() {
    let world = world().await;
    let late = |docker: &FakeDocker| {
        let mut late = container("late", "db", State::Running, "no");
        late.started_at = Some(Timestamp::from_second(99).unwrap());
        docker.put_container(late);
    };
    let failed = run(&world, meanwhile(&world, late), by(Mode::Pause)).await.unwrap_err();
    assert!(failed.to_string().contains("container `late`"), "{failed}");
    assert_eq!(state(&world, "web").await, State::Running);
}

#[tokio::test]
async fn nobody_is_held_longer_than_allowed() {
    let mut world = World::new();
    // The second helper of each backup takes its time to hear what its job is.
    let (jobs, helper) = (AtomicU32::new(0), real_jobs());
    let slow: JobRunner = Arc::new(move |input, output, root| {
        let patience = 500 * u64::from(jobs.fetch_add(1, Ordering::SeqCst) % 2);
        helper(Box::new(Slow(input, patience)), output, root);
    });
    let folder = world.folder.path().join("slow");
    std::fs::create_dir(&folder).unwrap();
    world.docker = Arc::new(FakeDocker::new(folder, slow, Calls::new().script()));
    people(&world).await;
    let before = all(&world).await;
    let short = Consistency { max_freeze: Duration::from_secs(1), ..by(Mode::Pause) };
    let failed = run(&world, Calls::new().script(), short).await.unwrap_err();
    assert_eq!(failed.class, Class::Failed);
    assert!(failed.to_string().ends_with("that took longer than 1s, so they were let go"), "{failed}");
    assert_eq!(all(&world).await, before);
    holds_nothing(&world).await;
    let enough = Consistency { max_freeze: Duration::from_secs(60), ..by(Mode::Pause) };
    assert_eq!(run(&world, Calls::new().script(), enough).await.unwrap().consistency, Kind::Paused);
}

/// Waits so many milliseconds before the first byte.
struct Slow(Box<dyn Read + Send>, u64);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_millis(std::mem::take(&mut self.1)));
        self.0.read(buffer)
    }
}

/// An engine that refuses to let `web` go on so many times.
fn stubborn(refusals: &Arc<Mutex<u32>>) -> Script {
    let left = Arc::clone(refusals);
    Arc::new(move |moment, deed| {
        let mut left = left.lock().unwrap();
        if moment == Moment::Before && deed == "unpause id-of-web" && *left > 0 {
            *left -= 1;
            return Verdict::Fail(DockerErrorKind::Other);
        }
        Verdict::Pass
    })
}

/// B18: an engine that does not let go now is asked again, by the run and by whoever comes next.
#[tokio::test]
async fn what_cannot_be_let_go_is_tried_again_until_it_runs() {
    let world = world().await;
    let refusals = Arc::new(Mutex::new(u32::MAX));
    let failed = run(&world, stubborn(&refusals), by(Mode::Pause)).await.unwrap_err();
    assert!(failed.hint.unwrap().contains("backupctl thaw"));
    assert_eq!((state(&world, "web").await, state(&world, "db").await), (State::Paused, State::Running));
    let stuck = thaw(&host(&world, stubborn(&refusals)).await).await.unwrap();
    assert_eq!((stuck.said.len(), stuck.left.len()), (0, 1));
    *refusals.lock().unwrap() = 3;
    let thawed = thaw(&host(&world, stubborn(&refusals)).await).await.unwrap();
    assert_eq!((thawed.said, thawed.left.len()), (vec!["let container `web` go on".to_owned()], 0));
    assert_eq!(state(&world, "web").await, State::Running);
    holds_nothing(&world).await;
}

#[tokio::test]
async fn what_a_dead_run_of_the_same_source_holds_does_not_stop_the_next() {
    let world = world().await;
    run(&world, stubborn(&Arc::new(Mutex::new(u32::MAX))), by(Mode::Pause)).await.unwrap_err();
    assert_eq!(state(&world, "web").await, State::Paused);
    let report = run(&world, Calls::new().script(), by(Mode::Pause)).await.unwrap();
    assert_eq!((report.consistency, state(&world, "web").await), (Kind::Paused, State::Running));
    holds_nothing(&world).await;
}

/// Whoever came after it may read for hours before it wants to hold anybody.
#[tokio::test]
async fn what_a_dead_run_holds_is_let_go_while_a_newer_one_has_its_lock() {
    let world = world().await;
    run(&world, stubborn(&Arc::new(Mutex::new(u32::MAX))), by(Mode::Pause)).await.unwrap_err();
    let host = world.host().await;
    let held = host.catalog().freezes().unwrap()[0].run.clone();
    let locks = Locks::new(world.state().join("locks"));
    let on = LockOn::Lineage(Lineage { host: "h1".parse().unwrap(), source: source("db") });
    let holder =
        |run: &RunId| Holder { run: run.clone(), pid: 1, verb: Verb::Backup, since: Timestamp::UNIX_EPOCH };
    let lives = locks.try_lock(&on, &holder(&held)).unwrap();
    assert_eq!(thaw(&host).await.unwrap().said, [""; 0], "one that lives lets go by itself");
    assert_eq!(state(&world, "web").await, State::Paused);
    drop(lives);
    let _newer = locks.try_lock(&on, &holder(&RunId::random().unwrap())).unwrap();
    assert_eq!(thaw(&host).await.unwrap().said, ["let container `web` go on"]);
    assert_eq!(state(&world, "web").await, State::Running);
    holds_nothing(&world).await;
}

/// A8.
#[tokio::test]
async fn a_bug_of_ours_holds_nobody() {
    let world = world().await;
    let broken = meanwhile(&world, |_docker| panic!("as the test wants"));
    let failed = run(&world, broken, by(Mode::Pause)).await.unwrap_err();
    assert_eq!(failed.to_string(), "back up `db`: it broke down");
    assert_eq!((state(&world, "web").await, state(&world, "db").await), (State::Running, State::Running));
    holds_nothing(&world).await;
}

/// One that does not end when it is asked to is killed by the engine, and has written out nothing.
#[tokio::test]
async fn a_container_that_had_to_be_killed_is_not_called_stopped() {
    let world = world().await;
    let before = all(&world).await;
    world.docker.end_with("id-of-db", 137);
    let failure = run(&world, Calls::new().script(), by(Mode::Stop)).await.unwrap_err();
    assert!(failure.class == Class::Unsafe && failure.to_string().contains("`db` was killed"), "{failure}");
    let states = |all: &[Container]| all.iter().map(|one| (one.name.clone(), one.state)).collect::<Vec<_>>();
    assert_eq!(states(&all(&world).await), states(&before));
    holds_nothing(&world).await;
    let allowed = Consistency { on_unfreezable: OnUnfreezable::Live, ..by(Mode::Stop) };
    let report = run(&world, Calls::new().script(), allowed).await.unwrap();
    assert_eq!(report.consistency, Kind::Live);
    assert!(report.warnings.iter().any(|warning| warning.contains("was killed")), "{:?}", report.warnings);
}
