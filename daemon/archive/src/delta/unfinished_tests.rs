//! What a restore that was cut off left becomes the snapshot exactly, whatever it is; and nothing but that goes on from it.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{carry_out, frames, job, log_job, many, open, plant, spoil};
use super::*;
use crate::channel::{Packed, Swapped};
use crate::deeds::{act, content, deeds};
use crate::lineage::{How, Lineage};
use crate::look::look;
use crate::model::{Tree, assert_same, record};
use crate::planted::write;
use crate::row::Rows;
use crate::swap::swap_stopping;

const LEFT: &str = ".backupd-restore-unfinished";

struct Scene {
    dir: tempfile::TempDir,
    lineage: Lineage,
    packed: Packed,
    good: Tree,
}

impl Scene {
    /// A snapshot of a tree, and a target that has other content.
    fn new() -> Self {
        let (dir, mut lineage) = (tempfile::tempdir_in("/dev/shm").unwrap(), Lineage::default());
        plant(dir.path());
        let packed = lineage.snapshot(dir.path(), &How::default());
        let good = record(dir.path());
        spoil(dir.path());
        Self { dir, lineage, packed, good }
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn go_on(&self) -> Result<Logged, DeltaError> {
        log_job(&self.lineage, &going_on(&self.packed), self.root(), &|frame| frame)
    }

    fn leave(&self, run: &str, least: u64) -> u64 {
        unfinished::leave(open(self.root()).as_fd(), run, least).unwrap()
    }

    fn left_at(&self) -> Option<i64> {
        look(open(self.root()).as_fd()).unwrap().unfinished_at
    }

    #[track_caller]
    fn swap_and_compare(&self) {
        assert_eq!(carry_out(self.root(), None).0.unwrap(), Swapped { swapped: true, previous: None });
        assert_same(&record(self.root()), &self.good);
    }
}

fn going_on(packed: &Packed) -> DeltaJob {
    DeltaJob { unfinished: true, ..job(packed) }
}

/// A staging folder of a run, with what `plant` puts into its tree.
fn staged(root: &Path, run: &str, plant: impl FnOnce(&Path)) {
    Staging::create(open(root).as_fd(), &RunName::parse(run).unwrap()).unwrap();
    plant(&root.join(format!(".backupd-restore-{run}/new")));
}

/// Goes on, and is cut off when some of the files have come: a few whole, and one of several frames in part.
fn cut_off(scene: &Scene, rows: u64) {
    let (lineage, root) = (&scene.lineage, scene.root());
    let mut ask = |ask: &crate::base::Ask| Ok(lineage.answer(ask));
    let begun = Delta::begin(open(root), &going_on(&scene.packed)).unwrap();
    let (_, _, filling) = begun.compare(&going_on(&scene.packed), &mut ask, &mut |_progress| ()).unwrap();
    let mut filling = filling.unwrap();
    let mut records = filling.rows.records().unwrap();
    let (mut entry, mut sent) = (0, 0);
    while let Some(record) = records.next().unwrap() {
        filling.unpacker.rows(&record).unwrap();
        for row in Rows::new(&record) {
            let mut frames = frames(lineage, entry, &row.unwrap().kind, &mut sent);
            let whole = frames.len() == 1;
            frames.truncate(if whole { 1 } else { frames.len() / 2 });
            if entry < rows {
                frames.into_iter().for_each(|frame| filling.unpacker.frame(frame).unwrap());
            }
            entry += 1;
        }
    }
    // What is on its way is written before the helper ends; a crash may take any of it.
    let (mut before, mut now) = (u64::MAX, 0);
    while now != before {
        std::thread::sleep(Duration::from_millis(100));
        (before, now) = (now, filling.unpacker.progress().bytes);
    }
}

#[test]
fn what_was_left_is_made_whole_and_little_is_fetched() {
    let scene = Scene::new();
    assert_eq!(scene.left_at(), None);
    staged(scene.root(), "r0", |new| {
        plant(new);
        spoil(new);
    });
    let bytes = scene.leave("r0", 1);
    assert!(bytes > 3 << 20, "{bytes}");
    assert!(scene.left_at().is_some() && !scene.root().join(".backupd-restore-r0").exists());
    let before = record(scene.root());
    let logged = scene.go_on().unwrap();
    assert!(logged.compared.wanted_bytes < 1 << 20, "{logged:?}");
    let here = |tree: &Tree| -> Tree {
        let ours = |path: &[u8]| path.is_empty() || path.starts_with(b".backupd-");
        tree.iter().filter(|(path, _)| !ours(path)).map(|(path, told)| (path.clone(), told.clone())).collect()
    };
    assert_eq!(here(&record(scene.root())), here(&before), "until it is swapped in, nothing changes");
    assert_eq!(scene.left_at(), None);
    scene.swap_and_compare();
}

#[test]
fn going_on_from_nothing_is_to_begin() {
    let scene = Scene::new();
    let logged = scene.go_on().unwrap();
    assert_eq!(logged.compared.wanted_bytes, scene.packed.totals.data_bytes);
    scene.swap_and_compare();
}

#[test]
fn what_came_before_the_second_cut_is_not_fetched_again() {
    let scene = Scene::new();
    let mut wanted = vec![scene.packed.totals.data_bytes];
    for (rows, least) in [(6, 1), (100, 1 << 20)] {
        cut_off(&scene, rows);
        let bytes = scene.leave("r1", 1);
        assert!(bytes > least, "{bytes}");
        let staged = Delta::begin(open(scene.root()), &going_on(&scene.packed)).unwrap();
        let mut ask = |ask: &crate::base::Ask| Ok(scene.lineage.answer(ask));
        let (compared, ..) = staged.compare(&going_on(&scene.packed), &mut ask, &mut |_progress| ()).unwrap();
        assert!(compared.wanted_bytes < *wanted.last().unwrap(), "{wanted:?} {compared:?}");
        wanted.push(compared.wanted_bytes);
        assert!(scene.leave("r1", 1) > 0);
    }
    scene.go_on().unwrap();
    scene.swap_and_compare();
}

#[test]
fn what_is_staged_may_be_left_and_is_never_swapped_in_as_it_is() {
    let scene = Scene::new();
    scene.go_on().unwrap();
    assert!(scene.leave("r1", 1) > 0);
    assert!(!carry_out(scene.root(), None).0.unwrap().swapped);
    // Also if somebody gives it a run's name again.
    let back = scene.root().join(".backupd-restore-r1");
    rustix::fs::rename(scene.root().join(LEFT), &back).unwrap();
    assert!(carry_out(scene.root(), None).0.is_err());
    assert!(scene.leave("r1", 1) > 0);
    let logged = scene.go_on().unwrap();
    assert_eq!(logged.compared.wanted_bytes, 0, "{logged:?}");
    scene.swap_and_compare();
}

#[test]
fn what_is_of_another_kind_is_not_left() {
    let scene = Scene::new();
    let root = scene.root();
    assert_eq!(scene.leave("none", 1), 0);
    staged(root, "small", |new| write(&new.join("file"), &content(1, 10_000)));
    assert_eq!(scene.leave("small", 1 << 20), 0);
    for mark in ["places", "from", "old"] {
        staged(root, mark, |new| write(&new.join("file"), &content(1, 10_000)));
        write(&root.join(format!(".backupd-restore-{mark}")).join(mark), b"x");
        assert_eq!(scene.leave(mark, 1), 0, "{mark}");
    }
    log_job(&scene.lineage, &job(&scene.packed), root, &|frame| frame).unwrap();
    assert_eq!(scene.leave("r1", 1), 0, "a log of what differs");
    discard(open(root).as_fd(), "r1").unwrap();
    scene.go_on().unwrap();
    let begun = |name: &str| if name == "after journal" { Err(io::Error::other("stop")) } else { Ok(()) };
    assert!(swap_stopping(open(root).as_fd(), "r1", &begun).is_err());
    assert_eq!(scene.leave("r1", 1), 0, "a swap that has begun");
    assert_eq!(scene.left_at(), None);
}

#[test]
fn the_newest_is_left_and_goes_when_it_is_told_to() {
    let scene = Scene::new();
    for (run, byte) in [("r0", 1), ("r2", 2)] {
        staged(scene.root(), run, |new| write(&new.join("file"), &[byte; 10_000]));
        assert!(scene.leave(run, 1) > 0);
        assert_eq!(fs::read(scene.root().join(LEFT).join("new/file")).unwrap(), [byte; 10_000]);
    }
    assert!(unfinished::remove(open(scene.root()).as_fd()).unwrap());
    assert!(!unfinished::remove(open(scene.root()).as_fd()).unwrap());
    assert!(!scene.root().join(LEFT).exists());
}

/// Whatever lies there under this name: it is no folder of ours, so nothing is taken from it.
#[test]
fn what_others_put_there_is_not_taken_up() {
    let scene = Scene::new();
    let outside = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::create_dir(outside.path().join("new")).unwrap();
    let at = scene.root().join(LEFT);
    std::os::unix::fs::symlink(outside.path(), &at).unwrap();
    assert!(scene.left_at().is_some());
    let logged = scene.go_on().unwrap();
    assert_eq!(logged.compared.wanted_bytes, scene.packed.totals.data_bytes);
    scene.swap_and_compare();
    assert!(outside.path().join("new").exists());
    // A service that owns all of its volume owns this too, and may have written to it.
    spoil(scene.root());
    staged(scene.root(), "r0", plant);
    assert!(scene.leave("r0", 1) > 0);
    crate::planted::chown_link(&at, 999, 999);
    staged(scene.root(), "r2", plant);
    assert_eq!(scene.leave("r2", 1), 0);
    discard(open(scene.root()).as_fd(), "r2").unwrap();
    let logged = scene.go_on().unwrap();
    assert_eq!(logged.compared.wanted_bytes, scene.packed.totals.data_bytes);
    scene.swap_and_compare();
}

proptest! {
    #![proptest_config(many(8))]

    #[test]
    fn any_tree_becomes_the_snapshot(good in deeds(16), other in deeds(16)) {
        let (dir, left) = (tempfile::tempdir_in("/dev/shm").unwrap(), Lineage::default());
        let (root, mut lineage) = (dir.path(), left);
        good.iter().for_each(|deed| act(root, *deed));
        let packed = lineage.snapshot(root, &How::default());
        let want = record(root);
        staged(root, "r0", |new| good.into_iter().chain(other).for_each(|deed| act(new, deed)));
        unfinished::leave(open(root).as_fd(), "r0", 0).unwrap();
        drop(discard(open(root).as_fd(), "r0"));
        log_job(&lineage, &going_on(&packed), root, &|frame| frame).unwrap();
        prop_assert!(carry_out(root, None).0.unwrap().swapped);
        assert_same(&record(root), &want);
    }
}
