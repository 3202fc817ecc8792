//! A folder becomes the snapshot exactly, whatever was done to it since; and a delta that is stopped anywhere, by a crash,
//! leaves what was there or ends in the snapshot.

use std::cell::Cell;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use rustix::fs::{FallocateFlags, FileType};

use super::*;
use crate::base::Base;
use crate::channel::{
    Failed, FailedCause, Job, Packed, Piece, RecordKind, Swapped, parse_json, put_frame, read_record,
    write_json, write_record,
};
use crate::clones::Scratch;
use crate::deeds::{Deed, act, content, deeds};
use crate::entry::{Extent, Kind};
use crate::frame::{Encoder, FRAME_BYTES, FrameRow};
use crate::lineage::{How, Lineage};
use crate::model::{Tree, assert_same, record};
use crate::planted::{node, set_time, set_xattr, write};
use crate::row::Rows;
use crate::serve::serve;
use crate::swap::{SwapError, swap_stopping};

const RUN: &str = "r1";

pub(super) fn job(packed: &Packed) -> DeltaJob {
    let snapshot = Base { entries: packed.entries.clone(), pages: packed.pages.clone(), ..Base::default() };
    DeltaJob { run: RUN.to_owned(), workers: 2, snapshot, most_bytes: u64::MAX, unfinished: false }
}

pub(super) fn open(root: &Path) -> OwnedFd {
    File::open(root).unwrap().into()
}

/// Compares, and fetches what is wanted from memory.
fn log(lineage: &Lineage, packed: &Packed, root: &Path) -> Result<Logged, DeltaError> {
    log_job(lineage, &job(packed), root, &|frame| frame)
}

pub(super) fn log_job(
    lineage: &Lineage,
    job: &DeltaJob,
    root: &Path,
    on_its_way: &dyn Fn(Vec<u8>) -> Vec<u8>,
) -> Result<Logged, DeltaError> {
    let mut ask = |ask: &crate::base::Ask| Ok(lineage.answer(ask));
    let (compared, notes, filling) =
        Delta::begin(open(root), job)?.compare(job, &mut ask, &mut |_progress| ())?;
    let Some(mut filling) = filling else { return Ok(Logged { compared, notes }) };
    let mut records = filling.rows.records().unwrap();
    let mut end = End { entries: 0, data_bytes: 0 };
    while let Some(record) = records.next().unwrap() {
        filling.unpacker.rows(&record)?;
        for entry in Rows::new(&record) {
            for frame in frames(lineage, end.entries, &entry.unwrap().kind, &mut end.data_bytes) {
                filling.unpacker.frame(on_its_way(frame))?;
            }
            end.entries += 1;
        }
    }
    filling.finish(&end)
}

pub(super) fn frames(lineage: &Lineage, entry: u64, kind: &Kind, sent: &mut u64) -> Vec<Vec<u8>> {
    let Kind::File { content, .. } = kind else { return Vec::new() };
    let (mut frames, mut at) = (Vec::new(), 0);
    for extent in content {
        if let Extent::Stored { pack, position, length } = extent {
            let from = usize::try_from(*position).unwrap();
            let bytes = &lineage.packs[pack].raw[from..from + usize::try_from(*length).unwrap()];
            for (n, raw) in bytes.chunks(FRAME_BYTES).enumerate() {
                let (stored, hash) = Encoder::new(1).unwrap().encode(raw).unwrap();
                let length = u32::try_from(raw.len()).unwrap();
                let file_offset = at + (n * FRAME_BYTES) as u64;
                let row = FrameRow { offset: 0, stored: 0, raw: length, hash };
                frames.push(put_frame(
                    &row,
                    &[Piece { entry, file_offset, frame_offset: 0, length }],
                    &stored,
                ));
            }
            *sent += length;
        }
        at += extent.length();
    }
    frames
}

/// Carries out what was logged, until the `stop`th step. Tells how many steps were taken.
pub(super) fn carry_out(root: &Path, stop: Option<usize>) -> (Result<Swapped, SwapError>, usize) {
    let count = Cell::new(0);
    let step = |_name: &str| {
        count.set(count.get() + 1);
        if Some(count.get()) == stop { Err(io::Error::other("crash")) } else { Ok(()) }
    };
    (swap_stopping(open(root).as_fd(), RUN, &step), count.get())
}

