//! Snapshots, as their manifests say and as this host found them.

use archive::channel::Totals;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Params, Row, Transaction, params};

use crate::catalog::rebuild::IndexRow;
use crate::catalog::row::{check_digest, decode, digest, from_nanos, nanos};
use crate::catalog::snapshot::{Filter, SnapshotKey, SnapshotRow, Verified};
use crate::catalog::snapshot::{consistency_parse, kind_parse, kind_word, verified_parse, verified_word};
use crate::catalog::{Catalog, CatalogError, Part, damaged_packs, flags, packs, pins};
use crate::format::names::Lineage;
use crate::words::{HostName, Number, RunId, SourceName};

const SELECT: &str = "SELECT stores.name, s.host, s.source, n.number, n.run, n.taken_at, n.kind, n.consistency, \
     n.by_hand, n.entries, n.files, n.bytes, n.data_bytes, n.sent_bytes, n.partial, n.manifest_hash, \
     n.deleted_at, n.verified_at, n.verified, n.set_id, n.seen_at, n.digest \
     FROM snapshots n JOIN sources s ON s.id = n.source JOIN stores ON stores.id = s.store";

impl Catalog {
    /// Remembers a snapshot and its packs. Twice is once. What this host knows of it besides is
    /// kept; a snapshot that is not deleted in the store is no longer deleted here.
    ///
    /// Another manifest under a number that is known is [`CatalogError::Replaced`]: numbers are never used
    /// again, so somebody put it there.
    pub fn put_snapshot(&self, new: &IndexRow) -> Result<(), CatalogError> {
        self.write(|t| {
            if let Some(known) = get(t, &new.snapshot.key)?
                && known.manifest_hash != new.snapshot.manifest_hash
            {
                return Err(CatalogError::Replaced(new.snapshot.key.to_string()));
            }
            put(t, new)
        })
    }

    /// One snapshot.
    pub fn snapshot(&self, key: &SnapshotKey) -> Result<Option<SnapshotRow>, CatalogError> {
        self.read_of(&[Part::Snapshots], |t| get(t, key))
    }

    /// Snapshots by the time at which they were taken, then by number; the newest last.
    pub fn snapshots(&self, filter: &Filter) -> Result<Vec<SnapshotRow>, CatalogError> {
        self.read_of(&[Part::Snapshots], |t| select(t, filter))
    }

    /// The last one of a lineage in the order of [`Self::snapshots`] that is not deleted.
    pub fn newest(&self, store: &str, lineage: &Lineage) -> Result<Option<SnapshotRow>, CatalogError> {
        self.read_of(&[Part::Snapshots], |t| {
            let sql = format!(
                "{SELECT} WHERE stores.name = ?1 AND s.host = ?2 AND s.source = ?3 AND n.deleted_at IS NULL \
                 ORDER BY n.taken_at DESC, n.number DESC LIMIT 1"
            );
            let mut query = t.prepare_cached(&sql)?;
            let mut rows = query.query(params![store, lineage.host.as_str(), lineage.source.to_string()])?;
            rows.next()?.map(from_row).transpose()
        })
    }

    /// It is soft-deleted. The time of the first call stays.
    pub fn mark_deleted(&self, key: &SnapshotKey, at: Timestamp) -> Result<(), CatalogError> {
        self.update(key, |row| row.deleted_at = row.deleted_at.or(Some(at)))
    }

    /// It was undeleted.
    pub fn mark_undeleted(&self, key: &SnapshotKey) -> Result<(), CatalogError> {
        self.update(key, |row| row.deleted_at = None)
    }

    /// It was read back.
    pub fn mark_verified(&self, key: &SnapshotKey, verified: Verified) -> Result<(), CatalogError> {
        self.update(key, |row| row.verified = Some(verified))
    }

    /// They were seen in the store; numbers that are not known are passed over.
    pub fn mark_seen(
        &self,
        store: &str,
        lineage: &Lineage,
        numbers: &[Number],
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|t| {
            let mut update = t.prepare_cached(
                "UPDATE snapshots SET seen_at = ?5 WHERE number = ?4 AND source = (SELECT s.id FROM sources s \
                 JOIN stores ON stores.id = s.store WHERE stores.name = ?1 AND s.host = ?2 AND s.source = ?3)",
            )?;
            let (host, source) = (lineage.host.as_str(), lineage.source.to_string());
            for number in numbers {
                update.execute(params![store, host, source, number.get(), nanos(at)?])?;
            }
            Ok(())
        })
    }

    /// It is gone from the store: forgets it, what was said of it, and the packs that nothing else needs. Twice is
    /// once.
    pub fn forget(&self, key: &SnapshotKey) -> Result<(), CatalogError> {
        self.write(|t| {
            pins::forget(t, key)?;
            flags::forget(t, key)?;
            let Some(source) = known_source_id(t, key)? else { return Ok(()) };
            t.prepare_cached("DELETE FROM snapshots WHERE source = ?1 AND number = ?2")?
                .execute(params![source, key.number.get()])?;
            packs::forget_unneeded(t, source)?;
            damaged_packs::forget_unneeded(t, key)?;
            // A lineage, or a store, of which nothing is left would not come back in a rebuild either.
            t.execute("DELETE FROM sources WHERE id NOT IN (SELECT source FROM snapshots)", [])?;
            t.execute("DELETE FROM stores WHERE id NOT IN (SELECT store FROM sources)", [])?;
            Ok(())
        })
    }

    fn update(&self, key: &SnapshotKey, change: impl FnOnce(&mut SnapshotRow)) -> Result<(), CatalogError> {
        self.write(|t| {
            let mut row = existing(t, key)?;
            change(&mut row);
            let verified = row.verified.map(|v| nanos(v.at)).transpose()?;
            t.prepare_cached(
                "UPDATE snapshots SET deleted_at = ?3, verified_at = ?4, verified = ?5, digest = ?6 \
                 WHERE source = ?1 AND number = ?2",
            )?
            .execute(params![
                source_id(t, key)?,
                key.number.get(),
                row.deleted_at.map(nanos).transpose()?,
                verified,
                row.verified.map(|v| verified_word(v.result)),
                row_digest(&row)?
            ])?;
            Ok(())
        })
    }
}

