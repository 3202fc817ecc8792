//! A server's process: found, started, and gone with its handle.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

/// A child in a process group of its own, so that a wrapper script dies with what it started.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts it with its output in a file.
    pub(super) fn start(mut command: Command, log: PathBuf) -> io::Result<Self> {
        let out = File::create(&log)?;
        let child =
            command.process_group(0).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn()?;
        Ok(Self { child, log })
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// The end of what it said, for the message of a test that fails.
    pub(super) fn last_words(&self) -> String {
        let said = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&said[said.len().saturating_sub(2_000)..]).into_owned()
    }
}

impl Server {
    /// Ends it and whatever it started.
    pub(super) fn kill(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
            && matches!(self.child.try_wait(), Ok(None))
        {
            match rustix::process::kill_process_group(group, Signal::KILL) {
                // It may have ended this very moment; then there is nobody left to kill.
                Ok(()) | Err(_) => {}
            }
        }
        drop(self.child.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Finds a server's program: where the environment says, where `make tools` puts it, or on the `PATH`.
///
/// # Panics
/// When it is nowhere, with the command that gets it.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where their servers are")]
pub(super) fn find(name: &str, variable: &str) -> PathBuf {
    if let Ok(path) = std::env::var(variable) {
        return PathBuf::from(path);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tools = root.join("target/tools/venv/bin").join(name);
    let path = std::env::var("PATH").unwrap_or_default();
    let mut places = std::iter::once(tools).chain(std::env::split_paths(&path).map(|dir| dir.join(name)));
    match places.find(|place| place.is_file()) {
        Some(place) => place,
        None => panic!("`{name}` is needed: run `make tools`, or set `{variable}` to its path"),
    }
}
