//! Retention by a catalog that was put back from a copy.

use super::*;

/// D3: a catalog that was put back from last month knows less than the store, and the store counts.
#[tokio::test]
async fn an_older_catalog_takes_nothing_away_and_gives_no_number_twice() {
    let (world, mut trees) = nights(2).await;
    let files = ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"].map(|n| world.state().join(n));
    let old = files.clone().map(|path| (fs::read(&path).ok(), path));
    for night in 3..=4 {
        fs::write(world.docker.volume_folder("db").join("night"), [night; 5000]).unwrap();
        trees.push(world.tree("db"));
        back_up(&world.host().await, "db").await.unwrap();
        world.clock.advance(DAY_SECONDS);
    }
    for (bytes, path) in old {
        fs::remove_file(&path).ok();
        bytes.into_iter().for_each(|bytes| fs::write(&path, bytes).unwrap());
    }
    let host = world.host().await;
    let plan = plan(&host, &last(2)).await;
    assert_eq!(ids(&plan, Action::Delete), ["db@1", "db@2"]);
    carried_out(&host, &plan).await;
    trees.push(world.tree("db"));
    assert_eq!(back_up(&host, "db").await.unwrap().snapshot, "db@5");
    assert_eq!(listed(&world).await, [3, 4, 5]);
    restores(&world, &[3, 4, 5], &trees).await;
}
