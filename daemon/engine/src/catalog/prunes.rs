//! When retention was last carried out.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use crate::catalog::row::{from_nanos, nanos};
use crate::catalog::{Catalog, CatalogError};
use crate::format::names::Lineage;

impl Catalog {
    /// A prune of a lineage came to its end.
    pub fn note_pruned(&self, store: &str, lineage: &Lineage, at: Timestamp) -> Result<(), CatalogError> {
        let (host, source, at) = (lineage.host.as_str(), lineage.source.to_string(), nanos(at)?);
        self.write(|t| {
            t.prepare_cached("INSERT OR REPLACE INTO prunes VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![store, host, source, at])?;
            Ok(())
        })
    }

    /// When the last prune of a lineage came to its end. For people and alarms; nothing is decided by it.
    pub fn pruned_at(&self, store: &str, lineage: &Lineage) -> Result<Option<Timestamp>, CatalogError> {
        self.read(|t| {
            let at = t
                .prepare_cached("SELECT at FROM prunes WHERE store = ?1 AND host = ?2 AND source = ?3")?
                .query_row(params![store, lineage.host.as_str(), lineage.source.to_string()], |row| {
                    row.get(0)
                })
                .optional()?;
            at.map(from_nanos).transpose()
        })
    }
}
