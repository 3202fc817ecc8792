//! The state folder of this installation: `/var/lib/backupd`, or where `--state` points.
//!
//! It holds the catalog, the signing key and the locks, so it is private (0700, our own) and on a local file
//! system: `flock` and SQLite's WAL are not to be trusted over a network. It is refused, with the fix, rather
//! than repaired: who made it so may have had a reason, and others may have put things inside.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;

use crate::absent::is_dangling;
use crate::durable;
use crate::lock::flock_within;
use crate::words::RunId;

/// Room for `/run/<run>/<socket>` within the 107 bytes that a unix socket's address can have.
const PATH_BYTES_MAX: usize = 70;

/// What is locked this way takes milliseconds.
const FOLDER_WAIT_MAX: Duration = Duration::from_secs(10);

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refuses.
    #[error("{deed} `{}`", path.display())]
    Io {
        /// The bare verb.
        deed: &'static str,
        /// Which folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a folder.
    #[error("state folder `{}` is not a folder", path.display())]
    NotFolder {
        /// Which.
        path: PathBuf,
    },
    /// Not there, and not to be made either.
    #[error("state folder `{}` is behind a link to nothing", path.display())]
    Dangling {
        /// Which.
        path: PathBuf,
    },
    /// Somebody else's.
    #[error("state folder `{}` belongs to user {owner}, and this program runs as user {us}", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Whose.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Others can come in.
    #[error("state folder `{}` has mode {mode:04o}, so other users can come in", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Locks do not hold there.
    #[error("state folder `{}` lies on {system}, where locks cannot be relied on", path.display())]
    Network {
        /// Which.
        path: PathBuf,
        /// `NFS`, `SMB`.
        system: &'static str,
    },
    /// Sockets would not fit.
    #[error("the path of state folder `{}` is longer than {PATH_BYTES_MAX} bytes", path.display())]
    LongPath {
        /// Which.
        path: PathBuf,
    },
    /// Not the id that we wrote.
    #[error("`{}` does not hold the id of this installation", path.display())]
    BadOwner {
        /// The file.
        path: PathBuf,
    },
    /// The system has no random bytes.
    #[error("make the id of this installation: {0}")]
    Random(getrandom::Error),
}

impl StateError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Foreign { path, us, .. } => {
                Some(format!("`chown -R {us} {}`, or run as the user whose it is", path.display()))
            }
            Self::Dangling { .. } => Some(
                "put back what the link names: is its disk mounted? or choose a folder with `--state DIR`"
                    .to_owned(),
            ),
            Self::Open { path, .. } => Some(format!("`chmod 700 {}`", path.display())),
            Self::Network { .. } | Self::LongPath { .. } | Self::NotFolder { .. } => {
                Some("choose a short path on a local disk with `--state DIR`".to_owned())
            }
            Self::BadOwner { path } => Some(format!(
                "put it back from a backup: 16 hexadecimal digits, as `owner.json` in the store has them; without \
                 backups in any store, move `{}` away and a new id is made",
                path.display()
            )),
            Self::Io { source, path, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(format!("run as root, or as the user who owns `{}`", path.display()))
            }
            Self::Io { .. } | Self::Random(_) => None,
        }
    }
}

/// A state folder that was checked.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
    owner: RunId,
}

impl StateDir {
    /// Where it is unless somebody says otherwise.
    pub const DEFAULT: &str = "/var/lib/backupd";

    /// Makes the folder if it is missing, checks it if it is there.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let io = |deed, path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { deed, path, source }
        };
        let path = std::path::absolute(path).map_err(io("resolve", path))?;
        if path.as_os_str().len() > PATH_BYTES_MAX {
            return Err(StateError::LongPath { path });
        }
        if is_dangling(&path) {
            return Err(StateError::Dangling { path });
        }
        make_private(&path).map_err(io("make state folder", &path))?;
        check_private(&path, rustix::process::geteuid().as_raw())?;
        let about = rustix::fs::statfs(&path).map_err(|e| io("look at", &path)(e.into()))?;
        if let Some(system) = network_system(about.f_type.cast_unsigned()) {
            return Err(StateError::Network { path, system });
        }
        for inside in ["locks", "run"] {
            let inside = path.join(inside);
            make_private(&inside).map_err(io("make", &inside))?;
        }
        let owner = read_or_make_owner(&path)?;
        Ok(Self { path, owner })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The catalog.
    pub fn catalog(&self) -> PathBuf {
        self.path.join("catalog.sqlite")
    }

    /// The signing key.
    pub fn host_key(&self) -> PathBuf {
        self.path.join("host.key")
    }

    /// Where locks are.
    pub fn locks(&self) -> PathBuf {
        self.path.join("locks")
    }

    /// Where the sockets of running helpers are; short enough for a socket's address.
    pub fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    /// The random id of this installation: the value of the `backupd.owner` label and of `owner.json`.
    pub fn owner(&self) -> &RunId {
        &self.owner
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    match DirBuilder::new().mode(0o700).recursive(true).create(path) {
        // A file of that name; the check that follows says so.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn check_private(path: &Path, us: u32) -> Result<(), StateError> {
    let path = path.to_owned();
    let meta = match fs::metadata(&path) {
        Ok(meta) => meta,
        Err(source) => return Err(StateError::Io { deed: "look at", path, source }),
    };
    if !meta.is_dir() {
        return Err(StateError::NotFolder { path });
    }
    if meta.uid() != us {
        return Err(StateError::Foreign { path, owner: meta.uid(), us });
    }
    if meta.mode() & 0o077 != 0 {
        return Err(StateError::Open { path, mode: meta.mode() & 0o7777 });
    }
    Ok(())
}

/// File systems whose locks may be local to each client, by `statfs(2)` magic number.
fn network_system(magic: u64) -> Option<&'static str> {
    match magic & 0xFFFF_FFFF {
        0x6969 => Some("NFS"),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x5346_414F => Some("AFS"),
        0x00C3_6400 => Some("Ceph"),
        0x0102_1997 => Some("9p"),
        _ => None,
    }
}

