//! A swap of some places that is stopped anywhere ends, when it is run again, in the new content of all of them; and what
//! is no such place is never touched.

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use super::super::kept::{forget, list, recall};
use super::super::kept_tests::{go_back, settle};
use super::super::tests::{RUN, lines, open, run, write};
use super::super::*;
use super::Places;
use crate::channel::RecallJob;
use crate::path::TreePath;

const OLD: &[&str] = &[
    "a/",
    "a/d/",
    "a/d/only-now=old",
    "a/d/what=old",
    "a/keep=old",
    "a/x=old",
    "b=old",
    "link@",
    "other/",
    "other/what=old",
];

const NEW: &[&str] = &[
    "a/",
    "a/d/",
    "a/d/what=new",
    "a/fresh=new",
    "a/keep=old",
    "a/x=new",
    "b/",
    "b/what=new",
    "link@",
    "n/",
    "n/m/",
    "n/m/one=new",
    "n/two=new",
    "other/",
    "other/what=old",
];

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes().to_vec()).unwrap()
}

fn mark(root: &Path, places: &[&str]) {
    let staging = Staging::open(open(root).as_fd(), &RunName::parse(RUN).unwrap()).unwrap().unwrap();
    let places: Vec<_> = places.iter().map(|text| path(text)).collect();
    Places::of(&places).unwrap().write(&staging).unwrap();
    let journal = Journal { phase: Phase::PlacesStaged, keep_previous: false };
    journal.write(staging.fd(), &|_| Ok(())).unwrap();
}

/// A file and a folder that are replaced, a file that becomes a folder, one that is missing, and two beneath a folder that
/// is missing.
fn staged() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("a/d")).unwrap();
    fs::create_dir(root.join("other")).unwrap();
    for name in ["a/d/only-now", "a/d/what", "a/keep", "a/x", "b", "other/what"] {
        write(root.join(name), b"old");
    }
    symlink("a", root.join("link")).unwrap();
    let (staging, _new) = Staging::create(open(root).as_fd(), &RunName::parse(RUN).unwrap()).unwrap();
    let new = root.join(staging.name()).join("new");
    for folder in ["a/d", "b", "n/m"] {
        fs::create_dir_all(new.join(folder)).unwrap();
    }
    for name in ["a/d/what", "a/fresh", "a/x", "b/what", "n/m/one", "n/two"] {
        write(new.join(name), b"new");
    }
    fs::set_permissions(new.join("n"), fs::Permissions::from_mode(0o1731)).unwrap();
    fs::set_permissions(new.join("a"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o751)).unwrap();
    mark(root, &["n/two", "a/x", "a/d", "b", "a/fresh", "n/m/one", "a/d/what"]);
    dir
}

/// All but what is ours.
fn place(root: &Path) -> Vec<String> {
    let mut lines = lines(root);
    lines.retain(|line| !line.starts_with(".backupd-"));
    lines
}

fn kept(root: &Path) -> Vec<(String, bool, Vec<String>)> {
    let found = list(open(root).as_fd()).unwrap();
    found.into_iter().map(|one| (one.run, one.whole, one.places)).collect()
}

fn moved() -> Vec<String> {
    ["a/d", "a/fresh", "a/x", "b", "n"].map(str::to_owned).to_vec()
}

#[track_caller]
fn check_new(name: &str, root: &Path, keep: bool) {
    assert_eq!(place(root), NEW, "{name}");
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("a"), mode("n")), (0o751, 0o1731), "{name}: what was there stays, what was not is made");
    assert!(!root.join(".backupd-restore-r1").exists(), "{name}: staging stays");
    let want = if keep { vec![(RUN.to_owned(), true, moved())] } else { vec![] };
    assert_eq!(kept(root), want, "{name}");
}

#[test]
fn only_the_places_are_replaced_and_missing_folders_are_made() {
    for keep in [false, true] {
        let dir = staged();
        let before = fs::metadata(dir.path()).unwrap();
        assert_eq!(place(dir.path()), OLD);
        let previous = keep.then(|| ".backupd-previous-r1".to_owned());
        assert_eq!(run(dir.path(), keep, None).0.unwrap(), Swapped { swapped: true, previous });
        check_new("whole", dir.path(), keep);
        let now = fs::metadata(dir.path()).unwrap();
        assert_eq!((now.mode(), now.uid(), now.ino()), (before.mode(), before.uid(), before.ino()));
    }
}