fn restore(lineage: &Lineage, packed: &Packed, root: &Path) -> Logged {
    let logged = log(lineage, packed, root).unwrap();
    assert_eq!(logged.compared.totals, packed.totals);
    assert_eq!(carry_out(root, None).0.unwrap(), Swapped { swapped: true, previous: None });
    logged
}

pub(super) fn many(usual: u32) -> ProptestConfig {
    let config =
        ProptestConfig { failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() };
    let cases = if config.cases == 256 { usual } else { config.cases };
    ProptestConfig { cases, ..config }
}

/// Makes snapshots, and goes back to one after each.
fn back_and_forth(steps: Vec<(Vec<Deed>, u8, Vec<Deed>)>) {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = dir.path();
    let mut lineage = Lineage::default();
    let mut made: Vec<(Packed, Tree)> = Vec::new();
    for (before, which, after) in steps {
        std::thread::sleep(Duration::from_millis(12));
        before.into_iter().for_each(|deed| act(root, deed));
        made.push((lineage.snapshot(root, &How::default()), record(root)));
        after.into_iter().for_each(|deed| act(root, deed));
        let (packed, want) = &made[usize::from(which) % made.len()];
        restore(&lineage, packed, root);
        assert_same(&record(root), want);
        let again = log(&lineage, packed, root).unwrap();
        assert_eq!(again.compared.differing, 0, "all is as it was: {again:?}");
        assert!(!discard(open(root).as_fd(), RUN).unwrap().swapped);
        rustix_times(root, &lineage, packed);
    }
}

/// Our folder came and went, so the root has another time.
fn rustix_times(root: &Path, lineage: &Lineage, packed: &Packed) {
    let modified = lineage.entry(packed, "").modified;
    set_time(root, modified.seconds, i64::from(modified.nanoseconds));
}

proptest! {
    #![proptest_config(many(12))]

    #[test]
    fn any_damage_is_undone(steps in proptest::collection::vec((deeds(12), any::<u8>(), deeds(16)), 1..7)) {
        back_and_forth(steps);
    }
}

