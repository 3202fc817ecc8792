//! Damage that is known when the next backup begins: that one goes on, leans on nothing that is bad, and says so.

use std::sync::Arc;

use engine::catalog::{Filter, SnapshotRow, VerifiedResult};
use engine::failure::Class;
use engine::format::key::HostKey;
use engine::format::manifest::{Manifest, Parent, SnapshotKind};
use engine::format::names::Lineage;
use engine::format::signed;
use engine::port::store::ReadStore as _;
use engine::testing::calls::CallLog;
use engine::testing::faulty_store::{Effect, Fault, FaultyStore, Verb};
use engine::testing::memory_store::MemoryStore;
use engine::usecase::backup::BackupReport;
use engine::usecase::reindex::catalog_rebuild;
use engine::usecase::verify::{VerifyReport, VerifyRequest, verify};
use engine::usecase::watch::Silent;

use crate::damaged::lose_catalog;
use crate::incremental::{grow_old, manifest, packs, restores, touch, world};
use crate::support::world::{World, back_up, snapshot, source};

const SECOND: &str = "h1/db/00000002.manifest";

async fn next(world: &World) -> BackupReport {
    back_up(&world.host().await, "db").await.unwrap()
}

/// A full snapshot, and an incremental one that leans on it; gives the key of the full one's pack.
async fn two_snapshots() -> (World, String) {
    let world = world().await;
    grow_old().await;
    next(&world).await;
    touch(&world, 3);
    next(&world).await;
    let first = packs(&world).pop_first().unwrap();
    assert!(leans_on(&world, 2, &first));
    (world, first)
}

fn leans_on(world: &World, number: u64, pack: &str) -> bool {
    manifest(world, number).packs.iter().any(|of| pack.ends_with(&of.name))
}

/// Within the large file, whose frames hold nothing else.
fn flip(world: &World, pack: &str) {
    let mut bytes = world.store.lose(pack).unwrap().to_vec();
    bytes[4_000_000] ^= 1;
    world.store.plant(pack, bytes);
}

async fn verified(world: &World, name: Option<&str>, quick: bool) -> VerifyReport {
    let request = VerifyRequest { names: name.map(snapshot).into_iter().collect(), quick };
    verify(&world.host().await, &request, &Silent::default()).await.unwrap()
}

/// What the catalog knows, without a look at the store.
async fn known(world: &World) -> Vec<SnapshotRow> {
    let lineage = Lineage { host: "h1".parse().unwrap(), source: source("db") };
    let host = world.host().await;
    host.catalog().snapshots(&Filter::of(&world.store.name(), &lineage)).unwrap()
}

fn says(report: &BackupReport, what: &[&str]) -> bool {
    report.warnings.iter().any(|warning| what.iter().all(|what| warning.contains(what)))
}

/// R5: a bit flips in what never changes, a verification of an older snapshot finds it, and the next backup heals.
#[tokio::test]
async fn a_pack_that_was_found_damaged_is_leaned_on_no_more() {
    let (world, first) = two_snapshots().await;
    flip(&world, &first);
    assert_eq!(next(&world).await.warnings, Vec::<String>::new(), "nobody has looked");
    assert!(leans_on(&world, 3, &first));
    let damaged = verified(&world, Some("db@1"), false).await.damaged;
    assert!(damaged.iter().any(|damage| damage.object == first && damage.files == ["large"]), "{damaged:?}");

    let healed = next(&world).await;
    assert!(says(&healed, &[&first, "stored anew"]), "{:?}", healed.warnings);
    assert!(!leans_on(&world, 4, &first));
    assert_eq!(verified(&world, Some("db@4"), false).await.damaged, []);
    restores(&world, 4, &world.tree("db")).await;
    assert_eq!(next(&world).await.warnings, Vec::<String>::new());
}

