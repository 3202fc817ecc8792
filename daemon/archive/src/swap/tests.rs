//! A swap that is stopped anywhere, by a crash, ends in the new content when it is run again.

use std::cell::Cell;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::entry::{Entry, Kind, Stamp, Witness, Xattr};
use crate::path::TreePath;

pub(super) const RUN: &str = "r1";

pub(super) fn open(path: &Path) -> OwnedFd {
    fs::File::open(path).unwrap().into()
}

pub(super) fn write(path: PathBuf, bytes: &[u8]) {
    fs::File::create(path).unwrap().write_all(bytes).unwrap();
}

pub(super) fn root_entry() -> Entry {
    Entry {
        path: TreePath::root(),
        kind: Kind::Folder,
        mode: 0o2751,
        uid: 12,
        gid: 34,
        modified: Stamp { seconds: 1_000_000_000, nanoseconds: 5 },
        xattrs: vec![Xattr { name: b"user.new".to_vec(), value: b"1".to_vec() }],
        witness: Witness::default(),
    }
}

/// A root with old content, and new content staged beside it. Names overlap, and ours of another run are there.
pub(super) fn staged() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for folder in ["both", "old-only", ".backupd-previous-r0", "lost+found"] {
        fs::create_dir(root.join(folder)).unwrap();
        write(root.join(folder).join("what"), b"old");
    }
    write(root.join("file"), b"old");
    write(root.join("turns into a folder"), b"old");
    std::os::unix::fs::symlink("/etc", root.join("old-only/link")).unwrap();
    let (staging, _new) = Staging::create(open(root).as_fd(), &RunName::parse(RUN).unwrap()).unwrap();
    let new = root.join(staging.name()).join("new");
    for folder in ["both", "new-only", "turns into a folder"] {
        fs::create_dir(new.join(folder)).unwrap();
        write(new.join(folder).join("what"), b"new");
    }
    write(new.join("file"), b"new");
    staging.write_root(&root_entry()).unwrap();
    Journal { phase: Phase::Staged, keep_previous: false }.write(staging.fd(), &|_| Ok(())).unwrap();
    dir
}

/// All names with the content of files, the staging folder apart.
pub(super) fn content(root: &Path) -> String {
    lines(root).join(" ")
}

pub(super) fn lines(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut queue = vec![root.to_owned()];
    while let Some(folder) = queue.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if name.starts_with(".backupd-restore-") {
                continue;
            }
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                queue.push(path);
                lines.push(format!("{name}/"));
            } else if meta.is_file() {
                let bytes = fs::read(&path).unwrap();
                lines.push(format!("{name}={}", bytes.escape_ascii().to_string().replace(' ', "_")));
            } else {
                lines.push(format!("{name}@"));
            }
        }
    }
    lines.sort();
    lines
}

const OLD_CONTENT: &str = ".backupd-previous-r0/ .backupd-previous-r0/what=old both/ both/what=old file=old \
    lost+found/ lost+found/what=old old-only/ old-only/link@ old-only/what=old turns into a folder=old";
const NEW_CONTENT: &str = ".backupd-previous-r0/ .backupd-previous-r0/what=old both/ both/what=new file=new \
    lost+found/ lost+found/what=old new-only/ new-only/what=new turns into a folder/ turns into a folder/what=new";

/// Runs the swap until the `stop`th step; `None` runs it to its end. Tells how many steps were taken.
pub(super) fn run(root: &Path, keep: bool, stop: Option<usize>) -> (Result<Swapped, SwapError>, usize) {
    let count = Cell::new(0);
    let step = |_name: &str| {
        count.set(count.get() + 1);
        if Some(count.get()) == stop { Err(io::Error::other("crash")) } else { Ok(()) }
    };
    let job = SwapJob { run: RUN.to_owned(), keep_previous: keep };
    let done = swap_in_steps(open(root).as_fd(), &job, Steps(&step));
    (done, count.get())
}

