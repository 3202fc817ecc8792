//! Snapshots that lean on those before: every one restores exactly, whatever became of the others.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use archive::levels::Levels;
use engine::format::manifest::{Manifest, SnapshotKind};
use engine::port::docker::Docker as _;
use engine::usecase::backup::{BackupReport, BackupRequest, backup};
use engine::usecase::delete::{delete, plan_delete};
use engine::usecase::export::{ExportAs, export};
use engine::usecase::host::Host;
use engine::usecase::terms::RunTerms;
use engine::usecase::verify::{VerifyRequest, verify};
use engine::usecase::watch::Silent;
use jiff::SignedDuration;

use crate::support::tree::{Tree, bytes, clear, differences};
use crate::support::world::{World, back_up, backup_request, restore_as, restore_request, snapshot};

const DAY_SECONDS: i64 = 24 * 3600;

async fn full(host: &Host) -> BackupReport {
    let request = BackupRequest { full: true, ..backup_request("db") };
    backup(host, &request, &Silent::default()).await.unwrap()
}

/// A volume with one large file, which is what incrementals are about.
pub(crate) async fn world() -> World {
    let world = World::new();
    world.volume("db", 1).await;
    fs::write(world.docker.volume_folder("db").join("large"), large()).unwrap();
    world
}

fn large() -> Vec<u8> {
    bytes(9, 6 << 20)
}

/// One page of the large file becomes another.
pub(crate) fn touch(world: &World, page: u64) {
    let file = fs::File::options().write(true).open(world.docker.volume_folder("db").join("large")).unwrap();
    file.write_all_at(&bytes(u8::try_from(page % 200).unwrap(), 4096), page * 4096).unwrap();
}

/// Files older than the two seconds in which their times prove nothing.
pub(crate) async fn grow_old() {
    tokio::time::sleep(Duration::from_millis(2300)).await;
}

pub(crate) async fn restores(world: &World, number: u64, want: &Tree) {
    let into = format!("restored-{number}");
    restore_as(&world.host().await, &restore_request("db", number, Some(&into))).await.unwrap();
    assert_eq!(differences(&world.tree(&into), want), "", "db@{number}");
    world.docker.remove_volume(&into).await.unwrap();
}

pub(crate) fn packs(world: &World) -> BTreeSet<String> {
    let keys = world.store.snapshot().into_keys();
    keys.filter(|key| key.ends_with(".tar.zst")).collect()
}

/// Of a snapshot in the store.
pub(crate) fn manifest(world: &World, number: u64) -> Manifest {
    let object = &world.store.snapshot()[&format!("h1/db/{number:08}.manifest")];
    let line = object.split(|byte| *byte == b'\n').next().unwrap();
    Manifest::parse(line).unwrap()
}

async fn purge(world: &World, number: u64) {
    let host = world.host().await;
    let plan = plan_delete(&host, &snapshot(&format!("db@{number}")), true).await.unwrap();
    delete(&host, plan, &Silent::default()).await.unwrap();
}

/// Most of the pack is headers then, and headers are no waste.
#[tokio::test]
async fn files_of_a_few_bytes_are_sent_once() {
    let world = World::new();
    world.volume("db", 1).await;
    let folder = world.docker.volume_folder("db");
    clear(&folder);
    for n in 0..200_u8 {
        fs::write(folder.join(n.to_string()), [n; 100]).unwrap();
    }
    grow_old().await;
    let host = world.host().await;
    for _ in 0..3 {
        back_up(&host, "db").await.unwrap();
    }
    assert_eq!(packs(&world).len(), 1);
    assert_eq!(manifest(&world, 3).packs, manifest(&world, 1).packs);
    restores(&world, 3, &world.tree("db")).await;
}

