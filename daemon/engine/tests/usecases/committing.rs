//! The moment of the commit, and everybody who could be in its way.

use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::port::store::{Store as _, StoreErrorKind};
use engine::testing::calls::{CallLog, When};
use engine::testing::fake_docker::{FakeDocker, Script, Verdict};
use engine::testing::faulty_store::{Effect, Fault, FaultyStore, Verb};
use engine::usecase::backup::BackupReport;
use engine::usecase::host::{Host, Settings};
use engine::usecase::recover::recover;
use engine::usecase::runs::runs;
use engine::usecase::watch::Silent;

use crate::support::tree::differences;
use crate::support::world::{StoodClock, World, back_up, restore_as, restore_request};

const DAY_SECONDS: i64 = 24 * 3600;

async fn faulty_host(world: &World, faults: Vec<Fault>) -> Host {
    let store = FaultyStore::new(Arc::new(world.store.clone()), CallLog::recording(), faults);
    world.host_with(Arc::new(store), Arc::<FakeDocker>::clone(&world.docker)).await
}

async fn world() -> World {
    let world = World::new();
    world.volume("db", 1).await;
    world
}

fn at_commit(effect: Effect) -> Fault {
    Fault::nth(Verb::Put, 1, effect).at(".manifest")
}

async fn with_fault(world: &World, fault: Fault) -> Result<BackupReport, Failure> {
    back_up(&faulty_host(world, vec![fault]).await, "db").await
}

fn packs(world: &World) -> usize {
    world.store.snapshot().keys().filter(|key| key.ends_with(".tar.zst")).count()
}

#[tokio::test]
async fn a_lost_reply_to_the_commit_is_no_failure() {
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Exists] {
        let world = world().await;
        let done = with_fault(&world, at_commit(Effect::Fail(When::After, kind))).await.unwrap();
        assert_eq!(done.snapshot, "db@1");
        restore_as(&world.host().await, &restore_request("db", 1, Some("new"))).await.unwrap();
        assert_eq!(differences(&world.tree("new"), &world.tree("db")), "");
    }
}

#[tokio::test]
async fn a_commit_that_did_not_happen_is_told_with_its_cause() {
    let cases = [
        (StoreErrorKind::Unavailable, Class::Failed),
        (StoreErrorKind::Denied, Class::WrongKey),
        (StoreErrorKind::Full, Class::Failed),
    ];
    for (kind, class) in cases {
        let world = world().await;
        let failed = with_fault(&world, at_commit(Effect::Fail(When::Before, kind))).await.unwrap_err();
        assert_eq!(failed.class, class, "{failed}");
        assert!(failed.to_string().contains("told to fail"), "{failed}");
        assert_eq!(back_up(&world.host().await, "db").await.unwrap().snapshot, "db@1");
    }
}

#[tokio::test]
async fn what_fails_after_the_commit_does_not_take_it_back() {
    let world = world().await;
    // The commit is read back, and that fails once.
    let fault =
        Fault::nth(Verb::Get, 1, Effect::Fail(When::Before, StoreErrorKind::Unavailable)).at(".manifest");
    let done = with_fault(&world, fault).await.unwrap();
    assert_eq!(done.snapshot, "db@1");
    assert!(done.warnings[0].contains("after the commit"), "{:?}", done.warnings);
    assert_eq!(runs(&world.host().await, 1).unwrap()[0].state, "done");
}

#[tokio::test]
async fn another_writer_of_the_same_number_wins_and_is_told() {
    const THEIRS: &str = "h1/db/00000002.manifest";
    let world = world().await;
    back_up(&world.host().await, "db").await.unwrap();
    // A machine that was copied with its state folder commits number 2.
    let state = world.folder.path().join("copied");
    let copied = std::process::Command::new("cp").arg("-a").arg(world.state()).arg(&state).status();
    assert!(copied.unwrap().success());
    let settings = Settings { state, ..world.settings() };
    let clone = Host::open(settings, Arc::<StoodClock>::clone(&world.clock)).await.unwrap();
    let clone = clone.with_ports(Arc::new(world.store.clone()), Arc::<FakeDocker>::clone(&world.docker));
    assert_eq!(back_up(&clone, "db").await.unwrap().snapshot, "db@2");
    let theirs = world.store.lose(THEIRS).unwrap();
    // It becomes visible to us when our source was read.
    let (store, bytes) = (world.store.clone(), theirs.clone());
    let script: Script = Arc::new(move |_moment, deed| {
        if deed.starts_with("finish_helper") {
            store.plant(THEIRS, bytes.clone());
        }
        Verdict::Pass
    });
    let docker = world.docker.reopened(script);
    let host = world.host_with(Arc::new(world.store.clone()), Arc::new(docker)).await;
    let failed = back_up(&host, "db").await.unwrap_err();
    assert_eq!(failed.class, Class::Busy, "{failed}");
    assert_eq!(world.store.snapshot()[THEIRS], theirs);
    restore_as(&world.host().await, &restore_request("db", 2, Some("new"))).await.unwrap();
    assert_eq!(back_up(&world.host().await, "db").await.unwrap().snapshot, "db@3");
}