#[track_caller]
fn check_new(name: &str, root: &Path, keep: bool, timed: bool) {
    let got = content(root);
    let mut lines: Vec<_> = got.split(' ').collect();
    if keep {
        let previous = root.join(".backupd-previous-r1/old");
        assert_eq!(fs::read_to_string(previous.join("file")).unwrap(), "old", "{name}");
        assert_eq!(fs::read_to_string(previous.join("both/what")).unwrap(), "old", "{name}");
        assert_eq!(fs::read_dir(previous).unwrap().count(), 4, "{name}");
    }
    let kept = got.split(".backupd-previous-r1").count() > 1;
    assert_eq!(kept, keep, "{name}: {got}");
    if !keep {
        let want: Vec<_> = NEW_CONTENT.split(' ').collect();
        lines.sort_unstable();
        let mut sorted = want.clone();
        sorted.sort_unstable();
        assert_eq!(lines, sorted, "{name}");
    }
    assert!(!root.join(".backupd-restore-r1").exists(), "{name}: staging stays");
    let m = fs::metadata(root).unwrap();
    assert_eq!((m.mode() & 0o7777, m.uid(), m.gid()), (0o2751, 12, 34), "{name}");
    assert!(!timed || (m.mtime(), m.mtime_nsec()) == (1_000_000_000, 5), "{name}: root's time");
}

#[test]
fn a_swap_replaces_everything_but_what_is_ours() {
    for keep in [false, true] {
        let dir = staged();
        assert_eq!(content(dir.path()), OLD_CONTENT);
        let (done, _) = run(dir.path(), keep, None);
        let previous = keep.then(|| ".backupd-previous-r1".to_owned());
        assert_eq!(done.unwrap(), Swapped { swapped: true, previous });
        check_new("whole", dir.path(), keep, true);
    }
}

#[test]
fn stopped_at_any_step_it_is_finished_by_the_next_run() {
    for keep in [false, true] {
        let (_, steps) = run(staged().path(), keep, None);
        assert!(steps > 40, "{steps}");
        // The last step is after the last call, where nothing is left to do again.
        for stop in 1..steps {
            let name = format!("stopped at {stop} of {steps}, keep {keep}");
            let dir = staged();
            let (stopped, _) = run(dir.path(), keep, Some(stop));
            assert!(stopped.is_err(), "{name}");
            let begun = crate::look::look(open(dir.path()).as_fd()).unwrap().staged[0].swapping;
            if !begun && dir.path().join(".backupd-restore-r1/new").exists() {
                assert_eq!(content(dir.path()), OLD_CONTENT, "{name}");
            }
            // Between the last two steps there is no place for the root's time; see `finish_cleanup`.
            let timed = dir.path().join(".backupd-restore-r1/root").exists();
            assert!(timed || stop == steps - 1, "{name}");
            let (done, _) = run(dir.path(), keep, None);
            assert!(done.unwrap().swapped, "{name}");
            check_new(&name, dir.path(), keep, timed);
        }
    }
}

#[test]
fn three_crashes_in_a_row_converge() {
    let (_, steps) = run(staged().path(), true, None);
    for first in (1..steps).step_by(9) {
        for second in (1..steps).step_by(11) {
            for third in (1..steps).step_by(13) {
                let name = format!("{first}, {second}, {third}");
                let dir = staged();
                let mut timed = true;
                for stop in [first, second, third] {
                    drop(run(dir.path(), true, Some(stop)));
                    // Between the last two steps there is no place for the root's time; see `finish_cleanup`.
                    let staging = dir.path().join(".backupd-restore-r1");
                    timed &= !staging.exists() || staging.join("root").exists();
                }
                let (done, _) = run(dir.path(), true, None);
                assert!(done.unwrap().swapped, "{name}");
                check_new(&name, dir.path(), true, timed);
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
                if unswapped {
                    assert_eq!(content(dir.path()), OLD_CONTENT, "{stop}");
                    kinds[0] += 1;
                } else {
                    // The swap was over, and only its folder was left.
                    check_new("over", dir.path(), false, false);
                    kinds[2] += 1;
                }
                assert!(!dir.path().join(".backupd-restore-r1").exists(), "{stop}");
            }
            Err(SwapError::Begun { .. }) => {
                assert!(begun, "{stop}");
                kinds[1] += 1;
                run(dir.path(), false, None).0.unwrap();
                check_new("after all", dir.path(), false, true);
            }
            Err(other) => panic!("{stop}: {other}"),
        }
    }
    assert!(kinds.iter().all(|kind| *kind > 0), "{kinds:?}");
}

