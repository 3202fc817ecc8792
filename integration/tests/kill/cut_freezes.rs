//! A5: backups that SIGKILL ends while they hold those who write. Everybody runs again, and nobody else.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::rig::Rig;
use crate::tenant::{Lease, PATIENCE, Tenant};
use crate::tree::{plant, tree};

/// Kills of a backup with this mode that come while somebody is held, each a little later after the first container was; and
/// how many it may take, the further ones the sooner, for a freeze may be shorter than the one that was measured.
const MOMENTS: u32 = 10;
const KILLS_MAX: u32 = 40;

struct Scene {
    rig: Rig,
    volume: String,
    folder: std::path::PathBuf,
    /// Two that run, with their restart policies.
    up: [(Tenant, &'static str); 2],
    /// Two that do not: one never did, one was stopped by a person.
    down: [Tenant; 2],
}

impl Scene {
    fn new() -> Self {
        let rig = Rig::new(None);
        let (volume, folder) = rig.volume("v");
        plant(&folder, 1, 20);
        let lease = |file: &'static str, restart: &'static str| Lease {
            volume: &volume,
            file,
            restart,
            ..Lease::default()
        };
        let up = [("a", "heartbeat", "always"), ("b", "pulse", "no")]
            .map(|(name, file, restart)| (rig.tenant(name, &folder, &lease(file, restart)), restart));
        let down = [
            rig.created("c", &folder, &lease("never", "unless-stopped")),
            rig.tenant("d", &folder, &lease("before", "always")),
        ];
        down[1].order("stop");
        Self { rig, up, down, folder, volume: volume.clone() }
    }

    #[track_caller]
    fn assert_all_as_before(&self, what: &str) {
        for (tenant, restart) in &self.up {
            assert_eq!(tenant.status(), "running", "{what}: {}", tenant.name);
            assert_eq!(tenant.restart_policy(), *restart, "{what}: {}", tenant.name);
            tenant.assert_beats();
        }
        assert_eq!([0, 1].map(|n| self.down[n].status()), ["created", "exited"], "{what}");
        assert_eq!([0, 1].map(|n| self.down[n].restart_policy()), ["unless-stopped", "always"], "{what}");
    }

    /// Waits until somebody is held, or the backup is over.
    fn wait_for_a_hold(&self) {
        let began = Instant::now();
        while self.up.iter().all(|(tenant, _)| tenant.status() == "running") && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn killed_while_held(mode: &str, consistency: &str) {
    let scene = Scene::new();
    let args = ["backup", &scene.volume, "--consistency", mode];
    let done = scene.rig.run(&args).expect(0);
    let done = done.event("done");
    assert_eq!(done["consistency"], consistency);
    let seconds = done["freeze_seconds"].as_f64().unwrap();
    assert!(seconds > 0.0, "{done}");
    scene.assert_all_as_before("without a kill");
    let mut held = 0;
    for moment in 0..KILLS_MAX {
        let mut late = std::fs::File::create(scene.folder.join("late")).unwrap();
        late.write_all(moment.to_string().as_bytes()).unwrap();
        let running = scene.rig.start(&args);
        scene.wait_for_a_hold();
        let share = f64::from(moment % MOMENTS) / f64::from(MOMENTS) / f64::from(1 << (moment / MOMENTS));
        std::thread::sleep(Duration::from_secs_f64(seconds * share));
        running.kill();
        let thawed = scene.rig.run(&["thaw"]).expect(0);
        held += u32::from(!thawed.event("done")["thawed"].as_array().unwrap().is_empty());
        let what = format!("{mode}, moment {moment}: {:?}", thawed.events);
        scene.assert_all_as_before(&what);
        assert_eq!(
            scene.rig.run(&["thaw"]).expect(0).event("done")["thawed"],
            serde_json::json!([]),
            "{what}"
        );
        if held == MOMENTS {
            break;
        }
    }
    assert_eq!(held, MOMENTS, "so many of {KILLS_MAX} kills came while somebody was held");
    // Whatever was committed or not: the next backup is whole.
    let done = scene.rig.run(&args).expect(0);
    let number = done.event("done")["snapshot"].as_str().unwrap().rsplit('@').next().unwrap().to_owned();
    let beats = ["heartbeat", "pulse", "before"];
    let mut content = scene.rig.content(&scene.volume, &number);
    content.retain(|path, _| !beats.iter().any(|beat| path.ends_with(beat)));
    assert_eq!(content, tree(&scene.folder, &beats));
    scene.rig.assert_clean(&[&scene.volume], mode);
}

#[test]
fn a_backup_that_is_killed_while_it_pauses_leaves_nobody_paused() {
    killed_while_held("pause", "paused");
}

#[test]
fn a_backup_that_is_killed_while_it_stops_leaves_nobody_down() {
    killed_while_held("stop", "stopped");
}
