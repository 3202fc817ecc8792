//! Who works on what: one `flock` for each lineage and for each target of a restore.
//!
//! The kernel lets go when the holder dies, however it dies, so nothing is ever unlocked by hand and no age
//! of a lock means anything. The file says who holds it; it is never deleted, because a deleted lock file is
//! a second lock with the same name; but for locks on a single run's id, which nobody takes twice.
//!
//! The holder's words are read only while somebody holds the lock. They are written just after it was taken, and before
//! anything is done under it: a run that has done something has written them. Until then they may be the previous one's.

mod share;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::catalog::Verb;
use crate::format::names::{Lineage, source_folder};
use crate::port::clock::Clock;
use crate::words::RunId;

/// File names end here on every file system that we know, less room for our endings.
const NAME_BYTES_MAX: usize = 200;

/// No holder writes more.
const HOLDER_BYTES_MAX: u64 = 4096;

/// Tries before somebody counts as holding it.
const TRIES: u32 = 8;

/// Between two of these.
const TRY_AGAIN: Duration = Duration::from_millis(3);

/// Between two tries of a wait.
const POLL: Duration = Duration::from_millis(200);

/// What is locked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LockOn {
    /// A lineage: its snapshots are made and deleted by one run at a time.
    Lineage(Lineage),
    /// A volume that a restore writes, or that backups read.
    Volume(String),
    /// A folder of the host that a restore writes, absolute.
    Folder(String),
    /// The drills of a lineage, which keep no backup of it waiting.
    Drill(Lineage),
}

/// As it is told to people.
impl fmt::Display for LockOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lineage(lineage) => write!(f, "{}/{}", lineage.host, lineage.source),
            Self::Volume(name) => write!(f, "volume {name}"),
            Self::Folder(path) => write!(f, "folder {path}"),
            Self::Drill(lineage) => write!(f, "drill of {}/{}", lineage.host, lineage.source),
        }
    }
}

impl LockOn {
    /// Different things have different names: a host has no `=`, and the ending tells the kinds apart.
    fn file_name(&self) -> String {
        let (name, ending) = match self {
            Self::Lineage(lineage) => (name_of(lineage), "lineage.lock"),
            Self::Drill(lineage) => (name_of(lineage), "drill.lock"),
            Self::Volume(name) => (name.clone(), "volume.lock"),
            Self::Folder(path) => (format!("={path}"), "folder.lock"),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'=');
        if name.len() <= NAME_BYTES_MAX && name.bytes().all(plain) && !name.starts_with('.') {
            format!("{name}.{ending}")
        } else {
            format!("=={}.{ending}", blake3::hash(name.as_bytes()).to_hex())
        }
    }
}

fn name_of(lineage: &Lineage) -> String {
    format!("{}={}", lineage.host, source_folder(&lineage.source))
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// Its process.
    pub pid: u32,
    /// What it does.
    pub verb: Verb,
    /// Since when.
    pub since: Timestamp,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("`{on}` is locked{}", by(holder.as_ref()))]
    Busy {
        /// What.
        on: Box<LockOn>,
        /// Who, if they have said so yet.
        holder: Option<Holder>,
    },
    /// The lock file.
    #[error("{deed} `{}`", path.display())]
    Io {
        /// The bare verb.
        deed: &'static str,
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn by(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |Holder { run, pid, verb, since }| {
        format!(" by {} run `{run}` (process {pid}) since {since:.0}", verb.word())
    })
}

impl LockError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Busy { holder: Some(holder), .. } => {
                Some(format!("wait for it (`backupctl runs {0}`), or `backupctl cancel {0}`", holder.run))
            }
            Self::Busy { holder: None, .. } => Some("`backupctl runs`".to_owned()),
            Self::Io { .. } => None,
        }
    }
}

/// The locks of one installation.
#[derive(Debug, Clone)]
pub struct Locks {
    folder: PathBuf,
}

/// A lock that we hold; dropping it lets go.
#[derive(Debug)]
#[must_use = "the lock is let go at once"]
pub struct Held {
    file: File,
    /// Only of what is never locked again under the same name.
    removed: Option<PathBuf>,
}

impl Held {
    /// Writes down who holds it. What is written to half of it says nothing.
    fn say(&mut self, holder: &Holder) -> io::Result<()> {
        let line = serde_json::to_string(holder).map_err(io::Error::other)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(format!("{line}\n").as_bytes())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What is left inside is read by nobody while the lock is free, and replaced by the next holder.
        drop(self.file.set_len(0));
        if let Some(path) = &self.removed {
            // A file that stays is empty, and costs nothing but its name.
            drop(std::fs::remove_file(path));
        }
    }
}

