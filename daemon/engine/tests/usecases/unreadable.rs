//! Snapshots whose manifests cannot be read: never passed over in silence, whoever asks.

use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::port::store::StoreErrorKind as Kind;
use engine::testing::calls::{CallLog, When};
use engine::testing::fake_docker::FakeDocker;
use engine::testing::faulty_store::{Effect, Fault, FaultyStore, Verb};
use engine::usecase::browse::find;
use engine::usecase::host::Host;
use engine::usecase::import::ImportRequest;
use engine::usecase::restore::{RestorePlan, RestoreRequest, plan_restore};
use engine::usecase::snapshots::{Listed, Wanted, WantedHost, snapshots};
use engine::usecase::verify::{VerifyRequest, verify};
use engine::usecase::watch::Silent;
use jiff::Timestamp;

use crate::support::world::{World, back_up, import_request, restore_request, snapshot};

const SECOND: &str = "h1/db/00000002.manifest";
const LAST: &str = "h1/db/00000003.manifest";

/// Three snapshots, an hour between them, and a host that has never seen the store.
async fn burnt() -> World {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    for _ in 0..3 {
        back_up(&host, "db").await.unwrap();
        world.clock.advance(3600);
    }
    forget(&world);
    world
}

fn forget(world: &World) {
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        std::fs::remove_file(world.state().join(name)).ok();
    }
}

/// Whose store fails so at objects of that name.
async fn host(world: &World, key: &str, kind: Kind) -> Host {
    let fault = Fault::always(Verb::Get, Effect::Fail(When::Before, kind)).at(key);
    let store = FaultyStore::new(Arc::new(world.store.clone()), Arc::new(CallLog::default()), vec![fault]);
    world.host_with(Arc::new(store), Arc::<FakeDocker>::clone(&world.docker)).await
}

fn flip(world: &World, key: &str) {
    let mut bad = world.store.lose(key).unwrap().to_vec();
    bad[10] ^= 1;
    world.store.plant(key, bad);
}

async fn plan(host: &Host, at: Option<Timestamp>) -> Result<RestorePlan, Failure> {
    plan_restore(host, &RestoreRequest { number: None, at, ..restore_request("db", 1, None) }).await
}

async fn listed(host: &Host) -> Listed {
    snapshots(host, &Wanted { host: WantedHost::This, source: None, deleted: false }).await.unwrap()
}

#[tokio::test]
async fn an_older_one_is_never_taken_for_the_newest() {
    let world = burnt().await;
    for (kind, class) in [(Kind::Unavailable, Class::Failed), (Kind::Denied, Class::WrongKey)] {
        let host = host(&world, LAST, kind).await;
        let failed = plan(&host, None).await.unwrap_err();
        assert_eq!(failed.class, class, "{failed}");
        assert!(
            failed.to_string().starts_with("find the newest snapshot of `db`: read manifest"),
            "{failed}"
        );
        assert!(failed.hint.as_ref().is_some_and(|hint| hint.contains("`--snapshot 2`")), "{failed:?}");
        let named = plan_restore(&host, &restore_request("db", 2, None)).await.unwrap();
        assert_eq!((named.snapshot.as_str(), named.why.as_str()), ("db@2", "it was named"));
        drop(host);
        forget(&world);
    }
    flip(&world, LAST);
    let failed = plan(&world.host().await, None).await.unwrap_err();
    assert_eq!(failed.class, Class::WrongKey, "{failed}");
    assert!(failed.hint.as_ref().is_some_and(|hint| hint.contains("`--snapshot 2`")), "{failed:?}");
}

