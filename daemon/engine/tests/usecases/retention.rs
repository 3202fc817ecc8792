//! Retention carried out: what was printed is done, and nothing that is kept loses anything.

mod older_catalog;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use engine::catalog::{Pin, SnapshotKey};
use engine::failure::Class;
use engine::format::manifest::Manifest;
use engine::port::docker::Docker as _;
use engine::port::store::StoreErrorKind;
use engine::testing::calls::{CallLog, When};
use engine::testing::fake_docker::FakeDocker;
use engine::testing::faulty_store::{Effect, Fault, FaultyStore, Verb};
use engine::usecase::cover::{Cover, Policies};
use engine::usecase::delete::{delete, plan_delete, undelete};
use engine::usecase::foresight::{Foresight, foresee};
use engine::usecase::guarding::acknowledge;
use engine::usecase::host::Host;
use engine::usecase::pins::{pin, unpin};
use engine::usecase::prune::{Pruned, prune};
use engine::usecase::retention::{Action, Retention, retention, sources};
use engine::usecase::snapshots::{Wanted, WantedHost, snapshots};
use engine::usecase::verify::{VerifyRequest, verify};
use engine::usecase::watch::{Cancel, Silent, Told, Watch};
use engine::words::Number;
use jiff::tz::TimeZone;
use policies::policy::Folder;
use policies::retention::{Keep, Terms};
use policies::select::{Source, SourceKind};

use crate::support::tree::{Tree, differences};
use crate::support::world::{World, back_up, restore_as, restore_request, snapshot, source};

const DAY_SECONDS: i64 = 24 * 3600;

/// So many nights, each with a snapshot of something else; the trees are those of `db@1` and on.
async fn nights(count: u8) -> (World, Vec<Tree>) {
    let world = World::new();
    world.volume("db", 1).await;
    let mut trees = Vec::new();
    for night in 1..=count {
        fs::write(world.docker.volume_folder("db").join("night"), [night; 5000]).unwrap();
        trees.push(world.tree("db"));
        back_up(&world.host().await, "db").await.unwrap();
        world.clock.advance(DAY_SECONDS);
    }
    (world, trees)
}

fn last(count: u32) -> Keep {
    Keep::new(Terms { last: count, ..Terms::default() }).unwrap()
}

async fn plan(host: &Host, keep: &Keep) -> Retention {
    retention(host, &source("db"), keep, &TimeZone::UTC).await.unwrap()
}

async fn carried_out(host: &Host, plan: &Retention) -> Pruned {
    prune(host, plan, &Silent::default()).await.unwrap()
}

fn ids(plan: &Retention, action: Action) -> Vec<String> {
    let of_action = plan.snapshots.iter().rev().filter(|fate| fate.action == action);
    of_action.map(|fate| fate.snapshot.clone()).collect()
}

fn reasons(plan: &Retention, id: &str) -> String {
    let fate = plan.snapshots.iter().find(|fate| fate.snapshot == id).unwrap();
    format!("{}: {}", fate.action.word(), fate.reasons.join("; "))
}

async fn listed(world: &World) -> Vec<u64> {
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    snapshots(&world.host().await, &wanted).await.unwrap().lines.iter().map(|line| line.number).collect()
}

async fn restores(world: &World, numbers: &[u64], trees: &[Tree]) {
    for number in numbers {
        let into = format!("restored-{number}");
        let host = world.host().await;
        restore_as(&host, &restore_request("db", *number, Some(&into))).await.unwrap();
        let want = &trees[usize::try_from(*number - 1).unwrap()];
        assert_eq!(differences(&world.tree(&into), want), "", "db@{number}");
        world.docker.remove_volume(&into).await.unwrap();
    }
}

/// Packs in the store, and those that manifests of these kinds name.
fn packs(world: &World) -> (BTreeSet<String>, BTreeSet<String>) {
    let objects = world.store.snapshot();
    let manifests = objects.iter().filter(|(key, _)| key.ends_with(".manifest"));
    let named = manifests.flat_map(|(_, bytes)| {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap();
        Manifest::parse(line).unwrap().packs.into_iter().map(|pack| format!("h1/db/{}", pack.name))
    });
    let named = named.collect();
    (objects.into_keys().filter(|key| key.ends_with(".tar.zst")).collect(), named)
}

