//! An installation of its own, with everything that a test of databases makes: state, store, policies, volumes and
//! containers of one name, all gone with it.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use engine::words::RunId;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::docker::Docker;
use crate::programs::built;

/// How every host of tests is called.
pub const HOST: &str = "vm";

/// See the module.
#[derive(Debug)]
pub struct Place {
    home: TempDir,
    /// Its engine.
    pub docker: Docker,
    /// Volumes and containers begin with it.
    pub name: String,
}

impl Place {
    /// On the engine of the environment, with a store in a folder and no policies.
    pub fn new() -> io::Result<Self> {
        Self::named("bkd-db")
    }

    /// The same, with another beginning of all names.
    pub fn named(begin: &str) -> io::Result<Self> {
        Self::on(Docker::of_environment()?, begin)
    }

    /// The same, on another engine.
    pub fn on(docker: Docker, begin: &str) -> io::Result<Self> {
        // Sockets lie beneath, whose paths must be short.
        let home = tempfile::Builder::new().prefix("bkd").tempdir_in("/tmp")?;
        fs::create_dir(home.path().join("policies"))?;
        let run = RunId::random().map_err(|e| io::Error::other(e.to_string()))?.to_string();
        let name = format!("{begin}-{}", &run[..8]);
        let place = Self { home, docker, name };
        place.write("backupd.toml", "")?;
        Ok(place)
    }

    /// Something in its folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file of it.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        engine::durable::replace(&self.at(name), text.as_bytes(), 0o644)
    }

    /// The name of a volume or container.
    pub fn called(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    /// Makes an empty volume with these labels, and gives its name.
    pub fn volume(&self, what: &str, labels: &[(&str, &str)]) -> io::Result<String> {
        let name = self.called(what);
        let labels: serde_json::Map<String, Value> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let body = json!({ "Name": name, "Labels": labels });
        self.docker.ask("POST", "/volumes/create", Some(&body)).map(|_made| name)
    }

    /// Where the files of a volume are.
    pub fn files(&self, volume: &str) -> io::Result<PathBuf> {
        let found = self.docker.volume(volume)?;
        found.ok_or_else(|| io::Error::other(format!("there is no volume `{volume}`")))
    }

    /// A program of ours in this installation.
    pub fn program(&self, name: &str) -> io::Result<Command> {
        let mut command = Command::new(built(name)?);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.home.path())
            .env("TZ", "UTC")
            .env("BACKUPD_CONFIG", self.at("backupd.toml"))
            .env("BACKUPD_POLICIES", self.at("policies"))
            .env("BACKUPD_HOST", HOST)
            .env("BACKUPD_STATE", self.at("state"))
            .env("BACKUPD_STORE", format!("file://{}", self.at("store").display()))
            .env("DOCKER_HOST", self.docker.host())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }

    /// Runs `backupctl --json` to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> io::Result<Ran> {
        Ok(Ran::of(&self.program("backupctl")?.arg("--json").args(args).output()?))
    }

    /// Starts `backupctl --json`.
    pub fn start<S: AsRef<OsStr>>(&self, args: &[S]) -> io::Result<Child> {
        self.program("backupctl")?.arg("--json").args(args).spawn()
    }

    /// Helpers of this installation that were left.
    pub fn helpers(&self) -> io::Result<Vec<u32>> {
        let owner = fs::read_to_string(self.at("state/owner"))?;
        self.docker.processes_with_label(&format!("backupd.owner={}", owner.trim()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match self.docker.clear_away(&self.name) {
            Ok(()) => {}
            // What the test failed of is the news.
            Err(_) if std::thread::panicking() => {}
            Err(e) => panic!("clean up: {e}"),
        }
    }
}

/// How one of our programs ended.
#[derive(Debug)]
pub struct Ran {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it told, an event or an array a line.
    pub events: Vec<Value>,
    /// For people.
    pub stderr: String,
}

impl Ran {
    /// Of a program that has ended.
    pub fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        // A line that a kill cut in half is no event.
        let events = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code(), events, stderr }
    }

    /// The event with which it ended well and without a warning, but for what is said of a run that was killed before it, and
    /// of a source that shrank, as logs do that are written anew or cleared away.
    pub fn done(&self) -> io::Result<&Value> {
        let of_no_interest = |event: &Value| {
            let text = event["message"].as_str().unwrap_or_default();
            let lost_files = text.starts_with("it has ") && text.contains(" files after ");
            text.contains("was cut off") || text.starts_with("it shrank from") || lost_files
        };
        let warned = self.events.iter().any(|event| event["event"] == "warning" && !of_no_interest(event));
        let done = self.events.last().filter(|event| event["event"] == "done");
        match done {
            Some(done) if self.code == Some(0) && !warned => Ok(done),
            Some(_) | None => Err(io::Error::other(self.to_string())),
        }
    }

    /// All it told, as one text to search.
    pub fn text(&self) -> String {
        self.events.iter().map(|event| format!("{event}\n")).collect::<String>() + &self.stderr
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = |event: &&Value| event["event"] != "progress";
        let told: Vec<String> = self.events.iter().filter(steps).map(Value::to_string).collect();
        write!(f, "ended with {:?}: {}\n{}", self.code, told.join("\n"), self.stderr)
    }
}

/// Copies a policy into the installation, as its file is.
pub fn put_policy(place: &Place, file: &Path) -> io::Result<()> {
    let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
    place.write(&format!("policies/{name}"), &fs::read_to_string(file)?)
}
