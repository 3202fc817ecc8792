//! What an incremental snapshot stores: what is new, and nothing else; and all of it comes back.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]

#[path = "support/lineage.rs"]
mod lineage;
#[path = "support/model.rs"]
mod model;
#[path = "support/planted.rs"]
mod planted;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use archive::base::Ask;
use archive::channel::Packed;
use archive::entry::Kind;
use archive::layout::{RootRef, SegmentRef};
use archive::pack::PackError;
use lineage::{How, Lineage};
use planted::{set_time, set_xattr, write};
use rustix::fs::FallocateFlags;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bytes that do not repeat.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn patch(path: &Path, at: usize, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at as u64).unwrap();
}

fn punch(path: &Path, at: usize, length: usize) {
    let file = File::options().write(true).open(path).unwrap();
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(file, flags, at as u64, length as u64).unwrap();
}

/// Times go in steps: a change in the step of a snapshot could not be told by them.
fn wait() {
    std::thread::sleep(Duration::from_millis(15));
}

/// What becomes of an answer on its way.
type Change<'a> = &'a dyn Fn(&Ask, Vec<u8>) -> io::Result<Vec<u8>>;

/// A lineage and its source.
struct Case {
    root: tempfile::TempDir,
    lineage: Lineage,
}

impl Case {
    fn new(fill: impl Fn(&Path)) -> Self {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        fill(root.path());
        let mut case = Self { root, lineage: Lineage::default() };
        case.take(&How::default());
        case
    }

    /// Changes the tree, takes the next snapshot, and checks all that it says.
    #[track_caller]
    fn change(&mut self, how: &How, change: impl Fn(&Path)) -> Packed {
        wait();
        change(self.root.path());
        self.take(how)
    }

    #[track_caller]
    fn take(&mut self, how: &How) -> Packed {
        wait();
        let want = model::record(self.root.path());
        let packed = self.lineage.snapshot(self.root.path(), how);
        model::assert_same(&model::read(&self.lineage, &packed), &want);
        model::check_hashes(&self.lineage, &packed);
        assert_eq!(packed.used, self.lineage.count_used(&packed));
        packed
    }

    fn extents(&self, packed: &Packed, path: &str) -> usize {
        let entry = self.lineage.entry(packed, path);
        let Kind::File { content, .. } = &entry.kind else { panic!("{path} is no file") };
        content.len()
    }
}

/// What of one file of `size` bytes is stored anew after a change.
#[track_caller]
fn check(name: &str, size: usize, change: impl Fn(&Path), want: u64) {
    let mut case = Case::new(|root| write(&root.join("file"), &noise(1, size)));
    let packed = case.change(&How::default(), |root| change(&root.join("file")));
    assert_eq!(packed.raw_bytes, want, "{name}");
}

