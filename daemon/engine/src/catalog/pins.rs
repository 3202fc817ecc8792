//! Pins: snapshots of which a person said that they stay.
//!
//! This host's own, as a person said it here: lost with the catalog, and not brought back by a rebuild.

use jiff::Timestamp;
use rusqlite::{Row, Transaction, params};

use crate::catalog::row::{check_digest, decode, digest, from_nanos, nanos};
use crate::catalog::{Catalog, CatalogError, SnapshotKey};
use crate::words::Number;

/// Longer notes are cut.
const NOTE_BYTES_MAX: usize = 1024;

/// One pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// What stays.
    pub key: SnapshotKey,
    /// Since when.
    pub at: Timestamp,
    /// Why, in a person's words; may be empty.
    pub note: String,
}

impl Catalog {
    /// It stays. A second pin replaces time and note.
    pub fn pin(&self, pin: &Pin) -> Result<(), CatalogError> {
        let Pin { key, at, note } = pin;
        let note = &note[..note.floor_char_boundary(NOTE_BYTES_MAX)];
        let (host, source, at) = (key.host.as_str(), key.source.to_string(), nanos(*at)?);
        let digest = digest(&[&key.store, &host, &source, &key.number.get(), &at, &note])?;
        self.write(|t| {
            t.prepare_cached("INSERT OR REPLACE INTO pins VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
                .execute(params![key.store, host, source, key.number.get(), at, note, digest])?;
            Ok(())
        })
    }

    /// It stays no longer than others; whether it was pinned.
    pub fn unpin(&self, key: &SnapshotKey) -> Result<bool, CatalogError> {
        self.write(|t| forget(t, key))
    }

    /// All pins in a store.
    pub fn pins(&self, store: &str) -> Result<Vec<Pin>, CatalogError> {
        self.read(|t| {
            let mut query = t.prepare_cached(
                "SELECT store, host, source, number, at, note, digest FROM pins WHERE store = ?1",
            )?;
            let mut rows = query.query([store])?;
            let mut pins = Vec::new();
            while let Some(row) = rows.next()? {
                check_digest(row, 6, 6)?;
                pins.push(Pin { key: key(row)?, at: from_nanos(row.get(4)?)?, note: row.get(5)? });
            }
            Ok(pins)
        })
    }
}

pub(super) fn forget(t: &Transaction<'_>, key: &SnapshotKey) -> Result<bool, CatalogError> {
    let gone = t
        .prepare_cached("DELETE FROM pins WHERE store = ?1 AND host = ?2 AND source = ?3 AND number = ?4")?
        .execute(params![key.store, key.host.as_str(), key.source.to_string(), key.number.get()])?;
    Ok(gone > 0)
}

/// From the first four columns.
pub(super) fn key(row: &Row<'_>) -> Result<SnapshotKey, CatalogError> {
    const WHAT: &str = "pin or flag";
    let text = |i: usize| row.get::<_, String>(i);
    Ok(SnapshotKey {
        store: text(0)?,
        host: decode(WHAT, text(1)?.parse())?,
        source: decode(WHAT, text(2)?.parse())?,
        number: decode(WHAT, Number::new(row.get(3)?).ok_or("not a number"))?,
    })
}
