//! Restores that were cut off, and what the next one makes of what they had.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::failure::{Class, Failure};
use engine::port::docker::{ContainerState, Docker as _, DockerErrorKind};
use engine::testing::fake_docker::{FakeDocker, Moment, Verdict};
use engine::usecase::recover::recover;
use engine::usecase::restore::{RestoreRequest, plan_restore};
use engine::usecase::runs::runs;
use engine::usecase::watch::Silent;

use crate::support::tree::{Tree, but_root_time, differences};
use crate::support::world::{World, back_up, container, restore_as, restore_request};

const LEFT: &str = ".backupd-restore-unfinished";

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// A snapshot of `db`, which has other content since, and what was in it.
async fn world() -> (World, Tree) {
    let mut world = World::new();
    world.unfinished_bytes = 1;
    let tree = world.volume("db", 1).await;
    back_up(&world.host().await, "db").await.unwrap();
    world.replant("db", 2);
    (world, tree)
}

/// Whose every call fails, or kills who calls, once all of a restore is there and nothing is in place; only the first does.
fn failing(world: &World, target: &str, kills: bool) -> Arc<FakeDocker> {
    let (folder, done) = (world.docker.volume_folder(target), AtomicBool::new(false));
    Arc::new(world.docker.reopened(Arc::new(move |moment, _deed| {
        let staged = std::fs::read_dir(&folder).is_ok_and(|mut inside| {
            inside.any(|entry| entry.is_ok_and(|entry| entry.path().join("journal").exists()))
        });
        if moment != Moment::Before || !staged || done.swap(true, Ordering::SeqCst) {
            return Verdict::Pass;
        }
        assert!(!kills, "dies here");
        Verdict::Fail(DockerErrorKind::Other)
    })))
}

async fn cut_off(world: &World, request: &RestoreRequest) -> Failure {
    let docker = failing(world, request.into.as_deref().unwrap_or("db"), false);
    let host = world.host_with(Arc::new(world.store.clone()), docker).await;
    restore_as(&host, request).await.unwrap_err()
}

fn waits(world: &World, volume: &str) -> bool {
    world.docker.volume_folder(volume).join(LEFT).exists()
}

/// But for the times of folders that our own came into and left.
#[track_caller]
fn assert_same(got: Tree, want: &Tree) {
    assert_eq!(differences(&but_root_time(got), &but_root_time(want.clone())), "");
}

#[tokio::test]
async fn what_was_fetched_is_not_fetched_again() {
    let (world, tree) = world().await;
    world.docker.put_container(container("web", "db", ContainerState::Running, "always"));
    let before = world.tree("db");
    let failed = cut_off(&world, &restore_request("db", 1, None)).await;
    assert!(failed.to_string().contains("of it wait in `db` for a day"), "{failed}");
    let mut now = world.tree("db");
    now.retain(|path, _| !path.starts_with(LEFT.as_bytes()));
    assert_same(now, &before);
    assert_eq!(world.docker.container("id-of-web").await.unwrap().unwrap().state, ContainerState::Running);

    // A backup takes none of it along.
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    restore_as(&host, &restore_request("db", 2, Some("look"))).await.unwrap();
    assert_same(world.tree("look"), &before);

    let plan = plan_restore(&host, &restore_request("db", 1, None)).await.unwrap();
    assert!(plan.unfinished_at.is_some(), "{plan:?}");
    let report = restore_as(&host, &restore_request("db", 1, None)).await.unwrap();
    assert_eq!(report.fetched_bytes, 0, "{report:?}");
    assert_eq!((report.files, report.entries), (plan.files, plan.entries));
    assert_same(world.tree("db"), &tree);
    assert_eq!(host.catalog().unfinished_restores().unwrap(), []);
    let plan = plan_restore(&host, &restore_request("db", 1, None)).await.unwrap();
    assert_eq!(plan.unfinished_at, None);
}

/// Of another snapshot it is worth what the two have in common.
#[tokio::test]
async fn another_snapshot_goes_on_with_it_too() {
    let (world, _) = world().await;
    cut_off(&world, &restore_request("db", 1, None)).await;
    let host = world.host().await;
    let want = world.replant("db", 3);
    back_up(&host, "db").await.unwrap();
    world.replant("db", 2);
    restore_as(&host, &restore_request("db", 2, None)).await.unwrap();
    let mut want = want;
    want.retain(|path, _| !path.starts_with(LEFT.as_bytes()));
    assert_same(world.tree("db"), &want);
}

#[tokio::test]
async fn who_begins_anew_fetches_all_of_it() {
    for request in [
        RestoreRequest { fresh: true, ..restore_request("db", 1, None) },
        RestoreRequest { delta: true, ..restore_request("db", 1, None) },
    ] {
        let (world, tree) = world().await;
        cut_off(&world, &restore_request("db", 1, None)).await;
        let host = world.host().await;
        let plan = plan_restore(&host, &request).await.unwrap();
        assert!(plan.unfinished_at.is_none(), "{plan:?}");
        let report = restore_as(&host, &request).await.unwrap();
        assert!(report.fetched_bytes > 0, "{report:?}");
        assert_same(world.tree("db"), &tree);
    }
}

#[tokio::test]
async fn a_volume_that_was_made_for_it_waits_too_and_holds_nothing_else() {
    let (world, tree) = world().await;
    let request = restore_request("db", 1, Some("copy"));
    cut_off(&world, &request).await;
    let inside = std::fs::read_dir(world.docker.volume_folder("copy")).unwrap();
    assert_eq!(inside.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), [LEFT]);
    let host = world.host().await;
    let report = restore_as(&host, &request).await.unwrap();
    assert_eq!(report.fetched_bytes, 0, "{report:?}");
    assert_same(world.tree("copy"), &tree);
    // From now on it is a volume like any other.
    assert_eq!(restore_as(&host, &request).await.unwrap_err().class, Class::Unsafe);
}