/// A quick look finds less, so that it finds nothing is no news.
#[tokio::test]
async fn a_pack_that_is_found_whole_again_is_as_good_as_any() {
    let (world, first) = two_snapshots().await;
    let good = world.store.snapshot()[&first].clone();
    flip(&world, &first);
    verified(&world, None, false).await;
    world.store.plant(&first, good);
    for (quick, heals) in [(false, false), (true, false)] {
        verified(&world, None, quick).await;
        assert_eq!(says(&next(&world).await, &[&first]), heals);
    }
    flip(&world, &first);
    verified(&world, None, false).await;
    flip(&world, &first);
    verified(&world, None, true).await;
    assert!(says(&next(&world).await, &[&first]));
}

#[tokio::test]
async fn a_pack_that_many_share_is_read_once_damaged_or_not() {
    let (world, first) = two_snapshots().await;
    let whole = verified(&world, None, false).await;
    flip(&world, &first);
    let damaged = verified(&world, None, false).await;
    assert_eq!((whole.snapshots, damaged.snapshots, damaged.frames), (2, 2, whole.frames - 1));
    let of = |name| damaged.damaged.iter().filter(|d| d.snapshot == name && d.files == ["large"]).count();
    assert_eq!((of("db@1"), of("db@2")), (1, 1), "{:?}", damaged.damaged);
}