/// Sources first, and their snapshots by their key: in the order of the index of times, each lineage of many would
/// read all of them. The `+` keeps SQLite from that index.
pub(super) fn selecting() -> String {
    format!(
        "{SELECT} WHERE n.source IN (SELECT f.id FROM sources f JOIN stores g ON g.id = f.store \
         WHERE (?1 IS NULL OR g.name = ?1) AND (?2 IS NULL OR f.host = ?2) AND (?3 IS NULL OR f.source = ?3)) \
         AND (?4 OR n.deleted_at IS NULL) \
         ORDER BY +n.taken_at, n.number, s.host, s.source, stores.name"
    )
}

pub(super) fn select(t: &Transaction<'_>, filter: &Filter) -> Result<Vec<SnapshotRow>, CatalogError> {
    let host = filter.host.as_ref().map(HostName::as_str);
    let source = filter.source.as_ref().map(SourceName::to_string);
    rows_of(t, &selecting(), params![filter.store, host, source, filter.deleted])
}

/// What [`SELECT`], followed by `clause`, gives.
pub(super) fn rows_where(
    t: &Transaction<'_>,
    clause: &str,
    params: impl Params,
) -> Result<Vec<SnapshotRow>, CatalogError> {
    rows_of(t, &format!("{SELECT} {clause}"), params)
}

fn rows_of(t: &Transaction<'_>, sql: &str, params: impl Params) -> Result<Vec<SnapshotRow>, CatalogError> {
    let mut query = t.prepare_cached(sql)?;
    let mut rows = query.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(from_row(row)?);
    }
    Ok(found)
}

/// Writes the row. The caller has made sure that a row that is there has the same manifest, or is to go.
pub(super) fn put(t: &Transaction<'_>, new: &IndexRow) -> Result<(), CatalogError> {
    let mut row = new.snapshot.clone();
    if let Some(known) = get(t, &row.key)?.filter(|known| known.manifest_hash == row.manifest_hash) {
        row.verified = row.verified.or(known.verified);
        // Whether comes from the store; since when, from whoever saw it first.
        row.deleted_at = row.deleted_at.and(known.deleted_at.or(row.deleted_at));
    }
    let key = &row.key;
    t.prepare_cached("INSERT OR IGNORE INTO stores (name) VALUES (?1)")?.execute([&key.store])?;
    t.prepare_cached(
        "INSERT OR IGNORE INTO sources (store, host, source) SELECT id, ?2, ?3 FROM stores WHERE name = ?1",
    )?
    .execute(params![key.store, key.host.as_str(), key.source.to_string()])?;
    let source = source_id(t, key)?;
    let freed = t
        .prepare_cached("DELETE FROM needs WHERE source = ?1 AND number = ?2")?
        .execute(params![source, key.number.get()])?;
    t.prepare_cached(
        "INSERT INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
         ?17, ?18, ?19, ?20, x'') ON CONFLICT (source, number) DO UPDATE SET run = excluded.run, \
         taken_at = excluded.taken_at, kind = excluded.kind, consistency = excluded.consistency, \
         by_hand = excluded.by_hand, entries = excluded.entries, files = excluded.files, \
         bytes = excluded.bytes, data_bytes = excluded.data_bytes, sent_bytes = excluded.sent_bytes, \
         partial = excluded.partial, set_id = excluded.set_id, manifest_hash = excluded.manifest_hash, \
         deleted_at = excluded.deleted_at, seen_at = excluded.seen_at, verified_at = excluded.verified_at, \
         verified = excluded.verified, digest = excluded.digest",
    )?
    .execute(params![
        source,
        key.number.get(),
        row.run.as_str(),
        nanos(row.taken_at)?,
        kind_word(row.kind),
        row.consistency.word(),
        row.by_hand,
        row.totals.entries,
        row.totals.files,
        row.totals.bytes,
        row.totals.data_bytes,
        row.sent_bytes,
        row.partial,
        row.set.as_ref().map(RunId::as_str),
        row.manifest_hash,
        row.deleted_at.map(nanos).transpose()?,
        nanos(row.seen_at)?,
        row.verified.map(|v| nanos(v.at)).transpose()?,
        row.verified.map(|v| verified_word(v.result)),
        row_digest(&row)?
    ])?;
    packs::put(t, source, key.number, &new.packs)?;
    // Looking through all packs of the lineage is for a row that was there: a new one takes no pack's need away.
    if freed > 0 { packs::forget_unneeded(t, source) } else { Ok(()) }
}

