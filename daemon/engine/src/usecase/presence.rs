//! The daemon of an installation: one at a time, and whoever asks knows whether it runs.
//!
//! Always true: the kernel lets go when the daemon dies, however it dies. Where no daemon ever ran nobody misses one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::FlockOperation;

use crate::failure::{Class, Failure};
use crate::lock::{flock_within, try_flock};
use crate::usecase::host::Host;

/// Whoever asks has the lock for an instant.
const PATIENCE: Duration = Duration::from_secs(1);

/// This process is the daemon, for as long as this lives.
#[derive(Debug)]
#[must_use = "another daemon may start at once"]
pub struct Presence {
    _file: File,
}

fn path(host: &Host) -> PathBuf {
    host.settings().state.join("daemon.lock")
}

/// Makes this process the daemon of this host, unless there is one.
pub fn be_the_daemon(host: &Host) -> Result<Presence, Failure> {
    let path = path(host);
    let what = |e| Failure::failed(format!("lock `{}`", path.display())).because(e);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(what)?;
    match flock_within(&file, FlockOperation::NonBlockingLockExclusive, PATIENCE).map_err(what)? {
        true => Ok(Presence { _file: file }),
        false => Err(Failure::new(Class::Busy, "another `backupd` keeps the schedules of this host")
            .hint("one is enough: `systemctl status backupd`")),
    }
}

/// Whether a daemon ran here once and none does now.
pub fn is_away(host: &Host) -> bool {
    // What may not be looked at is somebody else's.
    let Ok(file) = File::open(path(host)) else { return false };
    try_flock(&file, FlockOperation::NonBlockingLockShared).unwrap_or(false)
}

/// What somebody must know where policies are there and nobody keeps them.
pub const AWAY: &str = "`backupd` does not run, so no schedule is kept; `systemctl start backupd`";