#[tokio::test]
async fn what_was_printed_is_done_and_the_rest_restores() {
    let (world, trees) = nights(5).await;
    let host = world.host().await;
    let planned = plan(&host, &last(2)).await;
    assert_eq!(planned.pruned_at, None);
    assert_eq!(reasons(&planned, "db@5"), "keep: the newest; last 1 of 2");
    assert_eq!(reasons(&planned, "db@3"), "delete: older than all that `keep` counts");
    assert!(planned.is_sweeping() && !planned.is_idle());
    let before = world.store.snapshot();
    let done = carried_out(&host, &planned).await;
    assert_eq!(done.deleted, ids(&planned, Action::Delete));
    assert_eq!(done.deleted, ["db@1", "db@2", "db@3"]);
    assert_eq!((done.pending.len(), done.spared.len(), done.purged.len()), (0, 0, 0));
    assert_eq!(listed(&world).await, [4, 5]);
    let after = world.store.snapshot();
    assert!(before.keys().filter(|key| key.ends_with(".tar.zst")).all(|key| after.contains_key(key)));
    restores(&world, &[4, 5], &trees).await;

    let again = plan(&host, &last(2)).await;
    assert!(again.is_idle() && again.pruned_at.is_some(), "{again:?}");
    assert!(reasons(&again, "db@1").starts_with("held: deleted, can be undeleted until "));
    assert_eq!(carried_out(&host, &again).await.deleted, Vec::<String>::new());
    assert_eq!(world.store.snapshot(), after);
    assert_eq!(sources(&host).await.unwrap(), [source("db")]);
}

#[tokio::test]
async fn a_purge_after_the_grace_time_leaves_exactly_what_is_named() {
    let (world, trees) = nights(4).await;
    let host = world.host().await;
    carried_out(&host, &plan(&host, &last(2)).await).await;
    world.clock.advance(6 * DAY_SECONDS);
    assert!(plan(&host, &last(2)).await.is_idle(), "still in the grace time");
    world.clock.advance(2 * DAY_SECONDS);
    let planned = plan(&host, &last(2)).await;
    assert_eq!(ids(&planned, Action::Purge), ["db@1", "db@2"]);
    let done = carried_out(&host, &planned).await;
    assert_eq!(done.purged, ["db@1", "db@2"]);
    let (there, named) = packs(&world);
    assert_eq!(there, named);
    assert!(world.store.snapshot().keys().all(|key| !key.contains("/deleted/")));
    restores(&world, &[3, 4], &trees).await;
    assert_eq!(plan(&host, &last(2)).await.snapshots.len(), 2);
    let report = verify(&host, &VerifyRequest::default(), &Silent::default()).await.unwrap();
    assert!(report.damaged.is_empty(), "{:?}", report.damaged);
    assert_eq!(undelete(&host, &snapshot("db@1")).await.unwrap_err().class, Class::NotFound);
}

#[tokio::test]
async fn what_was_deleted_comes_back_within_the_grace_time() {
    let (world, trees) = nights(3).await;
    let host = world.host().await;
    carried_out(&host, &plan(&host, &last(1)).await).await;
    undelete(&host, &snapshot("db@1")).await.unwrap();
    assert_eq!(listed(&world).await, [1, 3]);
    restores(&world, &[1], &trees).await;
    world.clock.advance(8 * DAY_SECONDS);
    let planned = plan(&host, &last(1)).await;
    assert_eq!(
        (ids(&planned, Action::Purge), ids(&planned, Action::Delete)),
        (vec!["db@2".into()], vec!["db@1".into()])
    );
    // Back again after the plan was printed: what was agreed to is no longer there.
    undelete(&host, &snapshot("db@2")).await.unwrap();
    let done = carried_out(&host, &planned).await;
    assert_eq!((done.purged.len(), done.spared, done.deleted), (0, vec!["db@2".into()], vec!["db@1".into()]));
    restores(&world, &[2], &trees).await;
}

