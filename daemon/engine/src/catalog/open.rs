//! Opening the catalog: one process at a time, checked, migrated; set aside when it is damaged.
//!
//! Beside `catalog.sqlite` lie two lock files. `….opening` is held exclusively while one process opens, checks,
//! migrates or sets aside. `….users` is held shared by everyone who has the catalog open, so that it is never
//! renamed under somebody; its first byte remembers that a catalog was made here, so that one that was
//! deleted, or cut to nothing, is not taken for a first start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::FlockOperation;

use crate::catalog::events::{self, Event, Level};
use crate::catalog::migrate::{MIGRATIONS, check_schema, migrate};
use crate::catalog::parts::{Checked, check_small, check_whole};
use crate::catalog::{Catalog, CatalogError};
use crate::durable;
use crate::lock::{flock_within, try_flock};

/// No call waits longer for another process.
pub const BUSY_WAIT_MAX: Duration = Duration::from_secs(10);

/// Opening may wait for a migration, or for a check of a large catalog, by another process.
const OPENING_WAIT_MAX: Duration = Duration::from_secs(60);

/// An open catalog, and what a person must know of how it was found.
#[derive(Debug)]
pub struct Opened {
    /// Ready.
    pub catalog: Catalog,
    /// It is new although there was one before. Also remembered as an event.
    pub notice: Option<String>,
}

impl Catalog {
    /// Opens the catalog at `path`, or makes one.
    ///
    /// A damaged one is renamed to `….damaged-<time>`, never deleted, and a new one takes its place: backups
    /// go on, and a restore needs no catalog. The notice says so, and that `backupctl catalog rebuild`
    /// brings the index back. A catalog that another process uses, a newer one, and one that cannot be read
    /// for lack of permissions, space or patience are left as they are.
    pub fn open(path: &Path, now: Timestamp) -> Result<Opened, CatalogError> {
        Self::open_with(path, now, MIGRATIONS)
    }

    /// The same for whoever looks and ends: the parts that may be large are checked when something is read from them,
    /// and all of it before something is written. Damage that is found then is an error; opening again with
    /// [`Self::open`], as a rebuild does, sets the catalog aside.
    pub fn open_to_look(path: &Path, now: Timestamp) -> Result<Opened, CatalogError> {
        let check = |made_before| open_checked(path, made_before, MIGRATIONS, Depth::Small);
        Self::open_found(path, now, MIGRATIONS, check)
    }

    /// Sets the catalog at `path` aside whatever its state, and begins a new one: for a rebuild after a row turned
    /// out to be damaged, which opening does not see. Drop the open catalog first.
    pub fn begin_anew(path: &Path, why: &str, now: Timestamp) -> Result<Opened, CatalogError> {
        Self::open_found(path, now, MIGRATIONS, |_made_before| Err(CatalogError::Damaged(why.to_owned())))
    }

    pub(super) fn open_with(
        path: &Path,
        now: Timestamp,
        migrations: &[&str],
    ) -> Result<Opened, CatalogError> {
        let check = |made_before| open_checked(path, made_before, migrations, Depth::Whole);
        Self::open_found(path, now, migrations, check)
    }

    fn open_found(
        path: &Path,
        now: Timestamp,
        migrations: &[&str],
        found: impl FnOnce(bool) -> Result<(Connection, Checked), CatalogError>,
    ) -> Result<Opened, CatalogError> {
        let (opening_path, users_path) = (beside(path, ".opening"), beside(path, ".users"));
        let opening = lock_file(&opening_path)?;
        wait_for_lock(&opening, FlockOperation::NonBlockingLockExclusive, &opening_path)?;
        let mut users = lock_file(&users_path)?;
        wait_for_lock(&users, FlockOperation::NonBlockingLockShared, &users_path)?;
        let made_before = users.read(&mut [0]).map_err(io("read", &users_path))? > 0;

        let ((connection, checked), notice) = match found(made_before) {
            Ok(found) => (found, None),
            Err(CatalogError::Damaged(what)) => {
                let notice = set_aside(path, &users, &what, now)?;
                (open_checked(path, false, migrations, Depth::Whole)?, Some(notice))
            }
            Err(other) => return Err(other),
        };
        if !made_before {
            users.write_all(b"1").and_then(|()| users.sync_all()).map_err(io("write", &users_path))?;
        }
        let catalog =
            Self { path: path.to_owned(), connection: Mutex::new(connection), checked, _users: users };
        if let Some(text) = &notice {
            let event = Event { at: now, run: None, level: Level::Alarm, text: text.clone() };
            catalog.write(|t| events::insert(t, &event))?;
        }
        Ok(Opened { catalog, notice })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks the whole structure again, as opening does.
    pub fn check(&self) -> Result<(), CatalogError> {
        check_whole(&self.lock())
    }
}

/// How much is checked while opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// All of it.
    Whole,
    /// What is small.
    Small,
}

