//! File systems that clone files: writers go on while what they had written is still being read, and of the place where
//! the clones lie nothing is left, however the run ends.
//!
//! Where no such file system can be mounted, or no engine started on it, this says so and ends.

use std::io::Write as _;

use integration::disk::Disk;
use integration::docker::Docker;
use integration::noise::noise;
use integration::private_engine::PrivateEngine;

use crate::rig::Rig;
use crate::tenant::Lease;
use crate::tree::{plant, tree};

const DISK_BYTES: u64 = 2 << 30;

/// So much takes a while to read, and nothing of it compresses.
const HOT_BYTES: usize = 48 << 20;

const PICTURE: &str = "reading a picture";

/// Says why not, where it cannot be tried.
fn on(kind: &str) -> Result<(), &'static str> {
    let disk = Disk::mount(kind, DISK_BYTES).unwrap();
    let disk = disk.ok_or("no such file system can be mounted here")?;
    let engine = PrivateEngine::start_in(disk.path()).unwrap();
    let engine = engine.ok_or("no private engine can be started here")?;
    let rig = Rig::on(Docker::at(engine.socket()), Some(engine.socket().to_owned()), None);
    let (volume, folder) = rig.volume("v");
    plant(&folder, 1, 20);
    let tenant = rig.tenant("t", &folder, &Lease { volume: &volume, ..Lease::default() });
    let hot = folder.join("hot");
    // What is as young as this is read again, whatever its times say.
    let touch = |seed| {
        let made = std::fs::File::create(&hot);
        made.and_then(|mut file| file.write_all(&noise(seed, HOT_BYTES))).unwrap();
    };
    touch(1);
    let frozen = tree(&folder, &["heartbeat"]);
    let mut running = rig.start(&["backup", "--consistency", "pause", &volume]);
    if !running.step(PICTURE) {
        panic!("{kind}: {:?}", running.end());
    }
    // Not only a writer in a container may write now.
    touch(2);
    tenant.assert_beats();
    let done = running.end().expect(0);
    assert_eq!(done.event("done")["consistency"], "paused", "{done:?}");
    assert_eq!(rig.content(&volume, "1"), frozen, "{kind}");
    assert_eq!(all_volumes(&rig), [volume.as_str()], "{kind}: a place for clones was left");

    touch(3);
    let mut running = rig.start(&["backup", "--consistency", "pause", &volume]);
    assert!(running.step(PICTURE));
    running.kill();
    assert_eq!(rig.snapshots(&volume), ["1"]);
    rig.run(&["thaw"]).expect(0);
    tenant.assert_beats();
    rig.run(&["backup", "--consistency", "live", &volume]).expect(0);
    assert_eq!(all_volumes(&rig), [volume.as_str()], "{kind}: a place for clones was left");
    rig.assert_clean(&[&volume], "killed while it read a picture");
    Ok(())
}

fn all_volumes(rig: &Rig) -> Vec<String> {
    rig.docker.volumes().unwrap()
}

#[test]
fn on_xfs() {
    if let Err(why) = on("xfs") {
        eprintln!("skipped: {why}");
    }
}

#[test]
fn on_btrfs() {
    if let Err(why) = on("btrfs") {
        eprintln!("skipped: {why}");
    }
}
