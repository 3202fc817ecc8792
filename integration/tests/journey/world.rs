//! A world of its own for one test: settings, state folder, store, volumes; all of it is gone in the end.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use engine::words::RunId;
use integration::docker::Docker;
use integration::programs::built;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ran::Ran;
use crate::recorded::{Tree, record};

/// The name of this host in every store.
pub(crate) const HOST: &str = "journey";

/// See the module.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) docker: Docker,
    /// Every volume and container of this world begins with it.
    pub(crate) name: String,
    pub(crate) store: String,
    environment: Vec<(String, String)>,
}

impl World {
    /// With a store in a folder.
    pub(crate) fn new() -> Self {
        // Short, because sockets lie in it, also those of the tour, and their paths are short.
        let dir = tempfile::Builder::new().prefix("bj-").tempdir().unwrap();
        let store = format!("file://{}", dir.path().join("store").display());
        let name = format!("backupd-test-{}", RunId::random().unwrap());
        let world = Self { dir, docker: docker(), name, store, environment: Vec::new() };
        put(&world.at("backupd.toml"), b"");
        world
    }

    /// With a store elsewhere, and what opens it.
    pub(crate) fn at_store(store: String, keys: (&str, &str)) -> Self {
        let mut world = Self::new();
        world.store = store;
        world.set("AWS_ACCESS_KEY_ID", keys.0);
        world.set("AWS_SECRET_ACCESS_KEY", keys.1);
        world
    }

    /// Adds to the environment of every program.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Something in the world's folder.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.at("state")
    }

    /// The folder of a source in the store, where the store is a folder.
    pub(crate) fn lineage(&self, source: &str) -> PathBuf {
        self.at("store").join(HOST).join(source)
    }

    /// The name of a volume of this world.
    pub(crate) fn volume_name(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    /// Makes an empty volume: its name, and where its files are.
    pub(crate) fn volume(&self, what: &str) -> (String, PathBuf) {
        let name = self.volume_name(what);
        let place = self.docker.create_volume(&name).unwrap();
        (name, place)
    }

    /// Makes a volume as told, beyond its name.
    pub(crate) fn volume_as(&self, what: &str, mut body: Value) -> (String, PathBuf) {
        let name = self.volume_name(what);
        body["Name"] = json!(name);
        let made = self.docker.ask("POST", "/volumes/create", Some(&body)).unwrap();
        (name, PathBuf::from(made["Mountpoint"].as_str().unwrap()))
    }

    /// Makes a volume with a small file `name` in it, for tests that only need something.
    pub(crate) fn small_volume(&self, what: &str) -> (String, PathBuf) {
        let (name, place) = self.volume(what);
        put(&place.join("file"), what.as_bytes());
        (name, place)
    }

    /// A program of ours in this world's environment, and in no other.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(built(name).unwrap());
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.dir.path())
            .env("TMPDIR", self.dir.path())
            .env("TZ", "UTC")
            .env("BACKUPD_CONFIG", self.at("backupd.toml"))
            .env("BACKUPD_HOST", HOST)
            .env("BACKUPD_STATE", self.state())
            .env("BACKUPD_STORE", &self.store)
            // So that warnings of the log are seen.
            .env("BACKUPD_VERBOSE", "1")
            .envs(std::env::var_os("DOCKER_HOST").map(|host| ("DOCKER_HOST", host)))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `backupctl`.
    #[must_use = "nothing of it counts before its code and alarms were looked at"]
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        let mut command = self.program("backupctl");
        command.args(args);
        ran(&mut command)
    }

    /// Backs up and gives the report; nothing may be warned of.
    #[track_caller]
    pub(crate) fn back_up(&self, source: &str) -> Value {
        self.run(&["--json", "backup", source]).ok().last_event("done", BACKUP_FIELDS)
    }

    /// Containers of this installation, running or not.
    pub(crate) fn helpers(&self) -> Vec<String> {
        let Ok(owner) = fs::read_to_string(self.state().join("owner")) else { return Vec::new() };
        containers_with_label(&self.docker, &format!("backupd.owner={}", owner.trim()))
    }

    /// Every volume of this world that there is now.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let found = self.docker.ask("GET", "/volumes", None).unwrap();
        let names = found["Volumes"].as_array().into_iter().flatten().filter_map(|v| v["Name"].as_str());
        let mut names: Vec<_> =
            names.filter(|name| name.starts_with(&self.name)).map(str::to_owned).collect();
        names.sort();
        names
    }

    /// No helper, and no volume but these.
    #[track_caller]
    pub(crate) fn assert_only(&self, volumes: &[&str]) {
        assert_eq!(self.helpers(), Vec::<String>::new(), "a helper was left");
        let mut want: Vec<_> = volumes.iter().map(|name| (*name).to_owned()).collect();
        want.sort();
        assert_eq!(self.volumes(), want);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let helpers = self.helpers();
        for id in &helpers {
            // What cannot be removed is told below, or by the engine's own listing.
            drop(self.docker.ask("DELETE", &format!("/containers/{id}?force=true"), None));
        }
        for name in self.volumes() {
            // The engine would keep everybody waiting for as long as it removes many files.
            let place = self.docker.volume(&name).ok().flatten();
            place.into_iter().for_each(|place| empty(&place));
        }
        let cleared = self.docker.clear_away(&self.name);
        if !std::thread::panicking() {
            assert!(helpers.is_empty(), "helpers were left: {helpers:?}");
            cleared.unwrap();
        }
    }
}

