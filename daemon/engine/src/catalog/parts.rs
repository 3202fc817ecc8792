//! The structure of the catalog, checked part by part or whole.
//!
//! SQLite finds most damage only when it is asked to look, and a row that only an index has lost would be missing
//! without a word. Looking at all of a large catalog takes longer than what most people ask of it.
//!
//! Always true: since this process opened the catalog, a part was checked before anything is read from it, and all of it
//! before anything is written. Whoever is about to write, or stays for long, has all of it checked while opening, where
//! a damaged catalog can still be set aside.

use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

use crate::catalog::CatalogError;

/// What is checked on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The journal, and the names of stores and sources: small, and always checked while opening.
    Small,
    /// The rows of snapshots.
    Snapshots,
    /// Which snapshot needs which pack.
    Packs,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Small, Self::Snapshots, Self::Packs];

    /// Its tables; indexes belong to them.
    pub(super) fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Small => &["stores", "sources", "runs", "freezes", "events", "pins", "flags", "prunes"],
            Self::Snapshots => &["snapshots"],
            Self::Packs => &["packs", "needs"],
        }
    }
}

/// What has been checked since the catalog was opened. It only grows, and twice is harmless.
#[derive(Debug, Default)]
pub(super) struct Checked {
    snapshots: AtomicBool,
    packs: AtomicBool,
    whole: AtomicBool,
}

impl Checked {
    /// After [`check_whole`].
    pub(super) fn all() -> Self {
        let yes = || AtomicBool::new(true);
        Self { snapshots: yes(), packs: yes(), whole: yes() }
    }

    fn of(&self, part: Part) -> Option<&AtomicBool> {
        match part {
            Part::Small => None,
            Part::Snapshots => Some(&self.snapshots),
            Part::Packs => Some(&self.packs),
        }
    }

    /// Before something is read from `part`.
    pub(super) fn to_read(&self, part: Part, connection: &Connection) -> Result<(), CatalogError> {
        let Some(done) = self.of(part) else { return Ok(()) };
        if !done.load(Ordering::Acquire) {
            check_part(connection, part)?;
            done.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Before something is written. A page that is free by mistake could be taken while it is in use.
    pub(super) fn to_write(&self, connection: &Connection) -> Result<(), CatalogError> {
        if !self.whole.load(Ordering::Acquire) {
            check_whole(connection)?;
            for done in Part::ALL.iter().filter_map(|part| self.of(*part)) {
                done.store(true, Ordering::Release);
            }
            self.whole.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// `integrity_check` rather than `quick_check`: it compares indexes with their tables too.
pub(super) fn check_whole(connection: &Connection) -> Result<(), CatalogError> {
    ask(connection, "PRAGMA integrity_check(1)")?;
    refers(connection, "PRAGMA foreign_key_check")
}

/// The same for the tables of a part and their indexes.
pub(super) fn check_part(connection: &Connection, part: Part) -> Result<(), CatalogError> {
    for table in part.tables() {
        ask(connection, &format!("PRAGMA integrity_check({table})"))?;
        refers(connection, &format!("PRAGMA foreign_key_check({table})"))?;
    }
    Ok(())
}

fn ask(connection: &Connection, question: &str) -> Result<(), CatalogError> {
    let said: String = connection.query_row(question, [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(CatalogError::Damaged(said)) }
}

fn refers(connection: &Connection, question: &str) -> Result<(), CatalogError> {
    let mut dangling = connection.prepare(question)?;
    if let Some(row) = dangling.query([])?.next()? {
        let table: String = row.get(0)?;
        return Err(CatalogError::Damaged(format!("a row of `{table}` refers to nothing")));
    }
    Ok(())
}