#[tokio::test]
async fn a_list_that_is_out_of_date_takes_no_pack_away() {
    let (world, trees) = nights(3).await;
    for lacking in ["00000002.manifest", "00000003.manifest"] {
        let stale = Fault::always(Verb::List, Effect::Lacks(lacking));
        let store = FaultyStore::new(Arc::new(world.store.clone()), CallLog::recording(), vec![stale]);
        let host = world.host_with(Arc::new(store), Arc::<FakeDocker>::clone(&world.docker)).await;
        let before = world.store.snapshot();
        let refused = plan_delete(&host, &snapshot("db@1"), true).await.unwrap_err();
        assert!(refused.to_string().contains(lacking), "{refused}");
        assert_eq!(world.store.snapshot(), before);
    }
    restores(&world, &[1, 2, 3], &trees).await;
}

/// Pins a snapshot when it is about to be deleted, and after it was last asked for.
struct Late<'a> {
    host: &'a Host,
    cancel: Cancel,
}

impl Watch for Late<'_> {
    fn tell(&self, told: Told) {
        if told == Told::Step("deleting db@1".to_owned()) {
            let key = SnapshotKey {
                store: "memory".to_owned(),
                host: "h1".parse().unwrap(),
                source: source("db"),
                number: Number::FIRST,
            };
            let at = jiff::Timestamp::UNIX_EPOCH;
            self.host.catalog().pin(&Pin { key, at, note: String::new() }).unwrap();
        }
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

#[tokio::test]
async fn a_pin_that_comes_at_the_last_moment_holds() {
    let (world, trees) = nights(3).await;
    let host = world.host().await;
    let planned = plan(&host, &last(1)).await;
    let done = prune(&host, &planned, &Late { host: &host, cancel: Cancel::default() }).await.unwrap();
    assert_eq!((done.spared, done.deleted), (vec!["db@1".into()], vec!["db@2".into()]));
    assert_eq!(listed(&world).await, [1, 3]);
    assert!(world.store.snapshot().keys().all(|key| !key.ends_with("deleted/00000001.manifest")));
    restores(&world, &[1, 3], &trees).await;
}

#[tokio::test]
async fn a_store_that_denies_deletes_leaves_them_pending() {
    let (world, trees) = nights(3).await;
    let locked = FaultyStore::new(Arc::new(world.store.clone()), CallLog::recording(), Vec::new());
    locked.deny_deletes();
    let host = world.host_with(Arc::new(locked), Arc::<FakeDocker>::clone(&world.docker)).await;
    for _ in 0..2 {
        let planned = plan(&host, &last(1)).await;
        let done = carried_out(&host, &planned).await;
        assert_eq!((done.deleted.len(), done.pending), (0, ids(&planned, Action::Delete)));
        assert!(
            done.warnings.iter().any(|warning| warning.contains("allows no deletes")),
            "{:?}",
            done.warnings
        );
        assert_eq!(listed(&world).await, [1, 2, 3]);
    }
    restores(&world, &[1, 2, 3], &trees).await;
    let host = world.host().await;
    assert_eq!(carried_out(&host, &plan(&host, &last(1)).await).await.deleted, ["db@1", "db@2"]);
}

#[tokio::test]
async fn a_store_that_fails_is_a_failure_and_the_next_prune_goes_on() {
    let (world, _) = nights(3).await;
    let broken = FaultyStore::new(Arc::new(world.store.clone()), CallLog::recording(), Vec::new());
    broken.add(Fault::nth(Verb::Delete, 2, Effect::Fail(When::Before, StoreErrorKind::Unavailable)));
    let host = world.host_with(Arc::new(broken), Arc::<FakeDocker>::clone(&world.docker)).await;
    let planned = plan(&host, &last(1)).await;
    assert_eq!(prune(&host, &planned, &Silent::default()).await.unwrap_err().class, Class::Failed);
    assert_eq!(plan(&host, &last(1)).await.pruned_at, None, "it did not come to its end");
    let done = carried_out(&host, &planned).await;
    assert_eq!((done.spared, done.deleted), (vec!["db@1".into()], vec!["db@2".into()]));
}

#[tokio::test]
async fn a_pin_holds_also_when_it_comes_after_the_plan() {
    let (world, _) = nights(4).await;
    let host = world.host().await;
    pin(&host, &snapshot("db@1"), "before the upgrade").await.unwrap();
    let planned = plan(&host, &last(1)).await;
    assert_eq!(reasons(&planned, "db@1"), "keep: pinned");
    assert_eq!(pin(&host, &snapshot("db@2"), "").await.unwrap(), "db@2");
    let done = carried_out(&host, &planned).await;
    assert_eq!((done.deleted, done.spared), (vec!["db@3".into()], vec!["db@2".into()]));
    assert_eq!(listed(&world).await, [1, 2, 4]);
    let by_hand = plan_delete(&host, &snapshot("db@1"), false).await.unwrap();
    assert_eq!(by_hand.warnings, ["it is pinned: before the upgrade"]);
    unpin(&host, &snapshot("db@1")).await.unwrap();
    assert_eq!(unpin(&host, &snapshot("db@1")).await.unwrap_err().class, Class::NotFound);
    assert_eq!(ids(&plan(&host, &last(1)).await, Action::Delete), ["db@1"]);
    let failed = pin(&host, &snapshot("db@3"), "").await.unwrap_err();
    assert_eq!(failed.class, Class::NotFound, "deleted already: {failed}");
}

#[tokio::test]
async fn the_guard_holds_until_somebody_acknowledges() {
    let (world, trees) = nights(3).await;
    let host = world.host().await;
    for entry in fs::read_dir(world.docker.volume_folder("db")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    fs::write(world.docker.volume_folder("db").join("new"), "initialised").unwrap();
    for id in ["db@4", "db@5"] {
        // The second is no smaller than the first, which is why doubtful ones are no measure.
        let report = back_up(&host, "db").await.unwrap();
        assert_eq!(report.snapshot, id);
        let said = report.warnings.iter().find(|warning| warning.contains("shrank")).unwrap();
        assert!(said.ends_with("`backupctl acknowledge db`"), "{said}");
    }
    let planned = plan(&host, &last(1)).await;
    assert!(planned.is_idle(), "{planned:?}");
    let held = reasons(&planned, "db@3");
    assert!(held.starts_with("held: @4 ") && held.contains("; @5 shrank from "), "{held}");
    carried_out(&host, &planned).await;
    restores(&world, &[1, 2, 3], &trees).await;

    let seen = acknowledge(&host, &source("db")).await.unwrap();
    assert_eq!(seen.iter().filter(|flag| flag.snapshot == "db@4").count(), 2, "{seen:?}");
    assert_eq!(acknowledge(&host, &source("db")).await.unwrap(), []);
    assert_eq!(back_up(&host, "db").await.unwrap().warnings, Vec::<String>::new());
    assert_eq!(carried_out(&host, &plan(&host, &last(1)).await).await.deleted.len(), 5);
}

#[tokio::test]
async fn a_database_that_made_itself_anew_is_flagged_however_large_it_is() {
    let (world, _) = nights(1).await;
    let host = world.host().await;
    let cnf = |digit: &str| {
        let id = ["8", "4", "4", "4", "12"].map(|length| digit.repeat(length.parse().unwrap())).join("-");
        fs::write(world.docker.volume_folder("db").join("auto.cnf"), format!("[auto]\nserver-uuid={id}\n"))
            .unwrap();
    };
    for (digit, doubted) in [("a", false), ("a", false), ("b", true)] {
        cnf(digit);
        let warnings = back_up(&host, "db").await.unwrap().warnings;
        let said = warnings.iter().any(|warning| warning.contains("is another database: `mysql:bbbb"));
        assert_eq!((said, warnings.len()), (doubted, usize::from(doubted)), "{warnings:?}");
    }
    assert!(plan(&host, &last(1)).await.is_idle());
}

#[tokio::test]
async fn a_flag_of_what_was_never_committed_holds_nothing() {
    let (world, _) = nights(2).await;
    let full = FaultyStore::new(Arc::new(world.store.clone()), CallLog::recording(), Vec::new());
    full.add(Fault::always(Verb::Put, Effect::Fail(When::Before, StoreErrorKind::Full)).at(".manifest"));
    let host = world.host_with(Arc::new(full), Arc::<FakeDocker>::clone(&world.docker)).await;
    let folder = world.docker.volume_folder("db");
    let saved = world.folder.path().join("saved");
    fs::rename(&folder, &saved).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("new"), "initialised").unwrap();
    back_up(&host, "db").await.unwrap_err();
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&saved, &folder).unwrap();

    let host = world.host().await;
    assert_eq!(ids(&plan(&host, &last(1)).await, Action::Delete), ["db@1"]);
    world.clock.advance(DAY_SECONDS);
    let report = back_up(&host, "db").await.unwrap();
    assert_eq!((report.snapshot.as_str(), report.warnings), ("db@3", vec![]));
    // It is newer than the run that failed.
    world.clock.advance(DAY_SECONDS);
    back_up(&host, "db").await.unwrap();
    let planned = plan(&host, &last(1)).await;
    assert!(reasons(&planned, "db@3").starts_with("keep: newer than the run that failed at "), "{planned:?}");
}

