//! Migrations: from whatever version is there to ours, all in one transaction.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::catalog::CatalogError;
use crate::catalog::open::{beside, io};
use crate::durable;

/// Each brings `user_version` up by one. A released one never changes.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
];

/// The schema is text inside the file; one with a letter changed may still be valid SQL.
pub(super) fn check_schema(connection: &Connection, migrations: &[&str]) -> Result<(), CatalogError> {
    let model = Connection::open_in_memory()?;
    for sql in migrations {
        model.execute_batch(sql)?;
    }
    if schema(connection)? == schema(&model)? {
        Ok(())
    } else {
        Err(CatalogError::Damaged("its tables are not those that this version makes".to_owned()))
    }
}

fn schema(connection: &Connection) -> Result<Vec<String>, CatalogError> {
    let mut query = connection
        .prepare("SELECT type || ' ' || name || ' ' || ifnull(sql, '') FROM sqlite_schema ORDER BY 1")?;
    let lines = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(lines)
}

/// All steps in one transaction: a crash leaves the old version, whole. Before that, what existing data was
/// like is copied aside.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    found: u32,
    migrations: &[&str],
) -> Result<(), CatalogError> {
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found == known {
        return Ok(());
    }
    if found > 0 {
        copy_aside(connection, path, found)?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    for sql in &migrations[found as usize..] {
        transaction.execute_batch(sql)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    if found > 0 {
        // What a step has emptied are pages that every check would pass through. They only cost time, so it is no
        // failure if there is no room for this, or if somebody reads.
        if let Err(why) = connection.execute_batch("VACUUM") {
            tracing::debug!(%why, "leave empty pages in the catalog");
        }
    }
    Ok(())
}

fn copy_aside(connection: &Connection, path: &Path, found: u32) -> Result<(), CatalogError> {
    let copy = beside(path, &format!(".version-{found}"));
    let unfinished = beside(path, ".version-copy");
    match fs::remove_file(&unfinished) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io("remove", &unfinished)(e)),
        // It is gone, or was never there. It is ours alone: the opening lock is held.
        _ => {}
    }
    let name = unfinished.to_str().ok_or_else(|| CatalogError::Value(format!("path {unfinished:?}")))?;
    connection.execute("VACUUM INTO ?1", [name])?;
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io("sync", &unfinished))?;
    durable::rename_synced(&unfinished, &copy).map_err(io("rename", &unfinished))
}