#[tokio::test]
async fn what_nobody_goes_on_with_is_removed_after_a_day() {
    let (world, _) = world().await;
    let before = world.tree("db");
    cut_off(&world, &restore_request("db", 1, None)).await;
    cut_off(&world, &restore_request("db", 1, Some("copy"))).await;
    // Files have the time of this machine, and the engine's twin has its own.
    for (volume, is_there) in [("db", true), ("copy", true)] {
        assert_eq!(waits(&world, volume), is_there);
        let left = world.docker.volume_folder(volume).join(LEFT);
        std::fs::File::open(left).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    let host = world.host().await;
    assert_eq!(recover(&host, &Silent::default()).await.unwrap().said, [""; 0], "it is too early");
    world.clock.advance(DAY_SECONDS + 1);
    let recovered = recover(&host, &Silent::default()).await.unwrap();
    assert!(recovered.said.len() == 2 && recovered.left.is_empty(), "{recovered:?}");
    assert!(!waits(&world, "db"));
    assert_same(world.tree("db"), &before);
    assert!(world.docker.volume("copy").await.unwrap().is_none(), "it was made for the restore");
    assert_eq!(recover(&host, &Silent::default()).await.unwrap().said, [""; 0]);
}

#[tokio::test]
async fn little_does_not_wait() {
    let (mut world, _) = world().await;
    world.unfinished_bytes = 1 << 30;
    let failed = cut_off(&world, &restore_request("db", 1, None)).await;
    assert!(!failed.to_string().contains("wait in"), "{failed}");
    assert!(!waits(&world, "db"));
    cut_off(&world, &restore_request("db", 1, Some("copy"))).await;
    assert!(world.docker.volume("copy").await.unwrap().is_none());
    assert_eq!(world.host().await.catalog().unfinished_restores().unwrap(), []);
}

/// Who died is settled by the next start, which says how to go on.
#[tokio::test]
async fn a_dead_run_leaves_what_it_had() {
    let (world, tree) = world().await;
    let docker = failing(&world, "db", true);
    let host = world.host_with(Arc::new(world.store.clone()), docker).await;
    let dead = tokio::spawn(async move { restore_as(&host, &restore_request("db", 1, None)).await });
    assert!(dead.await.unwrap_err().is_panic());
    let host = world.host().await;
    let recovered = recover(&host, &Silent::default()).await.unwrap();
    assert!(recovered.said.len() == 1 && recovered.said[0].contains("gone on with"), "{recovered:?}");
    assert!(runs(&host, 9).unwrap().iter().all(|run| run.ended_at.is_some()) && waits(&world, "db"));
    let report = restore_as(&host, &restore_request("db", 1, None)).await.unwrap();
    assert_eq!(report.fetched_bytes, 0, "{report:?}");
    assert_same(world.tree("db"), &tree);
}

/// Whoever writes into a volume while it is being made for a restore keeps that, also if its container is gone by then.
#[tokio::test]
async fn what_somebody_writes_into_a_new_volume_meanwhile_is_theirs() {
    let (world, _) = world().await;
    let request = restore_request("db", 1, Some("copy"));
    let (folder, done) = (world.docker.volume_folder("copy"), AtomicBool::new(false));
    let docker = world.docker.reopened(Arc::new(move |moment, deed| {
        if moment == Moment::Before
            && deed.starts_with("finish_helper")
            && folder.exists()
            && !done.swap(true, Ordering::SeqCst)
        {
            std::fs::File::create(folder.join("theirs")).unwrap();
        }
        Verdict::Pass
    }));
    let host = world.host_with(Arc::new(world.store.clone()), Arc::new(docker)).await;
    let failed = restore_as(&host, &request).await.unwrap_err();
    assert!(failed.class == Class::Busy && failed.to_string().contains("somebody wrote"), "{failed}");
    assert!(world.docker.volume_folder("copy").join("theirs").exists());
    // It is a volume like any other now, and waiting changes nothing of that.
    assert_eq!(restore_as(&host, &request).await.unwrap_err().class, Class::Unsafe);
    world.clock.advance(400 * DAY_SECONDS);
    recover(&host, &Silent::default()).await.unwrap();
    assert!(world.docker.volume_folder("copy").join("theirs").exists());
}

/// A volume that was there before is never removed, however empty.
#[tokio::test]
async fn a_volume_that_was_there_stays_when_what_waited_is_removed() {
    let (world, _) = world().await;
    let folder = world.docker.volume_folder("db");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    cut_off(&world, &restore_request("db", 1, None)).await;
    std::fs::File::open(folder.join(LEFT)).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    world.clock.advance(DAY_SECONDS + 1);
    let host = world.host().await;
    let recovered = recover(&host, &Silent::default()).await.unwrap();
    assert!(recovered.said.len() == 1 && !waits(&world, "db"), "{recovered:?}");
    assert!(world.docker.volume("db").await.unwrap().is_some());
    // A folder that is gone is no trouble either.
    cut_off(&world, &restore_request("db", 1, None)).await;
    world.docker.remove_volume("db").await.unwrap();
    world.clock.advance(DAY_SECONDS + 1);
    assert_eq!(recover(&host, &Silent::default()).await.unwrap().left, [""; 0]);
    assert_eq!(host.catalog().unfinished_restores().unwrap(), []);
}
