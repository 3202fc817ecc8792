//! Packs, as the manifests that the catalog knows name them.

use rusqlite::{Transaction, params};

use crate::catalog::row::decode;
use crate::catalog::{Catalog, CatalogError};
use crate::format::names::Lineage;
use crate::words::Number;

/// A pack that some known snapshot needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackRow {
    /// Its id within the lineage.
    pub id: u64,
    /// Its file name in the lineage's folder.
    pub name: String,
    /// All of its bytes.
    pub length: u64,
}

impl Catalog {
    /// The packs of a lineage, by id; soft-deleted snapshots need theirs too.
    pub fn packs(&self, store: &str, lineage: &Lineage) -> Result<Vec<PackRow>, CatalogError> {
        self.read(|t| {
            let mut query = t.prepare_cached(
                "SELECT id, name, length FROM packs WHERE source = (SELECT s.id FROM sources s JOIN stores ON \
                 stores.id = s.store WHERE stores.name = ?1 AND s.host = ?2 AND s.source = ?3) ORDER BY id",
            )?;
            let mut rows =
                query.query(params![store, lineage.host.as_str(), lineage.source.to_string()])?;
            let mut packs = Vec::new();
            while let Some(row) = rows.next()? {
                packs.push(PackRow { id: row.get(0)?, name: row.get(1)?, length: row.get(2)? });
            }
            Ok(packs)
        })
    }

    /// Which snapshots of the lineage need the pack, oldest number first.
    pub fn needed_by(&self, store: &str, lineage: &Lineage, pack: u64) -> Result<Vec<Number>, CatalogError> {
        self.read(|t| {
            let mut query = t.prepare_cached(
                "SELECT number FROM needs WHERE pack = ?4 AND source = (SELECT s.id FROM sources s JOIN stores ON \
                 stores.id = s.store WHERE stores.name = ?1 AND s.host = ?2 AND s.source = ?3) ORDER BY number",
            )?;
            let mut rows =
                query.query(params![store, lineage.host.as_str(), lineage.source.to_string(), pack])?;
            let mut numbers = Vec::new();
            while let Some(row) = rows.next()? {
                numbers.push(decode("needs", Number::new(row.get(0)?).ok_or("not a number"))?);
            }
            Ok(numbers)
        })
    }
}

/// Writes the packs of one snapshot, and that it needs them.
pub(super) fn put(
    t: &Transaction<'_>,
    source: i64,
    number: Number,
    packs: &[PackRow],
) -> Result<(), CatalogError> {
    for pack in packs {
        t.prepare_cached(
            "INSERT INTO packs (source, id, name, length) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (source, id) DO UPDATE SET name = excluded.name, length = excluded.length",
        )?
        .execute(params![source, pack.id, pack.name, pack.length])?;
        t.prepare_cached("INSERT OR IGNORE INTO needs (source, number, pack) VALUES (?1, ?2, ?3)")?
            .execute(params![source, number.get(), pack.id])?;
    }
    Ok(())
}

/// Forgets packs that no known snapshot needs any more.
pub(super) fn forget_unneeded(t: &Transaction<'_>, source: i64) -> Result<(), CatalogError> {
    t.prepare_cached(
        "DELETE FROM packs WHERE source = ?1 AND NOT EXISTS \
         (SELECT 1 FROM needs WHERE needs.source = packs.source AND needs.pack = packs.id)",
    )?
    .execute([source])?;
    Ok(())
}
