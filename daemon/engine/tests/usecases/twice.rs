//! Backups that read twice: the snapshot is what the second pass saw.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::failure::Failure;
use engine::format::manifest::{Manifest, SnapshotKind};
use engine::port::docker::{ContainerState, Docker as _};
use engine::testing::calls::CallLog;
use engine::testing::fake_docker::{Moment, Script, Verdict};
use engine::testing::faulty_store::FaultyStore;
use engine::usecase::backup::{BackupReport, BackupRequest, backup};
use engine::usecase::export::{ExportAs, export};
use engine::usecase::host::{Effort, Host, Settings};
use engine::usecase::verify::{VerifyRequest, verify};
use engine::usecase::watch::Silent;
use policies::policy::{Consistency, Mode};

use crate::support::tree::{Tree, bytes, differences};
use crate::support::world::{
    World, back_up, backup_request, container, restore_as, restore_request, snapshot,
};

fn request() -> BackupRequest {
    let consistency = Consistency { mode: Mode::Pause, ..Consistency::default() };
    BackupRequest { consistency, ..backup_request("db") }
}

/// Does something to the volume right before the second helper of a process looks at it.
fn between(change: impl Fn() + Send + Sync + 'static) -> Script {
    let helpers = AtomicU32::new(0);
    Arc::new(move |moment, deed| {
        if moment == Moment::Before
            && deed.starts_with("open_helper")
            && helpers.fetch_add(1, Ordering::SeqCst) == 1
        {
            change();
        }
        Verdict::Pass
    })
}

async fn twice(
    world: &World,
    effort: Effort,
    change: impl Fn(&Path) + Send + Sync + 'static,
) -> Result<BackupReport, Failure> {
    // What nobody writes to is read once.
    world.docker.put_container(container("web", "db", ContainerState::Running, "no"));
    let folder = world.docker.volume_folder("db");
    let docker = world.docker.reopened(between(move || change(&folder)));
    let settings = Settings { effort, ..world.settings() };
    let host = Host::open(settings, Arc::clone(&world.clock) as _).await.unwrap();
    let host = host.with_ports(Arc::new(world.store.clone()), Arc::new(docker));
    backup(&host, &request(), &Silent::default()).await
}

fn usual(world: &World) -> Effort {
    world.settings().effort
}

fn manifest(world: &World, number: u64) -> Manifest {
    let object = &world.store.snapshot()[&format!("h1/db/{number:08}.manifest")];
    Manifest::parse(object.split(|byte| *byte == b'\n').next().unwrap()).unwrap()
}

fn packs(manifest: &Manifest) -> Vec<u64> {
    manifest.packs.iter().map(|pack| pack.id).collect()
}

async fn restores(world: &World, number: u64, want: &Tree) {
    let into = format!("restored-{number}");
    restore_as(&world.host().await, &restore_request("db", number, Some(&into))).await.unwrap();
    assert_eq!(differences(&world.tree(&into), want), "", "db@{number}");
    world.docker.remove_volume(&into).await.unwrap();
}

/// Of a table in which little changed there are differences, and what they are differences from lies in earlier packs.
#[tokio::test]
async fn nobody_is_held_while_the_store_is_asked() {
    let world = World::new();
    world.volume("db", 1).await;
    let folder = world.docker.volume_folder("db");
    for n in 0..300 {
        fs::write(folder.join(format!("file-{n}")), [1; 50]).unwrap();
    }
    back_up(&world.host().await, "db").await.unwrap();
    fs::write(folder.join("file-7"), [2; 50]).unwrap();
    world.docker.put_container(container("web", "db", ContainerState::Running, "no"));
    let log = CallLog::recording();
    let store = FaultyStore::new(Arc::new(world.store.clone()), Arc::clone(&log), Vec::new());
    let moments = Arc::new(Mutex::new(Vec::new()));
    let (seen, calls) = (Arc::clone(&moments), Arc::clone(&log));
    let docker = world.docker.reopened(Arc::new(move |moment, deed| {
        let begins = moment == Moment::After && deed.starts_with("pause ");
        let ends = moment == Moment::Before && deed.starts_with("unpause ");
        if begins || ends {
            seen.lock().unwrap().push(calls.names().len());
        }
        Verdict::Pass
    }));
    let host = world.host_with(Arc::new(store), Arc::new(docker)).await;
    let report = backup(&host, &request(), &Silent::default()).await.unwrap();
    assert_eq!(report.kind, SnapshotKind::Incremental);
    let (moments, names) = (moments.lock().unwrap().clone(), log.names());
    let [from, to] = moments[..] else { panic!("held at {moments:?}") };
    let asked: Vec<_> = names[from..to].iter().filter(|name| name.starts_with("store.get")).collect();
    assert!(asked.is_empty(), "{asked:?}");
    let before = names[..from].iter().filter(|name| name.starts_with("store.get_range")).count();
    assert!(before > 0, "nothing was fetched at all");
}

