//! Several processes, killed processes, full disks.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::catalog::{CatalogError, Opened};

/// Starts this test binary again as another process that does `test` with the catalog in `folder`.
fn child(test: &str, folder: &Path, argument: u64) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("catalog::tests::processes::{test}"), "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    writeln!(to, "{argument} {}", folder.join("catalog.sqlite").display()).unwrap();
    child
}

/// What the parent said; `None` if this is no child.
fn from_parent() -> Option<(u64, PathBuf)> {
    if !std::env::args().any(|arg| arg == "--exact") {
        return None;
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let (argument, path) = line.trim().split_once(' ').unwrap();
    Some((argument.parse().unwrap(), path.into()))
}

#[track_caller]
fn expect_success(child: Child) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // A child whose name is misspelt runs no test and is content.
    let done = output.status.success() && said.contains("1 passed");
    assert!(done, "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// D5: whoever comes first makes it; nobody loses a row, and nobody is told that it is busy.
#[test]
fn six_processes_make_and_migrate_one_catalog_at_once() {
    let place = Place::new();
    fill(&place.open());
    let children: Vec<_> =
        (1..=6).map(|n| child("child_migrates_and_writes", place.dir.path(), 100 * n)).collect();
    children.into_iter().for_each(expect_success);
    let Opened { catalog, notice } = Catalog::open_with(&place.path(), at(0), &and_then(&[NEXT])).unwrap();
    assert_eq!(notice, None);
    assert_eq!(catalog.unfinished_runs().unwrap().len(), 6 + 6 * 20);
    let marks: u32 = catalog.lock().query_row("SELECT count(*) FROM marks", [], |row| row.get(0)).unwrap();
    assert_eq!(marks, 24, "migrated once");
}

#[test]
#[ignore = "another process of `six_processes_make_and_migrate_one_catalog_at_once`"]
fn child_migrates_and_writes() {
    let Some((argument, path)) = from_parent() else { return };
    let opened = Catalog::open_with(&path, at(0), &and_then(&[NEXT])).unwrap();
    for n in 0..20 {
        opened.catalog.begin_run(&new_restore(argument + n), at(0)).unwrap();
        opened.catalog.note_work(&run_id(argument + n), None).unwrap();
    }
}

/// A1: what was said to be written is there after a kill, and nothing is half there.
#[test]
fn a_killed_writer_loses_nothing_that_it_was_promised() {
    let place = Place::new();
    drop(place.open());
    for round in 1..=5 {
        let first = round * 1_000_000;
        let mut child = child("child_writes_for_ever", place.dir.path(), first);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = 0;
        while told < first + 5 * round {
            let line = lines.next().expect("the child ended").unwrap();
            if let Some(n) = line.trim().strip_prefix("written ") {
                told = n.parse().unwrap();
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let rest = lines.filter_map(|line| line.unwrap().strip_prefix("written ")?.parse().ok()).last();
        let told: u64 = told.max(rest.unwrap_or(0));

        let catalog = place.open();
        for n in first..=told {
            assert_eq!(catalog.run(&run_id(n)).unwrap().snapshot, Some(number(1)), "run {n} was promised");
        }
        assert!(catalog.run(&run_id(told + 2)).is_err(), "nobody began it");
    }
}

#[test]
#[ignore = "the other process of `a_killed_writer_loses_nothing_that_it_was_promised`"]
fn child_writes_for_ever() {
    let Some((first, path)) = from_parent() else { return };
    let catalog = Catalog::open(&path, at(0)).unwrap().catalog;
    println!();
    for n in first..first + 100_000 {
        catalog.begin_run(&new_restore(n), at(0)).unwrap();
        catalog.note_work(&run_id(n), Some(number(1))).unwrap();
        println!("written {n}");
    }
}

/// Runs the test `child` in a mount namespace of its own, so that nothing stays mounted whatever happens, with its
/// catalog on a file system of half a megabyte.
#[track_caller]
fn on_a_small_disk(child: &str) {
    let place = Place::new();
    let mount = place.dir.path().join("small");
    fs::create_dir(&mount).unwrap();
    let script =
        "mount -t tmpfs -o size=512k none \"$1\" && exec \"$2\" --exact \"$3\" --ignored --nocapture";
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let mut child = unshare
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([&mount, &std::env::current_exe().unwrap()])
        .arg(format!("catalog::tests::processes::{child}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "0 {}", mount.join("catalog.sqlite").display()).unwrap();
    expect_success(child);
    assert_eq!(names(&mount), Vec::<String>::new(), "it was on the small disk");
}

/// D1: on a full disk the intent cannot be written, and that is said; what was there can still be read, and
/// writing works again when there is space.
#[test]
fn a_full_disk_is_a_typed_error() {
    on_a_small_disk("child_fills_the_disk");
}

/// D4: a disk that was remounted after an error is not taken for a damaged catalog.
#[test]
fn a_read_only_disk_is_a_typed_error() {
    on_a_small_disk("child_loses_the_right_to_write");
}

#[test]
#[ignore = "the other process of `a_read_only_disk_is_a_typed_error`"]
fn child_loses_the_right_to_write() {
    let Some((_, path)) = from_parent() else { return };
    let catalog = Catalog::open(&path, at(0)).unwrap().catalog;
    catalog.begin_run(&new_restore(1), at(0)).unwrap();
    drop(catalog);
    let remount = |how: &str| {
        let status = Command::new("mount").args(["-o", how]).arg(path.parent().unwrap()).status().unwrap();
        assert!(status.success());
    };
    remount("remount,ro");
    let refused = Catalog::open(&path, at(0)).unwrap_err();
    assert!(matches!(refused, CatalogError::ReadOnly), "{refused}: {refused:?}");
    remount("remount,rw");
    let opened = Catalog::open(&path, at(0)).unwrap();
    assert_eq!((opened.notice, opened.catalog.unfinished_runs().unwrap().len()), (None, 1));
}

#[test]
#[ignore = "the other process of `a_full_disk_is_a_typed_error`"]
fn child_fills_the_disk() {
    let Some((_, path)) = from_parent() else { return };
    let catalog = Catalog::open(&path, at(0)).unwrap().catalog;
    let ballast_path = path.with_file_name("ballast");
    let mut ballast = File::create(&ballast_path).unwrap();
    while ballast.write_all(&[1; 1024]).is_ok() {}
    let mut written = 0;
    let refused = loop {
        match catalog.begin_run(&new_restore(written + 1), at(0)) {
            Ok(_) => written += 1,
            Err(refused) => break refused,
        }
        assert!(written < 10_000, "the disk never was full");
    };
    assert!(matches!(refused, CatalogError::Full), "{refused}: {refused:?}");
    assert!(refused.hint().unwrap().contains("free space"));
    assert_eq!(catalog.unfinished_runs().unwrap().len() as u64, written);
    drop(catalog);

    // Opening may need space or not; it never takes fullness for damage.
    match Catalog::open(&path, at(0)) {
        Ok(opened) => assert_eq!(opened.notice, None),
        Err(refused) => assert!(matches!(refused, CatalogError::Full), "{refused}: {refused:?}"),
    }
    drop(ballast);
    fs::remove_file(&ballast_path).unwrap();
    let Opened { catalog, notice } = Catalog::open(&path, at(0)).unwrap();
    assert_eq!(notice, None);
    assert_eq!(catalog.unfinished_runs().unwrap().len() as u64, written);
    catalog.begin_run(&new_restore(written + 1), at(0)).unwrap();
}
