//! A7, A13, I10, I14: restores that SIGKILL ends at any moment, and recoveries that it ends as well.

use std::path::PathBuf;
use std::time::Duration;

use integration::scripted_s3::{Action, Op};

use crate::program::{Ended, Running};
use crate::rig::Rig;
use crate::s3::S3;
use crate::tenant::{Lease, Tenant};
use crate::tree::{Tree, plant, tree};

const BEATS: &[&str] = &["heartbeat"];

/// A tenant on a volume that has two snapshots; what is in it is one of them.
struct Scene {
    rig: Rig,
    volume: String,
    folder: PathBuf,
    contents: [Tree; 2],
    tenant: Tenant,
}

impl Scene {
    fn new(s3: Option<S3>) -> Self {
        let rig = Rig::new(s3);
        let (volume, folder) = rig.volume("v");
        let contents = [1, 2].map(|seed| {
            plant(&folder, seed, 6);
            let planted = tree(&folder, BEATS);
            rig.back_up(&volume);
            planted
        });
        let lease = Lease { volume: &volume, restart: "always", warm_up: Some(300), ..Lease::default() };
        let tenant = rig.tenant("t", &folder, &lease);
        Self { rig, volume, folder, contents, tenant }
    }

    /// Which of the two contents is in the volume; fails on a mix.
    #[track_caller]
    fn place(&self, what: &str) -> usize {
        let now = tree(&self.folder, BEATS);
        let found = self.contents.iter().position(|content| *content == now);
        found.unwrap_or_else(|| panic!("{what}: neither the old content nor the new: {:#?}", now.keys()))
    }

    /// Begins to restore the content that is not there; gives which that is.
    fn begin(&self, more: &[&str]) -> (Running, usize) {
        let wanted = 1 - self.place("before");
        let number = (wanted + 1).to_string();
        let args = [&["restore", &self.volume, "--snapshot", &number, "--yes"], more].concat();
        (self.rig.start(&args), wanted)
    }

    /// What holds after any cut, when one more command has run. Gives what is in the volume.
    #[track_caller]
    fn assert_recovers(&self, what: &str, ended: &Ended, wanted: usize) -> usize {
        assert_eq!(self.rig.content(&self.volume, "1"), self.contents[0], "{what}");
        let found = self.place(what);
        assert!(found == wanted || !ended.said_done(), "{what}: {ended:?}");
        assert_eq!(self.tenant.status(), "running", "{what}");
        assert_eq!(self.tenant.restart_policy(), "always", "{what}");
        self.tenant.assert_beats();
        self.rig.assert_clean(&[&self.volume], what);
        found
    }
}

/// While the content is on its way: nothing has been touched, and nothing is.
#[test]
fn a_restore_that_is_killed_while_it_fetches_has_touched_nothing() {
    let scene = Scene::new(Some(S3::start()));
    let s3 = scene.rig.s3.as_ref().unwrap();
    let started = scene.tenant.time("StartedAt");
    let cases = [
        ("manifest", ".manifest", Action::NoReply),
        ("tables", ".tar.zst", Action::NoReply),
        ("content", ".tar.zst", Action::Stall(300_000)),
    ];
    for (what, key, action) in cases {
        for into in [None, Some(format!("{}-new", scene.rig.prefix))] {
            s3.script(Op::Get, key, 1, action.clone());
            let before = s3.count(Op::Get);
            let (mut running, wanted) = match &into {
                None => scene.begin(&[]),
                Some(new) => scene.begin(&["--into", new]),
            };
            s3.held_up(&mut running, Op::Get, before);
            let ended = running.kill();
            s3.server.forget_rules();
            let what = format!("{what}, into {into:?}");
            assert_eq!(scene.assert_recovers(&what, &ended, wanted), 1 - wanted, "{what}");
            assert_eq!(scene.tenant.time("StartedAt"), started, "{what}");
        }
    }
}

/// From the start of the program on.
#[test]
fn a_restore_that_is_killed_at_any_moment_leaves_the_old_content_or_the_new() {
    let scene = Scene::new(None);
    for moment in 0..8 {
        let (running, wanted) = scene.begin(&[]);
        std::thread::sleep(Duration::from_millis(20 + 110 * moment));
        let ended = running.kill();
        scene.assert_recovers(&format!("moment {moment}"), &ended, wanted);
    }
}

/// While the service is stopped, the content changes places, and the service is started.
#[test]
fn a_restore_that_is_killed_while_it_swaps_leaves_the_old_content_or_the_new() {
    let scene = Scene::new(None);
    let steps = [("putting the restored content", 11, 60), ("starting containers", 3, 70)];
    for (step, moments, apart) in steps {
        for moment in 0..moments {
            let (mut running, wanted) = scene.begin(&[]);
            let what = format!("{step}, moment {moment}");
            assert!(running.step(step), "{what}");
            std::thread::sleep(Duration::from_millis(apart * moment));
            let ended = running.kill();
            if moment % 3 == 1 {
                // Whoever recovers is killed as well, again and again.
                for cut in 1..4 {
                    let again = Running::start(scene.rig.command("backupd", &["--once"]));
                    std::thread::sleep(Duration::from_millis(90 * cut));
                    again.kill();
                }
            }
            let found = scene.assert_recovers(&what, &ended, wanted);
            // What was put in place stays there.
            assert!(found == wanted || step.starts_with("putting"), "{what}");
        }
    }
}

