//! Locks between threads and processes, and what is left where somebody died.

use std::io::BufRead as _;
use std::process::{Command, Stdio};

use super::*;
use crate::adapter::clock::SystemClock;

#[test]
fn a_look_is_abandoned_only_if_its_process_died() {
    let dir = tempfile::tempdir().unwrap();
    let (locks, run) = (Locks::new(dir.path()), RunId::random().unwrap());
    assert!(locks.abandoned_look(&run).is_none(), "nobody ever looked");
    let held = locks.look(&run).unwrap();
    assert!(locks.abandoned_look(&run).is_none(), "somebody looks now");
    drop(held);
    assert!(locks.abandoned_look(&run).is_none(), "it ended well");
    // What a process that was killed leaves: the file, and nobody's lock on it.
    File::create(locks.look_path(&run)).unwrap();
    assert!(locks.abandoned_look(&run).is_some());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// D1: writing to `/dev/full` fails, as on a full disk.
#[test]
fn a_full_disk_keeps_nobody_from_recovering() {
    let dir = tempfile::tempdir().unwrap();
    let locks = Locks::new(dir.path());
    std::os::unix::fs::symlink("/dev/full", dir.path().join(on("db").file_name())).unwrap();
    let refused = locks.try_lock(&on("db"), &holder("0011223344556677")).unwrap_err();
    assert!(matches!(refused, LockError::Io { deed: "write", .. }), "{refused}");
    let _held = locks.try_lock_to_recover(&on("db"), &holder("0011223344556677")).unwrap();
    let busy = locks.try_lock_to_recover(&on("db"), &holder("8899aabbccddeeff")).unwrap_err();
    assert!(matches!(busy, LockError::Busy { .. }), "{busy}");
}

fn on(source: &str) -> LockOn {
    LockOn::Lineage(Lineage { host: "vm-1".parse().unwrap(), source: source.parse().unwrap() })
}

fn holder(run: &str) -> Holder {
    Holder {
        run: run.parse().unwrap(),
        pid: std::process::id(),
        verb: Verb::Backup,
        since: "2026-11-21T02:00:00Z".parse().unwrap(),
    }
}

const ONE: &str = "1111111111111111";
const TWO: &str = "2222222222222222";

#[test]
fn the_second_is_told_who_was_first() {
    let dir = tempfile::tempdir().unwrap();
    let locks = Locks::new(dir.path());
    let held = locks.try_lock(&on("db"), &holder(ONE)).unwrap();
    let busy = locks.try_lock(&on("db"), &holder(TWO)).unwrap_err();
    assert_eq!(
        busy.to_string(),
        format!(
            "`vm-1/db` is locked by backup run `{ONE}` (process {}) since 2026-11-21T02:00:00Z",
            std::process::id()
        )
    );
    assert!(busy.hint().unwrap().contains(&format!("backupctl cancel {ONE}")));
    assert!(locks.is_held(&on("db")).unwrap());
    assert!(!locks.is_held(&on("web")).unwrap());

    drop(held);
    assert!(!locks.is_held(&on("db")).unwrap());
    let _held = locks.try_lock(&on("db"), &holder(TWO)).unwrap();
    let busy = locks.try_lock(&on("db"), &holder(ONE)).unwrap_err();
    assert!(matches!(busy, LockError::Busy { holder: Some(h), .. } if h.run.as_str() == TWO));
}

#[test]
fn different_things_have_different_files() {
    let long = format!("web:/{}", "x".repeat(400));
    let mut all = vec![
        on("db"),
        on("web:/var/lib/app"),
        on(&long),
        on(&format!("{long}y")),
        LockOn::Volume("db".to_owned()),
        LockOn::Volume("vm-1=db".to_owned()),
        LockOn::Volume("../../etc/passwd".to_owned()),
        LockOn::Volume(".".to_owned()),
        LockOn::Folder("/srv/db".to_owned()),
        LockOn::Folder("/srv/db/".to_owned()),
    ];
    for (host, source) in [("a--b", "c"), ("a", "b--c"), ("volume", "db")] {
        let (host, source) = (host.parse().unwrap(), source.parse().unwrap());
        let lineage = Lineage { host, source };
        all.extend([LockOn::Lineage(lineage.clone()), LockOn::Drill(lineage)]);
    }
    let mut names: Vec<_> = all.iter().map(LockOn::file_name).collect();
    assert!(names.iter().all(|name| name.len() < 250 && !name.contains('/') && !name.starts_with('.')));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
}

#[test]
fn asking_does_not_get_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let locks = Locks::new(dir.path());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                locks.is_held(&on("db")).unwrap();
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        for _ in 0..300 {
            let taken = locks.try_lock(&on("db"), &holder(ONE));
            done.store(taken.is_err(), std::sync::atomic::Ordering::SeqCst);
            drop(taken.unwrap());
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}

/// F1: of two who try at once, over and over, one has it and the other is told.
#[test]
fn a_thousand_tries_never_let_two_in() {
    let dir = tempfile::tempdir().unwrap();
    let locks = Locks::new(dir.path());
    let inside = std::sync::atomic::AtomicU32::new(0);
    let won: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = [ONE, TWO]
            .map(|run| {
                let (locks, inside) = (&locks, &inside);
                scope.spawn(move || {
                    let mut won = 0;
                    for _ in 0..500 {
                        if let Ok(_held) = locks.try_lock(&on("db"), &holder(run)) {
                            let before = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            assert_eq!(before, 0);
                            std::thread::yield_now();
                            inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                            won += 1;
                        }
                    }
                    won
                })
            })
            .into_iter()
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(won >= 500, "someone always gets it: {won}");
}

#[tokio::test]
async fn waiting_ends_with_the_lock_or_with_the_patience() {
    let dir = tempfile::tempdir().unwrap();
    let locks = Locks::new(dir.path());
    let clock = SystemClock::start();
    let held = locks.try_lock(&on("db"), &holder(ONE)).unwrap();
    let short = Duration::from_millis(50);
    let busy = locks.lock_within(&on("db"), &holder(TWO), short, &clock).await.unwrap_err();
    assert!(matches!(busy, LockError::Busy { .. }));
    assert!(clock.elapsed() >= short);

    let freed = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(held);
    });
    let long = Duration::from_secs(60);
    let _held = locks.lock_within(&on("db"), &holder(TWO), long, &clock).await.unwrap();
    freed.await.unwrap();
}