/// Over the first 20 values of [`SELECT`]; not over `seen_at`, which decides nothing.
fn row_digest(row: &SnapshotRow) -> Result<[u8; 16], CatalogError> {
    digest(&[
        &row.key.store,
        &row.key.host.as_str(),
        &row.key.source.to_string(),
        &row.key.number.get(),
        &row.run.as_str(),
        &nanos(row.taken_at)?,
        &kind_word(row.kind),
        &row.consistency.word(),
        &row.by_hand,
        &row.totals.entries,
        &row.totals.files,
        &row.totals.bytes,
        &row.totals.data_bytes,
        &row.sent_bytes,
        &row.partial,
        &row.manifest_hash,
        &row.deleted_at.map(nanos).transpose()?,
        &row.verified.map(|v| nanos(v.at)).transpose()?,
        &row.verified.map(|v| verified_word(v.result)),
        &row.set.as_ref().map(RunId::as_str),
    ])
}

fn get(t: &Transaction<'_>, key: &SnapshotKey) -> Result<Option<SnapshotRow>, CatalogError> {
    let sql = format!("{SELECT} WHERE stores.name = ?1 AND s.host = ?2 AND s.source = ?3 AND n.number = ?4");
    let mut query = t.prepare_cached(&sql)?;
    let mut rows =
        query.query(params![key.store, key.host.as_str(), key.source.to_string(), key.number.get()])?;
    rows.next()?.map(from_row).transpose()
}

fn existing(t: &Transaction<'_>, key: &SnapshotKey) -> Result<SnapshotRow, CatalogError> {
    get(t, key)?.ok_or_else(|| CatalogError::NoSnapshot(key.to_string()))
}

fn known_source_id(t: &Transaction<'_>, key: &SnapshotKey) -> Result<Option<i64>, CatalogError> {
    let id = t
        .prepare_cached(
            "SELECT s.id FROM sources s JOIN stores ON stores.id = s.store \
             WHERE stores.name = ?1 AND s.host = ?2 AND s.source = ?3",
        )?
        .query_row(params![key.store, key.host.as_str(), key.source.to_string()], |row| row.get(0))
        .optional()?;
    Ok(id)
}

fn source_id(t: &Transaction<'_>, key: &SnapshotKey) -> Result<i64, CatalogError> {
    known_source_id(t, key)?.ok_or_else(|| CatalogError::NoSnapshot(key.to_string()))
}

/// A row as [`SELECT`] gives it.
fn from_row(row: &Row<'_>) -> Result<SnapshotRow, CatalogError> {
    const WHAT: &str = "snapshot";
    check_digest(row, 20, 21)?;
    let text = |i: usize| row.get::<_, String>(i);
    let time = |i: usize| row.get::<_, Option<i64>>(i)?.map(from_nanos).transpose();
    let word = |parsed: Option<_>| parsed.ok_or("unknown word");
    let verified = match (time(17)?, row.get::<_, Option<String>>(18)?) {
        (Some(at), Some(result)) => {
            let result = decode(WHAT, word(verified_parse(&result)))?;
            Some(Verified { at, result })
        }
        (None, None) => None,
        _ => return Err(CatalogError::Damaged("half a verification".to_owned())),
    };
    Ok(SnapshotRow {
        key: SnapshotKey {
            store: text(0)?,
            host: decode(WHAT, text(1)?.parse())?,
            source: decode(WHAT, text(2)?.parse())?,
            number: decode(WHAT, Number::new(row.get(3)?).ok_or("not a number"))?,
        },
        run: decode(WHAT, text(4)?.parse())?,
        taken_at: from_nanos(row.get(5)?)?,
        kind: decode(WHAT, kind_parse(&text(6)?).ok_or("unknown kind"))?,
        consistency: decode(WHAT, consistency_parse(&text(7)?).ok_or("unknown consistency"))?,
        by_hand: row.get(8)?,
        totals: Totals {
            entries: row.get(9)?,
            files: row.get(10)?,
            bytes: row.get(11)?,
            data_bytes: row.get(12)?,
        },
        sent_bytes: row.get(13)?,
        partial: row.get(14)?,
        manifest_hash: row.get(15)?,
        deleted_at: time(16)?,
        verified,
        set: row.get::<_, Option<String>>(19)?.map(|id| decode(WHAT, id.parse())).transpose()?,
        seen_at: from_nanos(row.get(20)?)?,
    })
}
