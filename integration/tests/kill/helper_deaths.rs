//! B7: helpers that are killed, or use more memory than they may.

use std::path::{Path, PathBuf};
use std::time::Duration;

use integration::scripted_s3::{Action, Op};

use crate::program::Running;
use crate::rig::Rig;
use crate::s3::S3;
use crate::tenant::Lease;
use crate::tree::{Tree, plant, tree};

const BEATS: &[&str] = &["heartbeat"];

struct Scene {
    rig: Rig,
    volume: String,
    folder: PathBuf,
    content: Tree,
}

impl Scene {
    fn new(s3: Option<S3>, megabytes: u64) -> Self {
        let rig = Rig::new(s3);
        let (volume, folder) = rig.volume("v");
        plant(&folder, 1, megabytes);
        let content = tree(&folder, BEATS);
        rig.back_up(&volume);
        Self { rig, volume, folder, content }
    }

    /// Kills the next helper that runs and is not one of these, some time after it was made. False if the
    /// program ended before.
    fn kill_helper(&self, running: &mut Running, known: &[String], after: Duration) -> bool {
        let new = |id: &String| !known.contains(id);
        running.until(|| self.rig.helpers().iter().any(new));
        std::thread::sleep(after);
        // What was made and does not run yet cannot be killed yet.
        let kill = |id| self.rig.docker.ask("POST", &format!("/containers/{id}/kill"), None).is_ok();
        running.until(|| self.rig.helpers().into_iter().filter(new).any(kill))
    }
}

fn with_settings<'a>(settings: &'a Path, args: &[&'a str]) -> Vec<&'a str> {
    [&["--config", settings.to_str().unwrap()], args].concat()
}

#[test]
fn a_backup_whose_helper_is_killed_fails_with_the_cause_and_leaves_nothing() {
    let scene = Scene::new(Some(S3::start()), 20);
    // The slowest there is, so that it is still at work.
    let slow = scene.rig.file("slow.toml", "[effort]\nlevel = 19\nworkers = 1\n");
    for after in [0, 400] {
        let mut running = scene.rig.start(&with_settings(&slow, &["backup", "--full", &scene.volume]));
        assert!(running.step("reading"));
        assert!(scene.kill_helper(&mut running, &[], Duration::from_millis(after)));
        let failed = running.end().expect(1);
        assert!(failed.text().contains("SIGKILL"), "{failed:?}");
        // At once, with nothing run in between.
        scene.rig.assert_clean(&[&scene.volume], "the helper was killed");
        assert_eq!(scene.rig.snapshots(&scene.volume), ["1"]);
        assert_eq!(scene.rig.runs()[0]["state"], "failed");
    }
    assert_eq!(scene.rig.content(&scene.volume, "1"), scene.content);
}

#[test]
fn a_helper_that_needs_more_memory_than_it_may_have_is_told_so() {
    let scene = Scene::new(None, 20);
    let tight =
        scene.rig.file("tight.toml", "[effort]\nlevel = 19\nworkers = 16\nhelper_memory = \"32MiB\"\n");
    let failed = scene.rig.run(&with_settings(&tight, &["backup", "--full", &scene.volume])).expect(1);
    assert!(failed.text().contains("memory limit"), "{failed:?}");
    scene.rig.assert_clean(&[&scene.volume], "out of memory");
    assert_eq!(scene.rig.snapshots(&scene.volume), ["1"]);
}

#[test]
fn a_restore_whose_helper_is_killed_fails_with_the_cause_and_touches_nothing() {
    let scene = Scene::new(Some(S3::start()), 6);
    plant(&scene.folder, 2, 1);
    let old = tree(&scene.folder, BEATS);
    let lease = Lease { volume: &scene.volume, restart: "always", ..Lease::default() };
    let tenant = scene.rig.tenant("t", &scene.folder, &lease);
    let started = tenant.time("StartedAt");
    let s3 = scene.rig.s3.as_ref().unwrap();
    let new = format!("{}-new", scene.rig.prefix);
    for more in [&[][..], &["--into", &new]] {
        s3.script(Op::Get, ".tar.zst", 1, Action::Slow(1 << 20));
        let mut running = scene.rig.start(&[&["restore", &scene.volume, "--yes"], more].concat());
        assert!(running.step("restoring"));
        assert!(scene.kill_helper(&mut running, &[], Duration::from_millis(300)));
        let failed = running.end().expect(1);
        s3.server.forget_rules();
        assert!(failed.text().contains("SIGKILL"), "{failed:?}");
        assert_eq!(tree(&scene.folder, BEATS), old);
        assert_eq!((tenant.time("StartedAt"), tenant.restart_policy()), (started, "always".to_owned()));
        scene.rig.assert_clean(&[&scene.volume], "the helper was killed");
    }
    scene.rig.run(&["restore", &scene.volume, "--yes"]).expect(0);
    assert_eq!(tree(&scene.folder, BEATS), scene.content);
}

/// The one that swaps lives for a moment only; whenever it is hit, the content is one of the two, what was
/// told is true, and the service runs.
#[test]
fn a_helper_that_is_killed_while_it_swaps_leaves_the_old_content_or_the_new() {
    let scene = Scene::new(None, 2);
    let lease = Lease { volume: &scene.volume, restart: "always", ..Lease::default() };
    let mut hits = 0;
    for round in 0..6 {
        plant(&scene.folder, 10 + round, 2);
        let old = tree(&scene.folder, BEATS);
        let tenant = scene.rig.tenant(&format!("t{round}"), &scene.folder, &lease);
        let mut running = scene.rig.start(&["restore", &scene.volume, "--snapshot", "1", "--yes"]);
        assert!(running.step("putting the restored content"));
        let known = scene.rig.helpers();
        let killed = scene.kill_helper(&mut running, &known, Duration::from_millis(40 * (round / 2)));
        hits += u32::from(killed);
        let ended = running.end();
        let now = tree(&scene.folder, BEATS);
        assert!(now == scene.content || now == old, "round {round}: {:?}", now.keys());
        if ended.code == Some(0) || ended.text().contains("restored content is in place") {
            assert_eq!(now, scene.content, "round {round}: {ended:?}");
        } else {
            assert_eq!((ended.code, &now), (Some(1), &old), "round {round}: {ended:?}");
        }
        tenant.assert_beats();
        assert_eq!(tenant.restart_policy(), "always");
        scene.rig.assert_clean(&[&scene.volume], &format!("round {round}"));
        tenant.order("stop");
    }
    assert!(hits > 0, "none was hit, of which two as soon as they ran");
}
