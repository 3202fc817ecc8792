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
    /// The rows of snapshots.
    Snapshots,
    /// Which snapshot needs which pack.
    Packs,
}

impl Part {
    const ALL: [Self; 2] = [Self::Snapshots, Self::Packs];

    /// Its tables; indexes belong to them.
    fn tables(self) -> &'static [&'static str] {
        match self {
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

    fn of(&self, part: Part) -> &AtomicBool {
        match part {
            Part::Snapshots => &self.snapshots,
            Part::Packs => &self.packs,
        }
    }

    /// Before something is read from `part`.
    pub(super) fn to_read(&self, part: Part, connection: &Connection) -> Result<(), CatalogError> {
        let done = self.of(part);
        if !done.load(Ordering::Acquire) {
            part.tables().iter().try_for_each(|table| check_table(connection, table))?;
            done.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Before something is written. A page that is free by mistake could be taken while it is in use.
    pub(super) fn to_write(&self, connection: &Connection) -> Result<(), CatalogError> {
        if !self.whole.load(Ordering::Acquire) {
            check_whole(connection)?;
            Part::ALL.iter().for_each(|part| self.of(*part).store(true, Ordering::Release));
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

/// All tables but those of parts: the journal, and the names of stores and sources. They are small.
pub(super) fn check_small(connection: &Connection) -> Result<(), CatalogError> {
    let mut query = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")?;
    let tables = query.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let is_small = |table: &&String| Part::ALL.iter().all(|part| !part.tables().contains(&table.as_str()));
    tables.iter().filter(is_small).try_for_each(|table| check_table(connection, table))
}

/// As [`check_whole`], for one table and its indexes.
fn check_table(connection: &Connection, table: &str) -> Result<(), CatalogError> {
    ask(connection, &format!("PRAGMA integrity_check({table})"))?;
    refers(connection, &format!("PRAGMA foreign_key_check({table})"))
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
