//! Deleting softly, bringing back, purging; and a catalog that is lost.

use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::port::store::StoreErrorKind;
use engine::testing::calls::{CallLog, When};
use engine::testing::fake_docker::FakeDocker;
use engine::testing::faulty_store::{Effect, Fault, FaultyStore, Verb};
use engine::usecase::backup::{BackupRequest, backup};
use engine::usecase::delete::{delete, plan_delete, undelete};
use engine::usecase::host::Host;
use engine::usecase::reindex::{catalog_check, catalog_rebuild};
use engine::usecase::snapshots::{Wanted, WantedHost, snapshots};
use engine::usecase::watch::Silent;

use crate::support::tree::differences;
use crate::support::world::{World, back_up, backup_request, restore_as, restore_request, snapshot};

async fn two() -> World {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    // Each with a pack of its own; what shared packs need is in `incremental`.
    for _ in 0..2 {
        let request = BackupRequest { full: true, ..backup_request("db") };
        backup(&host, &request, &Silent::default()).await.unwrap();
    }
    world
}

async fn gone(host: &Host, name: &str, purge: bool) -> Result<(), Failure> {
    let plan = plan_delete(host, &snapshot(name), purge).await?;
    delete(host, plan, &Silent::default()).await
}

async fn listed(host: &Host, deleted: bool) -> Vec<u64> {
    let wanted = Wanted { host: WantedHost::This, source: None, deleted };
    snapshots(host, &wanted).await.unwrap().lines.iter().map(|line| line.number).collect()
}

#[tokio::test]
async fn a_soft_delete_can_be_taken_back() {
    let world = two().await;
    let host = world.host().await;
    gone(&host, "db@1", false).await.unwrap();
    assert_eq!((listed(&host, false).await, listed(&host, true).await), (vec![2], vec![1, 2]));
    let failed = restore_as(&host, &restore_request("db", 1, Some("x"))).await.unwrap_err();
    assert_eq!(failed.class, Class::NotFound, "{failed}");
    undelete(&host, &snapshot("db@1")).await.unwrap();
    assert_eq!(listed(&host, false).await, [1, 2]);
    restore_as(&host, &restore_request("db", 1, Some("x"))).await.unwrap();
    assert_eq!(differences(&world.tree("x"), &world.tree("db")), "");
}

#[tokio::test]
async fn a_purge_takes_what_was_planned_and_nothing_else() {
    for softly_first in [false, true] {
        let world = two().await;
        let host = world.host().await;
        if softly_first {
            gone(&host, "db@1", false).await.unwrap();
        }
        let before = world.store.snapshot();
        let plan = plan_delete(&host, &snapshot("db@1"), true).await.unwrap();
        assert!(plan.frees_bytes > 1_300_000 && !plan.newest);
        let planned = plan.objects.clone();
        delete(&host, plan, &Silent::default()).await.unwrap();
        let after = world.store.snapshot();
        for key in before.keys().filter(|key| !after.contains_key(*key)) {
            assert!(planned.contains(key) || key.contains("/deleted/"), "`{key}` was not planned");
        }
        assert!(after.keys().all(|key| !key.contains("/00000001")), "{:?}", after.keys());
        assert_eq!(undelete(&host, &snapshot("db@1")).await.unwrap_err().class, Class::NotFound);
        restore_as(&host, &restore_request("db", 2, Some("x"))).await.unwrap();
        assert_eq!(differences(&world.tree("x"), &world.tree("db")), "");
    }
}

#[tokio::test]
async fn numbers_of_soft_deleted_snapshots_are_not_used_again() {
    let world = two().await;
    let host = world.host().await;
    gone(&host, "db@2", false).await.unwrap();
    assert_eq!(back_up(&host, "db").await.unwrap().snapshot, "db@3");
}

/// The number of the newest is free again when it is gone for good. A purge that is cut off right after its last step in
/// the store must not leave a row that makes a forgery of the next snapshot.
#[tokio::test]
async fn a_purge_of_the_newest_that_is_cut_off_stands_in_nobody_s_way() {
    let world = two().await;
    let lost_answer = Effect::Fail(When::After, StoreErrorKind::Unavailable);
    let fault = Fault::always(Verb::Delete, lost_answer).at("/deleted/00000002.manifest");
    let store = FaultyStore::new(Arc::new(world.store.clone()), CallLog::recording(), vec![fault]);
    let dying = world.host_with(Arc::new(store), Arc::<FakeDocker>::clone(&world.docker)).await;
    gone(&dying, "db@2", true).await.unwrap_err();
    let host = world.host().await;
    assert_eq!(back_up(&host, "db").await.unwrap().snapshot, "db@2");
    assert_eq!(listed(&host, true).await, [1, 2]);
    restore_as(&host, &restore_request("db", 2, Some("x"))).await.unwrap();
    assert_eq!(differences(&world.tree("x"), &world.tree("db")), "");
}

#[tokio::test]
async fn a_lost_catalog_is_rebuilt_equal() {
    let world = two().await;
    world.volume("web", 4).await;
    let dump = {
        let host = world.host().await;
        back_up(&host, "web").await.unwrap();
        back_up(&host, "db").await.unwrap();
        gone(&host, "db@2", false).await.unwrap();
        host.catalog().index_dump().unwrap()
    };
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        std::fs::remove_file(world.state().join(name)).ok();
    }
    let host = world.host().await;
    assert_ne!(host.catalog().index_dump().unwrap(), dump);
    let rebuilt = catalog_rebuild(&host, &Silent::default()).await.unwrap();
    assert_eq!((rebuilt.snapshots, rebuilt.lineages, rebuilt.hosts), (4, 2, 1));
    assert_eq!(rebuilt.unreadable, Vec::<String>::new());
    assert_eq!(host.catalog().index_dump().unwrap(), dump);
    assert_eq!(catalog_check(&host, &Silent::default()).await.unwrap().differences, Vec::<String>::new());
}
