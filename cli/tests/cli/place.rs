//! A world of its own for one test.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A temporary home with nothing in it but an empty settings file.
pub(crate) struct Place {
    dir: TempDir,
}

/// What a command gave back.
#[must_use]
pub(crate) struct Gave {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { dir: TempDir::new().unwrap() };
        place.file("backupd.toml", "");
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `program` in the clean environment.
    pub(crate) fn program(&self, program: &str) -> Command {
        let at = |name: &str| self.path().join(name);
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path())
            .env("TMPDIR", self.path())
            .env("TZ", "UTC")
            .env("COLUMNS", "100")
            .env("BACKUPD_CONFIG", at("backupd.toml"))
            .env("BACKUPD_HOST", "test-host")
            .env("BACKUPD_STATE", at("state"))
            .env("BACKUPD_STORE", format!("file://{}", at("store").display()))
            .env("DOCKER_HOST", format!("unix://{}", at("no-docker.sock").display()))
            .current_dir(self.path());
        command
    }

    pub(crate) fn backupctl(&self) -> Command {
        self.program(env!("CARGO_BIN_EXE_backupctl"))
    }

    pub(crate) fn run(&self, args: &[&str]) -> Gave {
        self.gave(self.backupctl().args(args).output().unwrap())
    }

    /// With this place's own name taken out, so that outputs are the same everywhere.
    pub(crate) fn gave(&self, output: Output) -> Gave {
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).unwrap().replace(self.path().to_str().unwrap(), "[PLACE]")
        };
        Gave { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}
