//! Packs in which a verification found damage.
//!
//! A snapshot that is damaged says nothing of those that share its packs, and the next backup leans on a pack, not on a
//! snapshot. This host's own: lost with the catalog, until somebody verifies again.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::catalog::row::{check_digest, digest, nanos};
use crate::catalog::{Catalog, CatalogError, SnapshotKey};
use crate::format::names::Lineage;

impl Catalog {
    /// What a verification found of packs, by the names of their files. What it found last counts.
    pub fn note_packs(
        &self,
        store: &str,
        lineage: &Lineage,
        damaged: &[&str],
        whole: &[&str],
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        let (host, source, at) = (lineage.host.as_str(), lineage.source.to_string(), nanos(at)?);
        self.write(|t| {
            for pack in damaged {
                let digest = digest(&[&store, &host, &source, pack, &at])?;
                t.prepare_cached("INSERT OR REPLACE INTO damaged_packs VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                    .execute(params![store, host, source, pack, at, digest])?;
            }
            for pack in whole {
                t.prepare_cached(
                    "DELETE FROM damaged_packs WHERE store = ?1 AND host = ?2 AND source = ?3 AND pack = ?4",
                )?
                .execute(params![store, host, source, pack])?;
            }
            Ok(())
        })
    }

    /// The packs of a lineage that are damaged, as far as a verification found, by the names of their files.
    pub fn damaged_packs(&self, store: &str, lineage: &Lineage) -> Result<BTreeSet<String>, CatalogError> {
        self.read(|t| {
            let mut query = t.prepare_cached(
                "SELECT store, host, source, pack, at, digest FROM damaged_packs \
                 WHERE store = ?1 AND host = ?2 AND source = ?3",
            )?;
            let mut rows = query.query(params![store, lineage.host.as_str(), lineage.source.to_string()])?;
            let mut packs = BTreeSet::new();
            while let Some(row) = rows.next()? {
                check_digest(row, 5, 5)?;
                packs.insert(row.get(3)?);
            }
            Ok(packs)
        })
    }
}

/// Forgets those of the snapshot's lineage that nothing needs any more.
pub(super) fn forget_unneeded(t: &Transaction<'_>, key: &SnapshotKey) -> Result<(), CatalogError> {
    t.prepare_cached(
        "DELETE FROM damaged_packs WHERE store = ?1 AND host = ?2 AND source = ?3 \
         AND pack NOT IN (SELECT name FROM packs)",
    )?
    .execute(params![key.store, key.host.as_str(), key.source.to_string()])?;
    Ok(())
}