#[test]
fn what_is_not_whole_is_not_swapped_in() {
    let dir = staged();
    fs::remove_file(dir.path().join(".backupd-restore-r1/journal")).unwrap();
    let (done, _) = run(dir.path(), false, None);
    assert!(matches!(done, Err(SwapError::NotWhole { .. })), "{done:?}");
    assert_eq!(content(dir.path()), OLD_CONTENT);
    write(dir.path().join(".backupd-restore-r1/journal"), b"{\"phase\":\"moving_");
    assert!(run(dir.path(), false, None).0.is_err());
    assert!(discard(open(dir.path()).as_fd(), RUN).is_err(), "a torn journal may say that it has begun");
    assert_eq!(content(dir.path()), OLD_CONTENT);
}

#[test]
fn nothing_staged_is_nothing_done() {
    let dir = tempfile::tempdir().unwrap();
    let (done, _) = run(dir.path(), false, None);
    assert_eq!(done.unwrap(), Swapped { swapped: false, previous: None });
    assert!(!discard(open(dir.path()).as_fd(), RUN).unwrap().swapped);
}

#[test]
fn what_cannot_be_moved_is_found_before_anything_moves() {
    let dir = staged();
    let immutable = dir.path().join("file");
    let set = |flag: &str| std::process::Command::new("chattr").arg(flag).arg(&immutable).status();
    if set("+i").is_ok_and(|done| done.success()) {
        let (done, _) = run(dir.path(), false, None);
        assert!(set("-i").unwrap().success());
        assert!(matches!(done, Err(SwapError::Fixed { .. })), "{done:?}");
        assert_eq!(content(dir.path()), OLD_CONTENT);
    }
    for point in ["both", "old-only/deep"] {
        fs::create_dir_all(dir.path().join(point)).unwrap();
        let before = content(dir.path());
        let point = dir.path().join(point);
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", &point, "tmpfs", flags, None).unwrap();
        let (done, _) = run(dir.path(), false, None);
        let look = crate::look::look(open(dir.path()).as_fd()).unwrap();
        rustix::mount::unmount(&point, rustix::mount::UnmountFlags::empty()).unwrap();
        assert!(matches!(&done, Err(SwapError::Fixed { why, .. }) if why.contains("mounted")), "{done:?}");
        assert!(!look.staged[0].swapping);
        assert_eq!(content(dir.path()), before);
    }
}

/// What is mounted deep in the old content after the swap was begun stands for all that keeps a tree from being removed:
/// the check at the beginning looks for immutable entries at the top alone.
#[test]
fn old_content_that_cannot_be_removed_holds_nobody_up() {
    let dir = staged();
    let root = dir.path();
    let (flags, unmounting) = (rustix::mount::MountFlags::empty(), rustix::mount::UnmountFlags::empty());
    let step = |name: &str| match name {
        "before old is put away" => {
            let point = root.join(".backupd-restore-r1/old/old-only");
            Ok(rustix::mount::mount("tmpfs", &point, "tmpfs", flags, None)?)
        }
        _ => Ok(()),
    };
    let job = SwapJob { run: RUN.to_owned(), keep_previous: false };
    let done = swap_in_steps(open(root).as_fd(), &job, Steps(&step));
    let rest = root.join(".backupd-previous-r1/old/old-only");
    let unmounted = rustix::mount::unmount(&rest, unmounting);
    assert_eq!(done.unwrap(), Swapped { swapped: true, previous: Some(".backupd-previous-r1".to_owned()) });
    unmounted.unwrap();
    assert!(!root.join(".backupd-restore-r1").exists());
    assert_eq!(fs::read_to_string(root.join("file")).unwrap(), "new");
    let rest = content(&root.join(".backupd-previous-r1"));
    assert!(rest.contains("old-only/what=old") && !rest.contains("new"), "{rest}");
}

