//! Memory does not grow with the number of files.

use std::fs;
use std::process::Child;
use std::time::Duration;

use crate::recorded::{assert_equal, record};
use crate::world::{World, gave, put};

/// Of our program and the helper together, at their worst.
const PEAK_BYTES_MAX: u64 = 256 << 20;

const FOLDERS: u32 = 100;
const FILES: u32 = 1_000;

/// The most that a process has ever had in memory; 0 when it is gone.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) << 10
}

/// Runs it to its end; the sum of the peaks of our program and of its helper.
#[track_caller]
fn measured(world: &World, args: &[&str]) -> u64 {
    let mut command = world.program("backupctl");
    let mut child: Child = command.args(args).args(["--quiet"]).spawn().unwrap();
    let label = format!("backupd.owner={}", fs::read_to_string(world.state().join("owner")).unwrap().trim());
    let (mut ours, mut helpers) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        ours = peak(child.id()).max(ours);
        let pids = world.docker.processes_with_label(&label).unwrap();
        helpers = pids.into_iter().map(peak).sum::<u64>().max(helpers);
        std::thread::sleep(Duration::from_millis(20));
    }
    gave(args.join(" "), &child.wait_with_output().unwrap()).ok();
    assert!(ours > 0 && helpers > 0, "nothing was measured");
    ours + helpers
}

#[test]
fn a_hundred_thousand_files_in_256_mib() {
    let world = World::new();
    let (volume, place) = world.volume("many");
    for folder in 0..FOLDERS {
        let folder = place.join(format!("folder-{folder:03}"));
        fs::create_dir(&folder).unwrap();
        for file in 0..FILES {
            put(
                &folder.join(format!("file-{file:04}")),
                format!("{} of {file}", folder.display()).as_bytes(),
            );
        }
    }
    world.run(&["runs"]).ok();
    let peaks = [
        measured(&world, &["backup", &volume]),
        measured(&world, &["restore", &volume, "--into", &world.volume_name("copy"), "--yes"]),
    ];
    let copy = world.docker.volume(&world.volume_name("copy")).unwrap().unwrap();
    assert_equal(&record(&copy), &record(&place));
    for peak in peaks {
        assert!(peak < PEAK_BYTES_MAX, "{} MiB of our program and the helper together", peak >> 20);
    }
}
