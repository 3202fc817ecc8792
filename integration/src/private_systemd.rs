//! A systemd of a test's own, with the units that it is given: the script of `setup` starts it as PID 1 of its own
//! namespaces, and removes everything of it.

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Ends with this.
#[derive(Debug)]
pub struct PrivateSystemd {
    script: Child,
    pid: String,
    groups: PathBuf,
}

impl PrivateSystemd {
    /// With what `units` and `etc` beneath `folder` hold, and an engine's socket; `None` where it cannot be.
    pub fn start(folder: &Path, socket: &Path) -> io::Result<Option<Self>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup/with-systemd.sh");
        let mut script = Command::new(script)
            .arg(folder)
            .env("DOCKER_SOCKET", socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = script.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim().split_once(' ') {
            Some((pid, groups)) => Ok(Some(Self { script, pid: pid.to_owned(), groups: groups.into() })),
            None => script.wait().map(|_ended| None),
        }
    }

    /// Runs a program inside.
    pub fn run(&self, words: &[&str]) -> io::Result<Output> {
        let inside = ["-t", &self.pid, "--mount", "--pid", "--root", "--"];
        Command::new("nsenter").args(inside).args(words).env("LC_ALL", "C").output()
    }

    /// What its journal has of a unit.
    pub fn journal(&self, unit: &str) -> io::Result<String> {
        let said = self.run(&["journalctl", "--no-pager", "--output=cat", "--unit", unit])?;
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> io::Result<String> {
        let said = self.run(&["systemctl", "show", "--value", "--property", name, unit])?;
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }

    /// The processes of a service, by the ids that they have outside.
    pub fn processes(&self, unit: &str) -> io::Result<Vec<i32>> {
        let listed =
            std::fs::read_to_string(self.groups.join("system.slice").join(unit).join("cgroup.procs"))?;
        Ok(listed.lines().filter_map(|pid| pid.parse().ok()).collect())
    }
}

impl Drop for PrivateSystemd {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ended = self.script.wait();
    }
}