/// The same of one that changes only what differs: while the service is down it compares, fetches and overwrites.
#[test]
fn a_delta_restore_that_is_killed_leaves_the_old_content_or_the_new() {
    let scene = Scene::new(None);
    for (step, moments, apart) in [("comparing", 5, 60), ("putting the restored content", 6, 60)] {
        for moment in 0..moments {
            let (mut running, wanted) = scene.begin(&["--delta"]);
            let what = format!("{step}, moment {moment}");
            assert!(running.step(step), "{what}");
            std::thread::sleep(Duration::from_millis(apart * moment));
            let ended = running.kill();
            scene.assert_recovers(&what, &ended, wanted);
        }
    }
}

/// The same of one of some paths: it leaves all of them or none, and what lies beside them stays as it is.
#[test]
fn a_restore_of_paths_that_is_killed_leaves_all_of_them_or_none() {
    const PATHS: [&str; 3] = ["etc", "large", "link"];
    let scene = Scene::new(None);
    let part = |tree: &Tree, wanted: bool| -> Tree {
        let is_at = |path: &str| PATHS.iter().any(|at| path == *at || path.starts_with(&format!("{at}/")));
        let lines = tree.iter().filter(|(path, _)| is_at(path) == wanted);
        lines.map(|(path, told)| (path.clone(), told.clone())).collect()
    };
    let beside = part(&scene.contents[1], false);
    let place = |what: &str| {
        let now = tree(&scene.folder, BEATS);
        assert_eq!(part(&now, false), beside, "{what}");
        let found = scene.contents.iter().position(|content| part(content, true) == part(&now, true));
        found.unwrap_or_else(|| panic!("{what}: a mix: {:#?}", now.keys()))
    };
    for moment in 0..9 {
        let wanted = 1 - place("before");
        let (what, number) = (format!("moment {moment}"), (wanted + 1).to_string());
        let mut args = vec!["restore", &scene.volume, "--snapshot", &number, "--yes"];
        PATHS.iter().for_each(|path| args.extend(["--path", path]));
        let mut running = scene.rig.start(&args);
        assert!(running.step("putting the restored content"), "{what}");
        std::thread::sleep(Duration::from_millis(60 * moment));
        let ended = running.kill();
        assert_eq!(scene.rig.content(&scene.volume, "1"), scene.contents[0], "{what}");
        let found = place(&what);
        assert!(found == wanted || !ended.said_done(), "{what}: {ended:?}");
        assert_eq!(scene.tenant.status(), "running", "{what}");
        assert_eq!(scene.tenant.restart_policy(), "always", "{what}");
        scene.tenant.assert_beats();
        scene.rig.assert_clean(&[&scene.volume], &what);
    }
}

/// The engine goes on stopping the service of a restore that died: who recovers must not take it for running.
#[test]
fn a_service_that_is_on_its_way_down_comes_up_again() {
    let linger = Duration::from_secs(5);
    let rig = Rig::new(None);
    let (volume, folder) = rig.volume("v");
    plant(&folder, 1, 1);
    rig.back_up(&volume);
    let old = tree(&folder, BEATS);
    for restart in ["always", "no"] {
        let lease = Lease { volume: &volume, restart, linger: 5_000, ..Lease::default() };
        let tenant = rig.tenant(restart, &folder, &lease);
        let mut running = rig.start(&["restore", &volume, "--yes"]);
        assert!(running.step("putting the restored content"));
        std::thread::sleep(linger / 10);
        assert_eq!(tenant.status(), "running", "it takes its time");
        running.kill();
        assert_eq!(rig.content(&volume, "1"), old);
        std::thread::sleep(linger + linger / 10);
        assert_eq!((tenant.status().as_str(), tenant.restart_policy().as_str()), ("running", restart));
        tenant.assert_beats();
        assert_eq!(tree(&folder, BEATS), old);
        rig.assert_clean(&[&volume], "killed while the engine stopped the service");
        tenant.order("stop");
    }
}

/// A5, I10: the service recovers too, before anybody types anything.
#[test]
fn the_daemon_recovers_what_was_cut_off() {
    let scene = Scene::new(None);
    for moment in 0..3 {
        let (mut running, _wanted) = scene.begin(&[]);
        assert!(running.step("putting the restored content"));
        running.until(|| scene.tenant.status() == "exited");
        std::thread::sleep(Duration::from_millis(100 * moment));
        running.kill();
        let once = Running::start(scene.rig.command("backupd", &["--once"])).end().expect(0);
        assert_eq!(scene.tenant.status(), "running", "{once:?}");
        assert_eq!(scene.tenant.restart_policy(), "always");
        scene.tenant.assert_beats();
        scene.place("the daemon recovered");
        scene.rig.assert_clean(&[&scene.volume], "the daemon recovered");
    }
}
