//! A host with two stores: each lineage lives where its policy says, and everybody finds it there.

use std::sync::Arc;

use engine::failure::Class;
use engine::port::store::{Store, StoreErrorKind};
use engine::testing::calls::{CallLog, CrashPoint, Dead, When};
use engine::testing::fake_docker::FakeDocker;
use engine::testing::faulty_store::{Effect, Fault, FaultyStore, Verb};
use engine::testing::memory_store::MemoryStore;
use engine::usecase::backup::{BackupRequest, backup};
use engine::usecase::browse::diff;
use engine::usecase::cover::{Cover, Policies};
use engine::usecase::delete::{delete, plan_delete, undelete};
use engine::usecase::foresight::{Foresight, foresee};
use engine::usecase::health::health;
use engine::usecase::host::Host;
use engine::usecase::ledger::Ledger;
use engine::usecase::prune::prune;
use engine::usecase::recover::recover;
use engine::usecase::reindex::{catalog_check, catalog_rebuild};
use engine::usecase::retention::retention;
use engine::usecase::runs::runs;
use engine::usecase::snapshots::{Wanted, WantedHost, show, snapshots};
use engine::usecase::stores::{Standing, Stores, host_for, named};
use engine::usecase::terms::terms_for;
use engine::usecase::watch::Silent;
use jiff::tz::TimeZone;
use policies::policy::Folder;
use policies::retention::{Keep, Terms};
use policies::select::{Source, SourceKind};

use crate::damaged::lose_catalog;
use crate::support::tree::differences;
use crate::support::world::{World, back_up, restore_as, restore_request, snapshot, source};

/// The store of the policy `far`; that of the settings is `memory`.
const FAR: &str = "s3://far/prefix";

/// A world with two stores: `db` is under the policy of the far one, `web` under one that names none.
struct Two {
    world: World,
    far: MemoryStore,
}

fn folder(far: &str) -> Folder {
    let text = |volume: &str, store: &str| {
        format!(
            "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\n{store}[keep]\nlast = 1\n[select]\nvolumes = [\"{volume}\"]\n"
        )
    };
    Folder::judge([("far.toml", text("db", far)), ("near.toml", text("web", ""))]).unwrap()
}

fn cover(far: &str) -> Cover {
    let source = |name: &str| Source {
        name: name.into(),
        kind: SourceKind::Volume,
        driver: "local".into(),
        labels: std::collections::BTreeMap::new(),
        users: Vec::new(),
    };
    let policies = Policies { folder: folder(far), shipped: false };
    Cover { policies, sources: vec![source("db"), source("web")] }
}

fn named_far() -> String {
    format!("store = \"{FAR}?region=eu-1\"\n")
}

impl Two {
    async fn new() -> Self {
        let world = World::new();
        for (name, flavour) in [("db", 1), ("web", 2)] {
            world.volume(name, flavour).await;
        }
        Self { world, far: MemoryStore::called(FAR) }
    }

    async fn host(&self) -> Host {
        self.host_with(Arc::new(self.far.clone())).await
    }

    async fn host_with(&self, far: Arc<dyn Store>) -> Host {
        self.world.host().await.with_store(&format!("{FAR}?region=eu-1"), far)
    }

    /// As the daemon does it.
    async fn back_up(&self, host: &Host, name: &str) -> String {
        let cover = cover(&named_far());
        let terms = terms_for(&cover, &source(name));
        let request = BackupRequest::scheduled(source(name), terms);
        backup(&host_for(host, terms), &request, &Silent::default()).await.unwrap().snapshot
    }

    async fn both(&self) -> Host {
        let host = self.host().await;
        for name in ["db", "web", "db"] {
            self.back_up(&host, name).await;
        }
        host
    }
}

fn stores(host: &Host) -> Stores {
    Stores::of(host, Some(&folder(&named_far()))).unwrap()
}

fn manifests(store: &MemoryStore) -> Vec<String> {
    store.snapshot().into_keys().filter(|key| key.ends_with(".manifest")).collect()
}

