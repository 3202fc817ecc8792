//! The unit beneath a real systemd: it starts and tells how it is, reloads, is ended when it hangs, and leaves nobody
//! held when it is killed. All of the unit is in force but the wait before a restart, and how long it may hang.
//!
//! Where no systemd can be started (no root, no namespaces), this says so and ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use engine::adapter::store::url::StoreUrl;
use engine::words::RunId;
use integration::docker::Docker;
use integration::noise::noise;
use integration::private_systemd::PrivateSystemd;
use integration::programs::built;
use integration::scripted_s3::ScriptedS3;
use rustix::process::{Pid, Signal, kill_process};

use crate::rig::{put, wait};
use crate::service::PATIENCE;
use crate::tenant::{self, Lease, Tenant};

const UNIT: &str = "backupd.service";
const BUCKET: &str = "unit";

/// Kills; a freeze is short, and not each comes within one.
const TRIES: u64 = 20;

/// A host with the unit installed as the documents say, and a service that lives on a volume.
struct Scene {
    systemd: PrivateSystemd,
    server: ScriptedS3,
    docker: Docker,
    image: String,
    name: String,
    folder: PathBuf,
    place: PathBuf,
    tenant: Tenant,
}

/// The unit's text; its drop-in, with what a test cannot wait for; and the line that hands it the keys of the bucket.
fn install(folder: &Path) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../daemon/backupd.service");
    let text = std::fs::read_to_string(shipped).unwrap();
    let programs = format!("{}/", built("backupd").unwrap().parent().unwrap().display());
    let text = text.replace("/usr/local/bin/", &programs);
    let text =
        text.replace("#LoadCredential=aws:", "LoadCredential=aws:").replace("#Environment=", "Environment=");
    std::fs::create_dir_all(folder.join("units/backupd.service.d")).unwrap();
    put(&folder.join("units").join(UNIT), text.as_bytes());
    let state = folder.join("state");
    let under_lib = state.strip_prefix("/var/lib").unwrap().display();
    let quick = format!("[Service]\nStateDirectory={under_lib}\nRestartSec=8\nWatchdogSec=30\n");
    put(&folder.join("units/backupd.service.d/test.conf"), quick.as_bytes());
    put(
        &folder.join("units/rig.target"),
        b"[Unit]\nDescription=What a test wants\nWants=systemd-journald.service\n",
    );
}

impl Scene {
    fn new() -> Option<Self> {
        let docker = Docker::of_environment().unwrap();
        let server = wait(ScriptedS3::start());
        let name = format!("bkd-daemon-{}", RunId::random().unwrap());
        // Where systemd lets a service write; and an engine outside sees its sockets.
        let folder = Path::new("/var/lib").join(&name);
        install(&folder);
        std::fs::create_dir_all(folder.join("etc/policies")).unwrap();
        let (store, state) = (StoreUrl::S3(server.bucket(BUCKET)), folder.join("state"));
        let settings = format!(
            "store = \"{store}\"\nhost = \"vm\"\nstate = \"{}\"\n[effort]\nlevel = 1\n",
            state.display()
        );
        put(&folder.join("etc/backupd.toml"), settings.as_bytes());
        let keys = server.keys();
        let keys =
            format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", keys.id, keys.secret);
        put(&folder.join("etc/aws-credentials"), keys.as_bytes());

        let image = docker.import_image(&tenant::image()).unwrap();
        let place = docker.create_volume(&name).unwrap();
        let tenant = Tenant::create(
            &docker,
            &image,
            &format!("{name}.t"),
            &place,
            &Lease { volume: &name, ..Lease::default() },
        );
        tenant.order("start");
        let socket = docker.host();
        let started =
            PrivateSystemd::start(&folder, Path::new(socket.strip_prefix("unix://").unwrap())).unwrap();
        let Some(systemd) = started else {
            clear(&docker, &tenant, &name, &image, &folder).unwrap();
            return None;
        };
        let scene = Self { systemd, server, docker, image, name, folder, place, tenant };
        scene.policy("pause", "");
        Some(scene)
    }

