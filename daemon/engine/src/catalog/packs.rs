//! Packs, as the manifests that the catalog knows name them.

use rusqlite::{Transaction, params};

use crate::catalog::row::{check_digest, decode, digest};
use crate::catalog::{Catalog, CatalogError, Part};
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
        self.read_of(&[Part::Packs], |t| select(t, store, lineage))
    }

    /// Which snapshots of the lineage need the pack, oldest number first.
    pub fn needed_by(&self, store: &str, lineage: &Lineage, pack: u64) -> Result<Vec<Number>, CatalogError> {
        self.read_of(&[Part::Packs], |t| needed_by(t, store, lineage, pack))
    }
}

pub(super) fn select(
    t: &Transaction<'_>,
    store: &str,
    lineage: &Lineage,
) -> Result<Vec<PackRow>, CatalogError> {
    let mut query = t.prepare_cached(
        "SELECT p.source, id, p.name, length, digest FROM packs p WHERE source = (SELECT s.id FROM sources s \
         JOIN stores ON stores.id = s.store WHERE stores.name = ?1 AND s.host = ?2 AND s.source = ?3) \
         ORDER BY id",
    )?;
    let mut rows = query.query(params![store, lineage.host.as_str(), lineage.source.to_string()])?;
    let mut packs = Vec::new();
    while let Some(row) = rows.next()? {
        check_digest(row, 4, 4)?;
        packs.push(PackRow { id: row.get(1)?, name: row.get(2)?, length: row.get(3)? });
    }
    Ok(packs)
}

pub(super) fn needed_by(
    t: &Transaction<'_>,
    store: &str,
    lineage: &Lineage,
    pack: u64,
) -> Result<Vec<Number>, CatalogError> {
    let mut query = t.prepare_cached(
        "SELECT source, number, pack, digest FROM needs WHERE pack = ?4 AND source = (SELECT s.id FROM sources s \
         JOIN stores ON stores.id = s.store WHERE stores.name = ?1 AND s.host = ?2 AND s.source = ?3) \
         ORDER BY number",
    )?;
    let mut rows = query.query(params![store, lineage.host.as_str(), lineage.source.to_string(), pack])?;
    let mut numbers = Vec::new();
    while let Some(row) = rows.next()? {
        check_digest(row, 3, 3)?;
        numbers.push(decode("needs", Number::new(row.get(1)?).ok_or("not a number"))?);
    }
    Ok(numbers)
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
            "INSERT INTO packs (source, id, name, length, digest) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (source, id) DO UPDATE SET name = excluded.name, length = excluded.length, \
             digest = excluded.digest",
        )?
        .execute(params![
            source,
            pack.id,
            pack.name,
            pack.length,
            digest(&[&source, &pack.id, &pack.name, &pack.length])?
        ])?;
        t.prepare_cached(
            "INSERT OR IGNORE INTO needs (source, number, pack, digest) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            source,
            number.get(),
            pack.id,
            digest(&[&source, &number.get(), &pack.id])?
        ])?;
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
