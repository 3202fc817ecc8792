//! Archives of other software become snapshots like any other.

use std::io::{self, Cursor, Read};

use archive::path::TreePath;
use engine::failure::{Class, Failure};
use engine::format::manifest::{Consistency, SnapshotKind};
use engine::usecase::host::Host;
use engine::usecase::import::{ImportReport, ImportRequest, import};
use engine::usecase::snapshots::show;
use engine::usecase::watch::Silent;
use jiff::SignedDuration;

use crate::support::tree::{differences, tarball};
use crate::support::world::{World, back_up, import_request, restore_as, restore_request, snapshot};

async fn imported(host: &Host, request: &ImportRequest, archive: Vec<u8>) -> Result<ImportReport, Failure> {
    import(host, request, Box::new(Cursor::new(archive)), &Silent::default()).await
}

/// Nothing of an import is left in Docker, and nothing of a failed one in the store.
async fn assert_clean(world: &World, objects: usize) {
    let volumes = engine::port::docker::Docker::volumes(&*world.docker).await.unwrap();
    let scratch: Vec<_> = volumes.iter().filter(|volume| volume.name.starts_with("backupd-")).collect();
    assert!(scratch.is_empty(), "{scratch:?}");
    assert!(engine::port::docker::Docker::leftovers(&*world.docker).await.unwrap().is_empty());
    let packs = world.store.snapshot().into_keys().filter(|key| key.ends_with(".tar.zst")).count();
    assert_eq!(packs, objects);
}

#[tokio::test]
async fn an_archive_becomes_a_snapshot_that_restores_to_what_was_in_it() {
    let world = World::new();
    let host = world.host().await;
    // GNU tar records when a file was read: no two archives are the same.
    let archive = tarball(2);
    let report = imported(&host, &import_request("db"), archive.clone()).await.unwrap();
    assert_eq!((report.backup.snapshot.as_str(), report.backup.partial), ("db@1", false));
    assert_eq!((report.backup.kind, report.backup.warnings.len()), (SnapshotKind::Full, 0));
    let want = world.volume("db", 2).await;
    restore_as(&host, &restore_request("db", 1, Some("copy"))).await.unwrap();
    assert_eq!(differences(&world.tree("copy"), &want), "");
    let shown = show(&host, &snapshot("db@1")).await.unwrap().manifest;
    assert_eq!(
        (shown.consistency, shown.by_hand, shown.volume.name.as_str()),
        (Consistency::Imported, true, "db")
    );
    let from = shown.imported.unwrap();
    assert_eq!((from.archive.as_str(), from.bytes), ("old.tar", archive.len() as u64));
    assert_eq!(from.hash, *blake3::hash(&archive).as_bytes());
    assert_clean(&world, 1).await;
    // The lineage goes on from it, and what it holds is sent no second time.
    world.clock.advance(60);
    let next = back_up(&host, "db").await.unwrap();
    assert_eq!((next.snapshot.as_str(), next.kind), ("db@2", SnapshotKind::Incremental));
    assert!(
        next.sent_bytes < report.backup.sent_bytes / 20,
        "{} of {}",
        next.sent_bytes,
        report.backup.sent_bytes
    );
}

#[tokio::test]
async fn an_archive_that_is_not_whole_leaves_nothing() {
    let world = World::new();
    let host = world.host().await;
    let archive = tarball(1);
    let cut = archive[..archive.len() / 2].to_vec();
    let failure = imported(&host, &import_request("db"), cut).await.unwrap_err();
    assert!(failure.to_string().contains("cut short"), "{failure}");
    assert!(failure.hint.as_ref().unwrap().contains("nothing was committed"), "{failure:?}");
    assert_eq!(failure.class, Class::Failed);
    assert_clean(&world, 0).await;

    /// A disk that fails in the middle.
    struct Broken(u64);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("the disk failed"));
            }
            self.0 -= 1;
            buffer.fill(0);
            Ok(buffer.len())
        }
    }
    let broken = import(&host, &import_request("db"), Box::new(Broken(3)), &Silent::default()).await;
    let failure = broken.unwrap_err();
    assert!(failure.to_string().contains("the disk failed"), "{failure}");
    assert_clean(&world, 0).await;
    assert_eq!(imported(&host, &import_request("db"), tarball(1)).await.unwrap().backup.snapshot, "db@1");
}

#[tokio::test]
async fn an_archive_that_would_lead_out_is_refused_for_safety() {
    let world = World::new();
    let host = world.host().await;
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..9].copy_from_slice(b"../../out");
    header.set_size(0);
    header.set_cksum();
    let archive = [header.as_bytes().to_vec(), vec![0; 1024]].concat();
    let failure = imported(&host, &import_request("db"), archive).await.unwrap_err();
    assert_eq!(failure.class, Class::Unsafe, "{failure}");
    assert!(failure.to_string().contains("refused `../../out`"), "{failure}");
    assert!(failure.hint.as_ref().unwrap().contains("docs/moving.md"), "{failure:?}");
    assert_clean(&world, 0).await;
}

#[tokio::test]
async fn what_is_not_there_is_not_taken_for_empty() {
    let world = World::new();
    let host = world.host().await;
    let beneath = TreePath::parse(b"backup/db".to_vec()).unwrap();
    let request = ImportRequest { beneath, ..import_request("db") };
    let failure = imported(&host, &request, tarball(1)).await.unwrap_err();
    assert_eq!(failure.class, Class::Unsafe, "{failure}");
    assert!(failure.to_string().contains("members none lies where you say"), "{failure}");
    assert_clean(&world, 0).await;
}

#[tokio::test]
async fn an_old_archive_does_not_become_the_newest_snapshot() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    let began = engine::port::clock::Clock::now(&*world.clock);
    let at = |hours: i64| Some(began - SignedDuration::from_hours(hours));
    let request = |hours| ImportRequest { taken_at: at(hours), ..import_request("db") };
    for (hours, flavour) in [(48, 1), (24, 2)] {
        imported(&host, &request(hours), tarball(flavour)).await.unwrap();
    }
    let failure = imported(&host, &request(36), tarball(3)).await.unwrap_err();
    assert_eq!(failure.class, Class::Unsafe, "{failure}");
    assert!(failure.to_string().contains("`db@2` is of"), "{failure}");
    assert_eq!(imported(&host, &request(-1), tarball(3)).await.unwrap_err().class, Class::Usage);
    back_up(&host, "db").await.unwrap();
    assert_eq!(imported(&host, &request(1), tarball(3)).await.unwrap_err().class, Class::Unsafe);
    // By its time each is found.
    let mut wanted = restore_request("db", 1, Some("copy"));
    (wanted.number, wanted.at) = (None, at(30));
    let report = restore_as(&host, &wanted).await.unwrap();
    assert_eq!(report.snapshot, "db@1");
    assert_clean(&world, 3).await;
}