/// One that is older than the newest is no reason to keep anybody from restoring.
#[tokio::test]
async fn one_that_cannot_be_the_answer_is_none_of_its_business() {
    let world = burnt().await;
    flip(&world, SECOND);
    let host = world.host().await;
    assert_eq!(plan(&host, None).await.unwrap().snapshot, "db@3");
    let hour = |hours: i64| Timestamp::from_second(1_767_225_600 + hours * 3600).unwrap();
    assert_eq!(plan(&host, Some(hour(2))).await.unwrap().snapshot, "db@3");
    // Of all that can be read, the first is the newest by then; the second may be.
    let failed = plan(&host, Some(hour(1))).await.unwrap_err();
    assert_eq!(failed.class, Class::WrongKey, "{failed}");
    assert!(failed.hint.as_ref().is_some_and(|hint| hint.contains("`--snapshot 1`")), "{failed:?}");
    // What came after one that is too new is too new.
    drop(host);
    flip(&world, LAST);
    flip(&world, SECOND);
    forget(&world);
    let host = world.host().await;
    let early = Timestamp::from_second(hour(0).as_second() + 60).unwrap();
    assert_eq!(plan(&host, Some(early)).await.unwrap().snapshot, "db@1");
}

#[tokio::test]
async fn where_none_can_be_read_nobody_says_that_there_is_none() {
    let world = burnt().await;
    let host = host(&world, ".manifest", Kind::Unavailable).await;
    let failed = plan(&host, None).await.unwrap_err();
    assert_eq!(failed.class, Class::Failed, "{failed}");
    let listed = listed(&host).await;
    assert_eq!((listed.lines.len(), listed.unread.len()), (0, 3));
}

#[tokio::test]
async fn a_list_and_a_search_name_what_they_lack() {
    let world = burnt().await;
    flip(&world, SECOND);
    let host = world.host().await;
    let Listed { lines, unread } = listed(&host).await;
    assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(unread.iter().map(|one| one.number.get()).collect::<Vec<_>>(), [2]);
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    let searched = find(&host, "only-*", &wanted, &mut |_| Ok(())).await.unwrap();
    assert_eq!(searched.found, 2);
    assert_eq!(searched.unread.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["db@2"]);
}

/// What was deleted since the list was made is gone, and nothing that could not be read.
#[tokio::test]
async fn one_that_is_gone_is_not_one_that_cannot_be_read() {
    let world = burnt().await;
    world.store.lose(LAST);
    let stale = world.store.snapshot();
    assert!(!stale.contains_key(LAST));
    let listed = listed(&world.host().await).await;
    assert_eq!((listed.lines.len(), listed.unread.len()), (2, 0));
}

#[tokio::test]
async fn an_import_does_not_become_the_newest_beside_one_that_cannot_be_read() {
    let world = burnt().await;
    flip(&world, LAST);
    let host = world.host().await;
    let request = ImportRequest { taken_at: Some(world_time(1)), ..import_request("db") };
    let archive = Box::new(std::io::empty());
    let failed =
        engine::usecase::import::import(&host, &request, archive, &Silent::default()).await.unwrap_err();
    assert_eq!(failed.class, Class::WrongKey, "{failed}");
}

fn world_time(hours: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + hours * 3600).unwrap()
}

/// What was read back and found damaged is a worse choice than an older one that was not.
#[tokio::test]
async fn a_damaged_one_is_passed_over_and_the_plan_says_so() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    world.replant("db", 2);
    back_up(&host, "db").await.unwrap();
    let added = world.store.snapshot().into_keys().filter(|key| key.contains("/00000002-"));
    let key = added.max().unwrap();
    let mut bad = world.store.lose(&key).unwrap().to_vec();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    world.store.plant(&key, bad);
    let request = VerifyRequest { names: vec![snapshot("db@2")], quick: false };
    assert!(!verify(&host, &request, &Silent::default()).await.unwrap().damaged.is_empty());
    let chosen = plan(&host, None).await.unwrap();
    assert_eq!(
        (chosen.snapshot.as_str(), chosen.why.as_str()),
        ("db@1", "it is the newest that is not damaged")
    );
    let told =
        chosen.warnings.iter().any(|one| one.contains("`db@2` is newer") && one.contains("`--snapshot 2`"));
    assert!(told, "{:?}", chosen.warnings);
    // Where no other is whole, it is better than none.
    let request = VerifyRequest { names: vec![snapshot("db@1")], quick: false };
    let first = world.store.snapshot().into_keys().find(|key| key.contains("/00000001-")).unwrap();
    world.store.lose(&first);
    verify(&host, &request, &Silent::default()).await.unwrap();
    assert_eq!(plan(&host, None).await.unwrap().snapshot, "db@2");
}
