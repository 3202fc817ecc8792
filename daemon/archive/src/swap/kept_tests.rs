//! A way back that is stopped anywhere, by a crash, ends in what was there before the restore, or in what it restored.

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::kept::{forget, list, recall, recall_in_steps};
use super::tests::{RUN, lines, open, run, staged, write};
use super::*;
use crate::channel::{Kept, RecallJob};

const BACK: &str = "r2";

/// A root into which `r1` restored, and which kept what was there.
fn restored() -> tempfile::TempDir {
    let dir = staged();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1733)).unwrap();
    run(dir.path(), true, None).0.unwrap();
    dir
}

fn kept(root: &Path) -> Vec<(String, bool)> {
    let found = list(open(root).as_fd()).unwrap();
    found.into_iter().map(|Kept { run, whole, .. }| (run, whole)).collect()
}

/// Recalls and swaps until the `stop`th step; tells how many were taken.
pub(super) fn go_back(root: &Path, keep: bool, stop: Option<usize>) -> (Result<Swapped, SwapError>, usize) {
    let count = Cell::new(0);
    let step = |_name: &str| {
        count.set(count.get() + 1);
        if Some(count.get()) == stop { Err(io::Error::other("crash")) } else { Ok(()) }
    };
    let root = open(root);
    let job = RecallJob { run: BACK.to_owned(), kept: RUN.to_owned() };
    let done = recall_in_steps(root.as_fd(), &job, Steps(&step)).and_then(|()| {
        let job = SwapJob { run: BACK.to_owned(), keep_previous: keep };
        swap_in_steps(root.as_fd(), &job, Steps(&step))
    });
    (done, count.get())
}

/// As whoever finds it after a crash. Whether it went on to the end.
pub(super) fn settle(root: &Path, keep: bool) -> bool {
    let root = open(root);
    let looked = crate::look::look(root.as_fd()).unwrap();
    match looked.staged.iter().find(|staged| staged.run == BACK) {
        None => false,
        Some(staged) if staged.swapping => {
            swap(root.as_fd(), &SwapJob { run: BACK.to_owned(), keep_previous: keep }).unwrap().swapped
        }
        Some(_) => discard(root.as_fd(), BACK).unwrap().swapped,
    }
}

/// All names but those that were kept, and the mode of the root.
fn place(root: &Path) -> (Vec<String>, u32) {
    let mut lines = lines(root);
    lines.retain(|line| !line.starts_with(".backupd-previous-r"));
    (lines, fs::metadata(root).unwrap().mode() & 0o7777)
}

#[test]
fn what_was_kept_comes_back_with_its_root_and_what_was_there_is_kept() {
    let before = staged();
    fs::set_permissions(before.path(), fs::Permissions::from_mode(0o1733)).unwrap();
    let old = place(before.path());
    let dir = restored();
    let new = place(dir.path());
    assert_ne!(old, new);
    // Ours of another run has no mark, so it is nothing that could come back.
    assert_eq!(kept(dir.path()), [("r1".to_owned(), true)]);
    assert!(go_back(dir.path(), true, None).0.unwrap().swapped);
    assert_eq!(place(dir.path()), old);
    assert_eq!(kept(dir.path()), [("r2".to_owned(), true)]);
    // And back again.
    let again = RecallJob { run: "r3".to_owned(), kept: "r2".to_owned() };
    recall(open(dir.path()).as_fd(), &again).unwrap();
    let done = swap(open(dir.path()).as_fd(), &SwapJob { run: "r3".to_owned(), keep_previous: false });
    assert_eq!(done.unwrap(), Swapped { swapped: true, previous: None });
    assert_eq!(place(dir.path()), new);
    assert_eq!(kept(dir.path()), []);
}

#[test]
fn stopped_at_any_step_it_is_undone_whole_or_not_at_all() {
    for keep in [true, false] {
        let dir = restored();
        let new = place(dir.path());
        let (done, steps) = go_back(dir.path(), keep, None);
        assert!(done.unwrap().swapped && steps > 50, "{steps}");
        let old = place(dir.path());
        let mut seen = [0, 0];
        for stop in 1..steps {
            let name = format!("stopped at {stop} of {steps}, keep {keep}");
            let dir = restored();
            assert!(go_back(dir.path(), keep, Some(stop)).0.is_err(), "{name}");
            let forwards = settle(dir.path(), keep);
            let now = place(dir.path());
            if forwards {
                assert_eq!(now, old, "{name}");
                let want: &[_] = if keep { &[("r2".to_owned(), true)] } else { &[] };
                assert_eq!(kept(dir.path()), want, "{name}");
            } else {
                assert_eq!(now, new, "{name}");
                assert_eq!(kept(dir.path()), [("r1".to_owned(), true)], "{name}");
                assert!(go_back(dir.path(), keep, None).0.unwrap().swapped, "{name}");
                assert_eq!(place(dir.path()), old, "{name}");
            }
            assert!(!dir.path().join(".backupd-restore-r2").exists(), "{name}: staging stays");
            seen[usize::from(forwards)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 8), "{seen:?}");
    }
}

#[test]
fn what_is_not_whole_does_not_come_back() {
    let dir = restored();
    let root = open(dir.path());
    let job = |kept: &str| RecallJob { run: BACK.to_owned(), kept: kept.to_owned() };
    let is_row = |line: &String| line.starts_with(".backupd-previous-r1/root");
    let before: Vec<_> = lines(dir.path()).into_iter().filter(|line| !is_row(line)).collect();
    assert!(matches!(recall(root.as_fd(), &job("r9")), Err(SwapError::Staging(_))));
    assert!(recall(root.as_fd(), &job("../r1")).is_err());
    // That of another run is open to others: nobody knows who made it.
    assert!(recall(root.as_fd(), &job("r0")).is_err());
    fs::remove_file(dir.path().join(".backupd-previous-r1/root")).unwrap();
    assert!(matches!(recall(root.as_fd(), &job("r1")), Err(SwapError::NotWhole { .. })));
    assert_eq!(kept(dir.path()), [("r1".to_owned(), false)]);
    write(dir.path().join(".backupd-previous-r1/root"), b"no row");
    assert!(recall(root.as_fd(), &job("r1")).is_err());
    fs::remove_file(dir.path().join(".backupd-previous-r1/root")).unwrap();
    assert!(!dir.path().join(".backupd-restore-r2").exists());
    assert_eq!(lines(dir.path()), before);
}

#[test]
fn only_what_we_kept_is_forgotten() {
    let dir = restored();
    let root = open(dir.path());
    let new = place(dir.path());
    assert!(!forget(root.as_fd(), "r9").unwrap());
    assert!(forget(root.as_fd(), "r0").is_err(), "it is open to others");
    recall(root.as_fd(), &RecallJob { run: BACK.to_owned(), kept: RUN.to_owned() }).unwrap();
    assert!(matches!(forget(root.as_fd(), RUN), Err(SwapError::Begun { .. })), "it is on its way");
    discard(root.as_fd(), BACK).unwrap();
    assert!(forget(root.as_fd(), RUN).unwrap());
    assert!(dir.path().join(".backupd-previous-r0/what").exists());
    assert_eq!((place(dir.path()), kept(dir.path())), (new, vec![]));
}

#[test]
fn what_was_kept_is_counted() {
    let dir = restored();
    let found = counted(open(dir.path()).as_fd()).unwrap();
    // Folders and files of the old content.
    assert_eq!(found.iter().map(|kept| kept.entries).collect::<Vec<_>>(), [7]);
    assert!(found[0].kept_at > 0 && found[0].bytes < 1 << 20);
}
