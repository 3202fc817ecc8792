//! An installation of its own for each test: state folder, store, volumes and tenants, all gone afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;

use engine::words::RunId;
use integration::docker::Docker;
use integration::programs::built;
use serde_json::Value;

use crate::program::{Ended, Running};
use crate::s3::S3;
use crate::tenant::{self, Lease, Tenant};
use crate::tree::{Tree, tree};

/// One installation.
pub(crate) struct Rig {
    pub(crate) docker: Docker,
    pub(crate) s3: Option<S3>,
    pub(crate) prefix: String,
    home: tempfile::TempDir,
    socket: Option<PathBuf>,
    image: String,
}

impl Rig {
    /// With a store in a folder, or on the scripted server.
    pub(crate) fn new(s3: Option<S3>) -> Self {
        Self::on(Docker::of_environment().unwrap(), None, s3)
    }

    /// On an engine of its own.
    pub(crate) fn on(docker: Docker, socket: Option<PathBuf>, s3: Option<S3>) -> Self {
        // Sockets lie beneath, whose paths must be short.
        let home = tempfile::Builder::new().prefix("bkd").tempdir_in("/tmp").unwrap();
        std::fs::create_dir(home.path().join("store")).unwrap();
        let image = docker.import_image(&tenant::image()).unwrap();
        let prefix = format!("bkd-kill-{}", RunId::random().unwrap());
        Self { docker, s3, prefix, home, socket, image }
    }

    /// Makes an empty volume; gives its name and where its files are.
    pub(crate) fn volume(&self, name: &str) -> (String, PathBuf) {
        let name = format!("{}-{name}", self.prefix);
        let folder = self.docker.create_volume(&name).unwrap();
        (name, folder)
    }

    /// Makes a tenant and starts it.
    pub(crate) fn tenant(&self, name: &str, folder: &Path, lease: &Lease<'_>) -> Tenant {
        let tenant = self.created(name, folder, lease);
        tenant.order("start");
        tenant.assert_beats();
        tenant
    }

    /// Makes a tenant.
    pub(crate) fn created(&self, name: &str, folder: &Path, lease: &Lease<'_>) -> Tenant {
        Tenant::create(&self.docker, &self.image, &format!("{}.{name}", self.prefix), folder, lease)
    }

