//! The tenant: a service in a container that lives on a volume.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use integration::docker::Docker;
use serde_json::{Value, json};

/// Nothing here takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The tarball of an image that holds the tenant and nothing else; the program is built as the helper is.
pub(crate) fn image() -> Vec<u8> {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let binary = BINARY.get_or_init(|| {
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tenant");
        let built = Command::new(env!("CARGO"))
            .current_dir(workspace)
            .args(["build", "--quiet", "--locked", "--package", "tenant", "--target", &triple])
            .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
            .env("CARGO_TARGET_DIR", &target)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .unwrap();
        assert!(built.success());
        target.join(triple).join("debug/tenant")
    });
    let mut tarball = tar::Builder::new(Vec::new());
    tarball.append_path_with_name(binary, "tenant").unwrap();
    tarball.into_inner().unwrap()
}

/// How a tenant is made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lease<'a> {
    /// The volume, or a folder of the host.
    pub(crate) volume: &'a str,
    /// The file in it; `heartbeat` if empty.
    pub(crate) file: &'a str,
    /// `always` and the like; none if empty.
    pub(crate) restart: &'a str,
    /// Removes itself.
    pub(crate) auto_remove: bool,
    /// Has a health check, and is well so many milliseconds after its start.
    pub(crate) warm_up: Option<u64>,
    /// Takes so many milliseconds to end.
    pub(crate) linger: u64,
    /// Its service in a compose project, and what that depends on.
    pub(crate) service: Option<(&'a str, &'a str)>,
}

/// A tenant's container.
pub(crate) struct Tenant {
    docker: Docker,
    pub(crate) id: String,
    pub(crate) name: String,
    heartbeat: PathBuf,
}

impl Tenant {
    /// Makes it, and does not start it. `folder` is where its volume's files are.
    pub(crate) fn create(docker: &Docker, image: &str, name: &str, folder: &Path, lease: &Lease<'_>) -> Self {
        let file = if lease.file.is_empty() { "heartbeat" } else { lease.file };
        let (warm_up, linger) = (lease.warm_up.unwrap_or(0).to_string(), lease.linger.to_string());
        let kind = if lease.volume.starts_with('/') { "bind" } else { "volume" };
        let mut body = json!({
            "Image": image,
            "Entrypoint": ["/tenant"],
            "Cmd": ["serve", format!("/data/{file}"), warm_up, linger],
            "Labels": { "bkd-kill": "tenant" },
            "HostConfig": {
                "NetworkMode": "none",
                "AutoRemove": lease.auto_remove,
                "RestartPolicy": { "Name": lease.restart },
                "Mounts": [{ "Type": kind, "Source": lease.volume, "Target": "/data" }],
            },
        });
        if lease.warm_up.is_some() {
            let millis = |n: u64| n * 1_000_000;
            body["Healthcheck"] = json!({
                "Test": ["CMD", "/tenant", "ready"],
                "Interval": millis(200), "Timeout": millis(10_000), "Retries": 200,
            });
        }
        if let Some((service, needs)) = lease.service {
            body["Labels"]["com.docker.compose.project"] = json!(name.split('.').next());
            body["Labels"]["com.docker.compose.service"] = json!(service);
            body["Labels"]["com.docker.compose.depends_on"] = json!(needs);
        }
        let made = docker.ask("POST", &format!("/containers/create?name={name}"), Some(&body)).unwrap();
        Self {
            docker: docker.clone(),
            id: made["Id"].as_str().unwrap().to_owned(),
            name: name.to_owned(),
            heartbeat: folder.join(file),
        }
    }

    /// `start`, `stop`, `pause`, `unpause`, `kill`.
    pub(crate) fn order(&self, what: &str) {
        self.docker.ask("POST", &format!("/containers/{}/{what}", self.id), None).unwrap();
    }

    /// All that the engine knows.
    pub(crate) fn inspect(&self) -> Value {
        self.docker.ask("GET", &format!("/containers/{}/json", self.id), None).unwrap()
    }

    /// `running`, `exited`, `paused`.
    pub(crate) fn status(&self) -> String {
        self.inspect()["State"]["Status"].as_str().unwrap().to_owned()
    }

    /// `always` and the like.
    pub(crate) fn restart_policy(&self) -> String {
        self.inspect()["HostConfig"]["RestartPolicy"]["Name"].as_str().unwrap().to_owned()
    }

    /// A time of its state: `StartedAt`, `FinishedAt`.
    pub(crate) fn time(&self, which: &str) -> jiff::Timestamp {
        self.inspect()["State"][which].as_str().unwrap().parse().unwrap()
    }

    /// Lines so far.
    pub(crate) fn beats(&self) -> usize {
        std::fs::read_to_string(&self.heartbeat).map_or(0, |text| text.lines().count())
    }

    /// Waits until it writes, which shows that it runs and sees its volume.
    #[track_caller]
    pub(crate) fn assert_beats(&self) {
        let (before, began) = (self.beats(), Instant::now());
        while self.beats() <= before {
            assert!(
                began.elapsed() < PATIENCE,
                "`{}` does not write: {}",
                self.name,
                self.inspect()["State"]
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
