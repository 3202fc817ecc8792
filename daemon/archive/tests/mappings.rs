//! What is stored through a mapping that was there before: the one change of which times may say nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::print_stderr,
    reason = "who runs a test on another file system shall know that it proved nothing"
)]

#[path = "support/lineage.rs"]
mod lineage;
#[path = "support/mapping.rs"]
mod mapping;
#[path = "support/planted.rs"]
mod planted;

use std::fs::{self, File};
use std::path::Path;

use archive::channel::Packed;
use lineage::{How, Lineage};
use mapping::Mapping;
use planted::write;
use rustix::io::Errno;

const LENGTH: usize = 50_000;

/// A folder with one file, which is mapped, and its page is dirty.
fn mapped(place: &Path) -> (tempfile::TempDir, Mapping) {
    let root = tempfile::tempdir_in(place).unwrap();
    write(&root.path().join("f"), &[1; LENGTH]);
    let mut mapping = Mapping::of(&root.path().join("f"));
    mapping.store(7, b'a');
    (root, mapping)
}

/// What the file holds in a snapshot, at the place where it changes.
fn seen(lineage: &Lineage, packed: &Packed) -> u8 {
    lineage.content(&lineage.entry(packed, "f")).0[7]
}

/// Whether a store shows in a file's times, once what it was before has reached the disk.
fn tells(place: &Path) -> bool {
    let (root, mut mapping) = mapped(place);
    rustix::fs::syncfs(File::open(root.path()).unwrap()).unwrap();
    shows(root.path(), || mapping.store(7, b'b'))
}

fn shows(root: &Path, change: impl FnOnce()) -> bool {
    let times = || fs::metadata(root.join("f")).unwrap().modified().unwrap();
    let before = times();
    // Times go in steps.
    std::thread::sleep(std::time::Duration::from_millis(20));
    change();
    times() != before
}

#[test]
fn a_store_through_a_mapping_is_in_the_next_snapshot() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    if !tells(place) {
        eprintln!("skipped: the file system of {} keeps no times for mappings", place.display());
        return;
    }
    let (root, mut mapping) = mapped(place);
    let mut lineage = Lineage::default();
    for byte in [b'a', b'b', b'c'] {
        std::thread::sleep(std::time::Duration::from_millis(20));
        mapping.store(7, byte);
        let packed = lineage.snapshot(root.path(), &How::default());
        assert_eq!((seen(&lineage, &packed), packed.unsynced), (byte, None));
    }
    // That it is times that tell: nothing is read for nothing.
    let asked = lineage.snapshot(root.path(), &How::default());
    assert_eq!(asked.length, 0);
}

/// Here no store ever shows, so what is not read is not seen.
#[test]
fn a_disk_that_cannot_be_written_to_makes_all_files_be_read() {
    let place = Path::new("/dev/shm");
    let (root, mut mapping) = mapped(place);
    if shows(root.path(), || mapping.store(7, b'b')) {
        eprintln!("skipped: {} keeps times for mappings", place.display());
        return;
    }
    let usual = How::default;
    let broken = |why| How { unsynced: Some(why), ..How::default() };
    let mut lineage = Lineage::default();
    let mut next = |byte, how: &How, pictured: bool| {
        mapping.store(7, byte);
        lineage.meanwhile = pictured.then(|| -> Box<dyn FnOnce()> { Box::new(|| ()) });
        let packed = lineage.snapshot(root.path(), how);
        let told = packed.unsynced.is_some();
        (seen(&lineage, &packed), lineage.entry(&packed, "f").witness.young, told)
    };
    assert_eq!(next(b'c', &usual(), false), (b'c', false, false), "the first is read in any case");
    for harmless in [Errno::ROFS, Errno::PERM, Errno::ACCESS, Errno::NOSYS] {
        assert_eq!(next(b'd', &broken(harmless), false), (b'c', false, false), "{harmless}");
    }
    for pictured in [false, true] {
        for why in [Errno::IO, Errno::NOSPC, Errno::DQUOT] {
            for byte in [b'e', b'f'] {
                assert_eq!(next(byte, &broken(why), pictured), (byte, true, true), "{why}");
            }
        }
        // Its rows are not trusted by the next pass, and that one's are.
        assert_eq!(next(b'g', &usual(), pictured), (b'g', false, false));
        assert_eq!(next(b'h', &usual(), pictured), (b'g', false, false));
    }
    let mut first = Lineage::default();
    let packed = first.snapshot(root.path(), &broken(Errno::IO));
    assert!(first.entry(&packed, "f").witness.young && packed.unsynced.is_some());
}
