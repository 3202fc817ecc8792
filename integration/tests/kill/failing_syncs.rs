//! D8: a disk that says of something written that it did not keep it. The kernel says so once; whoever asks again hears
//! that all is well. So what was to be synced counts as lost, and nothing that leans on it is committed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{Ended, Running};
use crate::rig::Rig;
use crate::tree::{Tree, plant, tree};

/// So many of a thread's syncs fail, one in each backup; a whole one takes fewer.
const SYNCS: u32 = 6;

/// Which syncs of a backup fail: this one of each thread, or all of a path.
///
/// Which thread syncs what is another matter in every run, so the first kind goes everywhere and proves nothing about a
/// certain place; the second kind hits its place for certain.
#[derive(Debug)]
enum Failing {
    Nth(u32),
    Of(PathBuf),
}

/// Backs up while the system lets these syncs fail, or none; gives how it ended, which paths were synced, and which of
/// them failed.
fn back_up_failing(rig: &Rig, volume: &str, failing: Option<&Failing>) -> (Ended, Vec<String>, Vec<String>) {
    const CALLS: &str = "fsync,fdatasync,syncfs";
    let log = rig.file("syncs", "");
    let plain = rig.command("backupctl", &["--json", "backup", volume]);
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-qq", "-e", &format!("trace={CALLS}")]);
    match failing {
        None => {}
        Some(Failing::Nth(nth)) => {
            command.arg("-e").arg(format!("inject={CALLS}:error=EIO:when={nth}"));
        }
        Some(Failing::Of(path)) => {
            command.arg("-e").arg(format!("inject={CALLS}:error=EIO")).arg("-P").arg(path);
        }
    }
    command.arg("-o").arg(&log).arg("--").arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let ended = Running::start(command).end();
    let log = std::fs::read_to_string(log).unwrap();
    let path = |line: &str| Some(line.split_once('<')?.1.split_once('>')?.0.to_owned());
    let hit = log.lines().filter(|line| line.contains("(INJECTED)"));
    (ended, log.lines().filter_map(path).collect(), hit.filter_map(path).collect())
}

#[test]
fn what_the_disk_did_not_keep_is_not_committed() {
    let rig = Rig::new(None);
    let (volume, folder) = rig.volume("v");
    plant(&folder, 1, 20);
    let mut taken: Vec<(String, Tree)> = vec![(rig.back_up(&volume), tree(&folder, &[]))];
    plant(&folder, 2, 2);
    let (whole, synced, _) = back_up_failing(&rig, &volume, None);
    assert!(whole.said_done(), "{whole:?}");
    taken.push((rig.snapshots(&volume).last().unwrap().clone(), tree(&folder, &[])));
    let store = rig.file("store-is-beside", "").with_file_name("store");
    let folders: BTreeSet<PathBuf> = synced.iter().map(PathBuf::from).filter(|path| path.is_dir()).collect();
    let of_store = folders.iter().filter(|folder| folder.starts_with(&store)).count();
    assert!(of_store >= 2, "{synced:?}");
    let plan = folders.into_iter().map(Failing::Of).chain((1..=SYNCS).map(Failing::Nth));
    for (seed, failing) in (3..).zip(plan) {
        plant(&folder, seed, 2);
        let (ended, _, hit) = back_up_failing(&rig, &volume, Some(&failing));
        let in_store = |path: &Path| path.starts_with(&store);
        if ended.said_done() {
            assert!(!hit.iter().any(|path| in_store(Path::new(path))), "{failing:?}: {hit:?} {ended:?}");
            let numbers = rig.snapshots(&volume);
            taken.push((numbers.last().unwrap().clone(), tree(&folder, &[])));
        } else {
            assert!(!hit.is_empty(), "{failing:?}: {ended:?}");
            let told = ended.text();
            assert!(
                told.contains("Input/output error") || told.contains("disk I/O error"),
                "{failing:?}: {told}"
            );
        }
        if let Failing::Of(path) = &failing {
            assert!(!in_store(path) || !hit.is_empty(), "{failing:?}: {ended:?}");
        }
    }
    plant(&folder, 99, 2);
    taken.push((rig.back_up(&volume), tree(&folder, &[])));
    let numbers = rig.snapshots(&volume);
    for (number, content) in &taken {
        assert!(numbers.contains(number), "{number} of {numbers:?}");
        assert_eq!(&rig.content(&volume, number), content, "{number}");
    }
    rig.assert_clean(&[&volume], "in the end");
}
