//! Objects that changed in the store: found, named, never restored over anything.

use std::sync::Mutex;

use archive::channel::NoteKind;
use archive::path::TreePath;
use bytes::Bytes;
use engine::failure::{Class, Failure};
use engine::format::key::HostKey;
use engine::format::manifest::Manifest;
use engine::format::signed;
use engine::usecase::export::{ExportAs, export};
use engine::usecase::host::Host;
use engine::usecase::restore::{RestoreRequest, plan_restore};
use engine::usecase::snapshots::{Wanted, WantedHost, snapshots};
use engine::usecase::verify::{Damage, VerifyReport, VerifyRequest, verify};
use engine::usecase::watch::{Cancel, Silent, Told, Watch};

use crate::support::tree::{Tree, but_root_time, bytes, differences};
use crate::support::world::{World, back_up, restore_as, restore_request, snapshot};

const MANIFEST: &str = "h1/db/00000001.manifest";

/// One snapshot, and something else in the volume since.
async fn one_snapshot() -> (World, Tree, Tree) {
    let world = World::new();
    let old = world.volume("db", 1).await;
    back_up(&world.host().await, "db").await.unwrap();
    let now = world.replant("db", 2);
    (world, old, now)
}

fn pack_key(world: &World) -> String {
    world.store.snapshot().into_keys().find(|key| key.ends_with(".tar.zst")).unwrap()
}

async fn verify_one(host: &Host, name: &str) -> Result<VerifyReport, Failure> {
    let request = VerifyRequest { names: vec![snapshot(name)], quick: false };
    verify(host, &request, &Silent::default()).await
}

async fn damage(world: &World) -> Vec<Damage> {
    verify_one(&world.host().await, "db@1").await.unwrap().damaged
}

/// The damage is found, and a restore in place fails and leaves everything as it was.
async fn refused_in_place(world: &World, now: &Tree, what: &str) {
    let failed = restore_as(&world.host().await, &restore_request("db", 1, None)).await;
    assert!(failed.is_err(), "{what}: restored");
    let differences = differences(&but_root_time(world.tree("db")), &but_root_time(now.clone()));
    assert_eq!(differences, "", "{what}");
}

#[tokio::test]
async fn a_good_snapshot_is_clean() {
    let (world, old, _now) = one_snapshot().await;
    let host = world.host().await;
    let report = verify(&host, &VerifyRequest::default(), &Silent::default()).await.unwrap();
    assert_eq!((report.snapshots, &report.damaged[..]), (1, &[][..]));
    assert!(report.frames >= 2 && report.bytes > 1_300_000);
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    let line = snapshots(&host, &wanted).await.unwrap().lines.remove(0);
    assert!(line.proven_at.is_some() && !line.damaged);
    restore_as(&host, &restore_request("db", 1, None)).await.unwrap();
    assert_eq!(differences(&world.tree("db"), &old), "");
}

/// Deletes softly what comes next, when the first is verified.
struct Pruning<'a> {
    world: &'a World,
    cancel: Cancel,
}

