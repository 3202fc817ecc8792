//! Pictures that cannot be taken: the tree is read in the ordinary way, and nobody is told that it may change.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "file times come from the system's clock")]

#[path = "support/lineage.rs"]
mod lineage;
#[path = "support/model.rs"]
mod model;
#[path = "support/planted.rs"]
mod planted;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use archive::channel::Packed;
use archive::clones::{Cloner, Scratch};
use archive::pack::{Still, System, pack};
use lineage::{How, Lineage};
use planted::write;
use rustix::fd::AsFd as _;

/// More than a picture can have clones of.
const MANY: usize = 2049;

fn scratch(cloner: Cloner) -> Scratch {
    Scratch { folder: Some(File::open(std::env::temp_dir()).unwrap().into()), cloner }
}

/// The next pass at this time, and whether it was of a picture.
fn pass(lineage: &mut Lineage, root: &Path, scratch: &Scratch, now: SystemTime) -> (Packed, Vec<u8>, bool) {
    let job = lineage.job(&How::default());
    let (mut bytes, mut taken) = (Vec::new(), false);
    let packed = {
        let mut sink = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok(())
        };
        let mut ask = |ask: &_| Ok(lineage.answer(ask));
        let mut tell = || {
            taken = true;
            Ok(())
        };
        let still = Still { scratch, taken: &mut tell };
        let folder = File::open(root).unwrap();
        pack(
            folder.as_fd(),
            &job,
            &mut sink,
            &mut ask,
            &mut |_| {},
            System { now: &|| now, ..System::KERNEL },
            still,
        )
        .unwrap()
    };
    (packed, bytes, taken)
}

/// Two lineages of the same tree at the same time, so that both take the same files for young: what one of them packs of a
/// picture, or where it could take none, the other packs without trying.
#[track_caller]
fn check(root: &Path, change: impl Fn(), cloner: Cloner, want_taken: bool) {
    let mut lineages = [Lineage::default(), Lineage::default()];
    for lineage in &mut lineages {
        lineage.snapshot(root, &How::default());
    }
    let now = SystemTime::now();
    change();
    let [tries, plain] = &mut lineages;
    let (packed, bytes, taken) = pass(tries, root, &scratch(cloner), now);
    assert_eq!(taken, want_taken);
    let (want, want_bytes, never) = pass(plain, root, &Scratch::NONE, now);
    assert!(!never && want.length > 0 && want.notes.named.is_empty());
    // The cloner says whether there may be a picture next time.
    let clones = packed.clones;
    assert_eq!(Packed { clones, ..want }, packed);
    assert_eq!(bytes, want_bytes);
}

#[test]
fn a_picture_packs_what_the_tree_would() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("hot"), &[1; 3_000_000]);
    write(&root.path().join("cold"), b"as it was");
    fs::hard_link(root.path().join("hot"), root.path().join("warm")).unwrap();
    let change = || {
        write(&root.path().join("hot"), &[2; 2_000_000]);
        fs::remove_file(root.path().join("cold")).unwrap();
        write(&root.path().join("new"), b"new");
        // Allocated, and never written: no hole, whatever a clone makes of it.
        let log = File::create(root.path().join("log")).unwrap();
        rustix::fs::fallocate(&log, rustix::fs::FallocateFlags::empty(), 0, 3 << 20).unwrap();
    };
    check(root.path(), change, Cloner::COPY, true);
}

#[test]
fn a_file_system_that_clones_nothing_costs_the_picture_alone() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("a"), b"before");
    let refuses =
        Cloner { clone: |_to, _from| Err(io::Error::from(io::ErrorKind::Unsupported)), ..Cloner::COPY };
    check(root.path(), || write(&root.path().join("a"), b"after it"), refuses, false);
    // The kernel's own refusal is no other.
    check(root.path(), || write(&root.path().join("a"), b"once more"), Cloner::KERNEL, clones(root.path()));
}

fn clones(folder: &Path) -> bool {
    (Cloner::KERNEL.knows)(File::open(folder).unwrap().as_fd())
}

#[test]
fn a_disk_without_room_for_what_is_written_meanwhile_costs_the_picture_alone() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("a"), b"before");
    let full = Cloner { room: |_folder| 200 << 20, ..Cloner::COPY };
    check(root.path(), || write(&root.path().join("a"), b"after it"), full, false);
}

/// Names of a file that is lost name nothing, wherever they stand: as rows that changed, and among those that did not.
#[test]
fn a_clone_that_cannot_be_read_is_missing_under_all_of_its_names() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for (file, more) in [("a", "n"), ("b", "z")] {
        write(&at(file), &[1; 10_000]);
        fs::hard_link(at(file), at(more)).unwrap();
    }
    write(&at("kept"), b"as it was");
    let mut lineage = Lineage::default();
    lineage.snapshot(root.path(), &How::default());
    write(&at("a"), &[2; 20_000]);
    write(&at("b"), &[2; 20_000]);
    let broken = Cloner { read: |_clone, _buffer, _at| Err(io::Error::other("spoilt")), ..Cloner::COPY };
    let (packed, _bytes, taken) = pass(&mut lineage, root.path(), &scratch(broken), SystemTime::now());
    assert!(taken);
    let mut lost: Vec<String> = packed.notes.named.iter().map(|note| note.path.to_string()).collect();
    lost.sort();
    assert_eq!(lost, ["a", "b", "n", "z"]);
    // The root and what was kept.
    assert_eq!((packed.totals.entries, packed.totals.files), (2, 1));
}

#[test]
fn which_database_it_is_is_of_the_picture_too() {
    let root = tempfile::tempdir().unwrap();
    let note = root.path().join("auto.cnf");
    let server = |digit: char| {
        format!(
            "[auto]\nserver-uuid={0}-{1}-{1}-{1}-{0}{1}\n",
            digit.to_string().repeat(8),
            digit.to_string().repeat(4)
        )
    };
    write(&note, server('1').as_bytes());
    let mut lineage = Lineage::default();
    let old = lineage.snapshot(root.path(), &How::default()).identity;
    assert!(old.is_some());
    let after = server('2');
    let path = note.clone();
    lineage.meanwhile = Some(Box::new(move || write(&path, after.as_bytes())));
    assert_eq!(lineage.snapshot(root.path(), &How::default()).identity, old);
    assert_ne!(lineage.snapshot(root.path(), &How::default()).identity, old);
}

#[test]
fn more_changed_files_than_can_be_held_open_are_read() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("a"), b"before");
    let change = || {
        for number in 0..MANY {
            write(&root.path().join(format!("new-{number}")), b"new");
        }
    };
    check(root.path(), change, Cloner::COPY, false);
}