#[test]
fn only_what_changed_is_stored() {
    check("nothing", 3 * MIB, |_| {}, 0);
    check("twelve bytes of a small file", 10 * KIB, |f| patch(f, 5000, &[0; 12]), 10 * KIB as u64);
    check("twelve bytes", 51_856, |f| patch(f, 5000, &[0; 12]), 4096);
    check("the short last page", 51_856, |f| patch(f, 51_850, &[0; 6]), 51_856 % 4096);
    check("over a page's end", 2 * MIB, |f| patch(f, 8190, &[0; 4]), 8 * KIB as u64);
    check("append", 2 * MIB, |f| patch(f, 2 * MIB, &[1; 100]), 100);
    check("append to a short page", 2 * MIB + 100, |f| patch(f, 2 * MIB + 100, &[1; 100]), 200);
    check("append to a short chunk", 2 * MIB - 4096, |f| patch(f, 2 * MIB - 4096, &[1; 8192]), 8192);
    check("cut", 3 * MIB, |f| File::options().write(true).open(f).unwrap().set_len(2 << 20).unwrap(), 0);
    check(
        "cut within a page",
        3 * MIB,
        |f| File::options().write(true).open(f).unwrap().set_len((2 << 20) + 5000).unwrap(),
        5000 - 4096,
    );
    check("a hole", 2 * MIB, |f| punch(f, 64 * KIB, 64 * KIB), 0);
    check("a hole within a page of 8 KiB", 65 * MIB, |f| punch(f, 4096, 4096), 4096);
    check("other owner", 2 * MIB, |f| planted::chown_link(f, 5, 6), 0);
    check("attribute", 2 * MIB, |f| set_xattr(f, "user.a", b"b"), 0);
    check("link", 2 * MIB, |f| fs::hard_link(f, f.with_file_name("again")).unwrap(), 0);
    check("link before", 2 * MIB, |f| fs::hard_link(f, f.with_file_name("a")).unwrap(), 0);
    check("rename", 2 * MIB + 7, |f| rustix::fs::rename(f, f.with_file_name("a")).unwrap(), 0);
    check("rename of a small file", 77, |f| rustix::fs::rename(f, f.with_file_name("z")).unwrap(), 0);
    check("copy", 2 * MIB + 7, |f| assert!(fs::copy(f, f.with_file_name("a")).is_ok()), 0);
    check("gone", 2 * MIB, |f| fs::remove_file(f).unwrap(), 0);
    let rewritten = |f: &Path| {
        let meta = fs::metadata(f).unwrap();
        patch(f, 0, &[0; 12]);
        set_time(f, meta.mtime(), meta.mtime_nsec());
    };
    check("the modification time set back", 2 * MIB, rewritten, 4096);
    check(
        "a folder in its place",
        2 * MIB,
        |f| fs::remove_file(f).and_then(|()| fs::create_dir(f)).unwrap(),
        0,
    );
}

#[test]
fn data_where_a_hole_was_is_stored_even_if_it_is_zeros() {
    let mut case = Case::new(|root| {
        write(&root.join("file"), &noise(1, 4 * MIB));
        punch(&root.join("file"), MIB, MIB);
        punch(&root.join("file"), 3 * MIB + 4096, 4096);
    });
    let packed = case.change(&How::default(), |root| patch(&root.join("file"), MIB + 4096, &[0; 4096]));
    assert_eq!(packed.raw_bytes, 4096);
    let packed = case.change(&How::default(), |root| patch(&root.join("file"), 3 * MIB + 4096, &[0; 4096]));
    assert_eq!(packed.raw_bytes, 4096);
    let packed = case.change(&How::default(), |root| punch(&root.join("file"), 0, 4 * MIB));
    assert_eq!((packed.raw_bytes, packed.totals.data_bytes), (0, 0));
}

#[test]
fn page_sizes_stick_and_change() {
    let mut case = Case::new(|root| write(&root.join("file"), &noise(1, 60 * MIB)));
    let exponent =
        |case: &Case, packed: &Packed| case.lineage.entry(packed, "file").witness.chunks.page_exponent;
    let packed = case.change(&How::default(), |root| patch(&root.join("file"), 60 * MIB, &noise(2, 7 * MIB)));
    assert_eq!((exponent(&case, &packed), packed.raw_bytes), (12, 7 << 20));
    let packed = case.change(&How::default(), |root| patch(&root.join("file"), MIB, &[0; 12]));
    assert_eq!(packed.raw_bytes, 4096);
    let cut =
        |root: &Path| File::options().write(true).open(root.join("file")).unwrap().set_len(9 << 10).unwrap();
    let packed = case.change(&How::default(), cut);
    assert_eq!((exponent(&case, &packed), packed.raw_bytes), (20, 9 << 10));
    assert!(packed.pages.is_empty());
}

#[test]
fn an_unchanged_tree_has_no_pack_and_no_file_of_it_is_opened() {
    let mut case = Case::new(|root| {
        (0..50).for_each(|i| write(&root.join(format!("{i:02}")), &noise(i, 1 << 14 << (i % 3))));
    });
    let first = case.lineage.last.clone().unwrap();
    for how in [How::default(), How { reread: true, ..How::default() }] {
        let packed = case.take(&how);
        assert_eq!((packed.length, packed.raw_bytes), (0, 0));
        assert_eq!((&packed.entries, &packed.pages), (&first.entries, &first.pages));
        assert_eq!((&packed.used, packed.totals), (&first.used, first.totals));
    }
    // Nothing but roots and the entries was asked for.
    case.take(&How::default());
    let segments: BTreeSet<_> = case.lineage.segments(&first.pages).iter().map(|s| s.block.offset).collect();
    let is_page = |ask: &Ask| matches!(ask, Ask::Segment { block, .. } if segments.contains(&block.offset));
    assert!(!segments.is_empty() && !case.lineage.asked.iter().any(is_page));
}