/// A swap in which the last move out is refused, for a name in `old` that is not free, and that is free again
/// when all is to go back, or stays.
fn refused_in_the_middle(root: &Path, goes: bool) -> Result<Swapped, SwapError> {
    let obstacle = root.join(".backupd-restore-r1/old/turns into a folder");
    let undoing = Cell::new(false);
    let step = |name: &str| match name {
        "before move" if obstacle.parent().is_some_and(Path::exists) && !undoing.get() => {
            fs::create_dir_all(obstacle.join("x"))
        }
        "before undo" => {
            undoing.set(true);
            if goes { fs::remove_dir_all(&obstacle) } else { Ok(()) }
        }
        _ => Ok(()),
    };
    let job = SwapJob { run: RUN.to_owned(), keep_previous: false };
    swap_in_steps(open(root).as_fd(), &job, Steps(&step))
}

#[test]
fn what_the_system_refuses_in_the_middle_is_undone() {
    let dir = staged();
    let done = refused_in_the_middle(dir.path(), true);
    assert!(matches!(done, Err(SwapError::Undone(_))), "{done:?}");
    assert_eq!(content(dir.path()), OLD_CONTENT);
    assert!(!crate::look::look(open(dir.path()).as_fd()).unwrap().staged[0].swapping);
    assert!(run(dir.path(), false, None).0.unwrap().swapped);
    check_new("after it was undone", dir.path(), false, true);
}

#[test]
fn what_can_neither_go_on_nor_back_stays_begun() {
    let dir = staged();
    let done = refused_in_the_middle(dir.path(), false);
    assert!(matches!(done, Err(SwapError::Tree { .. })), "{done:?}");
    assert!(crate::look::look(open(dir.path()).as_fd()).unwrap().staged[0].swapping);
    fs::remove_dir_all(dir.path().join(".backupd-restore-r1/old/turns into a folder")).unwrap_or_default();
    fs::remove_dir_all(dir.path().join("turns into a folder/x")).unwrap_or_default();
    assert!(run(dir.path(), false, None).0.unwrap().swapped);
    check_new("after the obstacle", dir.path(), false, true);
}

#[test]
fn a_removed_tree_may_be_deep_and_wide_and_full_of_links() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    write(outside.join("alive"), b"alive");
    let doomed = dir.path().join("doomed");
    fs::create_dir(&doomed).unwrap();
    for i in 0..1500 {
        fs::create_dir(doomed.join(format!("wide{i}"))).unwrap();
    }
    write(doomed.join("deep-0"), b"a name that moving up would like to use");
    let mut at = open(&doomed);
    for i in 0..1000 {
        std::os::unix::fs::symlink("x", doomed.join(format!("x{i}"))).unwrap();
        rustix::fs::mkdirat(&at, "d", rustix::fs::Mode::RWXU).unwrap();
        at = beneath::open_folder(at.as_fd(), b"d").unwrap();
        rustix::fs::symlinkat(outside.as_path(), &at, "link").unwrap();
    }
    remove::remove_tree(open(dir.path()).as_fd(), b"doomed").unwrap();
    assert!(!doomed.exists());
    assert_eq!(fs::read(outside.join("alive")).unwrap(), b"alive");
    remove::remove_tree(open(dir.path()).as_fd(), b"doomed").unwrap();
}