fn read_or_make_owner(folder: &Path) -> Result<RunId, StateError> {
    let path = folder.join("owner");
    let io = |deed| {
        let path = path.clone();
        move |source| StateError::Io { deed, path, source }
    };
    let _alone = FolderLock::wait(folder).map_err(io("lock the folder of"))?;
    match fs::read_to_string(&path) {
        Ok(text) => text
            .strip_suffix('\n')
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| StateError::BadOwner { path: path.clone() }),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(StateError::BadOwner { path: path.clone() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let owner = RunId::random().map_err(StateError::Random)?;
            durable::replace(&path, format!("{owner}\n").as_bytes(), 0o600).map_err(io("write"))?;
            Ok(owner)
        }
        Err(e) => Err(io("read")(e)),
    }
}

/// Keeps other processes and threads out while something in a folder is made for the first time.
///
/// The kernel lets go when the holder dies. It is held for a few file operations only, so waiting is short.
#[derive(Debug)]
pub(crate) struct FolderLock {
    /// Closing it unlocks.
    _folder: File,
}

impl FolderLock {
    /// Waits for the lock of an existing folder.
    pub(crate) fn wait(folder: &Path) -> io::Result<Self> {
        let folder = File::open(folder)?;
        if flock_within(&folder, FlockOperation::NonBlockingLockExclusive, FOLDER_WAIT_MAX)? {
            Ok(Self { _folder: folder })
        } else {
            Err(io::Error::new(io::ErrorKind::TimedOut, "another process keeps it locked"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_folder_is_made_private_and_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/state");
        let made = StateDir::open(&path).unwrap();
        assert_eq!(StateDir::open(&path).unwrap().owner(), made.owner());
        for folder in [made.path(), &made.locks(), &made.run()] {
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700, "{folder:?}");
        }
        assert_eq!(fs::read_to_string(path.join("owner")).unwrap(), format!("{}\n", made.owner()));
        assert_eq!(made.owner().as_str().len(), 16);
        assert!(made.run().as_os_str().len() + 1 + 16 < 107);
    }

    #[test]
    fn fifty_first_starts_at_once_agree_on_one_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let ids: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..50).map(|_| scope.spawn(|| StateDir::open(&path).unwrap().owner().clone())).collect();
            starts.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]));
    }

    /// D6: refused, with the fix in the message.
    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        StateDir::open(&path).unwrap();
        for mode in [0o777, 0o750, 0o701, 0o770] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = StateDir::open(&path).unwrap_err();
            assert!(matches!(refused, StateError::Open { mode: m, .. } if m == mode), "{refused}");
            assert_eq!(refused.hint().unwrap(), format!("`chmod 700 {}`", path.display()));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        StateDir::open(&path).unwrap();
    }

    #[test]
    fn another_user_s_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        StateDir::open(&path).unwrap();
        let us = fs::metadata(&path).unwrap().uid();
        check_private(&path, us).unwrap();
        let refused = check_private(&path, us + 1).unwrap_err();
        assert!(matches!(refused, StateError::Foreign { owner, .. } if owner == us), "{refused}");
        assert!(refused.hint().unwrap().contains(&format!("chown -R {}", us + 1)));
    }

    #[test]
    fn network_file_systems_are_refused_by_name() {
        for (magic, system) in [
            (0x6969, Some("NFS")),
            (0xFF53_4D42, Some("SMB")),
            (0xFFFF_FFFF_FE53_4D42, Some("SMB")),
            (0xEF53, None),
            (0x0102_1994, None),
            (0x9123_683E, None),
            (0x5846_5342, None),
        ] {
            assert_eq!(network_system(magic), system, "{magic:x}");
        }
    }

    #[test]
    fn what_is_no_state_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        File::create(&file).unwrap();
        assert!(matches!(StateDir::open(&file), Err(StateError::NotFolder { .. })));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for path in [link.clone(), link.join("state")] {
            let refused = StateDir::open(&path).unwrap_err();
            assert!(matches!(refused, StateError::Dangling { .. }), "{refused}");
            assert!(refused.hint().is_some() && !dir.path().join("nowhere").exists());
        }
        let long = dir.path().join("x".repeat(80));
        assert!(matches!(StateDir::open(&long), Err(StateError::LongPath { .. })));
        assert!(!long.exists());

        let path = dir.path().join("state");
        StateDir::open(&path).unwrap();
        for id in ["", "0011", "00112233445566AA\n", "00112233445566aa"] {
            durable::replace(&path.join("owner"), id.as_bytes(), 0o600).unwrap();
            let refused = StateDir::open(&path).unwrap_err();
            assert!(matches!(refused, StateError::BadOwner { .. }), "{id:?}: {refused}");
        }
    }
}