impl Watch for Pruning<'_> {
    fn tell(&self, told: Told) {
        let second = "h1/db/00000002.manifest";
        if matches!(told, Told::Step(_))
            && let Some(manifest) = self.world.store.lose(second)
        {
            self.world.store.plant("h1/db/deleted/00000002.manifest", manifest);
        }
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

#[tokio::test]
async fn what_is_deleted_meanwhile_does_not_end_the_verification_of_the_rest() {
    let (world, _old, _now) = one_snapshot().await;
    let host = world.host().await;
    for _ in 0..2 {
        back_up(&host, "db").await.unwrap();
    }
    let watch = Pruning { world: &world, cancel: Cancel::default() };
    let report = verify(&host, &VerifyRequest::default(), &watch).await.unwrap();
    assert_eq!((report.snapshots, report.damaged), (2, vec![]));
    let named = VerifyRequest { names: vec![snapshot("db@2")], quick: true };
    let missing = verify(&host, &named, &Silent::default()).await.unwrap_err();
    assert_eq!(missing.class, Class::NotFound, "one that was named must be there");
}

#[tokio::test]
async fn a_flipped_bit_in_a_pack_is_found_wherever_it_is() {
    let (world, old, now) = one_snapshot().await;
    let key = pack_key(&world);
    let good = world.store.lose(&key).unwrap();
    let mut with_files = 0;
    for at in (0..good.len()).step_by(good.len() / 150).chain(good.len() - 40..good.len()) {
        let mut bad = good.to_vec();
        bad[at] ^= 0x10;
        world.store.plant(&key, bad);
        let found = damage(&world).await;
        assert!(!found.is_empty(), "byte {at} of {}", good.len());
        for damage in &found {
            assert_eq!(damage.snapshot, "db@1", "byte {at}");
            assert!(damage.object == key || damage.object == "entries table", "byte {at}: {damage:?}");
        }
        with_files += usize::from(found.iter().any(|d| d.frame.is_some() && !d.files.is_empty()));
        if at % 7 == 0 {
            // What a restore does not read it need not refuse; but then it is exact, or nothing happened.
            let tried = restore_as(&world.host().await, &restore_request("db", 1, None)).await;
            let tree = but_root_time(world.tree("db"));
            if tried.is_err() {
                assert_eq!(differences(&tree, &but_root_time(now.clone())), "", "byte {at}");
            } else {
                assert_eq!(differences(&tree, &but_root_time(old.clone())), "", "byte {at}");
                world.replant("db", 2);
            }
        }
    }
    assert!(with_files > 100, "only {with_files} flips named files");
}

/// Whoever agrees to a plan has to know how the snapshot was when it was last read back.
#[tokio::test]
async fn a_plan_says_proven_of_what_was_good_and_warns_of_what_was_not() {
    let (world, ..) = one_snapshot().await;
    let host = world.host().await;
    let plan = async || plan_restore(&host, &restore_request("db", 1, None)).await.unwrap();
    assert_eq!(plan().await.proven_at, None);
    verify_one(&host, "db@1").await.unwrap();
    let good = plan().await;
    assert!(good.proven_at.is_some());
    assert!(!good.warnings.iter().any(|warning| warning.contains("damaged")), "{:?}", good.warnings);

    let key = pack_key(&world);
    let mut bad = world.store.lose(&key).unwrap().to_vec();
    bad[700_000] ^= 1;
    world.store.plant(&key, bad);
    verify_one(&host, "db@1").await.unwrap();
    let damaged = plan().await;
    assert_eq!(damaged.proven_at, None);
    let told = damaged.warnings.iter().any(|warning| warning.contains("`backupctl verify db@1`"));
    assert!(told, "{:?}", damaged.warnings);
}

#[tokio::test]
async fn what_is_whole_of_a_damaged_pack_can_be_had() {
    let (world, _old, now) = one_snapshot().await;
    let key = pack_key(&world);
    let mut bad = world.store.lose(&key).unwrap().to_vec();
    // Within the incompressible file, which is alone in its frames.
    bad[700_000] ^= 1;
    world.store.plant(&key, bad);
    let found = damage(&world).await;
    assert!(found.iter().any(|d| d.files.iter().any(|f| f == "base/1/data")), "{found:?}");
    refused_in_place(&world, &now, "frame").await;
    let host = world.host().await;
    let mut request = restore_request("db", 1, Some("rest"));
    request.paths = vec![b"sparse".to_vec(), b"not \xff utf-8".to_vec()]
        .into_iter()
        .map(|path| archive::path::TreePath::parse(path).unwrap())
        .collect();
    restore_as(&host, &request).await.unwrap();
    let rest = world.tree("rest");
    assert!(rest.contains_key(&b"not \xff utf-8"[..]) && rest.contains_key(&b"sparse"[..]));
    assert!(!rest.contains_key(&b"base"[..]), "{:?}", rest.keys());
}

#[tokio::test]
async fn a_pack_that_is_gone_short_or_anothers_is_named() {
    let (world, _old, now) = one_snapshot().await;
    world.volume("other", 5).await;
    back_up(&world.host().await, "other").await.unwrap();
    let keys: Vec<_> = world.store.snapshot().into_keys().filter(|k| k.ends_with(".tar.zst")).collect();
    let (key, others) = (&keys[0], world.store.snapshot()[&keys[1]].clone());
    let good = world.store.lose(key).unwrap();
    let same_length = bytes(9, good.len());
    let cases: [(&str, Option<Bytes>); 5] = [
        ("gone", None),
        ("cut in the middle", Some(good.slice(..good.len() / 2))),
        ("cut by a byte", Some(good.slice(..good.len() - 1))),
        ("of another lineage", Some(others)),
        ("noise of its length", Some(same_length.into())),
    ];
    for (what, object) in cases {
        world.store.lose(key);
        if let Some(object) = object {
            world.store.plant(key, object);
        }
        let found = damage(&world).await;
        assert!(found.iter().any(|damage| damage.object == *key), "{what}: {found:?}");
        let quick = VerifyRequest { names: vec![snapshot("db@1")], quick: true };
        let quick = verify(&world.host().await, &quick, &Silent::default()).await.unwrap();
        assert!(!quick.damaged.is_empty(), "{what}, quickly");
        // A restore has no use for the last byte.
        if what != "cut by a byte" {
            refused_in_place(&world, &now, what).await;
        }
        // The other lineage is none the worse.
        assert_eq!(verify_one(&world.host().await, "other@1").await.unwrap().damaged, [], "{what}");
    }
}

#[tokio::test]
async fn a_manifest_that_was_changed_is_never_believed() {
    let (world, _old, now) = one_snapshot().await;
    let good = world.store.lose(MANIFEST).unwrap();
    for at in (0..good.len()).step_by(good.len() / 40) {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        world.store.plant(MANIFEST, bad);
        assert_eq!(damage(&world).await[0].object, "manifest", "byte {at}");
        let plan = restore_as(&world.host().await, &restore_request("db", 1, None)).await.unwrap_err();
        assert!(matches!(plan.class, Class::WrongKey | Class::Failed), "byte {at}: {plan}");
    }
    refused_in_place(&world, &now, "manifest").await;
}

pub(crate) fn lose_catalog(world: &World) {
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        std::fs::remove_file(world.state().join(name)).ok();
    }
}