#[tokio::test]
async fn each_source_is_where_its_policy_says_and_is_found_there() {
    let two = Two::new().await;
    let host = two.both().await;
    assert_eq!(manifests(&two.far), ["h1/db/00000001.manifest", "h1/db/00000002.manifest"]);
    assert_eq!(manifests(&two.world.store), ["h1/web/00000001.manifest"]);
    let stores = stores(&host);
    let everything = Wanted { host: WantedHost::This, source: None, deleted: false };
    let mut all = Vec::new();
    for at in stores.in_use() {
        all.extend(
            snapshots(at, &everything).await.unwrap().lines.into_iter().map(|line| (line.id, line.store)),
        );
    }
    let want = [("web@1", "memory"), ("db@1", FAR), ("db@2", FAR)];
    assert_eq!(all, want.map(|(id, store)| (id.to_owned(), store.to_owned())));

    // Also when nobody remembers anything, and when the number is not said.
    for forgotten in [false, true] {
        if forgotten {
            let state = two.world.state();
            for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "catalog.sqlite.users"]
            {
                drop(std::fs::remove_file(state.join(name)));
            }
        }
        let host = two.host().await;
        let stores = Stores::of(&host, Some(&folder(&named_far()))).unwrap();
        for (name, want) in [("db@1", "db@1"), ("db@latest", "db@2"), ("web@latest", "web@1")] {
            let at = stores.having(&snapshot(name), Standing::Live).await.unwrap();
            let number = snapshot(want).number.unwrap().get();
            let into = format!("restored-{}-{forgotten}", want.replace('@', "-"));
            let of = want.split('@').next().unwrap();
            restore_as(&at, &restore_request(of, number, Some(&into))).await.unwrap();
            assert_eq!(differences(&two.world.tree(&into), &two.world.tree(of)), "", "{name} {forgotten}");
        }
    }
}

#[tokio::test]
async fn what_is_done_with_a_snapshot_is_done_in_its_store() {
    let two = Two::new().await;
    let host = two.both().await;
    let (near, silent) = (manifests(&two.world.store), Silent::default());
    let at = stores(&host).having(&snapshot("db@1"), Standing::Live).await.unwrap();
    let plan = plan_delete(&at, &snapshot("db@1"), false).await.unwrap();
    delete(&at, plan, &silent).await.unwrap();
    assert_eq!(manifests(&two.far), ["h1/db/00000002.manifest", "h1/db/deleted/00000001.manifest"]);
    let at = stores(&host).having(&snapshot("db@1"), Standing::Deleted).await.unwrap();
    undelete(&at, &snapshot("db@1")).await.unwrap();
    let keep = Keep::new(Terms { last: 1, ..Terms::default() }).unwrap();
    let all = stores(&host).all_having(&source("db")).await.unwrap();
    let [at] = &all[..] else { panic!("{} stores", all.len()) };
    let plan = retention(at, &source("db"), &keep, &TimeZone::UTC).await.unwrap();
    assert_eq!(prune(at, &plan, &silent).await.unwrap().deleted, ["db@1"]);
    assert_eq!(manifests(&two.world.store), near);

    let health = health(&host, &cover(&named_far()), &Ledger::default()).unwrap();
    assert!(health.iter().all(|health| health.last_good.is_some()), "{health:?}");
    assert!(health[0].pruned_at.is_some() && health[1].pruned_at.is_none(), "{health:?}");
    // In another store there is nothing yet, so nothing is good.
    let elsewhere = cover("store = \"s3://elsewhere/p\"\n");
    assert_eq!(self::health_of(&host, &elsewhere), [None, health[1].last_good]);

    for at in stores(&host).named() {
        let rebuilt = catalog_rebuild(at, &silent).await.unwrap();
        assert_eq!((rebuilt.lineages, rebuilt.unreadable.len()), (1, 0));
        assert_eq!(catalog_check(at, &silent).await.unwrap().differences, Vec::<String>::new());
    }
}

fn health_of(host: &Host, cover: &Cover) -> Vec<Option<jiff::Timestamp>> {
    health(host, cover, &Ledger::default()).unwrap().into_iter().map(|health| health.last_good).collect()
}

