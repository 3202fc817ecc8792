//! Into a new volume or an empty folder: what is known before anything is made or fetched.

use archive::path::TreePath;
use engine::failure::Class;
use engine::format::key::HostKey;
use engine::format::manifest::Manifest;
use engine::format::signed;
use engine::port::docker::Docker as _;
use engine::usecase::restore::{RestoreRequest, plan_restore};

use crate::support::world::{World, back_up, restore_as, restore_request};

const MANIFEST: &str = "h1/db/00000001.manifest";

async fn world() -> World {
    let world = World::new();
    world.volume("db", 1).await;
    back_up(&world.host().await, "db").await.unwrap();
    world
}

fn beside(world: &World, paths: &[&str]) -> [RestoreRequest; 2] {
    let folder = world.folder.path().join("rescued");
    std::fs::create_dir_all(&folder).unwrap();
    let paths: Vec<_> = paths.iter().map(|path| TreePath::parse(path.as_bytes().to_vec()).unwrap()).collect();
    let into = RestoreRequest { paths, ..restore_request("db", 1, Some("look")) };
    let to = Some(folder.display().to_string());
    [RestoreRequest { into: None, to, ..into.clone() }, into]
}

#[tokio::test]
async fn a_path_that_the_snapshot_does_not_have_is_refused_by_the_plan() {
    let world = world().await;
    let host = world.host().await;
    for request in beside(&world, &["base/1", "base/2"]) {
        let failed = plan_restore(&host, &request).await.unwrap_err();
        assert_eq!(failed.class, Class::NotFound, "{failed}");
        assert!(failed.to_string().contains("`base/2`"), "{failed}");
    }
    // Also where the volume itself is gone and is made again.
    world.docker.remove_volume("db").await.unwrap();
    let [_, again] = beside(&world, &["base/2"]);
    let failed = plan_restore(&host, &RestoreRequest { into: None, ..again }).await.unwrap_err();
    assert_eq!(failed.class, Class::NotFound, "{failed}");
}

#[tokio::test]
async fn what_lies_at_paths_is_counted_wherever_it_goes() {
    let world = world().await;
    let host = world.host().await;
    for request in beside(&world, &["base/1", "sparse"]) {
        let plan = plan_restore(&host, &request).await.unwrap();
        assert_eq!((plan.files, plan.entries), (3, 5), "{plan:?}");
        assert!(plan.data_bytes < plan.bytes, "holes take no room: {plan:?}");
    }
}

/// What is fetched is compressed, and what is written is not.
#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_fetched() {
    let world = world().await;
    let mut huge: Manifest =
        serde_json::from_slice(signed::open(&world.store.snapshot()[MANIFEST]).unwrap().body).unwrap();
    huge.totals.data_bytes = 1 << 60;
    let host_key = HostKey::load_or_make(&world.state().join("host.key")).unwrap();
    world.store.plant(MANIFEST, signed::seal(&huge, &host_key).unwrap());
    let host = world.host().await;
    let failed = plan_restore(&host, &restore_request("db", 1, None)).await.unwrap_err();
    assert!(failed.to_string().contains("beside what is there"), "{failed}");
    let [to, into] = beside(&world, &[]);
    assert!(plan_restore(&host, &to).await.unwrap_err().to_string().contains("MiB"));
    // Where a volume that is made will lie is seen when it is there.
    let failed = restore_as(&host, &into).await.unwrap_err();
    assert!(failed.to_string().contains("the snapshot needs about"), "{failed}");
    assert!(world.docker.volume("look").await.unwrap().is_none(), "what was made is removed");
    assert_eq!(host.catalog().unfinished_runs().unwrap(), []);
}