/// Whoever takes a manifest for damaged goes on behind it, and touches nothing.
#[tokio::test]
async fn a_damaged_newest_manifest_costs_a_full_snapshot() {
    let (world, _) = two_snapshots().await;
    let good = world.store.snapshot()[SECOND].to_vec();
    let host_key = HostKey::load_or_make(&world.state().join("host.key")).unwrap();
    let mut odd: serde_json::Value = serde_json::from_slice(signed::open(&good).unwrap().body).unwrap();
    odd["kind"] = "odd".into();
    let flipped = [&good[..99], &[good[99] ^ 1], &good[100..]].concat();
    let cases = [
        ("flipped", flipped),
        ("cut", good[..good.len() - 1].to_vec()),
        ("empty", Vec::new()),
        ("odd", signed::seal(&odd, &host_key).unwrap().to_vec()),
    ];
    for (what, bytes) in cases {
        world.store.plant(SECOND, bytes.clone());
        let report = next(&world).await;
        assert_eq!((&*report.snapshot, report.kind), ("db@3", SnapshotKind::Full), "{what}");
        assert!(says(&report, &[SECOND, "`backupctl verify --all`"]), "{what}: {:?}", report.warnings);
        assert_eq!(world.store.snapshot()[SECOND], bytes, "{what}");
        let second = known(&world).await.remove(1);
        assert_eq!(second.verified.map(|found| found.result), Some(VerifiedResult::Damaged), "{what}");
        let first = &world.store.snapshot()["h1/db/00000001.manifest"];
        let hash = *blake3::hash(first).as_bytes();
        assert_eq!(
            manifest(&world, 3).parent,
            Some(Parent { number: 1.try_into().unwrap(), hash }),
            "{what}"
        );
        restores(&world, 3, &world.tree("db")).await;
        let after = next(&world).await;
        assert_eq!((after.kind, after.warnings), (SnapshotKind::Incremental, Vec::new()), "{what}");
        // For the next case, as if neither had been.
        for key in ["h1/db/00000003.manifest", "h1/db/00000004.manifest", SECOND] {
            world.store.lose(key).unwrap();
        }
        lose_catalog(&world);
        world.store.plant(SECOND, good.clone());
        catalog_rebuild(&world.host().await, &Silent::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_newest_manifest_of_another_key_or_version_ends_the_backup() {
    let (world, _) = two_snapshots().await;
    let good = world.store.snapshot()[SECOND].clone();
    let body: Manifest = serde_json::from_slice(signed::open(&good).unwrap().body).unwrap();
    let host_key = HostKey::load_or_make(&world.state().join("host.key")).unwrap();
    let newer = Manifest { format: 99, ..body.clone() };
    let cases = [
        (signed::seal(&body, &HostKey::from_seed([7; 32])).unwrap(), Class::WrongKey, "unknown key"),
        (signed::seal(&newer, &host_key).unwrap(), Class::Failed, "format version 99"),
        (world.store.snapshot()["h1/db/00000001.manifest"].clone(), Class::WrongKey, "not its own"),
    ];
    for (bytes, class, words) in cases {
        world.store.plant(SECOND, bytes);
        let refused = back_up(&world.host().await, "db").await.unwrap_err();
        assert_eq!(refused.class, class, "{refused}");
        assert!(refused.to_string().contains(words), "{refused}");
        assert!(!world.store.snapshot().contains_key("h1/db/00000003.manifest"));
    }
}

#[tokio::test]
async fn without_a_manifest_that_can_be_read_a_lineage_goes_on_all_the_same() {
    let (world, _) = two_snapshots().await;
    for key in ["h1/db/00000001.manifest", SECOND] {
        world.store.plant(key, b"{}".to_vec());
    }
    let report = next(&world).await;
    assert_eq!((&*report.snapshot, report.kind), ("db@3", SnapshotKind::Full));
    assert!(says(&report, &["00000001.manifest"]) && says(&report, &[SECOND]), "{:?}", report.warnings);
    assert_eq!(manifest(&world, 3).parent, None);
}

/// The catalog knows better, until somebody looks what there is.
#[tokio::test]
async fn the_number_of_a_manifest_that_is_gone_is_not_given_again() {
    let (world, _) = two_snapshots().await;
    let of_second: Vec<_> = manifest(&world, 2).packs.iter().map(|pack| pack.name.clone()).collect();
    let gone = world.store.lose(SECOND).unwrap();
    let report = next(&world).await;
    assert_eq!((&*report.snapshot, report.kind), ("db@3", SnapshotKind::Incremental));
    assert!(says(&report, &[SECOND, "gone", "`backupctl verify --all`"]), "{:?}", report.warnings);
    assert_eq!(manifest(&world, 3).parent.unwrap().number.get(), 1);
    world.clock.advance(3 * 24 * 3600);
    assert_eq!(next(&world).await.warnings, Vec::<String>::new());
    let kept = packs(&world);
    assert!(of_second.iter().all(|name| kept.contains(&format!("h1/db/{name}"))), "{kept:?}");
    assert_eq!(known(&world).await.len(), 4);
    world.store.plant(SECOND, gone);
    assert_eq!(verified(&world, None, false).await.damaged, []);
}

#[tokio::test]
async fn a_list_that_lacks_the_newest_manifest_is_no_loss() {
    let (world, _) = two_snapshots().await;
    let stale = Fault::always(Verb::List, Effect::Lacks("00000002.manifest"));
    let store = FaultyStore::new(Arc::new(world.store.clone()), CallLog::recording(), vec![stale]);
    let host = world.host_with(Arc::new(store), Arc::clone(&world.docker) as _).await;
    let report = back_up(&host, "db").await.unwrap();
    assert_eq!((&*report.snapshot, report.warnings), ("db@3", Vec::new()));
    assert_eq!(manifest(&world, 3).parent.unwrap().number.get(), 2);
}

#[tokio::test]
async fn an_empty_store_in_the_place_of_a_full_one_is_told_and_filled_on() {
    let (world, _) = two_snapshots().await;
    let empty = MemoryStore::new();
    let host = world.host_with(Arc::new(empty.clone()), Arc::clone(&world.docker) as _).await;
    let report = back_up(&host, "db").await.unwrap();
    assert_eq!((&*report.snapshot, report.kind), ("db@3", SnapshotKind::Full));
    assert!(says(&report, &[SECOND, "gone"]), "{:?}", report.warnings);
    assert_eq!(back_up(&host, "db").await.unwrap().warnings, Vec::<String>::new());
    // Back where it was, no number stands for two.
    let report = next(&world).await;
    assert_eq!(report.snapshot, "db@5");
}
