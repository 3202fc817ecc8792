//! Backups between two programs of a policy: in which order, what becomes of bad ends, and that `after` is always run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use engine::failure::{Class, Failure};
use engine::format::manifest::Consistency as Kind;
use engine::port::docker::{ContainerState as State, Docker as _, DockerErrorKind};
use engine::port::exec::ExecEnd;
use engine::testing::fake_docker::{Moment, Script, Verdict};
use engine::usecase::backup::{BackupReport, BackupRequest, backup};
use engine::usecase::recover::recover;
use engine::usecase::thaw::thaw;
use engine::usecase::watch::Silent;
use jiff::Timestamp;
use policies::policy::{Consistency, Mode, OnUnfreezable};

use crate::support::inside::{Inside, Shared};
use crate::support::world::{World, backup_request, container};

async fn scene(inside: Inside) -> (World, Shared) {
    let (world, inside) = (World::new(), Shared::new(inside));
    world.volume("db", 1).await;
    world.docker.put_container(container("db", "db", State::Running, "always"));
    world.docker.install(inside.programs());
    (world, inside)
}

fn hooks() -> Consistency {
    let [before, after] = ["before", "after"].map(|which| vec!["hook".to_owned(), which.to_owned()]);
    Consistency { mode: Mode::Hooks, before, after, ..Consistency::default() }
}

/// Writes the engine's part of the order beside that of the hooks, and lets `meddle` judge.
fn script(inside: &Shared, meddle: impl Fn(Moment, &str) -> Verdict + Send + Sync + 'static) -> Script {
    let inside = inside.clone();
    Arc::new(move |moment, deed| {
        let verb = deed.split(' ').next().unwrap_or_default();
        if moment == Moment::Before && ["open_helper", "pause", "finish_helper"].contains(&verb) {
            inside.note(verb);
        }
        meddle(moment, deed)
    })
}

async fn run(world: &World, script: Script, consistency: Consistency) -> Result<BackupReport, Failure> {
    let docker = Arc::new(world.docker.reopened(script));
    let host = world.host_with(Arc::new(world.store.clone()), docker).await;
    backup(&host, &BackupRequest { consistency, ..backup_request("db") }, &Silent::default()).await
}

async fn nothing_is_held(world: &World) {
    assert_eq!(world.host().await.catalog().freezes().unwrap(), []);
    assert_eq!(world.docker.leftovers().await.unwrap(), []);
}

fn nothing_was_committed(world: &World) {
    assert!(world.store.snapshot().keys().all(|key| key.ends_with("owner.json")));
}

#[tokio::test]
async fn the_second_pass_is_between_the_hooks() {
    let (world, inside) = scene(Inside::default()).await;
    let report = run(&world, script(&inside, |_, _| Verdict::Pass), hooks()).await.unwrap();
    assert_eq!((report.consistency, report.warnings.len()), (Kind::Hooks, 0));
    let want = ["open_helper", "finish_helper", "open_helper", "before", "after", "finish_helper"];
    assert_eq!(inside.look().log, want);
    nothing_is_held(&world).await;
    // Either of them may be missing, not both.
    for which in [0, 1] {
        let (world, inside) = scene(Inside::default()).await;
        let all = hooks();
        let some = match which {
            0 => Consistency { before: Vec::new(), ..all },
            _ => Consistency { after: Vec::new(), ..all },
        };
        run(&world, script(&inside, |_, _| Verdict::Pass), some).await.unwrap();
        assert_eq!(inside.look().log.iter().filter(|one| !one.ends_with("helper")).count(), 1);
        nothing_is_held(&world).await;
    }
    let none = Consistency { before: Vec::new(), after: Vec::new(), ..hooks() };
    assert_eq!(
        run(&world, script(&inside, |_, _| Verdict::Pass), none).await.unwrap_err().class,
        Class::Usage
    );
}