    /// A file of the installation's folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        let made = std::fs::File::create(&path);
        made.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes())).unwrap();
        path
    }

    /// One of our programs, before it starts.
    pub(crate) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(built(program).unwrap());
        let folder = format!("file://{}", self.home.path().join("store").display());
        command.args(args).env("BACKUPD_STATE", self.home.path().join("state"));
        command.env("BACKUPD_STORE", self.s3.as_ref().map_or(folder, S3::url)).env("BACKUPD_HOST", "vm");
        command.env_remove("BACKUPD_CONFIG").env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
        command.envs(self.s3.iter().flat_map(S3::environment));
        if let Some(socket) = &self.socket {
            command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        }
        command
    }

    /// Starts `backupctl --json`.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command("backupctl", &[&["--json"], args].concat()))
    }

    /// Runs `backupctl --json` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.start(args).end()
    }

    /// Backs up, and gives the snapshot's number.
    #[track_caller]
    pub(crate) fn back_up(&self, source: &str) -> String {
        let done = self.run(&["backup", source]).expect(0);
        let id = done.event("done")["snapshot"].as_str().unwrap().to_owned();
        id.rsplit('@').next().unwrap().to_owned()
    }

    /// Numbers of the snapshots of a source, oldest first.
    #[track_caller]
    pub(crate) fn snapshots(&self, source: &str) -> Vec<String> {
        let listed = self.run(&["snapshots", source]);
        let listed = listed.events.first().and_then(Value::as_array).cloned().unwrap_or_default();
        let id = |snapshot: &Value| snapshot["id"].as_str().unwrap().rsplit('@').next().unwrap().to_owned();
        let mut numbers: Vec<String> = listed.iter().map(id).collect();
        numbers.sort_by_key(|number| number.parse::<u64>().unwrap());
        numbers
    }

    /// What a snapshot restores to: into a new volume, which is read and removed.
    #[track_caller]
    pub(crate) fn content(&self, source: &str, number: &str) -> Tree {
        let new = format!("{}-look-{number}", self.prefix);
        self.run(&["restore", source, "--snapshot", number, "--into", &new, "--yes"]).expect(0);
        let folder = self.docker.volume(&new).unwrap().unwrap();
        let found = tree(&folder, &["heartbeat"]);
        self.docker.remove_volume(&new).unwrap();
        found
    }

    /// The newest run with this verb and source, as `runs` tells it.
    #[track_caller]
    pub(crate) fn runs(&self) -> Vec<Value> {
        let listed = self.run(&["runs", "--limit", "1000"]).expect(0);
        listed.events.first().and_then(Value::as_array).unwrap().clone()
    }

    /// Helpers on our volumes, running or not.
    pub(crate) fn helpers(&self) -> Vec<String> {
        let filter = "%7B%22label%22%3A%5B%22backupd.run%22%5D%7D";
        let listed =
            self.docker.ask("GET", &format!("/containers/json?all=1&filters={filter}"), None).unwrap();
        listed.as_array().unwrap().iter().filter(|one| self.uses_ours(one)).filter_map(id_of).collect()
    }

    /// Names of our volumes.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let listed = self.docker.ask("GET", "/volumes", None).unwrap();
        let all = listed["Volumes"].as_array().cloned().unwrap_or_default();
        let names = all.iter().filter_map(|volume| volume["Name"].as_str().map(str::to_owned));
        let mut ours: Vec<String> = names.filter(|name| name.starts_with(&self.prefix)).collect();
        ours.sort();
        ours
    }

    /// Fails if anything is left of any run: helpers, staging folders, volumes but these, open uploads, runs
    /// that have no end. One command must have recovered before.
    #[track_caller]
    pub(crate) fn assert_clean(&self, volumes: &[&str], what: &str) {
        // What an engine under load was asked for by a program that is dead may come after that command: the next one removes it.
        if !self.helpers().is_empty() {
            self.run(&["prune", "--keep", "last=99", "--yes"]);
        }
        assert_eq!(self.helpers(), Vec::<String>::new(), "{what}: a helper was left");
        let mut expected = volumes.to_vec();
        expected.sort_unstable();
        assert_eq!(self.volumes(), expected, "{what}: volumes");
        for volume in volumes {
            let folder = self.docker.volume(volume).unwrap().unwrap();
            let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            let ours: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".backupd")).collect();
            assert!(ours.is_empty(), "{what}: {ours:?} in `{volume}`");
        }
        if let Some(s3) = &self.s3 {
            assert_eq!(s3.open_uploads(), Vec::<String>::new(), "{what}: an upload was left open");
        }
        for run in self.runs() {
            assert!(run["ended_at"].is_string() && run["live"] == false, "{what}: {run}");
        }
    }

    fn uses_ours(&self, container: &Value) -> bool {
        let mounts = container["Mounts"].as_array().into_iter().flatten();
        let mut names = mounts.filter_map(|mount| mount["Name"].as_str());
        names.any(|name| name.starts_with(&self.prefix))
    }

    fn clear(&self) -> std::io::Result<()> {
        self.docker.clear_away(&self.prefix)?;
        self.docker.ask("DELETE", &format!("/images/{}?force=1", self.image), None).map(drop)
    }
}

fn id_of(container: &Value) -> Option<String> {
    container["Id"].as_str().map(str::to_owned)
}

impl Drop for Rig {
    fn drop(&mut self) {
        match self.clear() {
            Ok(()) => {}
            // What the test failed of is the news.
            Err(_) if std::thread::panicking() => {}
            Err(e) => panic!("clean up: {e}"),
        }
    }
}