/// How many bytes of a table the last pack has, and how many of its segments are differences.
fn new_table(case: &Case, roots: &[RootRef]) -> (u64, usize) {
    let new = case.lineage.packs.keys().next_back().copied().unwrap();
    let segments: Vec<_> = case.lineage.segments(roots).into_iter().filter(|s| s.pack == new).collect();
    let bytes = segments.iter().map(|s| u64::from(s.block.length)).sum();
    (bytes, segments.iter().filter(|s| s.ground.is_some()).count())
}

#[test]
fn scattered_changes_cost_what_changed_until_they_add_up() {
    let mut case = Case::new(|root| {
        (0..3000).for_each(|i| write(&root.join(format!("{i:04}")), &noise(i, 100)));
    });
    let first = case.lineage.last.clone().unwrap();
    let (whole, _) = new_table(&case, &first.entries);
    let mut sizes = Vec::new();
    for day in 1..40 {
        let packed = case.change(&How::default(), |root| {
            (0..3000).step_by(50).for_each(|i| {
                write(&root.join(format!("{:04}", i + day)), &noise(i + 10_000 * day, 100));
            });
        });
        let (bytes, differences) = new_table(&case, &packed.entries);
        sizes.push(bytes);
        if differences < case.lineage.segments(&packed.entries).len() {
            break;
        }
    }
    assert!(sizes[0] * 20 < whole, "{sizes:?} of {whole}");
    assert!(sizes.is_sorted() && sizes.len() > 10 && sizes.len() < 30, "{sizes:?} of {whole}");
    assert!(
        sizes[sizes.len() - 2] * 3 <= whole && sizes[sizes.len() - 1] * 3 > whole,
        "{sizes:?} of {whole}"
    );
}

#[test]
fn what_a_shunned_pack_is_the_ground_of_is_written_whole() {
    let mut case = Case::new(|root| {
        (0..500).for_each(|i| write(&root.join(format!("{i:04}")), &noise(i, 20_000)));
    });
    let packed = case.change(&How::default(), |root| patch(&root.join("0250"), 0, &[0; 12]));
    assert!(new_table(&case, &packed.entries).1 > 0 && new_table(&case, &packed.pages).1 > 0);
    let packed = case.take(&How { shun: [4].into(), ..How::default() });
    assert!(!packed.used.contains_key(&4), "{:?}", packed.used);
    let differs = |at: &SegmentRef| at.ground.is_some();
    assert!(!case.lineage.segments(&packed.entries).iter().any(differs));
}

#[test]
fn pages_that_stay_are_not_sent_again() {
    let mut case = Case::new(|root| write(&root.join("file"), &noise(1, 66 * MIB)));
    let packed = case.change(&How::default(), |root| patch(&root.join("file"), 66 * MIB, &[1; 8192]));
    let segments = case.lineage.segments(&packed.pages);
    assert_eq!((segments[0].pack, segments.len()), (4, 2), "the first 64 MiB have a segment of their own");
    assert!(packed.length < 4_000, "{}", packed.length);
    let packed = case.change(&How::default(), |root| patch(&root.join("file"), 5 * MIB, &noise(2, 8192)));
    assert_eq!(new_table(&case, &packed.pages).1, 1);
    assert!(packed.length < 8192 + 4_000, "{}", packed.length);
}

