//! An installation of its own for each test: settings, policies, state, a bucket, labelled volumes.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};

use engine::adapter::clock::SystemClock;
use engine::adapter::store::url::StoreUrl;
use engine::adapter::store::{Options, open_with};
use engine::port::store::Store;
use engine::words::RunId;
use integration::docker::Docker;
use integration::programs::built;
use integration::scripted_s3::ScriptedS3;
use integration::servers::s3::S3Server;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::service::Service;

pub(crate) struct Rig {
    home: TempDir,
    pub(crate) docker: Docker,
    socket: Option<PathBuf>,
    server: Option<S3Server>,
    store: String,
    /// Every volume begins with it, and it is the name of the policy.
    pub(crate) name: String,
    port: u16,
    environment: Vec<(String, String)>,
}

/// Waits for something that only runtimes do. Servers live on while nobody waits.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let made = || Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    RUNTIME.get_or_init(made).block_on(future)
}

impl Rig {
    /// On this engine, with a bucket of a real server, or with a folder for a store.
    pub(crate) fn new(docker: Docker, socket: Option<PathBuf>, with_bucket: bool) -> Self {
        // Sockets lie beneath, whose paths must be short.
        let home = tempfile::Builder::new().prefix("bkd").tempdir_in("/tmp").unwrap();
        std::fs::create_dir(home.path().join("policies")).unwrap();
        let server = with_bucket.then(|| wait(S3Server::weed()));
        let store = match &server {
            Some(server) => S3Server::folder(&wait(server.bucket("daemon")), "a/prefix").to_string(),
            None => format!("file://{}", home.path().join("store").display()),
        };
        let name = format!("bkd-daemon-{}", RunId::random().unwrap());
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let environment = Vec::new();
        let rig = Self { home, docker, socket, server, store, name, port, environment };
        rig.write("backupd.toml", "[effort]\nlevel = 1\n");
        rig
    }

    /// Adds a server to what programs may use, whatever store is the usual one.
    pub(crate) fn know(&mut self, server: &ScriptedS3) {
        let keys = server.keys();
        self.environment.push(("AWS_ACCESS_KEY_ID".to_owned(), keys.id));
        self.environment.push(("AWS_SECRET_ACCESS_KEY".to_owned(), keys.secret));
    }

    /// From now on this is the store of the settings.
    pub(crate) fn store_at(&mut self, store: String) {
        self.store = store;
    }

    /// The address of the usual store.
    pub(crate) fn store(&self) -> &str {
        &self.store
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file of the installation.
    pub(crate) fn write(&self, name: &str, text: &str) {
        put(&self.at(name), text.as_bytes());
    }

    /// Writes the policy of this rig, which chooses by label.
    pub(crate) fn policy(&self, schedule: &str, keep: &str) {
        let text = format!(
            "schedule = \"{schedule}\"\nconsistency.mode = \"live\"\nlimits.concurrency = 3\n[keep]\n{keep}\n"
        );
        self.write(&format!("policies/{}.toml", self.name), &text);
    }

    /// Makes a volume that asks for the policy: its name, and where its files are.
    pub(crate) fn volume(&self, what: &str) -> (String, PathBuf) {
        self.volume_under(what, &self.name)
    }

    /// The same for another policy.
    pub(crate) fn volume_under(&self, what: &str, policy: &str) -> (String, PathBuf) {
        let name = format!("{}-{what}", self.name);
        let body = json!({"Name": name, "Labels": {"backupd.policy": policy}});
        let made = self.docker.ask("POST", "/volumes/create", Some(&body)).unwrap();
        let place = PathBuf::from(made["Mountpoint"].as_str().unwrap());
        put(&place.join("file"), what.as_bytes());
        (name, place)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(built(name).unwrap());
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.home.path())
            .env("TZ", "UTC")
            .env("BACKUPD_CONFIG", self.at("backupd.toml"))
            .env("BACKUPD_POLICIES", self.at("policies"))
            .env("BACKUPD_HOST", "vm")
            .env("BACKUPD_STATE", self.at("state"))
            .env("BACKUPD_STORE", &self.store)
            .envs(std::env::var_os("DOCKER_HOST").map(|host| ("DOCKER_HOST", host)))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(socket) = &self.socket {
            command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        }
        if let Some(server) = &self.server {
            let keys = server.keys();
            command.env("AWS_ACCESS_KEY_ID", keys.id).env("AWS_SECRET_ACCESS_KEY", keys.secret);
        }
        command
    }