#[tokio::test]
async fn a_changed_manifest_shows_even_if_the_catalog_is_lost() {
    let (world, ..) = one_snapshot().await;
    let mut bad = world.store.lose(MANIFEST).unwrap().to_vec();
    bad[10] ^= 1;
    world.store.plant(MANIFEST, bad);
    lose_catalog(&world);
    let report = verify(&world.host().await, &VerifyRequest::default(), &Silent::default()).await.unwrap();
    assert_eq!(report.damaged.len(), 1, "{report:?}");
    assert_eq!(report.damaged[0].object, "manifest");
}

#[tokio::test]
async fn a_partial_snapshot_is_passed_over_and_the_plan_says_so() {
    const SECOND: &str = "h1/db/00000002.manifest";
    let (world, ..) = one_snapshot().await;
    world.clock.advance(60);
    back_up(&world.host().await, "db").await.unwrap();
    let mut second = manifest(&world.store.snapshot()[SECOND]);
    second.notes.unreadable = 1;
    let host_key = HostKey::load_or_make(&world.state().join("host.key")).unwrap();
    world.store.plant(SECOND, signed::seal(&second, &host_key).unwrap());
    lose_catalog(&world);
    let host = world.host().await;
    for (at, why) in
        [(None, "it is the newest that is not partial"), (Some(second.taken_at), "Z and is not partial")]
    {
        let request = RestoreRequest { number: None, at, ..restore_request("db", 1, None) };
        let plan = plan_restore(&host, &request).await.unwrap();
        assert_eq!(plan.snapshot, "db@1");
        assert!(plan.why.ends_with(why), "{}", plan.why);
        let request = RestoreRequest { accept_partial: true, ..request };
        assert_eq!(plan_restore(&host, &request).await.unwrap().snapshot, "db@2");
    }
}

