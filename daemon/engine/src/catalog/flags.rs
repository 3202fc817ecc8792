//! What the guard said of snapshots, until somebody acknowledges it.
//!
//! Written before the snapshot is committed, so that no crash lets one in unflagged; a flag of a snapshot that was
//! never committed says nothing. This host's own, as the acknowledgement is: lost with the catalog.

use jiff::Timestamp;
use policies::retention::guard::Flag;
use rusqlite::{Transaction, params};
use serde::{Deserialize, Serialize};

use crate::catalog::row::{check_digest, decode, digest, from_nanos, nanos};
use crate::catalog::{Catalog, CatalogError, SnapshotKey, pins};
use crate::format::names::Lineage;

/// A flag that stands or stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flagged {
    /// The snapshot.
    pub key: SnapshotKey,
    /// What looks wrong in it.
    pub flag: Flag,
    /// Since when.
    pub at: Timestamp,
    /// When somebody said that it is fine.
    pub acknowledged_at: Option<Timestamp>,
}

/// A flag as the row has it.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Flag", rename_all = "snake_case", deny_unknown_fields)]
enum Stored {
    Shrunk { from: u64, to: u64, limit: u8 },
    FilesLost { from: u64, to: u64, limit: u8 },
    IdentityChanged { from: String, to: Option<String> },
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Cell(#[serde(with = "Stored")] Flag);

impl Catalog {
    /// What the guard says of a snapshot, in place of all that it said of that number before.
    pub fn set_flags(&self, key: &SnapshotKey, flags: &[Flag], at: Timestamp) -> Result<(), CatalogError> {
        self.write(|t| {
            forget(t, key)?;
            for flag in flags {
                let flagged = Flagged { key: key.clone(), flag: flag.clone(), at, acknowledged_at: None };
                put(t, &flagged)?;
            }
            Ok(())
        })
    }

    /// All flags of a lineage, acknowledged ones among them, the oldest number first.
    pub fn flags(&self, store: &str, lineage: &Lineage) -> Result<Vec<Flagged>, CatalogError> {
        self.read(|t| select(t, store, lineage))
    }

    /// Somebody has seen all flags of a lineage; gives those that nobody had seen before.
    pub fn acknowledge(
        &self,
        store: &str,
        lineage: &Lineage,
        at: Timestamp,
    ) -> Result<Vec<Flagged>, CatalogError> {
        self.write(|t| {
            let mut seen = select(t, store, lineage)?;
            seen.retain(|flagged| flagged.acknowledged_at.is_none());
            for flagged in &mut seen {
                flagged.acknowledged_at = Some(at);
                put(t, flagged)?;
            }
            Ok(seen)
        })
    }
}

fn select(t: &Transaction<'_>, store: &str, lineage: &Lineage) -> Result<Vec<Flagged>, CatalogError> {
    let mut query = t.prepare_cached(
        "SELECT store, host, source, number, flag, at, acknowledged_at, digest FROM flags \
         WHERE store = ?1 AND host = ?2 AND source = ?3 ORDER BY number, flag",
    )?;
    let mut rows = query.query(params![store, lineage.host.as_str(), lineage.source.to_string()])?;
    let mut flags = Vec::new();
    while let Some(row) = rows.next()? {
        check_digest(row, 7, 7)?;
        let Cell(flag) = decode("flag", serde_json::from_str(&row.get::<_, String>(4)?))?;
        flags.push(Flagged {
            key: pins::key(row)?,
            flag,
            at: from_nanos(row.get(5)?)?,
            acknowledged_at: row.get::<_, Option<i64>>(6)?.map(from_nanos).transpose()?,
        });
    }
    Ok(flags)
}

fn put(t: &Transaction<'_>, flagged: &Flagged) -> Result<(), CatalogError> {
    let key = &flagged.key;
    let (host, source, number) = (key.host.as_str(), key.source.to_string(), key.number.get());
    let flag = serde_json::to_string(&Cell(flagged.flag.clone()));
    let flag = flag.map_err(|e| CatalogError::Value(e.to_string()))?;
    let (at, seen) = (nanos(flagged.at)?, flagged.acknowledged_at.map(nanos).transpose()?);
    let digest = digest(&[&key.store, &host, &source, &number, &flag, &at, &seen])?;
    t.prepare_cached("INSERT OR REPLACE INTO flags VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![key.store, host, source, number, flag, at, seen, digest])?;
    Ok(())
}

pub(super) fn forget(t: &Transaction<'_>, key: &SnapshotKey) -> Result<(), CatalogError> {
    t.prepare_cached("DELETE FROM flags WHERE store = ?1 AND host = ?2 AND source = ?3 AND number = ?4")?
        .execute(params![key.store, key.host.as_str(), key.source.to_string(), key.number.get()])?;
    Ok(())
}