    fn policy(&self, mode: &str, more: &str) {
        let text = format!(
            "schedule = \"*/2 * * * * *\"\nselect.volumes = [\"{}\"]\nconsistency.mode = \"{mode}\"\nkeep.last = 3\n{more}",
            self.name
        );
        put(&self.folder.join("etc/policies/p.toml"), text.as_bytes());
    }

    #[track_caller]
    fn order(&self, verb: &str) {
        let done = self.systemd.run(&["systemctl", verb, UNIT]).unwrap();
        assert!(
            done.status.success(),
            "{verb}: {}\n{}",
            String::from_utf8_lossy(&done.stderr),
            self.journal()
        );
    }

    fn property(&self, name: &str) -> String {
        self.systemd.property(UNIT, name).unwrap()
    }

    fn journal(&self) -> String {
        self.systemd.journal(UNIT).unwrap()
    }

    /// Those of the service.
    fn processes(&self) -> Vec<i32> {
        let found = self.systemd.processes(UNIT);
        found.unwrap_or_else(|e| panic!("{e}: it is {}:\n{}", self.property("ActiveState"), self.journal()))
    }

    /// To the service itself.
    fn signal(&self, signal: Signal) {
        for pid in self.processes() {
            kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        }
    }

    /// Manifests that were written so far, those that are gone among them.
    fn newest(&self) -> u64 {
        let keys = self.server.objects(BUCKET).into_iter().map(|(key, _)| key);
        let numbers = keys.filter_map(|key| key.rsplit_once('/')?.1.strip_suffix(".manifest")?.parse().ok());
        numbers.max().unwrap_or(0)
    }

    #[track_caller]
    fn until(&self, what: &str, ready: impl FnMut() -> bool) {
        self.until_within(PATIENCE, what, ready);
    }