#[test]
fn stopped_at_any_step_it_is_finished_by_the_next_run() {
    for keep in [false, true] {
        let (_, steps) = run(staged().path(), keep, None);
        assert!(steps > 40, "{steps}");
        for stop in 1..steps {
            let name = format!("stopped at {stop} of {steps}, keep {keep}");
            let dir = staged();
            assert!(run(dir.path(), keep, Some(stop)).0.is_err(), "{name}");
            let looked = crate::look::look(open(dir.path()).as_fd()).unwrap();
            if !looked.staged[0].swapping && dir.path().join(".backupd-restore-r1/new").exists() {
                assert_eq!(place(dir.path()), OLD, "{name}");
            }
            assert!(run(dir.path(), keep, None).0.unwrap().swapped, "{name}");
            check_new(&name, dir.path(), keep);
        }
    }
}

#[test]
fn three_crashes_in_a_row_converge() {
    let (_, steps) = run(staged().path(), true, None);
    for first in (1..steps).step_by(7) {
        for second in (1..steps).step_by(9) {
            for third in (1..steps).step_by(11) {
                let dir = staged();
                for stop in [first, second, third] {
                    drop(run(dir.path(), true, Some(stop)));
                }
                let name = format!("{first}, {second}, {third}");
                assert!(run(dir.path(), true, None).0.unwrap().swapped, "{name}");
                check_new(&name, dir.path(), true);
            }
        }
    }
}

#[test]
fn what_has_begun_is_not_discarded_and_what_has_not_is() {
    let (_, steps) = run(staged().path(), false, None);
    let mut kinds = [0, 0, 0];
    for stop in 1..steps {
        let dir = staged();
        drop(run(dir.path(), false, Some(stop)));
        let begun = crate::look::look(open(dir.path()).as_fd()).unwrap().staged[0].swapping;
        let unswapped = dir.path().join(".backupd-restore-r1/new").exists();
        match discard(open(dir.path()).as_fd(), RUN) {
            Ok(done) => {
                assert_eq!((begun, done.swapped), (false, !unswapped), "{stop}");
                assert_eq!(place(dir.path()), if unswapped { OLD } else { NEW }, "{stop}");
                assert!(!dir.path().join(".backupd-restore-r1").exists(), "{stop}");
                kinds[if unswapped { 0 } else { 2 }] += 1;
            }
            Err(SwapError::Begun { .. }) => {
                assert!(begun, "{stop}");
                kinds[1] += 1;
                run(dir.path(), false, None).0.unwrap();
                check_new("after all", dir.path(), false);
            }
            Err(other) => panic!("{stop}: {other}"),
        }
    }
    assert!(kinds.iter().all(|kind| *kind > 0), "{kinds:?}");
}

fn restored() -> tempfile::TempDir {
    let dir = staged();
    run(dir.path(), true, None).0.unwrap();
    // Written since, outside of the places and inside of one.
    write(dir.path().join("a/keep"), b"since");
    write(dir.path().join("n/since"), b"since");
    dir
}

#[test]
fn stopped_at_any_step_it_is_undone_whole_or_not_at_all() {
    let since = |lines: &[&str], inside: bool| {
        let mut lines: Vec<_> = lines.iter().map(|line| line.replace("a/keep=old", "a/keep=since")).collect();
        lines.extend(inside.then(|| "n/since=since".to_owned()));
        lines.sort();
        lines
    };
    let (old, new) = (since(OLD, false), since(NEW, true));
    for keep in [true, false] {
        let dir = restored();
        let (done, steps) = go_back(dir.path(), keep, None);
        assert!(done.unwrap().swapped && steps > 50, "{steps}");
        assert_eq!(place(dir.path()), old);
        let mut seen = [0, 0];
        for stop in 1..steps {
            let name = format!("stopped at {stop} of {steps}, keep {keep}");
            let dir = restored();
            assert!(go_back(dir.path(), keep, Some(stop)).0.is_err(), "{name}");
            let forwards = settle(dir.path(), keep);
            let run = if forwards { "r2" } else { RUN };
            let want = if forwards && !keep { vec![] } else { vec![(run.to_owned(), true, moved())] };
            let content = if forwards { old.clone() } else { new.clone() };
            assert_eq!((place(dir.path()), kept(dir.path())), (content, want), "{name}");
            assert!(!dir.path().join(".backupd-restore-r2").exists(), "{name}: staging stays");
            seen[usize::from(forwards)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 8), "{seen:?}");
    }
    // And forth again.
    let dir = restored();
    go_back(dir.path(), true, None).0.unwrap();
    let again = RecallJob { run: "r3".to_owned(), kept: "r2".to_owned() };
    recall(open(dir.path()).as_fd(), &again).unwrap();
    swap(open(dir.path()).as_fd(), &SwapJob { run: "r3".to_owned(), keep_previous: true }).unwrap();
    assert_eq!(place(dir.path()), new);
    assert!(forget(open(dir.path()).as_fd(), "r3").unwrap());
    assert_eq!(kept(dir.path()), []);
}