#[test]
fn young_files_are_read_again_and_cost_nothing() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    write(&root.path().join("file"), &noise(1, 100 * KIB));
    let mut case = Case { root, lineage: Lineage::default() };
    let at_once = How { at_once: true, ..How::default() };
    let packed = case.take(&at_once);
    assert!(case.lineage.entry(&packed, "file").witness.young);
    // The kernel's times do not tell this change from none.
    let meta = fs::metadata(case.root.path().join("file")).unwrap();
    case.lineage.last = Some(packed);
    let packed = case.take(&How::default());
    assert_eq!(packed.raw_bytes, 0);
    assert!(packed.length > 0, "the row is no longer young");
    assert!(!case.lineage.entry(&packed, "file").witness.young);
    assert_eq!(case.take(&How::default()).length, 0);
    assert_eq!(meta.ino(), fs::metadata(case.root.path().join("file")).unwrap().ino());
}

/// What is stored through a mapping after the walk began gives a file one new time, and no other as long as the pages
/// are not on the disk: so no such time can be trusted, however long ago it was when the file's turn came.
#[test]
fn files_that_changed_since_the_walk_began_are_read_again_however_long_it_took() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    for name in ["first", "second", "third"] {
        write(&root.path().join(name), &noise(1, 10 * KIB));
    }
    let mut case = Case { root, lineage: Lineage::default() };
    let packed = case.take(&How { at_once: true, slow: true, ..How::default() });
    for name in ["first", "second", "third"] {
        assert!(case.lineage.entry(&packed, name).witness.young, "{name}");
    }
}

#[test]
fn nothing_stays_in_a_shunned_pack() {
    let mut case = Case::new(|root| {
        write(&root.join("a"), &noise(1, 3 * MIB));
        write(&root.join("b"), &noise(2, 100));
    });
    case.change(&How::default(), |root| patch(&root.join("a"), 0, &[1; 12]));
    let before = case.change(&How::default(), |root| write(&root.join("c"), &noise(3, 500 * KIB)));
    let first = *before.used.keys().next().unwrap();
    let packed = case.take(&How { shun: BTreeSet::from([first]), ..How::default() });
    assert!(before.used[&first] > 0 && !packed.used.contains_key(&first));
    assert_eq!(packed.raw_bytes, 3 * MIB as u64 - 4096 + 100, "what the others hold is not stored again");
    case.lineage.prune(std::iter::once(&packed));
    model::assert_same(&model::read(&case.lineage, &packed), &model::record(case.root.path()));
}

#[test]
fn a_file_does_not_fall_into_too_many_pieces() {
    let mut case = Case::new(|root| write(&root.join("file"), &noise(1, 2 * MIB)));
    let every = |step: usize| {
        move |root: &Path| {
            (0..256)
                .step_by(step)
                .for_each(|n| patch(&root.join("file"), n * 4096 + 9, &[(n ^ step) as u8; 9]));
        }
    };
    let packed = case.change(&How::default(), every(16));
    assert_eq!((packed.raw_bytes, case.extents(&packed, "file")), (16 * 4096, 32));
    let packed = case.change(&How::default(), every(3));
    assert_eq!((packed.raw_bytes, case.extents(&packed, "file")), (MIB as u64, 2));
    let packed = case.change(&How::default(), every(5));
    assert_eq!((packed.raw_bytes, case.extents(&packed, "file")), (52 * 4096, 104));
}

#[test]
fn where_many_pages_change_only_what_lies_close_between_them_is_stored_too() {
    let mut case = Case::new(|root| write(&root.join("file"), &noise(1, MIB)));
    let packed = case.change(&How::default(), |root| {
        let pages = (0..=120).step_by(2).chain((128..256).step_by(8));
        pages.for_each(|n| patch(&root.join("file"), n * 4096 + 9, &[n as u8; 9]));
    });
    // The first 121 as one run, sixteen single ones, and what lies between and behind.
    assert_eq!((packed.raw_bytes, case.extents(&packed, "file")), (137 * 4096, 34));
}