impl Locks {
    /// In this folder, which exists.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Takes the lock, or says who has it. Tries for a few milliseconds, because whoever asks [`Self::is_held`]
    /// has it for an instant, and so that a holder has time to say who it is.
    pub fn try_lock(&self, on: &LockOn, holder: &Holder) -> Result<Held, LockError> {
        let (mut held, path) = self.take(on)?;
        held.say(holder).map_err(|source| LockError::Io { deed: "write", path, source })?;
        Ok(held)
    }

    /// The same for whoever puts right what the last holder left. It says who it is where there is room for it: those who
    /// are held, and run again only through it, cannot wait until a full disk has some.
    pub fn try_lock_to_recover(&self, on: &LockOn, holder: &Holder) -> Result<Held, LockError> {
        let (mut held, path) = self.take(on)?;
        if let Err(e) = held.say(holder) {
            tracing::warn!("say in `{}` who recovers: {e}", path.display());
        }
        Ok(held)
    }

    fn take(&self, on: &LockOn) -> Result<(Held, PathBuf), LockError> {
        let (mut file, path) = self.open(on)?;
        let io = |deed| {
            let path = path.clone();
            move |source| LockError::Io { deed, path, source }
        };
        let mut tries = 1..TRIES;
        while !try_flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(io("lock"))? {
            if tries.next().is_none() {
                let holder = read_holder(&mut file).map_err(io("read"))?;
                return Err(LockError::Busy { on: Box::new(on.clone()), holder });
            }
            std::thread::sleep(TRY_AGAIN);
        }
        Ok((Held { file, removed: None }, path))
    }

    /// Takes the lock, waiting for at most `patience` of the clock's elapsed time.
    pub async fn lock_within(
        &self,
        on: &LockOn,
        holder: &Holder,
        patience: Duration,
        clock: &dyn Clock,
    ) -> Result<Held, LockError> {
        let began = clock.elapsed();
        loop {
            let busy = match self.try_lock(on, holder) {
                Err(busy @ LockError::Busy { .. }) => busy,
                other => return other,
            };
            let left = patience.saturating_sub(clock.elapsed().saturating_sub(began));
            if left.is_zero() {
                return Err(busy);
            }
            clock.sleep(left.min(POLL)).await;
        }
    }

    /// Takes the lock of a run that has no row, and that so is never locked by anybody else.
    pub fn look(&self, run: &RunId) -> Result<Held, LockError> {
        let path = self.look_path(run);
        let io = |deed, source| LockError::Io { deed, path: path.clone(), source };
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path).map_err(|e| io("open", e))?;
        match try_flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(_free) => Ok(Held { file, removed: Some(path) }),
            Err(e) => Err(io("lock", e)),
        }
    }

    /// The lock of a run that has no row and whose process died; `None` while it lives, and if it ended well.
    pub fn abandoned_look(&self, run: &RunId) -> Option<Held> {
        let path = self.look_path(run);
        let file = File::open(&path).ok()?;
        let free = try_flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        free.then_some(Held { file, removed: Some(path) })
    }

    fn look_path(&self, run: &RunId) -> PathBuf {
        self.folder.join(format!("{run}.look.lock"))
    }

    /// Whether somebody holds it now. What nobody holds may be recovered, by whoever takes it first.
    pub fn is_held(&self, on: &LockOn) -> Result<bool, LockError> {
        let (file, path) = self.open(on)?;
        // Shared, so that two who ask at once do not see each other; closing the file lets go.
        try_flock(&file, FlockOperation::NonBlockingLockShared)
            .map(|free| !free)
            .map_err(|source| LockError::Io { deed: "lock", path, source })
    }

    fn open(&self, on: &LockOn) -> Result<(File, PathBuf), LockError> {
        let path = self.folder.join(on.file_name());
        let mut options = OpenOptions::new();
        match options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path) {
            Ok(file) => Ok((file, path)),
            Err(source) => Err(LockError::Io { deed: "open", path, source }),
        }
    }
}

/// Whether the lock was free; the operation must be one that does not block.
pub(crate) fn try_flock(file: &File, operation: FlockOperation) -> io::Result<bool> {
    match rustix::io::retry_on_intr(|| rustix::fs::flock(file, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Whether the lock became free within about `patience`. Polls, because waiting in the kernel has no bound.
pub(crate) fn flock_within(file: &File, operation: FlockOperation, patience: Duration) -> io::Result<bool> {
    const SPAN: Duration = Duration::from_millis(10);
    for _ in 0..patience.as_millis() / SPAN.as_millis() {
        if try_flock(file, operation)? {
            return Ok(true);
        }
        std::thread::sleep(SPAN);
    }
    Ok(false)
}

fn read_holder(file: &mut File) -> io::Result<Option<Holder>> {
    let mut text = Vec::new();
    file.take(HOLDER_BYTES_MAX).read_to_end(&mut text)?;
    // Empty or half written: the holder has only just come.
    Ok(serde_json::from_slice(&text).ok())
}

#[cfg(test)]
mod tests;