/// The policy of a source was moved, so both stores have a `db@1`.
#[tokio::test]
async fn a_number_that_two_stores_have_is_not_guessed_and_the_newest_is_the_newest_of_both() {
    let two = Two::new().await;
    let host = two.host().await;
    back_up(&host, "db").await.unwrap();
    two.world.clock.advance(3600);
    let first = two.world.tree("db");
    two.world.replant("db", 3);
    assert_eq!(two.back_up(&host, "db").await, "db@1", "a history of its own");
    let stores = stores(&host);
    let refused = stores.having(&snapshot("db@1"), Standing::Live).await.err().unwrap();
    assert_eq!(refused.class, Class::Usage, "{refused}");
    let hint = refused.hint.unwrap();
    assert!(hint.contains("--store") && hint.contains(FAR) && hint.contains("s3://bucket/prefix"), "{hint}");
    let newest = stores.newest(None, &source("db"), None).await.unwrap();
    assert!(newest.store_address().starts_with(FAR));
    let before = jiff::Timestamp::from_second(1_767_225_600 + 60).unwrap();
    let older = stores.newest(None, &source("db"), Some(before)).await.unwrap();
    assert_eq!(older.store_address(), "s3://bucket/prefix");
    restore_as(&older, &restore_request("db", 1, Some("old"))).await.unwrap();
    assert_eq!(differences(&two.world.tree("old"), &first), "");
    assert_eq!(stores.all_having(&source("db")).await.unwrap().len(), 2);

    let only = Stores::only(&host.at(FAR));
    assert_eq!(only.having(&snapshot("db@1"), Standing::Live).await.unwrap().store_address(), FAR);

    // The same numbers of two stores are different bytes.
    let other = host_for(&host, folder(&named_far()).policies()[0].terms());
    let one = snapshot("db@1");
    let totals = diff((&host, &one), (&other, &one), &mut |_| Ok(())).await.unwrap();
    assert!(totals.added + totals.removed + totals.changed + totals.attributes > 0, "{totals:?}");
}

#[tokio::test]
async fn a_store_that_cannot_be_asked_is_no_store_without_the_snapshot() {
    let two = Two::new().await;
    two.both().await;
    let fault = Fault::always(Verb::List, Effect::Fail(When::Before, StoreErrorKind::Unavailable));
    let far = FaultyStore::new(Arc::new(two.far.clone()), CallLog::recording(), vec![fault]);
    let host = two.host_with(Arc::new(far)).await;
    let stores = stores(&host);
    let failed = stores.having(&snapshot("db@1"), Standing::Live).await.err().unwrap();
    assert!(failed.hint.unwrap().contains("--store"));
    // What the catalog knows elsewhere needs nobody to ask there.
    let web = stores.having(&snapshot("web@1"), Standing::Live).await.unwrap();
    restore_as(&web, &restore_request("web", 1, Some("again"))).await.unwrap();
}

#[tokio::test]
async fn a_store_that_nobody_names_any_more_is_named_where_something_is_looked_for_in_vain() {
    let two = Two::new().await;
    let host = two.both().await;
    let stores = Stores::of(&host, Some(&folder(""))).unwrap();
    assert_eq!(stores.former(), [FAR]);
    let failed = stores.having(&snapshot("db@2"), Standing::Live).await.err().unwrap();
    assert_eq!(failed.class, Class::NotFound);
    assert!(failed.to_string().contains(FAR), "{failed}");
    let unknown = stores.having(&snapshot("db@9"), Standing::Live).await.unwrap();
    assert_eq!(unknown.store_address(), "s3://bucket/prefix", "whoever looks there says that it is not");
}

/// The catalog would take them for one, and both would write one history.
#[tokio::test]
async fn one_store_under_two_addresses_is_refused() {
    let two = Two::new().await;
    let host = two.host().await;
    let text = |volume: &str, store: &str| {
        format!(
            "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\nstore = \"{store}\"\nselect.volumes = [\"{volume}\"]\n"
        )
    };
    let folder = |b: &str| Folder::judge([("a.toml", text("a", FAR)), ("b.toml", text("b", b))]).unwrap();
    let refused = named(&host, Some(&folder("s3://far/prefix?region=eu-2"))).err().unwrap();
    assert_eq!(refused.class, Class::Usage);
    assert!(refused.to_string().contains("policy `b`") && refused.hint.is_some(), "{refused}");
    assert_eq!(
        named(&host, Some(&folder("s3://far/prefix/"))).unwrap().len(),
        2,
        "the same, typed otherwise"
    );
    assert_eq!(named(&host, Some(&folder("s3://far/another"))).unwrap().len(), 3);
}