#[tokio::test]
async fn a_changed_owner_file_stops_reader_and_writer() {
    let (world, _old, now) = one_snapshot().await;
    let good = world.store.lose("h1/owner.json").unwrap();
    let owner: serde_json::Value = serde_json::from_slice(&good).unwrap();
    let text = std::str::from_utf8(&good).unwrap();
    let values = ["host", "owner", "public_key"].map(|name| owner[name].as_str().unwrap().to_owned());
    let places = values.iter().flat_map(|value| {
        let start = text.find(&format!("\"{value}\"")).unwrap() + 1;
        start..start + value.len()
    });
    for at in places {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        world.store.plant("h1/owner.json", bad);
        let host = world.host().await;
        let failed = back_up(&host, "db").await.unwrap_err();
        assert!(matches!(failed.class, Class::WrongKey | Class::Unsafe), "byte {at}: {failed}");
        assert_eq!(differences(&world.tree("db"), &now), "");
    }
}

fn manifest(bytes: &[u8]) -> Manifest {
    serde_json::from_slice(signed::open(bytes).unwrap().body).unwrap()
}

/// Frames in which nothing but headers is are part of the tarball and of no file: so they tell which of the two is read.
#[tokio::test]
async fn zeros_that_stand_for_what_could_not_be_read_are_not_exported() {
    let world = World::new();
    world.volume("db", 1).await;
    let folder = world.docker.volume_folder("db");
    for n in 0..3000 {
        std::os::unix::fs::symlink("x", folder.join(format!("zz-{n}"))).unwrap();
    }
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let (key, pack) = (pack_key(&world), world.store.snapshot()[&pack_key(&world)].clone());
    let mut headers = None;
    for at in (0..pack.len()).rev().step_by(256) {
        let mut bad = pack.to_vec();
        bad[at] ^= 0x10;
        world.store.plant(&key, bad);
        headers = damage(&world).await.into_iter().find(|d| d.frame.is_some() && d.files.is_empty());
        if headers.is_some() {
            break;
        }
    }
    assert!(headers.is_some(), "no frame of headers alone");
    let heard = Heard::default();
    let export = async || export(&host, &snapshot("db@1"), ExportAs::Tar, &mut Vec::new(), &heard).await;
    assert!(export().await.is_err(), "whole, it is the pack as it lies");
    let mut partial = manifest(&world.store.snapshot()[MANIFEST]);
    partial.notes.add(&TreePath::root(), NoteKind::Unreadable, "Input/output error");
    let host_key = HostKey::load_or_make(&world.state().join("host.key")).unwrap();
    world.store.plant(MANIFEST, signed::seal(&partial, &host_key).unwrap());
    export().await.unwrap();
    let said = heard.warnings.into_inner().unwrap();
    assert!(said.len() == 1 && said[0].contains("could not be read"), "{said:?}");
}

/// Remembers what a person is warned of.
#[derive(Default)]
struct Heard {
    warnings: Mutex<Vec<String>>,
    cancel: Cancel,
}

impl Watch for Heard {
    fn tell(&self, told: Told) {
        if let Told::Warning(text) = told {
            self.warnings.lock().unwrap().push(text);
        }
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

#[tokio::test]
async fn forged_moved_and_newer_manifests_are_refused_by_name() {
    let (world, _old, now) = one_snapshot().await;
    let good = world.store.snapshot()[MANIFEST].clone();
    let host_key = HostKey::load_or_make(&world.state().join("host.key")).unwrap();
    let newer = Manifest { format: 99, ..manifest(&good) };
    let cases = [
        (
            "forged",
            signed::seal(&manifest(&good), &HostKey::from_seed([7; 32])).unwrap(),
            Class::WrongKey,
            "unknown key",
        ),
        ("newer", signed::seal(&newer, &host_key).unwrap(), Class::Failed, "format version 99"),
    ];
    for (what, bytes, class, words) in cases {
        world.store.plant(MANIFEST, bytes);
        let failed = restore_as(&world.host().await, &restore_request("db", 1, None)).await.unwrap_err();
        assert_eq!(failed.class, class, "{what}: {failed}");
        assert!(failed.to_string().contains(words), "{what}: {failed}");
        assert_eq!(damage(&world).await.len(), 1, "{what}");
        refused_in_place(&world, &now, what).await;
    }
    world.store.plant(MANIFEST, good.clone());
    world.store.plant("h1/db/00000002.manifest", good);
    let failed = restore_as(&world.host().await, &restore_request("db", 2, None)).await.unwrap_err();
    assert_eq!(failed.class, Class::WrongKey, "{failed}");
    assert!(failed.to_string().contains("not its own"), "{failed}");
}