    /// Starts `backupd`, which looks every second.
    pub(crate) fn start(&self) -> Service {
        self.start_looking(1)
    }

    /// Starts `backupd`, which looks after so many seconds.
    pub(crate) fn start_looking(&self, every: u32) -> Service {
        let mut command = self.program("backupd");
        command.args(["--every", &every.to_string(), "--at-once", "3"]);
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        Service::start(command, self.at("log"), self.port)
    }

    /// Runs `backupctl`.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.program("backupctl").args(args).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn listed(&self, args: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["--json"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        all.as_array().unwrap().clone()
    }

    /// Numbers of the snapshots of each volume, oldest first.
    #[track_caller]
    pub(crate) fn snapshots(&self) -> BTreeMap<String, Vec<u64>> {
        let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        if self.server.is_none() && !self.at("store/.backupd-store").exists() {
            // The first backup makes it.
            return all;
        }
        for line in self.listed(&["snapshots"]) {
            let source = line["source"].as_str().unwrap().to_owned();
            all.entry(source).or_default().push(line["number"].as_u64().unwrap());
        }
        all.values_mut().for_each(|numbers| numbers.sort_unstable());
        all
    }

    /// The newest snapshot of a volume; 0 before the first.
    #[track_caller]
    pub(crate) fn newest(&self, volume: &str) -> u64 {
        self.snapshots().get(volume).and_then(|numbers| numbers.last().copied()).unwrap_or(0)
    }

    /// All runs, the newest first.
    #[track_caller]
    pub(crate) fn runs(&self) -> Vec<Value> {
        self.listed(&["runs", "--limit", "10000"])
    }

    /// Containers of this installation, running or not.
    pub(crate) fn helpers(&self) -> Vec<Value> {
        let Ok(owner) = std::fs::read_to_string(self.at("state/owner")) else { return Vec::new() };
        let owner = owner.trim();
        let filter = format!("%7B%22label%22%3A%5B%22backupd.owner%3D{owner}%22%5D%7D");
        let listed = self.docker.ask("GET", &format!("/containers/json?all=1&filters={filter}"), None);
        listed.unwrap().as_array().cloned().unwrap_or_default()
    }

    /// Keys of uploads that are open in the store.
    pub(crate) fn open_uploads(&self) -> Vec<String> {
        let url: StoreUrl = self.store.parse().unwrap();
        let options = Options { keys: self.server.as_ref().map(S3Server::keys), ..Options::default() };
        wait(async {
            let store: Arc<dyn Store> =
                open_with(&url, Arc::new(SystemClock::start()), options).await.unwrap();
            store.open_uploads("").await.unwrap().into_iter().map(|upload| upload.key).collect()
        })
    }

    /// Fails if anything is left of any run: a helper, an upload, a run without an end, a container that stands
    /// still, a socket.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(self.helpers(), Vec::<Value>::new(), "a helper was left");
        assert_eq!(self.open_uploads(), Vec::<String>::new(), "an upload was left");
        let paused = "/containers/json?all=1&filters=%7B%22status%22%3A%5B%22paused%22%5D%7D";
        let paused = self.docker.ask("GET", paused, None).unwrap();
        let mounts = |one: &Value| one["Mounts"].to_string().contains(&self.name);
        assert!(!paused.as_array().unwrap().iter().any(mounts), "a container was left paused");
        let sockets: Vec<_> = std::fs::read_dir(self.at("state/run")).unwrap().collect();
        assert!(sockets.is_empty(), "{sockets:?}");
        for run in self.runs() {
            assert!(run["ended_at"].is_string() && run["live"] == false, "{run}");
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for helper in self.helpers() {
            // One that removes itself may be gone, and one that stays is in the way below.
            drop(self.docker.remove_container(helper["Id"].as_str().unwrap_or_default()));
        }
        match self.docker.clear_away(&self.name) {
            Ok(()) => {}
            // What the test failed of is the news.
            Err(_) if std::thread::panicking() => {}
            Err(e) => panic!("clean up: {e}"),
        }
    }
}

/// Makes a file of these bytes.
pub(crate) fn put(path: &Path, bytes: &[u8]) {
    std::fs::File::create(path).and_then(|mut file| file.write_all(bytes)).unwrap();
}