/// A change of every sort.
fn change(folder: &Path) {
    let data = fs::File::options().write(true).open(folder.join("base/1/data")).unwrap();
    data.write_all_at(&bytes(77, 5000), 600_000).unwrap();
    fs::write(folder.join("late"), bytes(78, 30_000)).unwrap();
    fs::remove_file(folder.join("base/1/small")).unwrap();
    fs::rename(folder.join("conf"), folder.join("config")).unwrap();
}

async fn tarball(host: &Host, name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    export(host, &snapshot(name), ExportAs::Tar, &mut out, &Silent::default()).await.unwrap();
    out
}

#[tokio::test]
async fn what_was_written_during_the_first_pass_is_in_the_snapshot() {
    let world = World::new();
    let before = world.volume("db", 1).await;
    let report = twice(&world, usual(&world), change).await.unwrap();
    let after = world.tree("db");
    assert_ne!(differences(&before, &after), "");
    let first = manifest(&world, 1);
    assert_eq!((first.kind, packs(&first)), (SnapshotKind::Full, vec![4, 5]));
    assert_eq!(report.sent_bytes, first.packs.iter().map(|pack| pack.length).sum::<u64>());
    restores(&world, 1, &after).await;

    // It is leaned on like any other, and leans itself.
    let report = twice(&world, usual(&world), |folder| fs::write(folder.join("later"), b"x").unwrap()).await;
    assert_eq!(report.unwrap().kind, SnapshotKind::Incremental);
    let second = manifest(&world, 2);
    assert!(packs(&second).starts_with(&[4, 5]), "{:?}", packs(&second));
    restores(&world, 2, &world.tree("db")).await;
    restores(&world, 1, &after).await;
    let report = verify(&world.host().await, &VerifyRequest::default(), &Silent::default()).await.unwrap();
    assert!(report.damaged.is_empty(), "{:?}", report.damaged);

    // The plain tarball of two packs is that of one.
    let host = world.host().await;
    let full = BackupRequest { full: true, ..backup_request("db") };
    backup(&host, &full, &Silent::default()).await.unwrap();
    assert!(tarball(&host, "db@2").await == tarball(&host, "db@3").await);
}

#[tokio::test]
async fn without_something_new_there_is_no_second_pack() {
    let world = World::new();
    let tree = world.volume("db", 1).await;
    // Younger files are read again, and their rows change by getting old.
    tokio::time::sleep(Duration::from_millis(2300)).await;
    for number in 1..=2 {
        twice(&world, usual(&world), |_| {}).await.unwrap();
        assert_eq!(packs(&manifest(&world, number)), [4]);
    }
    restores(&world, 2, &tree).await;
    assert_eq!(world.store.snapshot().keys().filter(|key| key.ends_with(".tar.zst")).count(), 1);
}

#[tokio::test]
async fn where_nothing_is_left_of_the_first_pass_the_export_is_still_a_tarball() {
    let world = World::new();
    world.volume("db", 1).await;
    let volume = world.docker.volume_folder("db");
    crate::support::tree::clear(&volume);
    fs::write(volume.join("file"), bytes(1, 50_000)).unwrap();
    twice(&world, usual(&world), |folder| fs::write(folder.join("file"), bytes(2, 60_000)).unwrap())
        .await
        .unwrap();
    assert_eq!(packs(&manifest(&world, 1)), [5]);
    restores(&world, 1, &world.tree("db")).await;
    let host = world.host().await;
    backup(&host, &BackupRequest { full: true, ..backup_request("db") }, &Silent::default()).await.unwrap();
    assert!(tarball(&host, "db@1").await == tarball(&host, "db@2").await);
    // Nobody needs the first pack, so it goes like any orphan.
    world.clock.advance(2 * 24 * 3600);
    back_up(&host, "db").await.unwrap();
    assert!(!world.store.snapshot().keys().any(|key| key.contains("/00000001-") && !key.contains("-2.tar")));
}

#[tokio::test]
async fn a_second_pass_that_does_not_fit_into_its_file_leaves_nothing() {
    let world = World::new();
    world.volume("db", 1).await;
    let small = Effort { spool_bytes: 100_000, ..usual(&world) };
    let much = |folder: &Path| fs::write(folder.join("much"), bytes(5, 9 << 20)).unwrap();
    let failed = twice(&world, small, much).await.unwrap_err();
    assert!(failed.to_string().contains("did not fit"), "{failed}");
    assert!(world.store.snapshot().keys().all(|key| key.ends_with("owner.json")));
    assert_eq!(fs::read_dir(world.state()).unwrap().filter(|e| is_spool(e.as_ref().unwrap())).count(), 0);
}

fn is_spool(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().ends_with(".spool")
}