    #[track_caller]
    fn until_within(&self, patience: Duration, what: &str, mut ready: impl FnMut() -> bool) {
        let began = Instant::now();
        while !ready() {
            assert!(began.elapsed() < patience, "{what} did not come:\n{}", self.journal());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn until_more(&self, what: &str) {
        let before = self.newest();
        self.until(what, || self.newest() >= before + 2);
    }
}

fn clear(docker: &Docker, tenant: &Tenant, name: &str, image: &str, folder: &Path) -> std::io::Result<()> {
    docker.ask("DELETE", &format!("/containers/{}?force=1", tenant.id), None)?;
    docker.clear_away(name)?;
    docker.ask("DELETE", &format!("/images/{image}?force=1"), None)?;
    std::fs::remove_dir_all(folder)
}

impl Drop for Scene {
    fn drop(&mut self) {
        // What it holds is let go before the tenant goes.
        let _stopped = self.systemd.run(&["systemctl", "stop", UNIT]);
        match clear(&self.docker, &self.tenant, &self.name, &self.image, &self.folder) {
            Ok(()) => {}
            // What the test failed of is the news.
            Err(_) if std::thread::panicking() => {}
            Err(e) => panic!("clean up: {e}"),
        }
    }
}

#[test]
fn the_unit_keeps_its_promises_beneath_a_real_systemd() {
    let Some(scene) = Scene::new() else {
        eprintln!("skipped: no systemd can be started here");
        return;
    };
    // It is ready when it says so, and its keys came as a credential.
    scene.order("start");
    assert_eq!(scene.property("ActiveState"), "active");
    scene.until("a status", || scene.property("StatusText").starts_with("1 source under a policy"));
    scene.until_more("snapshots");
    let environment = std::fs::read(format!("/proc/{}/environ", scene.processes()[0])).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains(&scene.server.keys().secret));
    reload(&scene);
    killed_while_it_holds(&scene);
    hung(&scene);

    scene.order("stop");
    assert_eq!(
        (scene.property("ActiveState"), scene.property("Result")),
        ("inactive".into(), "success".into())
    );
    assert!(scene.journal().contains("stopping, as asked"), "{}", scene.journal());
    assert_eq!(scene.tenant.status(), "running");
    scene.tenant.assert_beats();
}

/// What one has made is not found by the other, or a service of the second would lie in groups of the first.
#[test]
fn two_machines_at_once_keep_their_services_apart() {
    let folders = [1, 2].map(|_| tempfile::tempdir().unwrap());
    let docker = Docker::of_environment().unwrap();
    let host = docker.host();
    let socket = Path::new(host.strip_prefix("unix://").unwrap());
    let mut ran = Vec::new();
    for folder in &folders {
        std::fs::create_dir_all(folder.path().join("etc")).unwrap();
        std::fs::create_dir_all(folder.path().join("units")).unwrap();
        let unit = b"[Service]\nExecStart=/usr/bin/sleep 60\n";
        put(&folder.path().join("units/rig.target"), b"[Unit]\nDescription=What a test wants\n");
        put(&folder.path().join("units").join(UNIT), unit);
        let Some(systemd) = PrivateSystemd::start(folder.path(), socket).unwrap() else {
            eprintln!("skipped: no systemd can be started here");
            return;
        };
        assert!(systemd.run(&["systemctl", "start", UNIT]).unwrap().status.success());
        ran.push((systemd.processes(UNIT).unwrap(), systemd));
    }
    let [(one, _first), (other, _second)] = <[_; 2]>::try_from(ran).unwrap();
    assert_eq!((one.len(), other.len()), (1, 1));
    assert_ne!(one, other);
}

/// Bad policies change nothing, and `systemctl status` says so.
fn reload(scene: &Scene) {
    scene.policy("pause", "keep.lats = 3\n");
    scene.order("reload");
    scene.until("trouble", || scene.property("StatusText").ends_with("the policies on disk are bad"));
    scene.until_more("snapshots by the old policies");
    scene.policy("pause", "");
    scene.order("reload");
    scene.until("peace", || scene.property("StatusText").contains("1 source under a policy, "));
    scene.until("peace", || !scene.property("StatusText").contains("bad"));
}

/// Nobody stays held until the service is started again: `ExecStopPost` comes before.
#[expect(clippy::disallowed_methods, reason = "the times of a file are the system's clock's")]
fn killed_while_it_holds(scene: &Scene) {
    let path = scene.place.join("noise");
    put(&path, &noise(1, 32 << 20));
    let file = File::options().write(true).open(&path).unwrap();
    for _attempt in 0..TRIES {
        let restarts = scene.property("NRestarts");
        let began = Instant::now();
        while scene.tenant.status() != "paused" {
            assert!(began.elapsed() < PATIENCE, "it holds nobody:\n{}", scene.journal());
            // What may have changed a moment ago is read while somebody is held, which takes a while.
            file.set_modified(SystemTime::now()).unwrap();
        }
        scene.signal(Signal::KILL);
        let held = scene.tenant.status() == "paused";
        scene.until("its end", || {
            scene.property("ActiveState") != "active" || scene.property("NRestarts") != restarts
        });
        if held {
            let began = Instant::now();
            scene.until("a thaw", || scene.tenant.status() == "running");
            let took = began.elapsed();
            assert_eq!(scene.property("NRestarts"), restarts, "it was started again before: {took:?}");
            scene.tenant.assert_beats();
            scene.until("a restart", || scene.property("NRestarts") != restarts);
            scene.until_more("snapshots after it was killed");
            return;
        }
        scene.until("a restart", || scene.property("ActiveState") == "active");
    }
    panic!("none of {TRIES} kills came while somebody was held");
}

/// It stands still, and systemd notices.
fn hung(scene: &Scene) {
    let restarts = scene.property("NRestarts");
    scene.signal(Signal::STOP);
    // Its watchdog has 30 s, and what it leaves in memory is written to a disk.
    scene.until_within(3 * PATIENCE, "a restart", || scene.property("NRestarts") != restarts);
    assert!(scene.journal().contains("Failed with result 'watchdog'"), "{}", scene.journal());
    // By now it may hold somebody again, for a moment.
    scene.until("a thaw", || scene.tenant.status() == "running");
    scene.until_more("snapshots after it hung");
}
