//! A port on the real engine, and what stands in the helper's place.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use engine::adapter::docker::{BollardDocker, HelperImage, Settings};
use engine::port::docker::{Docker as _, Helper, NewVolume};
use engine::words::RunId;
use tokio::io::AsyncWriteExt as _;

/// For a helper that was told to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A port, a volume prefix of its own, and the folder of its sockets, which must be empty in the end.
pub(crate) struct Rig {
    pub(crate) docker: BollardDocker,
    pub(crate) run_dir: tempfile::TempDir,
    pub(crate) prefix: String,
}

impl Rig {
    /// With the real helper, or another image in its place.
    pub(crate) fn new(attach: bool, image: Option<HelperImage>) -> Self {
        let run_dir = tempfile::tempdir().unwrap();
        let host = std::env::var_os("DOCKER_HOST").map(|host| host.into_string().unwrap());
        let settings = Settings { host, run_dir: run_dir.path().to_owned(), attach, socket_volume: None };
        let docker = match image {
            None => BollardDocker::new(settings),
            Some(image) => BollardDocker::with_helper(settings, image),
        };
        let prefix = format!("backupd-test-{}", RunId::random().unwrap());
        Self { docker: docker.unwrap(), run_dir, prefix }
    }

    pub(crate) async fn volume(&self) -> String {
        let new = NewVolume { name: format!("{}-v", self.prefix), ..Default::default() };
        self.docker.create_volume(&new).await.unwrap().name
    }

    /// Fails if the volume is still held, or a socket was left.
    pub(crate) async fn end(self, volume: &str) {
        self.docker.remove_volume(volume).await.unwrap();
        assert_eq!(std::fs::read_dir(self.run_dir.path()).unwrap().count(), 0, "a socket folder was left");
    }
}

/// The image of `confined`, which stands in the helper's place; built as the helper is.
pub(crate) fn confined() -> HelperImage {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let binary = BINARY.get_or_init(|| {
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("confined");
        let built = Command::new(env!("CARGO"))
            .current_dir(workspace)
            .args(["build", "--quiet", "--locked", "--package", "confined", "--target", &triple])
            .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
            .env("CARGO_TARGET_DIR", &target)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .unwrap();
        assert!(built.success());
        target.join(triple).join("debug/confined")
    });
    HelperImage::of(&std::fs::read(binary).unwrap()).unwrap()
}

/// Runs the `docker` program.
pub(crate) fn docker_cli(args: &[&str]) -> String {
    let done = Command::new("docker").args(args).output().unwrap();
    assert!(done.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// Tells `confined` what to do.
pub(crate) async fn order(helper: &mut Helper, order: &[u8]) {
    helper.to.write_all(order).await.unwrap();
    helper.to.flush().await.unwrap();
}
