//! The tools that are measured, each doing the same three things: back a volume up, restore it, restore one file.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::measure::{Cost, run};
use super::server::{BUCKET, Server};
use super::workloads::Workload;
use crate::docker::Docker;
use crate::programs::built;

/// Names of volumes that benchmarks make; nothing else is ever removed.
pub const VOLUME_PREFIX: &str = "bkd-bench-";

/// One tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Ours.
    Backupctl,
    /// `tar | zstd -3 -T0 | rclone rcat`.
    TarZstd,
    /// `tar | gzip | rclone rcat`.
    TarGzip,
    /// restic.
    Restic,
}

impl Tool {
    /// In the order of the table.
    pub const ALL: [Self; 4] = [Self::Backupctl, Self::TarZstd, Self::TarGzip, Self::Restic];

    /// The one that people call so.
    pub fn named(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|tool| tool.name() == name)
            .ok_or_else(|| format!("no tool `{name}`; there are {}", Self::ALL.map(Self::name).join(", ")))
    }

    /// Whether it knows what it has sent before.
    pub fn is_incremental(self) -> bool {
        matches!(self, Self::Backupctl | Self::Restic)
    }

    /// gzip takes ten times as long as all others together, so it runs once.
    pub fn runs_again(self) -> bool {
        self != Self::TarGzip
    }

    /// As the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Backupctl => "backupctl",
            Self::TarZstd => "tar+zstd",
            Self::TarGzip => "tar+gzip",
            Self::Restic => "restic",
        }
    }
}

/// A volume with something in it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name.
    pub volume: String,
    /// Where its files are.
    pub place: PathBuf,
    /// What is in it.
    pub workload: Workload,
}

/// One tool against one server, with a state folder of its own.
#[derive(Debug)]
pub struct Attempt<'a> {
    tool: Tool,
    docker: &'a Docker,
    server: &'a Server,
    subject: &'a Subject,
    state: TempDir,
}

impl<'a> Attempt<'a> {
    /// Prepares what does not count: folders, a repository.
    pub fn new(tool: Tool, docker: &'a Docker, server: &'a Server, subject: &'a Subject) -> io::Result<Self> {
        let attempt = Self { tool, docker, server, subject, state: tempfile::tempdir()? };
        if tool == Tool::Restic {
            attempt.measure(attempt.command("restic").arg("init"))?;
        }
        Ok(attempt)
    }

    /// The whole volume to the server.
    pub fn back_up(&self) -> io::Result<Cost> {
        let place = self.subject.place.as_path();
        match self.tool {
            Tool::Backupctl => self.measure(self.ours()?.args(["backup", &self.subject.volume])),
            Tool::TarZstd => self.shell(&pipe_up("zstd -q -3 -T0"), &[place]),
            Tool::TarGzip => self.shell(&pipe_up("gzip"), &[place]),
            Tool::Restic => self.measure(self.command("restic").current_dir(place).args(["backup", "."])),
        }
    }

    /// The whole volume into a new one.
    pub fn restore(&self) -> io::Result<Cost> {
        let target = Target::new(self.docker, "restored")?;
        match self.tool {
            Tool::Backupctl => {
                let words = ["restore", &self.subject.volume, "--into", &target.name, "--yes"];
                self.measure(self.ours()?.args(words))
            }
            Tool::TarZstd => self.shell(&pipe_down("zstd -dcq"), &[&target.make()?]),
            Tool::TarGzip => self.shell(&pipe_down("gzip -dc"), &[&target.make()?]),
            Tool::Restic => {
                let into = target.make()?;
                self.measure(self.command("restic").args(["restore", "latest", "--target"]).arg(into))
            }
        }
    }

    /// One file of it into a new volume.
    pub fn restore_one(&self) -> io::Result<Cost> {
        let target = Target::new(self.docker, "one")?;
        let one = self.subject.workload.one_file();
        match self.tool {
            Tool::Backupctl => {
                let words = ["restore", &self.subject.volume, "--path", one, "--into", &target.name, "--yes"];
                self.measure(self.ours()?.args(words))
            }
            Tool::TarZstd => {
                self.shell(&pipe_down("zstd -dcq"), &[&target.make()?, &Path::new(".").join(one)])
            }
            Tool::TarGzip => {
                self.shell(&pipe_down("gzip -dc"), &[&target.make()?, &Path::new(".").join(one)])
            }
            Tool::Restic => {
                let script = r#"restic dump latest "$1" > "$2/one""#;
                self.shell(script, &[&Path::new("/").join(one), &target.make()?])
            }
        }
    }

    fn ours(&self) -> io::Result<Command> {
        let mut command = self.command(built("backupctl")?);
        command.arg("--json");
        Ok(command)
    }

    /// A program that knows the server by its environment.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let endpoint = self.server.endpoint();
        self.server
            .introduce(&mut command)
            .env("BACKUPD_STORE", format!("s3://{BUCKET}/ours?endpoint={endpoint}&region=us-east-1"))
            .env("BACKUPD_STATE", self.state.path().join("state"))
            .env("BACKUPD_HOST", "bench")
            .env("RESTIC_REPOSITORY", format!("s3:{endpoint}/{BUCKET}/restic"))
            .env("RESTIC_PASSWORD", "bench")
            .env("RESTIC_CACHE_DIR", self.state.path());
        command
    }

    /// A pipe, in which no part may fail unnoticed; `arguments` are `$1` and so on.
    fn shell(&self, script: &str, arguments: &[&Path]) -> io::Result<Cost> {
        let mut command = self.command("bash");
        command.args(["-euo", "pipefail", "-c", script, "bash"]).args(arguments);
        self.measure(&mut command)
    }

    fn measure(&self, command: &mut Command) -> io::Result<Cost> {
        run(command, (self.tool == Tool::Backupctl).then_some(self.docker))
    }
}

fn pipe_up(compress: &str) -> String {
    format!(
        r#"tar -C "$1" --format=posix --xattrs --sparse -c . | {compress} | rclone --s3-no-check-bucket rcat bench:{BUCKET}/t"#
    )
}

fn pipe_down(expand: &str) -> String {
    format!(r#"rclone cat bench:{BUCKET}/t | {expand} | tar -C "$1" --xattrs --numeric-owner -x "${{@:2}}""#)
}

/// A volume for what comes back, on the same file system as the source; removed when it is dropped.
#[derive(Debug)]
struct Target<'a> {
    docker: &'a Docker,
    name: String,
}

impl<'a> Target<'a> {
    fn new(docker: &'a Docker, purpose: &str) -> io::Result<Self> {
        let target = Self { docker, name: format!("{VOLUME_PREFIX}{purpose}") };
        docker.remove_volume(&target.name)?;
        Ok(target)
    }

    /// For tools that do not make the volume themselves.
    fn make(&self) -> io::Result<PathBuf> {
        self.docker.create_volume(&self.name)
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        // One that stays is removed by the next benchmark, which uses the same name.
        drop(self.docker.remove_volume(&self.name));
    }
}

/// A number of the last event that our program printed; `None` if it is not there.
pub fn reported(cost: &Cost, field: &str) -> Option<u64> {
    let last = cost.out.lines().rfind(|line| !line.trim().is_empty())?;
    serde_json::from_str::<Value>(last).ok()?[field].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_is_what_counts() {
        let out = "{\"event\":\"progress\",\"files\":1}\n{\"event\":\"done\",\"files\":7}\n".to_owned();
        let cost = Cost { wall: std::time::Duration::ZERO, peak_bytes: 0, out };
        assert_eq!(reported(&cost, "files"), Some(7));
        assert_eq!(reported(&cost, "bytes"), None);
    }
}