#[tokio::test]
async fn a_hook_that_fails_fails_the_backup_and_after_is_run() {
    for (ends, words) in [
        ((3, 0), "hook `before` in container `db`: it ended with status 3: it went wrong"),
        ((127, 0), "hook `before` in container `db`: it ended with status 127"),
        ((0, 4), "hook `after` in container `db`: it ended with status 4: it went wrong"),
    ] {
        let (world, inside) = scene(Inside { hooks_end: ends, ..Inside::default() }).await;
        // That a live copy would do does not make it one.
        let consistency = Consistency { on_unfreezable: OnUnfreezable::Live, ..hooks() };
        let failed = run(&world, script(&inside, |_, _| Verdict::Pass), consistency).await.unwrap_err();
        assert_eq!(failed.class, Class::Failed);
        assert!(failed.to_string().contains(words), "{failed}");
        assert!(failed.hint.is_some(), "{failed}");
        let hooks_run: Vec<_> =
            inside.look().log.iter().filter(|one| !one.ends_with("helper")).cloned().collect();
        assert_eq!(hooks_run, ["before", "after"], "{words}");
        nothing_is_held(&world).await;
        nothing_was_committed(&world);
    }
}

#[tokio::test]
async fn a_hook_that_hangs_is_not_waited_for() {
    let (world, inside) = scene(Inside { hooks_end: (-1, 0), ..Inside::default() }).await;
    let short = Consistency { max_freeze: Duration::from_secs(1), ..hooks() };
    let failed = run(&world, script(&inside, |_, _| Verdict::Pass), short).await.unwrap_err();
    assert_eq!(failed.class, Class::Failed);
    assert!(failed.to_string().contains("runs for longer than 1s, so `after` was run beside it"), "{failed}");
    assert!(failed.hint.unwrap().contains("docker exec db hook"));
    assert_eq!(inside.look().log.last().unwrap(), "after");
    nothing_is_held(&world).await;
    nothing_was_committed(&world);
}

#[tokio::test]
async fn a_container_that_was_started_anew_between_the_hooks_voids_the_copy() {
    for (state, after_is_run) in [(State::Running, true), (State::Down, false)] {
        let (world, inside) = scene(Inside::default()).await;
        let docker = Arc::clone(&world.docker);
        let watched = inside.clone();
        let restart = script(&inside, move |moment, deed| {
            let is_quiet = watched.look().is_quiet;
            if moment == Moment::Before && deed == "container id-of-db" && is_quiet {
                let mut db = container("db", "db", state, "always");
                db.started_at = Some(Timestamp::from_second(77).unwrap());
                docker.put_container(db);
            }
            Verdict::Pass
        });
        let failed = run(&world, restart, hooks()).await.unwrap_err();
        assert!(failed.to_string().contains("container `db` was started, stopped or let go"), "{failed}");
        assert_eq!(inside.look().log.last().unwrap() == "after", after_is_run, "{:?}", inside.look().log);
        nothing_is_held(&world).await;
        nothing_was_committed(&world);
    }
}

/// SIGKILL between the hooks: whoever comes next runs `after`, once.
#[tokio::test]
async fn what_a_dead_run_left_is_ended_by_the_next_start() {
    let (world, inside) = scene(Inside::default()).await;
    let watched = inside.clone();
    let dead = script(&inside, move |_moment, _deed| match watched.look().is_quiet {
        true => Verdict::Fail(DockerErrorKind::Unreachable),
        false => Verdict::Pass,
    });
    run(&world, dead, hooks()).await.unwrap_err();
    assert!(inside.look().is_quiet);
    assert_eq!(world.host().await.catalog().freezes().unwrap().len(), 1);
    let thawed = thaw(&world.host().await).await.unwrap();
    assert_eq!(
        (thawed.said, thawed.left),
        (vec!["ran the hook `after` in container `db`".to_owned()], vec![])
    );
    assert!(!inside.look().is_quiet);
    assert_eq!(thaw(&world.host().await).await.unwrap().said, [""; 0]);
    recover(&world.host().await, &Silent::default()).await.unwrap();
    nothing_is_held(&world).await;
    nothing_was_committed(&world);
    // The next backup is whole.
    let report = run(&world, script(&inside, |_, _| Verdict::Pass), hooks()).await.unwrap();
    assert_eq!(report.consistency, Kind::Hooks);
}

