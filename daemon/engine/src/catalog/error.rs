//! Why the catalog could not do a thing.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::catalog::run_state::IllegalEvent;
use crate::words::RunId;

/// The catalog could not do a thing. Nothing of the transaction remains.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file, its folder, or one of its neighbours.
    #[error("{deed} `{}`", path.display())]
    Io {
        /// The bare verb.
        deed: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A newer program wrote it.
    #[error("catalog `{}` is of version {found}, and this program reads up to version {known}", path.display())]
    Newer {
        /// The catalog.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// It is damaged, and another process still works with it, so it cannot be set aside.
    #[error("catalog `{}` is damaged ({what}), and another process has it open", path.display())]
    DamagedInUse {
        /// The catalog.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// Something that was read cannot be what was written.
    #[error("the catalog is damaged: {0}")]
    Damaged(String),
    /// Another process held it for too long.
    #[error("the catalog is held by another process")]
    Busy,
    /// No space.
    #[error("no space left for the catalog")]
    Full,
    /// The file or its file system takes no writes.
    #[error("the catalog is read-only")]
    ReadOnly,
    /// No such run.
    #[error("no run `{0}` in the catalog")]
    NoRun(RunId),
    /// No such snapshot.
    #[error("no snapshot `{0}` in the catalog")]
    NoSnapshot(String),
    /// Under this number there was another manifest: somebody replaced it.
    #[error("snapshot `{0}` has another manifest than the one that this host remembers")]
    Replaced(String),
    /// The run is not in a state for this.
    #[error("run `{run}`: {illegal}")]
    Illegal {
        /// Which.
        run: RunId,
        /// State and event.
        illegal: IllegalEvent,
    },
    /// A value that no column holds.
    #[error("value out of bounds: {0}")]
    Value(String),
    /// Everything else that SQLite says.
    #[error("catalog")]
    Sqlite(#[source] rusqlite::Error),
}

impl CatalogError {
    /// The next thing to type or do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Newer { .. } => Some("use the newer program".to_owned()),
            Self::DamagedInUse { .. } => Some(
                "stop the daemon (`systemctl stop backupd`), then `backupctl catalog rebuild`; no snapshot is lost"
                    .to_owned(),
            ),
            Self::Damaged(_) => Some("`backupctl catalog rebuild`; no snapshot is lost".to_owned()),
            Self::Busy => Some("try again; `backupctl runs` shows what is running".to_owned()),
            Self::Full => Some("free space on the disk of the state folder".to_owned()),
            Self::ReadOnly => Some("mount the disk of the state folder writable".to_owned()),
            Self::NoRun(_) => Some("`backupctl runs`".to_owned()),
            Self::NoSnapshot(_) => Some("`backupctl snapshots`".to_owned()),
            Self::Replaced(snapshot) => Some(format!(
                "someone replaced it in the store: `backupctl verify {snapshot}`; if the store was moved or made \
                 anew, `backupctl catalog rebuild`"
            )),
            Self::Io { .. } | Self::Illegal { .. } | Self::Value(_) | Self::Sqlite(_) => None,
        }
    }

    /// Whether trying again later can help. No `_` arm: a new kind must decide.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Busy => true,
            Self::Io { .. }
            | Self::Newer { .. }
            | Self::DamagedInUse { .. }
            | Self::Damaged(_)
            | Self::Full
            | Self::ReadOnly
            | Self::NoRun(_)
            | Self::NoSnapshot(_)
            | Self::Replaced(_)
            | Self::Illegal { .. }
            | Self::Value(_)
            | Self::Sqlite(_) => false,
        }
    }
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        // The types of columns are ours (STRICT tables), so a value that does not fit was changed on disk.
        if let E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::Utf8Error(..) = &error
        {
            return Self::Damaged(error.to_string());
        }
        if let E::ToSqlConversionFailure(why) = &error {
            return Self::Value(why.to_string());
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Sqlite(error),
        }
    }
}
