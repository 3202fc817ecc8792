//! Tests of the whole catalog, through its own calls, against real files.

mod damage;
mod damaged_packs;
mod drilled;
mod holding;
mod index;
mod latest;
mod processes;
mod run_rows;
mod said;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use archive::channel::{Notes, Totals};
use archive::layout::{BlockRef, FORMAT};
use bytes::Bytes;
use jiff::Timestamp;
use policies::retention::guard::Flag;

use crate::catalog::journal::{RestoreJournal, RestoreTarget};
use crate::catalog::migrate::MIGRATIONS;
use crate::catalog::rebuild::{IndexRow, index_row};
use crate::catalog::{Catalog, Event, Level, NewRun, Pin, SnapshotKey, Verb};
use crate::format::key::HostKey;
use crate::format::manifest::{Consistency, Manifest, PackRef, SnapshotKind, VolumeShape};
use crate::format::names::Lineage;
use crate::format::signed;
use crate::words::{Number, RunId};

const STORE: &str = "s3://backups/prod";

fn at(second: i64) -> Timestamp {
    Timestamp::new(1_795_000_000 + second, 123_456_789).unwrap()
}

fn number(n: u64) -> Number {
    Number::new(n).unwrap()
}

fn run_id(n: u64) -> RunId {
    format!("{n:016x}").parse().unwrap()
}

fn lineage(host: &str, source: &str) -> Lineage {
    Lineage { host: host.parse().unwrap(), source: source.parse().unwrap() }
}

fn key_of(lineage: &Lineage, n: u64) -> SnapshotKey {
    SnapshotKey {
        store: STORE.to_owned(),
        host: lineage.host.clone(),
        source: lineage.source.clone(),
        number: number(n),
    }
}

/// The key that host `vm-1` signs with.
fn host_key() -> HostKey {
    HostKey::from_seed([5; 32])
}

/// Snapshot `n`, taken at second `taken`, that needs the packs of these snapshots.
fn manifest(lineage: &Lineage, n: u64, taken: i64, needs: &[u64]) -> Manifest {
    let pack = |of: &u64| PackRef {
        id: number(*of).pack_id(0),
        name: Lineage::pack_name(number(*of), at(taken), &run_id(*of), 0),
        length: 1000 + of,
        hash: [u8::try_from(of % 256).unwrap(); 32],
        raw_bytes: 4000,
        used: 0,
        content_bytes: 0,
        footer: BlockRef { offset: 100, length: 60, hash: [7; 32] },
    };
    Manifest {
        format: FORMAT,
        host: lineage.host.clone(),
        source: lineage.source.clone(),
        number: number(n),
        run: run_id(n),
        taken_at: at(taken),
        finished_at: at(taken + 5),
        kind: if needs == [n] { SnapshotKind::Full } else { SnapshotKind::Incremental },
        consistency: Consistency::Idle,
        freeze_ms: 0,
        set: None,
        by_hand: n.is_multiple_of(2),
        totals: Totals { entries: n + 2, files: n + 1, bytes: 4096 * n, data_bytes: 1024 * n },
        packs: needs.iter().map(pack).collect(),
        entries: Vec::new(),
        pages: Vec::new(),
        full_at: None,
        notes: Notes { unreadable: u64::from(n.is_multiple_of(5)), ..Notes::default() },
        identity: None,
        volume: VolumeShape { name: "db-data".to_owned(), ..VolumeShape::default() },
        users: Vec::new(),
        imported: None,
        made_by: BTreeMap::from([("backupd".to_owned(), "0.1.0".to_owned())]),
        parent: None,
    }
}

fn object(lineage: &Lineage, n: u64, taken: i64, needs: &[u64]) -> (String, Bytes) {
    let bytes = signed::seal(&manifest(lineage, n, taken, needs), &host_key()).unwrap();
    (lineage.manifest(number(n)), bytes)
}

/// The row as a commit makes it.
fn row(lineage: &Lineage, n: u64, taken: i64, needs: &[u64]) -> IndexRow {
    let (key, bytes) = object(lineage, n, taken, needs);
    index_row(STORE, &key, &bytes, Some(&host_key().public()), at(taken + 9)).unwrap()
}

/// A folder with a catalog in it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("catalog.sqlite")
    }

    /// Opens it and expects to find nothing wrong.
    #[track_caller]
    fn open(&self) -> Catalog {
        let opened = Catalog::open(&self.path(), at(0)).unwrap();
        assert_eq!(opened.notice, None);
        opened.catalog
    }

    fn names(&self) -> Vec<String> {
        names(self.dir.path())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

/// Changes the file behind the catalog's back, as only damage does.
fn tamper(catalog: &Catalog, sql: &str) {
    let changed = catalog.lock().execute(sql, []).unwrap();
    assert!(changed > 0, "{sql}");
}

fn new_restore(n: u64) -> NewRun {
    NewRun {
        id: run_id(n),
        verb: Verb::Restore,
        host: "vm-1".parse().unwrap(),
        source: None,
        store: None,
        pid: 1,
    }
}

/// Some of everything.
fn fill(catalog: &Catalog) {
    for name in ["db", "web:/var/lib/app"] {
        for n in 1..=12 {
            let lineage = lineage("vm-1", name);
            catalog.put_snapshot(&row(&lineage, n, i64::try_from(n).unwrap(), &[n])).unwrap();
        }
    }
    let target = RestoreTarget::Volume("db-data".to_owned());
    let journal = RestoreJournal {
        target,
        created_volume: true,
        volume_made_at: None,
        keep_previous: true,
        containers: Vec::new(),
        stopping: false,
        unfinished: false,
        swapped: false,
    };
    for n in 1..=6 {
        catalog.begin_run(&new_restore(n), at(0)).unwrap();
        catalog.note_prepare(&run_id(n), number(n), &journal).unwrap();
    }
    let key = key_of(&lineage("vm-1", "db"), 3);
    catalog.pin(&Pin { key: key.clone(), at: at(1), note: "before the upgrade".to_owned() }).unwrap();
    catalog.set_flags(&key, &[Flag::Shrunk { from: 900, to: 9, limit: 50 }], at(2)).unwrap();
    catalog.note_packs(STORE, &lineage("vm-1", "db"), &["a.tar.zst", "b.tar.zst"], &[], at(3)).unwrap();
    catalog.add_event(&Event { at: at(0), run: None, level: Level::Info, text: "x".repeat(3000) }).unwrap();
}

/// A step that no release has taken.
const NEXT: &str = "CREATE TABLE marks (source INTEGER, number INTEGER) STRICT; \
     INSERT INTO marks SELECT source, number FROM snapshots;";

/// All released steps, and these.
fn and_then(more: &[&'static str]) -> Vec<&'static str> {
    [MIGRATIONS, more].concat()
}