/// F2: killed with no chance to clean up, the holder holds no more, and its words mislead nobody.
#[test]
fn a_killed_holder_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let locks = Locks::new(dir.path());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lock::tests::child_that_holds", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    writeln!(to, "{}", dir.path().display()).unwrap();
    let mut lines = io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("held")), "the child never held it");

    let busy = locks.try_lock(&on("db"), &holder(TWO)).unwrap_err();
    let LockError::Busy { holder: Some(first), .. } = busy else { panic!("{busy}") };
    assert_eq!((first.run.as_str(), first.pid), (ONE, child.id()));

    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!locks.is_held(&on("db")).unwrap());
    let _held = locks.try_lock(&on("db"), &holder(TWO)).unwrap();
    let busy = locks.try_lock(&on("db"), &holder(ONE)).unwrap_err();
    assert!(matches!(busy, LockError::Busy { holder: Some(h), .. } if h.run.as_str() == TWO));
}

#[test]
#[ignore = "the other process of `a_killed_holder_holds_nothing`"]
fn child_that_holds() {
    if !std::env::args().any(|arg| arg == "--exact") {
        return;
    }
    let mut folder = String::new();
    io::stdin().read_line(&mut folder).unwrap();
    let _held = Locks::new(folder.trim()).try_lock(&on("db"), &holder(ONE)).unwrap();
    println!("held");
    // Until it is killed, or its parent is gone.
    io::stdin().read_line(&mut folder).unwrap();
}
