//! Restores in place that change only what differs.

use std::fs;
use std::io::Write as _;

use engine::failure::Class;
use engine::port::docker::{ContainerState, Docker as _};
use engine::usecase::restore::{RestoreRequest, plan_restore};

use crate::support::tree::{but_root_time, differences, record};
use crate::support::world::{World, back_up, container, restore_as, restore_request};

fn delta(number: u64) -> RestoreRequest {
    RestoreRequest { delta: true, ..restore_request("db", number, None) }
}

fn write(path: &std::path::Path, bytes: &[u8]) {
    fs::File::create(path).unwrap().write_all(bytes).unwrap();
}

/// Of one kind, so that none of it compresses.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[tokio::test]
async fn only_what_differs_is_fetched() {
    let world = World::new();
    world.volume("db", 1).await;
    let large = world.docker.volume_folder("db").join("large");
    write(&large, &noise(40 << 20));
    let host = world.host().await;
    let was = but_root_time(world.tree("db"));
    back_up(&host, "db").await.unwrap();
    let spoiled = fs::File::options().write(true).open(&large).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&spoiled, b"spoiled", 9 << 20).unwrap();
    fs::remove_file(world.docker.volume_folder("db").join("PG_VERSION")).unwrap();

    let plan = plan_restore(&host, &delta(1)).await.unwrap();
    assert!(plan.delta && plan.in_place);
    let report = restore_as(&host, &delta(1)).await.unwrap();
    assert_eq!(differences(&but_root_time(world.tree("db")), &was), "");
    let found = report.delta.unwrap();
    // The file and its attributes, the other file, and the folder that it is in.
    assert!((3..=4).contains(&found.differing) && !found.too_much, "{found:?}");
    assert!(report.fetched_bytes < 4 << 20 && found.written_bytes < 1 << 20, "{report:?}");
    assert_eq!((report.entries, report.previous), (was.len() as u64, None));
}

#[tokio::test]
async fn where_most_differs_all_is_restored() {
    let world = World::new();
    world.volume("db", 1).await;
    let large = world.docker.volume_folder("db").join("large");
    write(&large, &noise(140 << 20));
    let host = world.host().await;
    let was = but_root_time(world.tree("db"));
    back_up(&host, "db").await.unwrap();
    write(&large, b"nothing of it");
    let report = restore_as(&host, &delta(1)).await.unwrap();
    assert!(report.delta.unwrap().too_much, "{report:?}");
    assert_eq!(differences(&but_root_time(world.tree("db")), &was), "");
}

#[tokio::test]
async fn who_uses_it_is_down_and_runs_again() {
    let world = World::new();
    let was = but_root_time(world.volume("db", 1).await);
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    world.docker.put_container(container("app", "db", ContainerState::Running, "always"));
    world.replant("db", 2);
    let report = restore_as(&host, &delta(1)).await.unwrap();
    assert_eq!(report.started, ["app"]);
    let app = world.docker.container("id-of-app").await.unwrap().unwrap();
    assert_eq!((app.state, app.restart_policy.as_str()), (ContainerState::Running, "always"));
    assert_eq!(differences(&but_root_time(world.tree("db")), &was), "");
}

#[tokio::test]
async fn what_cannot_be_had_of_one_is_refused() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = Some(folder.path().display().to_string());
    for request in [
        RestoreRequest { keep_previous: true, ..delta(1) },
        RestoreRequest { into: Some("new".to_owned()), ..delta(1) },
        RestoreRequest { to, ..delta(1) },
    ] {
        let refused = plan_restore(&host, &request).await.unwrap_err();
        assert_eq!(refused.class, Class::Usage, "{refused}");
    }
    assert_eq!(record(folder.path()).len(), 1);
    // A volume that is gone is made again, whole.
    world.docker.remove_volume("db").await.unwrap();
    let plan = plan_restore(&host, &delta(1)).await.unwrap();
    assert!(plan.creates_volume && !plan.delta);
}
