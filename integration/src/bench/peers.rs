//! What each tool does, the same for all: back a volume up, restore it, restore one file of it.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::measure::{Cost, run, until};
use super::server::{BUCKET, OURS, Server, folder_in_memory};
use super::tools::Tool;
use super::volumes::{Contents, Target, has_a_byte, on_disk};
use super::workloads::Workload;
use crate::docker::Docker;
use crate::programs::built;

/// What ours is called in the store.
pub const HOST: &str = "bench";

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
    /// Which tool.
    pub tool: Tool,
    docker: &'a Docker,
    server: &'a Server,
    subject: &'a Subject,
    state: TempDir,
    /// For a tool that knows no server.
    repository: TempDir,
    /// How many backups it made.
    made: Cell<u32>,
}

impl<'a> Attempt<'a> {
    /// Prepares what does not count: folders, a repository.
    pub fn new(tool: Tool, docker: &'a Docker, server: &'a Server, subject: &'a Subject) -> io::Result<Self> {
        let (state, repository) = (tempfile::tempdir()?, folder_in_memory()?);
        let attempt = Self { tool, docker, server, subject, state, repository, made: Cell::new(0) };
        match tool {
            Tool::Backupctl | Tool::TarZstd | Tool::TarGzip => {}
            Tool::Restic | Tool::Rustic => {
                attempt.measure(attempt.command(tool.name()).arg("init"))?;
            }
            Tool::Borg => {
                attempt.measure(attempt.command("borg").args(["init", "--encryption", "none"]))?;
            }
        }
        Ok(attempt)
    }

    /// The whole volume to the server.
    pub fn back_up(&self) -> io::Result<Cost> {
        self.made.set(self.made.get() + 1);
        let place = self.subject.place.as_path();
        match self.tool {
            Tool::Backupctl => self.measure(self.ours()?.args(["backup", &self.subject.volume])),
            Tool::TarZstd => self.shell(&pipe_up("zstd -q -3 -T0"), &[place]),
            Tool::TarGzip => self.shell(&pipe_up("gzip"), &[place]),
            Tool::Restic | Tool::Rustic => {
                self.measure(self.command(self.tool.name()).current_dir(place).args(["backup", "."]))
            }
            Tool::Borg => {
                let words = ["create", "--compression", "zstd,3", &self.archive(), "."];
                self.measure(self.command("borg").current_dir(place).args(words))
            }
        }
    }

    /// The same, leaning on no backup before; of ours only.
    pub fn back_up_in_full(&self) -> io::Result<Cost> {
        self.measure(self.ours()?.args(["backup", "--full", &self.subject.volume]))
    }

    /// A look at what is in the store; of ours only, and as a person sees it.
    pub fn look(&self, words: &[&str]) -> io::Result<Cost> {
        self.measure(self.command(built("backupctl")?).args(words))
    }

    /// The whole volume into a new one.
    pub fn restore(&self) -> io::Result<Cost> {
        let target = Target::new(self.docker)?;
        let cost = match self.tool {
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
            Tool::Rustic => {
                let into = target.make()?;
                let words = ["restore", "--sparse", "by-content", "--numeric-id", "latest"];
                self.measure(self.command("rustic").args(words).arg(into))
            }
            Tool::Borg => {
                let into = target.make()?;
                let words = ["extract", "--sparse", "--numeric-ids", &self.archive()];
                self.measure(self.command("borg").current_dir(into).args(words))
            }
        }?;
        let cost = target.on_disk(cost)?;
        target.holds(Contents::of(&self.subject.place)?)?;
        Ok(cost)
    }

    /// How long a machine that is called `host` takes from the start of a restore until the first byte of a file lies in a new
    /// volume; of ours only.
    pub fn first_byte(&self, host: &str) -> io::Result<Duration> {
        let target = Target::new(self.docker)?;
        let place = target.beside(&self.subject.place)?;
        let volume = self.subject.volume.as_str();
        let mut command = self.ours()?;
        command.env("BACKUPD_HOST", host);
        command.args(["restore", volume, "--from-host", HOST, "--into", &target.name, "--yes"]);
        until(&mut command, || has_a_byte(&place))
    }

    /// The whole volume over itself; of ours only.
    pub fn restore_in_place(&self, options: &[&str]) -> io::Result<Cost> {
        let cost =
            self.measure(self.ours()?.args(["restore", &self.subject.volume, "--yes"]).args(options))?;
        on_disk(&self.subject.place, cost)
    }

    /// One file of it into a new volume.
    pub fn restore_one(&self) -> io::Result<Cost> {
        let target = Target::new(self.docker)?;
        let one = self.subject.workload.one_file();
        let cost = match self.tool {
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
            Tool::Rustic => {
                let script = r#"rustic dump "latest:$1" > "$2/one""#;
                self.shell(script, &[Path::new(one), &target.make()?])
            }
            Tool::Borg => {
                let into = target.make()?;
                let words = ["extract", "--numeric-ids", &self.archive(), one];
                self.measure(self.command("borg").current_dir(into).args(words))
            }
        }?;
        let cost = target.on_disk(cost)?;
        let bytes = fs::metadata(self.subject.place.join(one))?.len();
        target.holds(Contents { files: 1, bytes })?;
        Ok(cost)
    }

    /// Bytes that went out of the tool and came in, so far. A folder is no server, so what a tool wrote to
    /// one is what it grew by, and what it read is not known.
    pub fn traffic(&self) -> io::Result<(u64, Option<u64>)> {
        if self.tool.speaks_s3() {
            let (sent, fetched) = self.server.counters();
            return Ok((sent, Some(fetched)));
        }
        Ok((Contents::of(self.repository.path())?.bytes, None))
    }

    fn ours(&self) -> io::Result<Command> {
        let mut command = self.command(built("backupctl")?);
        command.arg("--json");
        Ok(command)
    }

    /// What borg calls the last backup.
    fn archive(&self) -> String {
        format!("::{}", self.made.get())
    }

    /// A program that knows the server by its environment.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let endpoint = self.server.endpoint();
        self.server
            .introduce(&mut command)
            .env("BACKUPD_STORE", format!("s3://{BUCKET}/{OURS}?endpoint={endpoint}&region=us-east-1"))
            .env("BACKUPD_STATE", self.state.path().join("state"))
            .env("BACKUPD_HOST", HOST)
            .env("RESTIC_REPOSITORY", format!("s3:{endpoint}/{BUCKET}/restic"))
            .env("RESTIC_PASSWORD", "bench")
            .env("RESTIC_CACHE_DIR", self.state.path())
            .env("RUSTIC_REPOSITORY", "opendal:s3")
            .env("RUSTIC_PASSWORD", "bench")
            .env("RUSTIC_CACHE_DIR", self.state.path())
            .env("RUSTIC_NO_PROGRESS", "true")
            .env("BORG_REPO", self.repository.path())
            .env("BORG_BASE_DIR", self.state.path())
            .env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
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