#[tokio::test]
async fn only_what_was_printed_goes_however_much_more_would_now() {
    let (world, _) = nights(3).await;
    let host = world.host().await;
    let printed = plan(&host, &last(2)).await;
    for _ in 0..2 {
        back_up(&host, "db").await.unwrap();
        world.clock.advance(DAY_SECONDS);
    }
    assert_eq!(ids(&plan(&host, &last(2)).await, Action::Delete).len(), 3);
    assert_eq!(carried_out(&host, &printed).await.deleted, ["db@1"]);
    // What was deleted by hand meanwhile is passed over.
    let printed = plan(&host, &last(2)).await;
    let by_hand = plan_delete(&host, &snapshot("db@2"), false).await.unwrap();
    delete(&host, by_hand, &Silent::default()).await.unwrap();
    let done = carried_out(&host, &printed).await;
    assert_eq!((done.spared, done.deleted), (vec!["db@2".into()], vec!["db@3".into()]));
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_is_left_alone_and_nothing_is_purged_beside_it() {
    let (world, _) = nights(4).await;
    let host = world.host().await;
    carried_out(&host, &plan(&host, &last(2)).await).await;
    world.clock.advance(8 * DAY_SECONDS);
    let there = packs(&world).0;
    world.store.plant("h1/db/00000009.manifest", "no manifest");
    let planned = plan(&host, &last(2)).await;
    assert!(planned.warnings[0].starts_with("`db@9` is left alone"), "{:?}", planned.warnings);
    assert_eq!(ids(&planned, Action::Purge), ["db@1", "db@2"]);
    prune(&host, &planned, &Silent::default()).await.unwrap_err();
    assert_eq!(
        world.store.snapshot().into_keys().filter(|key| key.ends_with(".tar.zst")).collect::<BTreeSet<_>>(),
        there
    );
}

#[tokio::test]
async fn an_undelete_that_was_cut_off_saves_the_snapshot_from_a_purge() {
    let (world, trees) = nights(3).await;
    let host = world.host().await;
    carried_out(&host, &plan(&host, &last(1)).await).await;
    world.clock.advance(8 * DAY_SECONDS);
    let planned = plan(&host, &last(1)).await;
    assert_eq!(ids(&planned, Action::Purge), ["db@1", "db@2"]);
    let manifest = world.store.snapshot()["h1/db/deleted/00000001.manifest"].clone();
    world.store.plant("h1/db/00000001.manifest", manifest);
    let done = carried_out(&host, &planned).await;
    assert_eq!((done.spared, done.purged), (vec!["db@1".into()], vec!["db@2".into()]));
    restores(&world, &[1, 3], &trees).await;
}

/// Asks to stop when the first step is told.
#[derive(Default)]
struct Impatient(Cancel);

impl Watch for Impatient {
    fn tell(&self, told: Told) {
        if matches!(told, Told::Step(_)) {
            self.0.ask();
        }
    }

    fn cancel(&self) -> &Cancel {
        &self.0
    }
}

#[tokio::test]
async fn a_cancelled_prune_stops_between_two_deletes() {
    let (world, trees) = nights(4).await;
    let host = world.host().await;
    let planned = plan(&host, &last(1)).await;
    let stopped = prune(&host, &planned, &Impatient::default()).await.unwrap_err();
    assert_eq!(stopped.class, Class::Interrupted);
    assert_eq!(listed(&world).await, [2, 3, 4], "the first was finished, the second not begun");
    restores(&world, &[2, 3, 4], &trees).await;
    assert_eq!(carried_out(&host, &planned).await.deleted, ["db@2", "db@3"]);
}

/// `db` under one policy with these lines.
fn covered(lines: &str) -> Cover {
    let text = format!("consistency.mode = \"live\"\n{lines}\n[select]\nvolumes = [\"db\"]\n");
    let folder = Folder::judge([("night.toml", text)]).unwrap_or_else(|e| panic!("{e}"));
    let db = Source {
        name: "db".into(),
        kind: SourceKind::Volume,
        driver: "local".into(),
        labels: [].into(),
        users: Vec::new(),
    };
    Cover { policies: Policies { folder, shipped: false }, sources: vec![db] }
}

#[tokio::test]
async fn what_other_policies_would_run_and_delete_is_told_and_nothing_is_done() {
    let (world, _) = nights(5).await;
    let host = world.host().await;
    let night = "schedule = \"0 2 * * *\"";
    let before = covered(&format!("{night}\n[keep]\nlast = 4"));
    let (objects, seen) =
        (world.store.snapshot(), async |after: &str| foresee(&host, &before, &covered(after)).await.unwrap());
    let nothing = Foresight::default();
    assert_eq!(seen(&format!("{night}\n[keep]\nlast = 4")).await, nothing);
    assert_eq!(seen(&format!("{night}\n[keep]\nlast = 9")).await, nothing, "more is kept");
    assert_eq!(seen(night).await, nothing, "all is kept");

    let shorter = seen(&format!("{night}\n[keep]\nlast = 2")).await;
    assert_eq!(shorter.runs, []);
    assert_eq!(shorter.expires.len(), 1);
    assert_eq!(shorter.expires[0].snapshots, ["db@3", "db@2"], "`db@1` goes in either case");

    let noon = seen("schedule = \"0 12 * * *\"\n[keep]\nlast = 4").await;
    assert_eq!((noon.expires.len(), noon.runs.len()), (0, 1));
    let hour = |at: Option<jiff::Timestamp>| at.unwrap().to_zoned(TimeZone::UTC).hour();
    assert_eq!((hour(noon.runs[0].now), hour(noon.runs[0].then)), (2, 12));
    assert_eq!(world.store.snapshot(), objects);

    // A store that is away is no reason to say that nothing would go; where nothing was ever backed up from here it may
    // not be there yet.
    let shorter = covered(&format!("{night}\n[keep]\nlast = 2"));
    let away = async |world: &World| {
        let store = FaultyStore::new(Arc::new(world.store.clone()), CallLog::recording(), Vec::new());
        store.add(Fault::always(Verb::Folders, Effect::Fail(When::Before, StoreErrorKind::Unavailable)));
        let host = world.host_with(Arc::new(store), Arc::<FakeDocker>::clone(&world.docker)).await;
        foresee(&host, &before, &shorter).await
    };
    assert!(away(&world).await.unwrap_err().to_string().starts_with("look for what would expire: "));
    assert_eq!(away(&World::new()).await.unwrap(), nothing);
}