#[tokio::test]
async fn a_clone_under_the_same_name_is_refused() {
    let world = world().await;
    back_up(&world.host().await, "db").await.unwrap();
    let before = world.store.snapshot();
    std::fs::remove_dir_all(world.state()).unwrap();
    let failed = back_up(&world.host().await, "db").await.unwrap_err();
    assert!(matches!(failed.class, Class::Unsafe | Class::WrongKey), "{failed}");
    assert!(failed.hint.unwrap().contains("--host"));
    assert_eq!(world.store.snapshot(), before);
}

#[tokio::test]
async fn a_store_that_ignores_conditions_still_serves_one_writer() {
    let world = world().await;
    let ignores = || vec![Fault::always(Verb::Put, Effect::IgnoreCondition)];
    for number in 1..=3 {
        let done = back_up(&faulty_host(&world, ignores()).await, "db").await.unwrap();
        assert_eq!(done.snapshot, format!("db@{number}"));
    }
    restore_as(&world.host().await, &restore_request("db", 1, Some("first"))).await.unwrap();
    assert_eq!(differences(&world.tree("first"), &world.tree("db")), "");
}

#[tokio::test]
async fn after_an_outage_at_any_verb_the_next_backup_is_whole() {
    let verbs = [
        Verb::Get,
        Verb::List,
        Verb::Begin,
        Verb::Write,
        Verb::Finish,
        Verb::Put,
        Verb::OpenUploads,
        Verb::Delete,
    ];
    for verb in verbs {
        let world = world().await;
        back_up(&world.host().await, "db").await.unwrap();
        let want = world.replant("db", 2);
        let fault = Fault::always(verb, Effect::Fail(When::Before, StoreErrorKind::Unavailable));
        let tried = with_fault(&world, fault).await;
        assert_eq!(tried.is_ok(), matches!(verb, Verb::OpenUploads | Verb::Delete), "{verb:?}: {tried:?}");
        let host = world.host().await;
        let recovered = recover(&host, &Silent::default()).await.unwrap();
        assert!(recovered.left.is_empty(), "{verb:?}: {:?}", recovered.left);
        assert_eq!(world.store.open_uploads("").await.unwrap(), [], "{verb:?}");
        back_up(&host, "db").await.unwrap();
        restore_as(&host, &restore_request("db", 2, Some("new"))).await.unwrap();
        assert_eq!(differences(&world.tree("new"), &want), "", "{verb:?}");
    }
}

#[tokio::test]
async fn an_orphan_stays_a_day_and_then_goes() {
    let world = world().await;
    back_up(&world.host().await, "db").await.unwrap();
    let first = world.tree("db");
    world.replant("db", 2);
    // The manifest was asked for, so it may still arrive: its pack must stay.
    let lost = at_commit(Effect::Fail(When::Before, StoreErrorKind::Denied));
    with_fault(&world, lost).await.unwrap_err();
    assert_eq!(packs(&world), 2);
    world.clock.advance(2 * DAY_SECONDS);
    back_up(&world.host().await, "db").await.unwrap();
    // The orphan of number 2 is gone; the packs of 1 and of the new 2 are there.
    assert_eq!(packs(&world), 2);
    for (number, want) in [(1, first), (2, world.tree("db"))] {
        let into = format!("check-{number}");
        restore_as(&world.host().await, &restore_request("db", number, Some(&into))).await.unwrap();
        assert_eq!(differences(&world.tree(&into), &want), "", "db@{number}");
    }
}