#[test]
fn a_way_back_whose_folder_is_gone_or_no_folder_changes_nothing() {
    let dir = staged();
    run(dir.path(), true, None).0.unwrap();
    fs::remove_dir_all(dir.path().join("a")).unwrap();
    let before = place(dir.path());
    for prepare in [None, Some("b/what")] {
        if let Some(to) = prepare {
            symlink(to, dir.path().join("a")).unwrap();
        }
        let done = go_back(dir.path(), true, None).0;
        assert!(matches!(done, Err(SwapError::Fixed { .. })), "{done:?}");
        assert!(!settle(dir.path(), true));
        assert_eq!(kept(dir.path()).len(), 1);
    }
    fs::remove_file(dir.path().join("a")).unwrap();
    assert_eq!(place(dir.path()), before);
}

#[test]
fn what_leads_to_a_place_and_is_no_folder_is_refused_before_anything_moves() {
    let dir = staged();
    for (places, obstacle) in [(["link/x"], "link"), (["b/what"], "b")] {
        mark(dir.path(), &places);
        let done = run(dir.path(), false, None).0;
        assert!(matches!(&done, Err(SwapError::Fixed { path, .. }) if path == obstacle), "{done:?}");
        assert!(!crate::look::look(open(dir.path()).as_fd()).unwrap().staged[0].swapping);
        assert_eq!(place(dir.path()), OLD);
    }
    for point in ["a/d", "a"] {
        mark(dir.path(), &["a/d"]);
        let at = dir.path().join(point);
        rustix::mount::mount("tmpfs", &at, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
        let done = run(dir.path(), false, None).0;
        rustix::mount::unmount(&at, rustix::mount::UnmountFlags::empty()).unwrap();
        assert!(matches!(&done, Err(SwapError::Fixed { why, .. }) if why.contains("mounted")), "{done:?}");
        assert_eq!(place(dir.path()), OLD);
    }
    // What is mounted elsewhere is in nobody's way.
    let at = dir.path().join("other");
    rustix::mount::mount("tmpfs", &at, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    let done = run(dir.path(), false, None).0;
    rustix::mount::unmount(&at, rustix::mount::UnmountFlags::empty()).unwrap();
    assert!(done.unwrap().swapped);
}

/// An obstacle stands where the last place is to come in, and goes when all is to go back; it is stopped at the `stop`th
/// step.
fn refused_in_the_middle(root: &Path, stop: Option<usize>) -> (Result<Swapped, SwapError>, usize) {
    let (count, journals) = (Cell::new(0), Cell::new(0));
    let obstacle = root.join("n");
    let step = |name: &str| {
        count.set(count.get() + 1);
        if name == "before journal" {
            journals.set(journals.get() + 1);
        }
        // The second phase has begun, and nothing of it was done.
        if name == "before move" && journals.get() == 2 && !obstacle.exists() {
            fs::create_dir(&obstacle)?;
        }
        if name == "before undo" {
            fs::remove_dir(&obstacle)?;
        }
        if Some(count.get()) == stop { Err(io::Error::other("crash")) } else { Ok(()) }
    };
    let job = SwapJob { run: RUN.to_owned(), keep_previous: false };
    let done = swap_in_steps(open(root).as_fd(), &job, Steps(&step));
    (done, count.get())
}

#[test]
fn what_the_system_refuses_in_the_middle_is_undone() {
    let dir = staged();
    let (done, steps) = refused_in_the_middle(dir.path(), None);
    assert!(matches!(done, Err(SwapError::Undone(_))), "{done:?}");
    assert_eq!(place(dir.path()), OLD);
    assert!(!crate::look::look(open(dir.path()).as_fd()).unwrap().staged[0].swapping);
    assert!(run(dir.path(), false, None).0.unwrap().swapped);
    check_new("after it was undone", dir.path(), false);
    for stop in 1..steps {
        let dir = staged();
        assert!(refused_in_the_middle(dir.path(), Some(stop)).0.is_err(), "{stop}");
        // The obstacle is somebody's, and nobody moves it out of the way.
        let obstacle = dir.path().join("n");
        if fs::read_dir(&obstacle).is_ok_and(|mut inside| inside.next().is_none()) {
            fs::remove_dir(&obstacle).unwrap();
        }
        assert!(run(dir.path(), false, None).0.unwrap().swapped, "{stop}");
        check_new(&format!("stopped at {stop} of {steps}"), dir.path(), false);
    }
}

#[test]
fn places_are_apart_and_never_all() {
    assert!(Places::of(&[path("a"), TreePath::root()]).is_err());
    let places = Places::of(&[path("b"), path("a/x"), path("a"), path("a")]).unwrap();
    assert_eq!(places, Places::of(&[path("a"), path("b")]).unwrap());
}