fn open_checked(
    path: &Path,
    made_before: bool,
    migrations: &[&str],
    depth: Depth,
) -> Result<(Connection, Checked), CatalogError> {
    let missing = match fs::symlink_metadata(path) {
        Ok(_) => false,
        Err(e) if e.kind() == io::ErrorKind::NotFound => true,
        Err(e) => return Err(io("look at", path)(e)),
    };
    if missing && (made_before || beside(path, "-wal").exists()) {
        // A log that outlived its catalog would be played into the new one.
        return Err(CatalogError::Damaged("the file is gone".to_owned()));
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT_MAX)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let found = version(&connection)?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(CatalogError::Newer { path: path.to_owned(), found, known });
    }
    if found == 0 && made_before {
        return Err(CatalogError::Damaged("the file is empty".to_owned()));
    }
    // A migration reads and writes all of it; and without the tables that are known there are no parts.
    let small = depth == Depth::Small && found == known && check_schema(&connection, migrations).is_ok();
    let checked = if small {
        check_small(&connection)?;
        Checked::default()
    } else {
        check_whole(&connection)?;
        Checked::all()
    };
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let why = io::Error::other(format!("the file system gives journal mode `{mode}`"));
        return Err(io("use a write-ahead log for", path)(why));
    }
    migrate(&mut connection, path, found, migrations)?;
    if !small {
        check_schema(&connection, migrations)?;
    }
    Ok((connection, checked))
}

fn version(connection: &Connection) -> Result<u32, CatalogError> {
    // A version below zero was never written; as a number without sign it is one that nobody knows.
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version.cast_unsigned())
}

/// Renames what is there, the catalog before its log: what a crash leaves is recognised at the next start
/// (a log without a catalog).
fn set_aside(path: &Path, users: &File, what: &str, now: Timestamp) -> Result<String, CatalogError> {
    // Nobody can come in, since the opening lock is held; so this fails only if someone is in already.
    if !try_flock(users, FlockOperation::NonBlockingLockExclusive).map_err(io("lock", path))? {
        return Err(CatalogError::DamagedInUse { path: path.to_owned(), what: what.to_owned() });
    }
    let stem = format!(".damaged-{}", now.strftime("%Y%m%dT%H%M%SZ"));
    let taken =
        |stem: &str| ["", "-wal", "-shm"].iter().any(|end| beside(path, &format!("{stem}{end}")).exists());
    let stem = (0..)
        .map(|n| if n == 0 { stem.clone() } else { format!("{stem}-{n}") })
        .find(|stem| !taken(stem))
        .unwrap_or(stem.clone());
    let mut moved = false;
    for end in ["", "-wal", "-shm"] {
        let from = beside(path, end);
        match durable::rename_synced(&from, &beside(path, &format!("{stem}{end}"))) {
            Ok(()) => moved = true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(io("rename", &from)(e)),
        }
    }
    wait_for_lock(users, FlockOperation::NonBlockingLockShared, path)?;
    let kept = if moved {
        format!(" and was set aside as `{}`", beside(path, &stem).display())
    } else {
        String::new()
    };
    Ok(format!(
        "the catalog was damaged ({what}){kept}; a new one was begun, and no snapshot is lost: \
         `backupctl catalog rebuild` reads the stores back"
    ))
}

fn lock_file(path: &Path) -> Result<File, CatalogError> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).open(path).map_err(io("open", path))
}

fn wait_for_lock(file: &File, operation: FlockOperation, path: &Path) -> Result<(), CatalogError> {
    if flock_within(file, operation, OPENING_WAIT_MAX).map_err(io("lock", path))? {
        Ok(())
    } else {
        Err(CatalogError::Busy)
    }
}

pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Which kind of I/O error it is, as far as the catalog tells them apart.
pub(super) fn io(deed: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CatalogError {
    move |source| {
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            CatalogError::Full
        } else if source.kind() == io::ErrorKind::ReadOnlyFilesystem {
            CatalogError::ReadOnly
        } else {
            CatalogError::Io { deed, path: path.to_owned(), source }
        }
    }
}