/// A tree with something of each kind.
pub(super) fn plant(root: &Path) {
    for folder in ["stays", "stays/deep", "becomes a file", "goes away/deep"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    write(&root.join("becomes a file/inside"), b"one");
    write(&root.join("becomes a folder"), b"two");
    write(&root.join("goes away/deep/file"), b"three");
    write(&root.join("stays/large"), &content(5, 3 << 20));
    write(&root.join("stays/cut"), &content(6, 100_000));
    write(&root.join("stays/grown"), &content(4, 100_000));
    write(&root.join("stays/deep/same"), &content(3, 70_000));
    write(&root.join("stays/moded"), b"four");
    let sparse = File::create(root.join("stays/sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    sparse.write_all_at(&content(3, 9000), 600_000).unwrap();
    write(&root.join("first"), b"five");
    fs::hard_link(root.join("first"), root.join("stays/second")).unwrap();
    write(&root.join("stays/alone"), b"six");
    symlink("here", root.join("stays/link")).unwrap();
    node(&root.join("stays/fifo"), FileType::Fifo, 0);
    set_xattr(&root.join("stays/moded"), "user.a", b"1");
    set_xattr(root, "user.root", b"1");
    fs::set_permissions(root.join("stays/deep"), Permissions::from_mode(0o2751)).unwrap();
    set_time(&root.join("stays"), 1_000_000, 7);
    set_time(root, 2_000_000, 8);
}

/// Changes something of each kind.
pub(super) fn spoil(root: &Path) {
    let open = |name: &str| File::options().write(true).open(root.join(name)).unwrap();
    fs::remove_dir_all(root.join("becomes a file")).unwrap();
    write(&root.join("becomes a file"), b"a file");
    fs::remove_file(root.join("becomes a folder")).unwrap();
    fs::create_dir(root.join("becomes a folder")).unwrap();
    write(&root.join("becomes a folder/inside"), b"new");
    fs::remove_dir_all(root.join("goes away")).unwrap();
    fs::create_dir_all(root.join("comes/deep")).unwrap();
    write(&root.join("comes/deep/file"), b"new");
    for at in [0, 5000, 1 << 20, (3 << 20) - 3] {
        open("stays/large").write_all_at(b"xyz", at).unwrap();
    }
    open("stays/cut").set_len(5000).unwrap();
    open("stays/grown").write_all_at(&[7; 50_000], 100_000).unwrap();
    open("stays/sparse").write_all_at(&[0; 20_000], 100_000).unwrap();
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(open("stays/large"), hole, 2 << 20, 8192).unwrap();
    fs::remove_file(root.join("stays/second")).unwrap();
    fs::remove_file(root.join("stays/alone")).unwrap();
    fs::hard_link(root.join("stays/moded"), root.join("stays/alone")).unwrap();
    fs::remove_file(root.join("stays/link")).unwrap();
    symlink("/etc", root.join("stays/link")).unwrap();
    fs::remove_file(root.join("stays/fifo")).unwrap();
    symlink("/etc/passwd", root.join("stays/fifo")).unwrap();
    set_xattr(&root.join("stays/deep"), "user.b", b"2");
    set_xattr(root, "user.root", b"2");
    fs::set_permissions(root, Permissions::from_mode(0o700)).unwrap();
    set_time(root, 3_000_000, 9);
}

struct Spoiled {
    dir: tempfile::TempDir,
    lineage: Lineage,
    packed: Packed,
    good: Tree,
    bad: Tree,
}

impl Spoiled {
    fn new() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut lineage = Lineage::default();
        plant(dir.path());
        let packed = lineage.snapshot(dir.path(), &How::default());
        let good = record(dir.path());
        spoil(dir.path());
        let bad = record(dir.path());
        Self { dir, lineage, packed, good, bad }
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    /// What is there, ours and the root's time apart.
    #[track_caller]
    fn assert_bad(&self) {
        let mut tree = record(self.root());
        tree.retain(|path, _| !path.starts_with(b".backupd-restore-"));
        let but_root =
            |tree: &Tree| -> Tree { tree.clone().into_iter().filter(|(p, _)| !p.is_empty()).collect() };
        assert_same(&but_root(&tree), &but_root(&self.bad));
    }
}

#[test]
fn each_kind_of_difference_is_undone() {
    let spoiled = Spoiled::new();
    let logged = restore(&spoiled.lineage, &spoiled.packed, spoiled.root());
    assert_same(&record(spoiled.root()), &spoiled.good);
    // Pages of the large file, and not all of it.
    let wanted = logged.compared.wanted_bytes;
    assert!((100_000..1 << 20).contains(&wanted), "{wanted}");
}

#[test]
fn stopped_anywhere_it_ends_in_the_snapshot_or_can_be_thrown_away() {
    let (mut stop, mut kinds) = (0, [0; 2]);
    loop {
        stop += 1;
        let spoiled = Spoiled::new();
        log(&spoiled.lineage, &spoiled.packed, spoiled.root()).unwrap();
        let (done, steps) = carry_out(spoiled.root(), Some(stop));
        if done.is_ok() {
            assert!(steps < stop && kinds.iter().all(|kind| *kind > 0), "{kinds:?}");
            return;
        }
        assert!(
            format!("{done:?}").contains("crash") || matches!(done, Err(SwapError::Stopped(_))),
            "{stop}: {done:?}"
        );
        let begun =
            crate::look::look(open(spoiled.root()).as_fd()).unwrap().staged.iter().any(|s| s.swapping);
        if begun {
            kinds[1] += 1;
            // And again, in the middle of the second time.
            assert!(discard(open(spoiled.root()).as_fd(), RUN).is_err(), "{stop}");
            let (again, _) = carry_out(spoiled.root(), Some(stop / 2 + 1));
            if again.is_err() {
                carry_out(spoiled.root(), None).0.unwrap();
            }
            let (mut got, mut want) = (record(spoiled.root()), spoiled.good.clone());
            // Its time has no place to be noted in once the row is gone.
            if stop + 3 > steps {
                got.remove(&b""[..]);
                want.remove(&b""[..]);
            }
            assert_same(&got, &want);
        } else if !spoiled.root().join(".backupd-restore-r1").exists() {
            assert_same(&record(spoiled.root()), &spoiled.good);
        } else {
            kinds[0] += 1;
            let looked = discard(open(spoiled.root()).as_fd(), RUN).unwrap();
            if !looked.swapped {
                spoiled.assert_bad();
            }
        }
    }
}

#[test]
fn what_is_not_whole_is_never_carried_out() {
    let spoiled = Spoiled::new();
    let root = spoiled.root();
    // Damage on the way.
    let damage = |mut frame: Vec<u8>| {
        let last = frame.len() - 1;
        frame[last] ^= 1;
        frame
    };
    let done = log_job(&spoiled.lineage, &job(&spoiled.packed), root, &damage);
    assert!(done.is_err(), "{done:?}");
    assert!(matches!(carry_out(root, None).0, Err(SwapError::NotWhole { .. })));
    spoiled.assert_bad();
    assert!(!discard(open(root).as_fd(), RUN).unwrap().swapped);
    // Marked by the row alone.
    log(&spoiled.lineage, &spoiled.packed, root).unwrap();
    fs::remove_file(root.join(".backupd-restore-r1/journal")).unwrap();
    assert!(matches!(carry_out(root, None).0, Err(SwapError::NotWhole { .. })));
    assert!(!discard(open(root).as_fd(), RUN).unwrap().swapped);
    spoiled.assert_bad();
}

#[test]
fn what_an_earlier_restore_kept_stays() {
    let spoiled = Spoiled::new();
    let kept = spoiled.root().join(".backupd-previous-r0");
    fs::create_dir_all(kept.join("old/folder")).unwrap();
    write(&kept.join("old/folder/file"), b"kept");
    write(&kept.join("root"), b"a row");
    let before = record(&kept);
    restore(&spoiled.lineage, &spoiled.packed, spoiled.root());
    assert_same(&record(&kept), &before);
    fs::remove_dir_all(&kept).unwrap();
    rustix_times(spoiled.root(), &spoiled.lineage, &spoiled.packed);
    assert_same(&record(spoiled.root()), &spoiled.good);
}

#[test]
fn too_much_leaves_nothing() {
    let spoiled = Spoiled::new();
    let few = DeltaJob { most_bytes: 1000, ..job(&spoiled.packed) };
    let logged = log_job(&spoiled.lineage, &few, spoiled.root(), &|frame| frame).unwrap();
    assert!(logged.compared.too_much && logged.compared.wanted_bytes > 1000, "{logged:?}");
    assert!(!spoiled.root().join(".backupd-restore-r1").exists());
    spoiled.assert_bad();
}

/// Another name of a file may lie where nobody looks: outside, or where it is not to be.
#[test]
fn no_other_name_of_a_file_is_written_through() {
    let spoiled = Spoiled::new();
    let outside = tempfile::tempdir_in("/dev/shm").unwrap();
    let (victim, root) = (outside.path().join("victim"), spoiled.root());
    write(&victim, b"nobody's business");
    for name in ["stays/large", "stays/moded"] {
        fs::remove_file(root.join(name)).unwrap();
        fs::hard_link(&victim, root.join(name)).unwrap();
    }
    fs::remove_file(root.join("stays/cut")).unwrap();
    symlink(&victim, root.join("stays/cut")).unwrap();
    fs::remove_dir_all(root.join("stays/deep")).unwrap();
    symlink(outside.path(), root.join("stays/deep")).unwrap();
    let before = victim.metadata().unwrap();
    restore(&spoiled.lineage, &spoiled.packed, root);
    assert_same(&record(root), &spoiled.good);
    let after = victim.metadata().unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"nobody's business");
    assert_eq!((after.mode(), after.mtime(), after.nlink()), (before.mode(), before.mtime(), 1));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

/// A writer that is not held may put something else in the place of what was compared.
#[test]
fn what_is_put_in_the_way_afterwards_is_not_followed() {
    let spoiled = Spoiled::new();
    let outside = tempfile::tempdir_in("/dev/shm").unwrap();
    let (victim, root) = (outside.path().join("victim"), spoiled.root());
    write(&victim, &content(1, 1 << 20));
    log(&spoiled.lineage, &spoiled.packed, root).unwrap();
    fs::remove_file(root.join("stays/large")).unwrap();
    symlink(&victim, root.join("stays/large")).unwrap();
    assert!(carry_out(root, None).0.is_err());
    assert_eq!(fs::read(&victim).unwrap(), content(1, 1 << 20));
    fs::remove_file(root.join("stays/large")).unwrap();
    rustix::fs::rename(root.join("stays"), root.join("elsewhere")).unwrap();
    symlink(outside.path(), root.join("stays")).unwrap();
    assert!(carry_out(root, None).0.is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

/// The engine's side of the channel: answers, then frames for the rows that are wanted, each damaged as told.
fn engine(
    lineage: &Lineage,
    job: DeltaJob,
    channel: &mut UnixStream,
    on_its_way: &dyn Fn(Vec<u8>) -> Vec<u8>,
) -> io::Result<Result<Logged, Failed>> {
    let (mut payload, mut end) = (Vec::new(), End { entries: 0, data_bytes: 0 });
    assert_eq!(read_record(channel, &mut payload)?, RecordKind::Hello);
    write_json(channel, RecordKind::Job, &Job::Delta(job))?;
    loop {
        let kind = read_record(channel, &mut payload)?;
        if kind == RecordKind::Ask {
            write_record(channel, RecordKind::Answer, &lineage.answer(&parse_json(&payload)?))?;
        } else if kind == RecordKind::Rows && payload.is_empty() {
            write_json(channel, RecordKind::End, &end)?;
        } else if kind == RecordKind::Rows {
            for entry in Rows::new(&payload) {
                for frame in frames(lineage, end.entries, &entry.unwrap().kind, &mut end.data_bytes) {
                    write_record(channel, RecordKind::Frame, &on_its_way(frame))?;
                }
                end.entries += 1;
            }
        } else if kind == RecordKind::Done {
            return Ok(Ok(parse_json(&payload)?));
        } else if kind == RecordKind::Failed {
            return Ok(Err(parse_json(&payload)?));
        }
    }
}

fn served(spoiled: &Spoiled, on_its_way: &dyn Fn(Vec<u8>) -> Vec<u8>) -> Result<Logged, Failed> {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (input, root) = (theirs.try_clone().unwrap(), open(spoiled.root()));
    let helper = std::thread::spawn(move || serve(input, theirs, Ok(root), &Scratch::NONE));
    let said = engine(&spoiled.lineage, job(&spoiled.packed), &mut ours, on_its_way).unwrap();
    drop(ours);
    // It tells a failure as soon as there is one, and again as its last word, when whoever heard of it may be gone.
    let told = helper.join().unwrap();
    assert_eq!(told.is_ok_and(|done| done), said.is_ok());
    said
}

#[test]
fn a_helper_asks_wants_and_logs() {
    let spoiled = Spoiled::new();
    let logged = served(&spoiled, &|frame| frame).unwrap();
    assert!(logged.compared.differing > 10 && !logged.compared.too_much, "{logged:?}");
    carry_out(spoiled.root(), None).0.unwrap();
    assert_same(&record(spoiled.root()), &spoiled.good);
}

#[test]
fn a_helper_that_gets_damage_says_so_and_has_changed_nothing() {
    let spoiled = Spoiled::new();
    let damage = |mut frame: Vec<u8>| {
        let last = frame.len() - 1;
        frame[last] ^= 1;
        frame
    };
    let failed = served(&spoiled, &damage).unwrap_err();
    assert_eq!(failed.cause, FailedCause::Damaged, "{failed:?}");
    spoiled.assert_bad();
}