/// SIGKILL while `before` is on its way: nobody can end it, and what it does it does at its end.
#[tokio::test]
async fn after_waits_for_a_before_that_outlives_its_run() {
    let (world, inside) = scene(Inside::default()).await;
    let (others, shared, may_end) = (inside.programs(), inside.clone(), Arc::new(AtomicBool::new(false)));
    let gate = Arc::clone(&may_end);
    world.docker.install(Arc::new(move |spec, input, output| {
        if spec.argv != ["hook", "before"] {
            return others(spec, input, output);
        }
        shared.note("before");
        while !gate.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        shared.look().is_quiet = true;
        ExecEnd { status: 0, last_words: String::new() }
    }));
    let watched = inside.clone();
    let dead =
        script(&inside, move |_moment, _deed| match watched.look().log.iter().any(|one| one == "before") {
            true => Verdict::Fail(DockerErrorKind::Unreachable),
            false => Verdict::Pass,
        });
    run(&world, dead, hooks()).await.unwrap_err();
    // It ends when it was looked at for the third time.
    let (looks, gate) = (AtomicU32::new(0), Arc::clone(&may_end));
    let looked_at = script(&inside, move |moment, deed| {
        if moment == Moment::After && deed.starts_with("exec_runs ") {
            gate.fetch_or(looks.fetch_add(1, Ordering::SeqCst) == 2, Ordering::SeqCst);
        }
        Verdict::Pass
    });
    let docker = Arc::new(world.docker.reopened(looked_at));
    let thawed = thaw(&world.host_with(Arc::new(world.store.clone()), docker).await).await.unwrap();
    may_end.store(true, Ordering::SeqCst);
    world.docker.programs_end().await;
    assert!(!inside.look().is_quiet, "it stays quiet for good: {:?}", inside.look().log);
    assert_eq!((thawed.said.len(), thawed.left), (1, vec![]));
    recover(&world.host().await, &Silent::default()).await.unwrap();
    nothing_is_held(&world).await;
}

/// Trouble with what one run has left keeps nobody else from running.
#[tokio::test]
async fn a_run_that_cannot_be_looked_after_keeps_no_other_held() {
    let (world, inside) = scene(Inside::default()).await;
    world.volume("log", 2).await;
    world.docker.put_container(container("log", "log", State::Running, "always"));
    for (name, mode) in [("db", Mode::Pause), ("log", Mode::Stop)] {
        let dies = AtomicBool::new(false);
        let dead = script(&inside, move |moment, deed| {
            let is_dead = dies.load(Ordering::SeqCst);
            let is_held =
                moment == Moment::After && (deed.starts_with("pause ") || deed.starts_with("stop "));
            dies.fetch_or(is_held, Ordering::SeqCst);
            if is_dead { Verdict::Fail(DockerErrorKind::Unreachable) } else { Verdict::Pass }
        });
        let docker = Arc::new(world.docker.reopened(dead));
        let host = world.host_with(Arc::new(world.store.clone()), docker).await;
        let consistency = Consistency { mode, ..Consistency::default() };
        let request = BackupRequest { consistency, ..backup_request(name) };
        backup(&host, &request, &Silent::default()).await.unwrap_err();
    }
    let host = world.host().await;
    assert_eq!(host.catalog().freezes().unwrap().len(), 2);
    // The lock of one of them is no file any more.
    let mut locks = std::fs::read_dir(world.state().join("locks")).unwrap().map(|lock| lock.unwrap().path());
    let lock = locks.find(|path| path.to_string_lossy().ends_with(".lineage.lock")).unwrap();
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    let thawed = thaw(&host).await.unwrap();
    assert_eq!((thawed.said.len(), thawed.left.len()), (1, 1), "{thawed:?}");
    assert!(thawed.left[0].starts_with("look after what run "), "{thawed:?}");
    std::fs::remove_dir(&lock).unwrap();
    let thawed = thaw(&world.host().await).await.unwrap();
    assert_eq!((thawed.said.len(), thawed.left.len()), (1, 0), "{thawed:?}");
    recover(&world.host().await, &Silent::default()).await.unwrap();
    nothing_is_held(&world).await;
}
