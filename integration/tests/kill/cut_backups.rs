//! A1 to A4: backups that SIGKILL ends at any moment.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use integration::scripted_s3::{Action, Op, Side};

use crate::program::Ended;
use crate::rig::Rig;
use crate::s3::S3;
use crate::tree::{Tree, plant, tree};

/// A volume with one snapshot, and those that follow.
struct Scene {
    rig: Rig,
    volume: String,
    folder: PathBuf,
    taken: Vec<(String, Tree)>,
}

impl Scene {
    fn new(s3: Option<S3>) -> Self {
        let rig = Rig::new(s3);
        let (volume, folder) = rig.volume("v");
        plant(&folder, 1, 20);
        let mut scene = Self { rig, volume, folder, taken: Vec::new() };
        scene.note(scene.rig.back_up(&scene.volume));
        scene
    }

    fn note(&mut self, number: String) {
        self.taken.push((number, tree(&self.folder, &[])));
    }

    /// What holds after any cut: one more command, and all is well. Says whether the snapshot was committed.
    #[track_caller]
    fn assert_recovers(&mut self, what: &str, ended: &Ended) -> bool {
        // The oldest and the newest; the command recovers before it does anything else.
        let (first, last) = (&self.taken[0], &self.taken[self.taken.len() - 1]);
        for (number, content) in [first, last] {
            assert_eq!(&self.rig.content(&self.volume, number), content, "{what}: {number}");
        }
        self.rig.assert_clean(&[&self.volume], what);
        let mut numbers = self.rig.snapshots(&self.volume);
        let more = numbers.split_off(self.taken.len());
        assert_eq!(numbers, self.taken.iter().map(|(number, _)| number.clone()).collect::<Vec<_>>());
        assert!(more.len() <= 1 && (!ended.said_done() || more.len() == 1), "{what}: {more:?} {ended:?}");
        let runs = self.rig.runs();
        if let Some(run) = runs.iter().find(|run| run["verb"] == "backup") {
            let expected = if more.is_empty() { ["interrupted", "done"] } else { ["done", "done"] };
            assert!(expected.iter().any(|state| run["state"] == *state), "{what}: {run}");
        }
        let committed = !more.is_empty();
        for number in more {
            self.note(number);
            let (number, content) = &self.taken[self.taken.len() - 1];
            assert_eq!(&self.rig.content(&self.volume, number), content, "{what}: {number}");
        }
        committed
    }
}

/// At each request to the store that a backup makes: the request is there, its reply never comes.
#[test]
fn a_backup_that_is_killed_at_a_request_is_whole_or_absent() {
    let mut scene = Scene::new(Some(S3::start()));
    let held = [
        ("list", Op::List, "", 1, false),
        ("begin of the upload", Op::CreateUpload, "", 1, false),
        ("first part", Op::Part, "", 1, false),
        ("second part", Op::Part, "", 2, false),
        ("end of the upload", Op::Complete, "", 1, false),
        ("commit", Op::Put, ".manifest", 1, false),
        ("commit that was done", Op::Put, ".manifest", 1, true),
    ];
    for (what, op, key, first, committed) in held {
        plant(&scene.folder, 100 + scene.taken.len() as u64, 20);
        let s3 = scene.rig.s3.as_ref().unwrap();
        if committed {
            s3.script(op, key, first, Action::Reset(Side::After));
            // The first one is the parent's.
            s3.script(Op::Get, key, 2, Action::NoReply);
        } else {
            s3.script(op, key, first, Action::NoReply);
        }
        let before = s3.count(op) + first - 1;
        let mut running = scene.rig.start(&["backup", &scene.volume]);
        s3.held_up(&mut running, op, before);
        let ended = running.kill();
        assert!(!ended.said_done(), "{what}: {ended:?}");
        s3.server.forget_rules();
        // Its snapshots are of what was planted before, unless it was committed.
        assert_eq!(scene.assert_recovers(what, &ended), committed, "{what}: {ended:?}");
    }
    let packs = scene.rig.s3.as_ref().unwrap().keys(".tar.zst").len();
    // The one whose commit was asked for may still be named by a manifest on its way, so it stays for a while.
    assert_eq!(packs, scene.taken.len() + 1, "orphans are removed");
    let next = scene.rig.back_up(&scene.volume);
    assert_eq!(scene.rig.content(&scene.volume, &next), tree(&scene.folder, &[]));
}

/// At moments that nothing but the clock decides.
#[test]
fn a_backup_that_is_killed_at_any_moment_is_whole_or_absent() {
    const MOMENTS: u32 = 9;
    let mut scene = Scene::new(None);
    let began = Instant::now();
    let number = scene.rig.back_up(&scene.volume);
    let whole = began.elapsed();
    scene.note(number);
    for moment in 0..MOMENTS {
        plant(&scene.folder, 200 + u64::from(moment), 20);
        let running = scene.rig.start(&["backup", &scene.volume]);
        std::thread::sleep(whole.saturating_mul(moment) / (MOMENTS - 1) + Duration::from_millis(5));
        let ended = running.kill();
        scene.assert_recovers(&format!("moment {moment} of {whole:?}"), &ended);
    }
}