fn empty(folder: &Path) {
    for row in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = row.file_type().is_ok_and(|kind| kind.is_dir());
        // What stays is the engine's to remove.
        drop(if is_folder { fs::remove_dir_all(row.path()) } else { fs::remove_file(row.path()) });
    }
}

/// The engine of this machine.
pub(crate) fn docker() -> Docker {
    Docker::of_environment().unwrap()
}

/// Ids of all containers that carry it.
pub(crate) fn containers_with_label(docker: &Docker, label: &str) -> Vec<String> {
    let filter = format!("%7B%22label%22%3A%5B%22{label}%22%5D%7D");
    let listed = docker.ask("GET", &format!("/containers/json?all=true&filters={filter}"), None).unwrap();
    let ids = listed.as_array().into_iter().flatten().filter_map(|found| found["Id"].as_str());
    ids.map(str::to_owned).collect()
}

/// What docs/json.md promises of each `done`.
pub(crate) const BACKUP_FIELDS: &str =
    "snapshot source kind files bytes sent_bytes freeze_seconds seconds warnings partial entries run";
pub(crate) const RESTORE_FIELDS: &str =
    "snapshot target files bytes fetched_bytes verified seconds entries run warnings previous started";
pub(crate) const VERIFY_FIELDS: &str = "snapshots frames bytes damaged seconds";

/// Runs a program to its end.
#[must_use = "nothing of it counts before its code and alarms were looked at"]
pub(crate) fn ran(command: &mut Command) -> Ran {
    let what = format!("{:?}", command.get_args().collect::<Vec<_>>());
    gave(what, &command.output().unwrap())
}

/// What a program gave that has ended.
#[must_use = "nothing of it counts before its code and alarms were looked at"]
pub(crate) fn gave(what: String, output: &Output) -> Ran {
    Ran {
        what,
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout.clone(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What is in a folder, without the time of the folder itself, in which something was staged and removed.
pub(crate) fn content(folder: &Path) -> Tree {
    let mut tree = record(folder);
    tree.get_mut(&b""[..]).unwrap().modified = (0, 0);
    tree
}

/// Makes a file of these bytes.
pub(crate) fn put(path: &Path, bytes: &[u8]) {
    let written = fs::File::create(path).and_then(|mut file| file.write_all(bytes));
    written.unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
}