#[tokio::test]
async fn every_snapshot_of_a_chain_restores_also_when_others_are_gone() {
    let world = world().await;
    let mut trees = Vec::new();
    for generation in 0..7_u8 {
        match generation {
            0 => {}
            3 => fs::rename(
                world.docker.volume_folder("db").join("base"),
                world.docker.volume_folder("db").join("cellar"),
            )
            .unwrap(),
            5 => {
                world.replant("db", 5);
                fs::write(world.docker.volume_folder("db").join("large"), large()).unwrap();
            }
            _ => touch(&world, u64::from(generation) * 31),
        }
        trees.push(world.tree("db"));
        let report = back_up(&world.host().await, "db").await.unwrap();
        let want = if generation == 0 { SnapshotKind::Full } else { SnapshotKind::Incremental };
        assert_eq!(report.kind, want, "generation {generation}");
        if [1, 2, 3, 4].contains(&generation) {
            assert!(report.sent_bytes < 200_000, "{generation}: {} bytes for one page", report.sent_bytes);
        }
    }
    for (number, tree) in (1..).zip(&trees) {
        restores(&world, number, tree).await;
    }
    for gone in [1, 4, 6] {
        purge(&world, gone).await;
        for (number, tree) in (1..).zip(&trees).filter(|(number, _)| world.has(*number)) {
            restores(&world, number, tree).await;
        }
        let wanted: BTreeSet<String> = (1..=7)
            .filter(|number| world.has(*number))
            .flat_map(|number| manifest(&world, number).packs)
            .map(|pack| format!("h1/db/{}", pack.name))
            .collect();
        assert_eq!(packs(&world), wanted, "after purging {gone}");
    }
    let report = verify(&world.host().await, &VerifyRequest::default(), &Silent::default()).await.unwrap();
    assert!(report.damaged.is_empty(), "{:?}", report.damaged);
}

impl World {
    fn has(&self, number: u64) -> bool {
        self.store.snapshot().contains_key(&format!("h1/db/{number:08}.manifest"))
    }
}

#[tokio::test]
async fn nothing_new_sends_nothing() {
    let world = world().await;
    grow_old().await;
    let tree = world.tree("db");
    for _ in 0..3 {
        back_up(&world.host().await, "db").await.unwrap();
    }
    assert_eq!(packs(&world).len(), 1, "the pack of the full snapshot is the only one");
    let third = manifest(&world, 3);
    assert_eq!((third.kind, third.sent_bytes()), (SnapshotKind::Incremental, 0));
    assert_eq!(third.entries, manifest(&world, 1).entries, "tables are pointed to");
    purge(&world, 1).await;
    restores(&world, 3, &tree).await;
}

#[tokio::test]
async fn a_base_that_is_lost_costs_a_full_snapshot_and_is_said() {
    for damaged in [false, true] {
        let world = world().await;
        back_up(&world.host().await, "db").await.unwrap();
        let pack = packs(&world).pop_first().unwrap();
        let mut bytes = world.store.lose(&pack).unwrap().to_vec();
        if damaged {
            bytes[usize::try_from(manifest(&world, 1).entries[0].block.offset).unwrap() + 20] ^= 1;
            world.store.plant(&pack, bytes);
        }
        let report = back_up(&world.host().await, "db").await.unwrap();
        assert_eq!(report.kind, SnapshotKind::Full, "damaged: {damaged}");
        let said = report.warnings.iter().any(|warning| warning.starts_with("took a full backup: "));
        assert!(said, "{:?}", report.warnings);
        restores(&world, 2, &world.tree("db")).await;
    }
}

/// The tables are all in a later pack, so that nothing but the pack itself tells.
#[tokio::test]
async fn a_pack_of_content_alone_that_is_lost_is_not_leaned_on() {
    for cut in [false, true] {
        let world = world().await;
        let folder = world.docker.volume_folder("db");
        clear(&folder);
        fs::write(folder.join("large"), large()).unwrap();
        grow_old().await;
        back_up(&world.host().await, "db").await.unwrap();
        let pack = packs(&world).pop_first().unwrap();
        // Nothing like the rows that were there, and a file with pages.
        for n in 0..300_u64 {
            fs::write(folder.join(blake3::hash(&n.to_le_bytes()).to_hex().as_str()), b"x").unwrap();
        }
        fs::write(folder.join("z"), bytes(4, 100_000)).unwrap();
        back_up(&world.host().await, "db").await.unwrap();
        assert_eq!(manifest(&world, 2).packs.len(), 2, "the large file stays where it was");
        let mut bytes = world.store.lose(&pack).unwrap().to_vec();
        if cut {
            bytes.pop();
            world.store.plant(&pack, bytes);
        }
        let report = back_up(&world.host().await, "db").await.unwrap();
        assert_eq!(report.kind, SnapshotKind::Full, "cut: {cut}");
        let said = report.warnings.iter().any(|warning| warning.contains(&format!("`{pack}`")));
        assert!(said, "{:?}", report.warnings);
        restores(&world, 3, &world.tree("db")).await;
    }
}

