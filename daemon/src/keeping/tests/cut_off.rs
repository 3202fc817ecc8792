//! Runs that did not come to their end: each slot is made up for once, and by nobody where a person has cancelled.

use engine::catalog::Verb;
use engine::failure::Class;
use engine::format::names::Lineage;
use engine::lock::{Held, Holder, LockOn, Locks};
use engine::words::RunId;

use super::*;

async fn weekly() -> World {
    let world = World::new();
    world.policy("week.toml", &text("0 2 * * 0", "db"));
    world.volume("db").await;
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.clock.set("2026-11-22T02:00:00Z".parse().unwrap());
    world
}

/// The host goes down while the run of the slot is on, or the service is stopped.
async fn cut(keeping: &mut Keeping, stopped: bool) {
    keeping.look().await.unwrap();
    keeping.turn().unwrap();
    assert_eq!(keeping.busy.len(), 1);
    if stopped {
        keeping.stop().await;
    }
}

#[tokio::test]
async fn a_run_that_was_cut_off_is_made_up_for_once() {
    for stopped in [false, true] {
        let world = weekly().await;
        cut(&mut world.keeping().await, stopped).await;
        world.clock.advance(3);
        let mut keeping = world.keeping().await;
        turn(&mut keeping).await;
        assert_eq!(world.began("db").await, ["22T02:03"], "{stopped}");
        world.pass(&mut keeping, 6 * 24).await;
        assert_eq!(world.began("db").await.len(), 1);

        // What makes up for one and is cut off as well is not made up for: something may kill whoever tries.
        world.clock.set("2026-11-29T02:00:00Z".parse().unwrap());
        cut(&mut keeping, stopped).await;
        drop(keeping);
        cut(&mut world.keeping().await, stopped).await;
        let mut keeping = world.keeping().await;
        world.pass(&mut keeping, 5 * 24).await;
        assert_eq!(world.began("db").await.len(), 1, "{stopped}");
        world.pass(&mut keeping, 2 * 24).await;
        assert_eq!(world.began("db").await.len(), 2, "{stopped}");
    }
}

#[tokio::test]
async fn what_a_person_has_cancelled_is_not_begun_again() {
    let world = weekly().await;
    let mut keeping = world.keeping().await;
    cut(&mut keeping, false).await;
    let source = "db".parse().unwrap();
    assert!(keeping.ledger.sources[&source].open.is_some());
    keeping.close(&source, Some(Class::Interrupted));
    assert_eq!(keeping.ledger.sources[&source].open, None);
}

#[tokio::test]
async fn a_snapshot_that_was_committed_before_the_end_needs_no_other() {
    let world = weekly().await;
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    let source = "db".parse().unwrap();
    let began_at = world.clock.now();
    let open = engine::usecase::ledger::Open { began_at, again: false, not_before: began_at };
    keeping.ledger.sources.get_mut(&source).unwrap().open = Some(open);
    keeping.ledger.write(&keeping.host).unwrap();
    drop(keeping);
    let mut keeping = world.keeping().await;
    world.pass(&mut keeping, 24).await;
    assert_eq!(world.began("db").await, ["22T02:00"]);
}

fn at_work(world: &World) -> Held {
    let (run, since) = (RunId::random().unwrap(), world.clock.now());
    let holder = Holder { run, pid: 1, verb: Verb::Prune, since };
    let on = LockOn::Lineage(Lineage { host: "h1".parse().unwrap(), source: "db".parse().unwrap() });
    Locks::new(world.dir.path().join("state/locks")).try_lock(&on, &holder).unwrap()
}

#[tokio::test]
async fn somebody_else_at_work_is_waited_for_and_then_told() {
    for (hours, failures) in [(0, 0), (1, 1)] {
        let world = weekly().await;
        let mut keeping = world.keeping().await;
        let held = at_work(&world);
        turn(&mut keeping).await;
        let failed = |keeping: &mut Keeping| keeping.sight().unwrap().health[0].failures;
        assert_eq!((failed(&mut keeping), world.began("db").await.len()), (0, 0));
        world.pass(&mut keeping, hours).await;
        drop(held);
        world.pass(&mut keeping, 2).await;
        assert_eq!(failed(&mut keeping), failures);
        assert_eq!(world.began("db").await.len(), usize::from(failures == 0));
    }
}

/// It speaks for all sources of its policy.
#[tokio::test]
async fn a_heartbeat_comes_only_while_every_source_is_well() {
    let world = World::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let notify = format!("[notify]\nheartbeat = \"http://{}/beat\"\n", listener.local_addr().unwrap());
    world.policy("hours.toml", &(text("0 * * * *", "db*") + &notify));
    for name in ["db1", "db2"] {
        world.volume(name).await;
    }
    let file = world.docker.volume_folder("db1").join("file");
    std::fs::remove_file(&file).unwrap();
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.pass(&mut keeping, 3).await;
    keeping.teller.finish(&keeping.host).await.unwrap();
    assert_eq!(world.began("db2").await.len(), 3);
    assert!(listener.accept().is_err(), "one source fails, whatever the others do");
    write(&file, "x");
    world.pass(&mut keeping, 1).await;
    let heard = async {
        while listener.accept().is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
}
