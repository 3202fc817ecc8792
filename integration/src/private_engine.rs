//! A Docker engine of a test's own, which may die: the script of `setup` starts it, and removes everything of it.

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::docker::Docker;

/// A loaded machine starts an engine in half of it.
const START: Duration = Duration::from_secs(60);

/// An engine of our own. The script that starts it also removes everything of it, once its stdin is closed.
#[derive(Debug)]
pub struct PrivateEngine {
    script: Child,
    stdin: Option<ChildStdin>,
    socket: PathBuf,
    command: Vec<String>,
    again: Vec<Child>,
}

impl PrivateEngine {
    /// `None` where it cannot be.
    pub fn start() -> io::Result<Option<Self>> {
        Self::start_beneath(None)
    }

    /// The same, with all of its data beneath a folder.
    pub fn start_in(folder: &Path) -> io::Result<Option<Self>> {
        Self::start_beneath(Some(folder))
    }

    fn start_beneath(folder: Option<&Path>) -> io::Result<Option<Self>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup/with-docker.sh");
        let mut script = Command::new(script)
            .args(["sh", "-c", "echo \"$DOCKER_HOST\"; cat"])
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .envs(folder.map(|folder| ("BACKUPD_ENGINE_DIR", folder)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = script.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let stdin = script.stdin.take();
        let Some(socket) = line.trim().strip_prefix("unix://").map(PathBuf::from) else {
            script.wait()?;
            return Ok(None);
        };
        let mut engine = Self { script, stdin, socket, command: Vec::new(), again: Vec::new() };
        let pid = engine.pid("docker.pid").ok_or_else(|| io::Error::other("an engine without a pid"))?;
        let line = std::fs::read(format!("/proc/{pid}/cmdline"))?;
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        engine.command = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Ok(Some(engine))
    }

    /// Where it answers.
    pub fn socket(&self) -> &Path {
        &self.socket
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
    pub fn kill(&mut self) {
        for file in ["docker.pid", "exec/containerd/containerd.pid"] {
            if let Some(pid) = self.pid(file).and_then(Pid::from_raw) {
                // It may have ended by itself.
                let _gone = kill_process(pid, Signal::KILL);
            }
            // Until somebody has waited for it, a process looks alive, and an engine would not start beside it.
            drop(std::fs::remove_file(self.file(file)));
        }
        for mut child in self.again.drain(..) {
            // It was killed; that is all there is to know.
            let _ended = child.wait();
        }
    }

    /// Starts it again as it was started, and waits until it answers.
    pub fn start_again(&mut self) -> io::Result<()> {
        let mut command = Command::new(&self.command[0]);
        let log = std::fs::File::options().append(true).open(self.file("log"))?;
        command.args(&self.command[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.again.push(command.spawn()?);
        let began = Instant::now();
        while Docker::at(&self.socket).ask("GET", "/version", None).is_err() {
            if began.elapsed() > START {
                return Err(io::Error::other(format!(
                    "the engine does not come back: {}",
                    self.last_words()
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        self.kill();
        drop(self.stdin.take());
        let _ended = self.script.wait();
    }
}