#[tokio::test]
async fn a_full_one_comes_when_asked_for_and_when_it_is_due() {
    let world = world().await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    assert_eq!(full(&host).await.kind, SnapshotKind::Full);
    world.clock.advance(29 * DAY_SECONDS);
    assert_eq!(back_up(&host, "db").await.unwrap().kind, SnapshotKind::Incremental);
    world.clock.advance(2 * DAY_SECONDS);
    let due = back_up(&host, "db").await.unwrap();
    assert_eq!((due.kind, due.warnings.len()), (SnapshotKind::Full, 0));
}

#[tokio::test]
async fn a_pack_that_outlives_its_snapshot_is_no_orphan() {
    let world = world().await;
    back_up(&world.host().await, "db").await.unwrap();
    touch(&world, 3);
    back_up(&world.host().await, "db").await.unwrap();
    purge(&world, 1).await;
    for _ in 0..2 {
        world.clock.advance(2 * DAY_SECONDS);
        touch(&world, 5);
        back_up(&world.host().await, "db").await.unwrap();
    }
    restores(&world, 4, &world.tree("db")).await;
}

#[tokio::test]
async fn an_export_is_the_tarball_that_a_full_pack_would_be() {
    let world = world().await;
    back_up(&world.host().await, "db").await.unwrap();
    touch(&world, 100);
    touch(&world, 1300);
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    full(&host).await;
    let mut tarballs = Vec::new();
    for name in ["db@2", "db@3"] {
        let mut out = Vec::new();
        let report =
            export(&host, &snapshot(name), ExportAs::Tar, &mut out, &Silent::default()).await.unwrap();
        assert_eq!(report.bytes, out.len() as u64);
        let mut compressed = Vec::new();
        export(&host, &snapshot(name), ExportAs::TarZst, &mut compressed, &Silent::default()).await.unwrap();
        tarballs.push(out);
    }
    assert!(tarballs[0] == tarballs[1], "the incremental's tarball is another one");
}

#[tokio::test]
async fn a_policy_says_how_long_a_chain_is_and_how_hard_it_is_compressed() {
    let world = world().await;
    let words = |n: u32| format!("{:x} {}\n", n.wrapping_mul(2_654_435_761) >> 9, n % 41);
    let text: String = (0..90_000).map(words).collect();
    fs::write(world.docker.volume_folder("db").join("words"), text).unwrap();
    let host = world.host().await;
    let sent = async |terms: RunTerms, full: bool| {
        let request = BackupRequest { full, terms, ..backup_request("db") };
        let report = backup(&host, &request, &Silent::default()).await.unwrap();
        (report.kind, report.sent_bytes)
    };
    let usual = RunTerms::default;
    let (_, fast) = sent(usual(), true).await;
    let (_, best) = sent(RunTerms { levels: Some(Levels::Fixed(9)), ..usual() }, true).await;
    assert!(best + 10_000 < fast, "{best} {fast}");
    let few = RunTerms { max_packs: Some(2), ..usual() };
    let mut kinds = Vec::new();
    for page in 0..4 {
        touch(&world, page);
        kinds.push(sent(few.clone(), false).await.0);
    }
    let (full, incremental) = (SnapshotKind::Full, SnapshotKind::Incremental);
    assert_eq!(kinds, [incremental, incremental, full, incremental]);
    world.clock.advance(2 * DAY_SECONDS);
    let daily = RunTerms { full_every: SignedDuration::from_hours(24), ..usual() };
    assert_eq!((sent(usual(), false).await.0, sent(daily, false).await.0), (incremental, full));
}