#[tokio::test]
async fn a_plan_of_policies_says_what_goes_to_another_store_and_deletes_nothing_in_the_old_one() {
    let two = Two::new().await;
    let host = two.both().await;
    let foreseen = foresee(&host, &cover(&named_far()), &cover("")).await.unwrap();
    assert_eq!(foreseen.expires, []);
    let [moved] = &foreseen.moves[..] else { panic!("{foreseen:?}") };
    assert_eq!((moved.source.to_string().as_str(), moved.then.as_str()), ("db", "s3://bucket/prefix"));
    assert!(moved.now.starts_with(FAR));
    let none = foresee(&host, &cover(&named_far()), &cover(&named_far())).await.unwrap();
    assert_eq!(none, Foresight::default());
}

/// A run that died while it wrote to the second store is undone there, whatever policies say by then.
#[tokio::test]
async fn recovery_opens_the_store_that_a_dead_run_wrote_to() {
    let two = Two::new().await;
    two.both().await;
    let mut after_commit = 0;
    // A run asks for what its helper asks for, so not every run makes as many calls.
    for call in 1..=32 {
        let had = manifests(&two.far).len();
        let log = CallLog::crashing(CrashPoint { call, when: When::After }, Dead::Hangs);
        let far = FaultyStore::new(Arc::new(two.far.clone()), Arc::clone(&log), Vec::new());
        let host = two.host_with(Arc::new(far)).await;
        two.world.replant("db", u8::try_from(call % 5).unwrap());
        let done = tokio::select! {
            done = Box::pin(two.back_up(&host, "db")) => Some(done),
            () = log.death() => None,
        };
        if done.is_some() {
            continue;
        }
        drop(host);
        let before = manifests(&two.far).len();
        let host = two.host().await;
        let recovered = recover(&host, &Silent::default()).await.unwrap();
        assert_eq!(recovered.left, Vec::<String>::new(), "call {call}");
        assert!(runs(&host, 1).unwrap()[0].ended_at.is_some(), "call {call}");
        assert_eq!(two.far.open_uploads("").await.unwrap(), [], "call {call}");
        assert_eq!(manifests(&two.far).len(), before);
        after_commit += before - had;
        assert_eq!(manifests(&two.world.store).len(), 1, "nothing was done in the other");
    }
    assert!(after_commit > 0, "it died after a commit as well");
    let host = two.host().await;
    for at in stores(&host).named() {
        assert_eq!(catalog_check(at, &Silent::default()).await.unwrap().differences, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_place_that_is_on_another_server_now_begins_anew_where_nobody_knows_the_old_one() {
    let world = World::new();
    world.volume("db", 1).await;
    let old = world.host().await;
    for _ in 0..3 {
        back_up(&old, "db").await.unwrap();
    }
    drop(old);
    lose_catalog(&world);
    let elsewhere = Arc::new(MemoryStore::new());
    let host =
        world.host_with(Arc::<MemoryStore>::clone(&elsewhere), Arc::<FakeDocker>::clone(&world.docker)).await;
    for number in 1..=2 {
        let done = back_up(&host, "db").await.unwrap();
        assert_eq!((done.snapshot, done.warnings), (format!("db@{number}"), Vec::new()));
    }
    let everything = Wanted { host: WantedHost::This, source: None, deleted: false };
    assert_eq!(snapshots(&host, &everything).await.unwrap().lines.len(), 2);
    assert_eq!(catalog_check(&host, &Silent::default()).await.unwrap().differences, Vec::<String>::new());

    // Back where it was, the same numbers are of other snapshots: that is told, and a rebuild knows them again. A restore
    // goes by the store alone.
    let host = world.host().await;
    restore_as(&host, &restore_request("db", 1, Some("new"))).await.unwrap();
    assert_eq!(differences(&world.tree("new"), &world.tree("db")), "");
    let refused = show(&host, &snapshot("db@1")).await.unwrap_err();
    assert_eq!(refused.class, Class::WrongKey, "{refused}");
    assert!(refused.hint.as_ref().is_some_and(|hint| hint.contains("catalog rebuild")), "{refused:?}");
    catalog_rebuild(&host, &Silent::default()).await.unwrap();
    show(&host, &snapshot("db@1")).await.unwrap();
    assert_eq!(snapshots(&host, &everything).await.unwrap().lines.len(), 3);
}
