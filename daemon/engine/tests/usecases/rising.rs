//! Containers that are started again: nobody stays down for another one's health, and what does not stay up is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use engine::port::docker::{ContainerState as State, DockerErrorKind, Health};
use engine::testing::fake_docker::{Calls, FakeDocker, Moment, Script, Verdict};
use engine::usecase::backup::{BackupRequest, backup};
use engine::usecase::runs_again::Condition;
use engine::usecase::watch::Silent;
use policies::policy::{Consistency, Mode};

use crate::support::world::{World, back_up, backup_request, container, restore_as, restore_request};

/// `web` needs `db` in this way; neither is healthy yet.
async fn world(needs: &str) -> World {
    let world = World::new();
    world.volume("db", 1).await;
    for (name, needs) in [("web", needs), ("db", "")] {
        let mut one = container(name, "db", State::Running, "no");
        one.health = Health::Starting;
        for (label, value) in [("project", "p"), ("service", name), ("depends_on", needs)] {
            one.labels.insert(format!("com.docker.compose.{label}"), value.to_owned());
        }
        world.docker.put_container(one);
    }
    world
}

async fn stop_and_read(world: &World, script: Script) -> Result<Vec<String>, engine::failure::Failure> {
    let host = world.host_with(Arc::new(world.store.clone()), Arc::new(world.docker.reopened(script))).await;
    let consistency = Consistency { mode: Mode::Stop, ..Consistency::default() };
    let request = BackupRequest { consistency, ..backup_request("db") };
    backup(&host, &request, &Silent::default()).await.map(|report| report.warnings)
}

/// How often it was looked at how `db` is, between its own start and that of `web`.
fn looks(calls: &Calls) -> usize {
    let log = calls.log();
    let at = |deed: &str| log.iter().position(|call| call == deed).unwrap();
    let between = &log[at("start id-of-db")..at("start id-of-web")];
    between.iter().filter(|call| *call == "container id-of-db").count()
}

/// Both are well once `web` was started; `db` is before, if it was looked at so often since its start.
fn well(world: &World, calls: &Arc<Calls>, db_after: u32) -> Script {
    let (docker, log) = (Arc::clone(&world.docker), calls.script());
    let (started, seen) = (AtomicBool::new(false), AtomicU32::new(0));
    Arc::new(move |moment, deed| {
        match (moment, deed) {
            (Moment::After, "start id-of-db") => started.store(true, Ordering::SeqCst),
            (Moment::After, "start id-of-web") => {
                for name in ["web", "db"] {
                    is_now(&docker, name, State::Running, Health::Healthy);
                }
            }
            (Moment::Before, "container id-of-db")
                if started.load(Ordering::SeqCst) && seen.fetch_add(1, Ordering::SeqCst) == db_after =>
            {
                is_now(&docker, "db", State::Running, Health::Healthy);
            }
            _ => {}
        }
        log(moment, deed)
    })
}

#[tokio::test]
async fn nobody_stays_down_until_another_one_is_healthy() {
    let (world, calls) = (world("db:service_started:true").await, Calls::new());
    stop_and_read(&world, well(&world, &calls, u32::MAX)).await.unwrap();
    assert_eq!(looks(&calls), 0);
}

/// Who needs another one healthy waits for it, and not for ever.
#[tokio::test]
async fn one_that_needs_another_healthy_waits_for_that_within_bounds() {
    for (db_after, want) in [(2, 3..4), (u32::MAX, 200..300)] {
        let (world, calls) = (world("db:service_healthy:true").await, Calls::new());
        let warnings = stop_and_read(&world, well(&world, &calls, db_after)).await.unwrap();
        assert!(want.contains(&looks(&calls)), "{} of {want:?}", looks(&calls));
        assert_eq!(warnings, [""; 0]);
    }
}

/// It runs, so nobody owes it anything, however long its health takes.
#[tokio::test]
async fn what_was_started_is_forgotten_before_its_health_is_known() {
    let world = world("").await;
    let started = AtomicU32::new(0);
    let dies: Script = Arc::new(move |moment, deed| {
        let all = started.load(Ordering::SeqCst) == 2;
        started.fetch_add(u32::from(moment == Moment::After && deed.starts_with("start ")), Ordering::SeqCst);
        if all { Verdict::Fail(DockerErrorKind::Unreachable) } else { Verdict::Pass }
    });
    stop_and_read(&world, dies).await.unwrap_err();
    assert_eq!(world.host().await.catalog().freezes().unwrap(), []);
}

fn is_now(docker: &FakeDocker, name: &str, state: State, health: Health) {
    let mut one = container(name, "db", state, "no");
    one.health = health;
    docker.put_container(one);
}

/// What has no health check is running at the first look, whatever it was given to read.
#[tokio::test]
async fn one_that_ends_right_after_its_restore_is_not_called_well() {
    for ends in [false, true] {
        let world = World::new();
        world.volume("db", 1).await;
        world.docker.put_container(container("db", "db", State::Running, "no"));
        back_up(&world.host().await, "db").await.unwrap();
        let (docker, looks) = (Arc::clone(&world.docker), AtomicU32::new(0));
        let script: Script = Arc::new(move |moment, deed| {
            if (moment, deed) == (Moment::After, "start id-of-db") {
                looks.store(1, Ordering::SeqCst);
            }
            // It is seen once, and is gone at the next look.
            if (moment, deed) == (Moment::After, "container id-of-db")
                && looks.load(Ordering::SeqCst) > 0
                && looks.fetch_add(1, Ordering::SeqCst) == 1
                && ends
            {
                is_now(&docker, "db", State::Down, Health::None);
            }
            Verdict::Pass
        });
        let docker = Arc::new(world.docker.reopened(script));
        let host = world.host_with(Arc::new(world.store.clone()), docker).await;
        let report = restore_as(&host, &restore_request("db", 1, None)).await.unwrap();
        let want = if ends { Condition::NotHealthy } else { Condition::Unchecked };
        assert_eq!(report.health.iter().map(|one| one.health).collect::<Vec<_>>(), [want]);
        assert_eq!(
            report.warnings.iter().any(|line| line.contains("docker logs db")),
            ends,
            "{:?}",
            report.warnings
        );
    }
}