#[test]
fn tables_are_written_again_only_around_a_change() {
    let mut case = Case::new(|root| {
        for i in 0..3000 {
            write(&root.join(format!("{i:04}")), &noise(i, 17 * KIB));
        }
    });
    let first = case.lineage.last.clone().unwrap();
    let pages = case.lineage.segments(&first.pages).len();
    assert!(pages >= 4 && case.lineage.segments(&first.entries).len() >= 2, "{pages}");
    let new = |case: &Case, packed: &Packed| {
        let newest = *case.lineage.packs.keys().last().unwrap();
        let count = |roots| case.lineage.segments(roots).iter().filter(|s| s.pack == newest).count();
        (count(&packed.entries), count(&packed.pages))
    };
    let packed = case.change(&How::default(), |root| patch(&root.join("1500"), 0, &[1; 12]));
    assert_eq!((packed.raw_bytes, new(&case, &packed)), (4096, (1, 1)));
    let packed = case.change(&How::default(), |root| fs::remove_file(root.join("1501")).unwrap());
    let (entries, pages) = new(&case, &packed);
    assert!(packed.raw_bytes == 0 && entries <= 2 && pages <= 2, "{entries} {pages}");
    let packed = case.change(&How::default(), |root| {
        (1000..2000)
            .filter(|i| *i != 1501)
            .for_each(|i| fs::remove_file(root.join(format!("{i:04}"))).unwrap());
    });
    assert!(packed.raw_bytes == 0 && new(&case, &packed).1 <= 3);
    let packed = case.change(&How::default(), |root| write(&root.join("zzz"), &noise(9999, 17 * KIB)));
    // The row of the folder is the first of all.
    assert_eq!((packed.raw_bytes, new(&case, &packed)), (17 * KIB as u64, (2, 1)));
}

#[test]
fn a_file_larger_than_a_part() {
    let size = 130 * MIB;
    let mut case = Case::new(|root| {
        write(&root.join("a"), &noise(1, 100 * KIB));
        write(&root.join("large"), &noise(2, size));
        write(&root.join("z"), &noise(3, 100 * KIB));
    });
    for at in [5, 70 * MIB, size - 5] {
        let packed = case.change(&How::default(), |root| patch(&root.join("large"), at, &[0; 4]));
        assert_eq!(packed.raw_bytes, 8192, "at {at}");
    }
    let packed = case.change(&How::default(), |root| fs::remove_file(root.join("large")).unwrap());
    assert_eq!(packed.raw_bytes, 0);
}

#[test]
fn a_base_that_cannot_be_read_ends_the_pass() {
    let mut case = Case::new(|root| write(&root.join("file"), &noise(1, 2 * MIB)));
    patch(&case.root.path().join("file"), 0, &[0; 4]);
    let mut fails = |want: &str, change: Change<'_>| {
        let why = case.lineage.try_snapshot(case.root.path(), &How::default(), change).unwrap_err();
        assert!(why.to_string().contains(want), "{why}");
        why
    };
    let why = fails("gone", &|_, _| Err(io::Error::other("gone")));
    assert!(matches!(why, PackError::Unanswered(_)));
    let noise = |_: &Ask, answer: Vec<u8>| Ok(vec![7; answer.len()]);
    assert!(matches!(fails("entries table", &noise), PackError::Base { .. }));
    let cut = |_: &Ask, mut answer: Vec<u8>| {
        answer.pop();
        Ok(answer)
    };
    fails("entries table", &cut);
}

#[test]
fn wrong_pages_are_not_believed() {
    let mut case = Case::new(|root| write(&root.join("file"), &noise(1, 2 * MIB)));
    wait();
    let new = noise(2, 4096);
    patch(&case.root.path().join("file"), 0, &new);
    // A pages table that says that the first page always was what it is now.
    let last = case.lineage.last.clone().unwrap();
    let lie = blake3::hash(&new).as_bytes()[..16].to_vec();
    let truth = blake3::hash(&noise(1, 2 * MIB)[..4096]).as_bytes()[..16].to_vec();
    let pages = case.lineage.segments(&last.pages)[0].block;
    let change = |ask: &Ask, mut answer: Vec<u8>| {
        if matches!(ask, Ask::Segment { block, .. } if *block == pages) {
            let at = answer.windows(16).position(|window| window == truth).unwrap();
            answer[at..at + 16].copy_from_slice(&lie);
        }
        Ok(answer)
    };
    let (packed, _) = case.lineage.try_snapshot(case.root.path(), &How::default(), change).unwrap();
    assert_eq!(packed.raw_bytes, 1 << 20, "the whole chunk");
}
