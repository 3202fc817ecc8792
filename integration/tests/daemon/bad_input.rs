//! D1, D6, E9: a service that is started where something is wrong says what, and goes on as soon as it is not.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;

use integration::docker::Docker;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use rustix::process::Signal;

use crate::rig::{Rig, put};

const SECONDS: &str = "*/2 * * * * *";
const KEEP: &str = "last = 2";

fn rig() -> Rig {
    let rig = Rig::new(Docker::of_environment().unwrap(), None, false);
    rig.policy(SECONDS, KEEP);
    rig
}

/// A small file system in memory, mounted for as long as this lives.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Self {
        std::fs::create_dir(&at).unwrap();
        mount("tmpfs", &at, "tmpfs", MountFlags::empty(), c"size=4m,mode=700").unwrap();
        Self(at)
    }

    /// Fills it to the last page.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut ballast = std::fs::File::create(&path).unwrap();
        while std::io::Write::write_all(&mut ballast, &[1; 4096]).is_ok() {}
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Whoever still has something open there keeps it until it lets go.
        match unmount(&self.0, UnmountFlags::DETACH) {
            Ok(()) | Err(_) => {}
        }
    }
}

#[test]
fn a_state_folder_of_another_owner_or_that_others_may_enter_is_refused() {
    let rig = rig();
    let state = rig.at("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
    chown(&state, Some(1234), None).unwrap();
    let service = rig.start();
    let log = rig.at("log");
    assert_eq!(service.end(), Some(1));
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("user 1234") && said.contains("chown -R 0"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    chown(&state, Some(0), None).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(rig.start().end(), Some(1));
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("0755") && said.contains("chmod 700"), "{said}");
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0, "nothing was put there");
}

#[test]
fn a_state_folder_that_is_full_or_read_only() {
    let rig = rig();
    let (volume, _) = rig.volume("v");
    let disk = Small::mount(rig.at("state"));
    let mut service = rig.start();
    service.until("a first snapshot", |_| rig.newest(&volume) >= 1);
    let ballast = disk.fill();
    // A write-ahead log that was made before has some room left.
    service.until("the failure of a run", |service| {
        let said = service.log();
        said.contains("ERROR") && (said.contains("full") || said.contains("No space left"))
    });
    let lines = service.log().lines().count();
    std::thread::sleep(std::time::Duration::from_secs(5));
    let more = service.log().lines().count() - lines;
    assert!(more < 60, "{more} lines in five seconds:\n{}", service.log());
    std::fs::remove_file(ballast).unwrap();
    let before = rig.newest(&volume);
    service.until("two more snapshots", |_| rig.newest(&volume) >= before + 2);
    service.signal(Signal::TERM);
    assert_eq!(service.end(), Some(0));
    rig.assert_nothing_left();

    mount_remount(&disk.0, MountFlags::RDONLY, "").unwrap();
    put(&rig.at("log"), b"");
    assert_eq!(rig.start().end(), Some(1));
    let said = std::fs::read_to_string(rig.at("log")).unwrap();
    assert!(said.contains("ead-only") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_store_that_is_down_at_boot_is_used_once_it_is_there() {
    let rig = rig();
    let (volume, _) = rig.volume("v");
    // A file stands where the folder of the store has to be.
    put(&rig.at("store"), b"");
    let mut service = rig.start();
    service.until("failures", |service| {
        let metrics = service.page("/metrics").1;
        let failures = format!("backupd_run_failures_total{{source=\"{volume}\",policy=\"{}\"}} ", rig.name);
        let count = metrics.lines().find_map(|line| line.strip_prefix(&failures)?.parse::<u32>().ok());
        count >= Some(2)
    });
    assert!(service.log().contains("open the store"), "{}", service.log());
    std::fs::remove_file(rig.at("store")).unwrap();
    service.until("a snapshot", |_| rig.newest(&volume) >= 1);
    service.signal(Signal::TERM);
    assert_eq!(service.end(), Some(0));
    rig.assert_nothing_left();
}
