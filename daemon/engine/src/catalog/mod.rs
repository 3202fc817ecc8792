//! What this host remembers, in SQLite.
//!
//! Two parts. The **index** of the stores (stores, sources, snapshots, packs) can be read back from the signed
//! manifests: [`rebuild`] makes its rows, for a commit and for a rebuild alike. The **journal** (runs, freezes, drills,
//! events, pins, the guard's flags, packs found damaged) is this host's own; each run's row is written before the outside world changes.
//!
//! Daemon and command line open the catalog at once. Every call here is one short transaction that blocks
//! for at most [`BUSY_WAIT_MAX`] and ends in a typed error; nothing is held between calls. A commit
//! returns when it would survive a power cut.
//!
//! SQLite sees damage to its structure when it is asked to look (`parts`), but not a flipped bit inside a value. So rows on which a restore, a
//! delete or a recovery depends carry a digest, checked whenever they are read. What cannot be seen: a whole page, or
//! the whole file, in an older valid state. The stores are the truth, and no delete is decided by the catalog alone.

mod damaged_packs;
mod drills;
mod error;
mod events;
mod flags;
mod freezes;
pub mod journal;
mod latest;
mod migrate;
mod open;
mod packs;
mod parts;
mod pins;
mod prunes;
pub mod rebuild;
mod row;
mod run;
pub mod run_state;
mod runs;
mod snapshot;
mod snapshots;
mod unbegun;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use self::parts::{Checked, Part};

pub use drills::{DRILLS_MAX, DrillResult, DrillRow, OUTPUT_BYTES_MAX};
pub use error::CatalogError;
pub use events::{EVENT_TEXT_BYTES_MAX, EVENTS_MAX, Event, Level};
pub use flags::Flagged;
pub use freezes::{Freeze, How};
pub use latest::LatestSnapshots;
pub use open::{BUSY_WAIT_MAX, Opened};
pub use packs::PackRow;
pub use pins::Pin;
pub use run::{NewRun, Outcome, Progress, RunRow, Upload, Verb};
pub use runs::RUNS_MAX;
pub use snapshot::{Filter, SnapshotKey, SnapshotRow, Verified, VerifiedResult};

/// The open catalog. Shared between threads; every method blocks shortly.
#[derive(Debug)]
pub struct Catalog {
    path: PathBuf,
    connection: Mutex<Connection>,
    checked: Checked,
    /// Held shared for as long as the catalog is open, so that nobody sets the file aside under us.
    _users: File,
}

impl Catalog {
    /// Reads in one transaction, so that several statements see one moment; from what opening has checked.
    fn read<T>(
        &self,
        deed: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        self.read_of(&[], deed)
    }

    /// The same, from these parts as well.
    fn read_of<T>(
        &self,
        parts: &[Part],
        deed: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let connection = self.lock();
        for part in parts {
            self.checked.to_read(*part, &connection)?;
        }
        Self::transact(connection, TransactionBehavior::Deferred, deed)
    }

    /// Writes in one transaction that is whole or not there.
    fn write<T>(
        &self,
        deed: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let connection = self.lock();
        self.checked.to_write(&connection)?;
        Self::transact(connection, TransactionBehavior::Immediate, deed)
    }

    fn transact<T>(
        mut connection: MutexGuard<'_, Connection>,
        behavior: TransactionBehavior,
        deed: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        // Dropping the transaction without a commit rolls back.
        let transaction = connection.transaction_with_behavior(behavior)?;
        let done = deed(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic in another thread rolled its transaction back; the connection itself is sound.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
