//! B1: the engine itself dies in the middle. A private one, of course.
//!
//! Where there is no `dockerd` to start (a machine that only reaches an engine elsewhere), this says so and ends.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use integration::docker::Docker;
use rustix::process::{Pid, Signal, kill_process};

use crate::rig::Rig;
use crate::tenant::Lease;
use crate::tree::{plant, tree};

/// A loaded machine starts an engine in half of it.
const START: Duration = Duration::from_secs(60);

/// An engine of our own. The script that starts it also removes everything of it, once its stdin is closed.
struct Engine {
    script: Child,
    stdin: Option<ChildStdin>,
    socket: PathBuf,
    command: Vec<String>,
    again: Vec<Child>,
}

impl Engine {
    /// `None` where it cannot be.
    fn start() -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup/with-docker.sh");
        let mut script = Command::new(script)
            .args(["sh", "-c", "echo \"$DOCKER_HOST\"; cat"])
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let stdin = script.stdin.take();
        let Some(socket) = line.trim().strip_prefix("unix://").map(PathBuf::from) else {
            let _ended = script.wait();
            return None;
        };
        let mut engine = Self { script, stdin, socket, command: Vec::new(), again: Vec::new() };
        let line = std::fs::read(format!("/proc/{}/cmdline", engine.pid("docker.pid").unwrap())).unwrap();
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        engine.command = words.map(|word| String::from_utf8(word.to_vec()).unwrap()).collect();
        Some(engine)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.socket.with_file_name(name)
    }

    fn pid(&self, file: &str) -> Option<i32> {
        std::fs::read_to_string(self.file(file)).ok()?.trim().parse().ok()
    }

    fn last_words(&self) -> String {
        let log = std::fs::read(self.file("log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(3000)..]).into_owned()
    }

    /// SIGKILL to it and to the containerd that it started; containers go on beneath their shims.
    fn kill(&mut self) {
        for file in ["docker.pid", "exec/containerd/containerd.pid"] {
            if let Some(pid) = self.pid(file).and_then(Pid::from_raw) {
                // It may have ended by itself.
                let _gone = kill_process(pid, Signal::KILL);
            }
            // Until somebody has waited for it, a process looks alive, and an engine would not start beside it.
            drop(std::fs::remove_file(self.file(file)));
        }
        for mut child in self.again.drain(..) {
            child.wait().unwrap();
        }
    }

    /// Starts it again as it was started, and waits until it answers.
    fn start_again(&mut self) {
        let mut command = Command::new(&self.command[0]);
        let log = std::fs::File::options().append(true).open(self.file("log")).unwrap();
        command.args(&self.command[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.again.push(command.spawn().unwrap());
        let began = Instant::now();
        while Docker::at(&self.socket).ask("GET", "/version", None).is_err() {
            assert!(began.elapsed() < START, "the engine does not come back: {}", self.last_words());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
        drop(self.stdin.take());
        let _ended = self.script.wait();
    }
}

#[test]
fn an_engine_that_dies_costs_the_run_and_nothing_else() {
    let Some(mut engine) = Engine::start() else {
        eprintln!("skipped: no private engine can be started here");
        return;
    };
    let rig = Rig::on(Docker::at(&engine.socket), Some(engine.socket.clone()), None);
    let (volume, folder) = rig.volume("v");
    plant(&folder, 1, 20);
    let first = tree(&folder, &["heartbeat"]);
    rig.back_up(&volume);

    // In the middle of a backup.
    let slow = rig.file("slow.toml", "[effort]\nlevel = 19\nworkers = 1\n");
    let mut running = rig.start(&["--config", slow.to_str().unwrap(), "backup", "--full", &volume]);
    assert!(running.step("reading"));
    assert!(running.until(|| !rig.helpers().is_empty()));
    std::thread::sleep(Duration::from_millis(400));
    engine.kill();
    let failed = running.end().expect(1);
    assert!(!failed.said_done());
    assert_eq!(rig.snapshots(&volume), ["1"], "{failed:?}");
    engine.start_again();
    assert_eq!(rig.content(&volume, "1"), first);
    rig.assert_clean(&[&volume], "the engine died in a backup");

    // While a restore puts the content in place, beneath a service.
    plant(&folder, 2, 1);
    let second = tree(&folder, &["heartbeat"]);
    let lease = Lease { volume: &volume, restart: "always", ..Lease::default() };
    let tenant = rig.tenant("t", &folder, &lease);
    let mut running = rig.start(&["restore", &volume, "--yes"]);
    assert!(running.step("putting the restored content"));
    std::thread::sleep(Duration::from_millis(50));
    engine.kill();
    let ended = running.end();
    engine.start_again();
    assert_eq!(rig.content(&volume, "1"), first);
    let now = tree(&folder, &["heartbeat"]);
    assert!(now == first || now == second && !ended.said_done(), "{ended:?} {:?}", now.keys());
    assert_eq!((tenant.status(), tenant.restart_policy()), ("running".to_owned(), "always".to_owned()));
    tenant.assert_beats();
    rig.assert_clean(&[&volume], "the engine died in a restore");
}
