//! The index part of the catalog from the stores alone.
//!
//! [`index_row`] is the only maker of index rows: a commit uses it on the object that it has just put, a
//! rebuild on what it reads back. So a rebuilt index is the one that was lost.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jiff::Timestamp;

use crate::catalog::{
    Catalog, CatalogError, Filter, PackRow, Part, SnapshotKey, SnapshotRow, packs, snapshots,
};
use crate::format::key::PublicKey;
use crate::format::manifest::{Manifest, ManifestError};
use crate::format::names::{LineageKey, lineage_of};
use crate::format::signed::{self, SignatureError};
use crate::words::HostName;

/// All that the index has of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    /// The row.
    pub snapshot: SnapshotRow,
    /// The packs that it needs, by id.
    pub packs: Vec<PackRow>,
}

/// Why an object that is named like a manifest gives no row.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Its name is not a manifest's.
    #[error("its name is not that of a manifest")]
    Name,
    /// Its signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Its body.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// An object that was passed over, with its reason.
#[derive(Debug)]
pub struct PassedOver {
    /// Its key in the store.
    pub key: String,
    /// Why.
    pub why: IndexError,
}

/// The row of the manifest object `bytes` that lies at `key` in `store`, signed by `signer` if one is expected.
/// A soft-deleted one counts as deleted since `now`: too late a time keeps it longer, never shorter.
pub fn index_row(
    store: &str,
    key: &str,
    bytes: &Bytes,
    signer: Option<&PublicKey>,
    now: Timestamp,
) -> Result<IndexRow, IndexError> {
    let lineage = lineage_of(key).ok_or(IndexError::Name)?;
    let (number, deleted) = match lineage.parse(key) {
        Some(LineageKey::Manifest(number)) => (number, false),
        Some(LineageKey::Deleted(number)) => (number, true),
        Some(LineageKey::Pack { .. }) | None => return Err(IndexError::Name),
    };
    let opened = signed::open(bytes)?;
    if let Some(signer) = signer {
        opened.expect(signer)?;
    }
    let manifest = Manifest::parse(opened.body)?;
    if (&manifest.host, &manifest.source, manifest.number) != (&lineage.host, &lineage.source, number) {
        let says = format!("{}/{}@{}", manifest.host, manifest.source, manifest.number);
        return Err(ManifestError::Misplaced(says).into());
    }
    let mut packs: Vec<_> = manifest
        .packs
        .iter()
        .map(|pack| PackRow { id: pack.id, name: pack.name.clone(), length: pack.length })
        .collect();
    packs.sort_unstable();
    let snapshot = SnapshotRow {
        sent_bytes: manifest.sent_bytes(),
        partial: manifest.is_partial(),
        key: SnapshotKey { store: store.to_owned(), host: lineage.host, source: lineage.source, number },
        run: manifest.run,
        taken_at: manifest.taken_at,
        kind: manifest.kind,
        consistency: manifest.consistency,
        by_hand: manifest.by_hand,
        set: manifest.set.map(|set| set.id),
        totals: manifest.totals,
        manifest_hash: opened.hash,
        deleted_at: deleted.then_some(now),
        verified: None,
        seen_at: now,
    };
    Ok(IndexRow { snapshot, packs })
}

/// The rows of all manifests of a store, from keys and objects, in the order of their keys. One that cannot be
/// used does not keep the others from being found. Where a live and a deleted one have the same number, a
/// delete was cut off half way: the live one counts.
pub fn index_rows(
    store: &str,
    objects: &[(String, Bytes)],
    signer: impl Fn(&HostName) -> Option<PublicKey>,
    now: Timestamp,
) -> (Vec<IndexRow>, Vec<PassedOver>) {
    let mut rows: BTreeMap<SnapshotKey, IndexRow> = BTreeMap::new();
    let mut passed_over = Vec::new();
    for (key, bytes) in objects {
        let expected = lineage_of(key).and_then(|lineage| signer(&lineage.host));
        match index_row(store, key, bytes, expected.as_ref(), now) {
            Ok(row) => {
                let known = rows.get(&row.snapshot.key);
                if known.is_none_or(|known| known.snapshot.deleted_at.is_some()) {
                    rows.insert(row.snapshot.key.clone(), row);
                }
            }
            Err(why) => passed_over.push(PassedOver { key: key.clone(), why }),
        }
    }
    (rows.into_values().collect(), passed_over)
}

impl Catalog {
    /// Replaces the index of one store by these rows, in one transaction. What this host found out about
    /// snapshots that are still the same is kept.
    pub fn replace_index(&self, store: &str, rows: &[IndexRow]) -> Result<(), CatalogError> {
        self.write(|t| {
            let filter = Filter { store: Some(store.to_owned()), deleted: true, ..Filter::default() };
            // A damaged row has nothing to say any more; that it is replaced is what a rebuild is for.
            let known: BTreeMap<_, _> = match snapshots::select(t, &filter) {
                Ok(known) => known.into_iter().map(|row| (row.key.clone(), row)).collect(),
                Err(CatalogError::Damaged(_)) => BTreeMap::new(),
                Err(other) => return Err(other),
            };
            t.execute("DELETE FROM stores WHERE name = ?1", [store])?;
            for row in rows {
                assert!(row.snapshot.key.store == store, "BUG: row of store `{}`", row.snapshot.key.store);
                let mut row = row.clone();
                let fresh = &mut row.snapshot;
                if let Some(old) =
                    known.get(&fresh.key).filter(|old| old.manifest_hash == fresh.manifest_hash)
                {
                    fresh.verified = old.verified;
                    fresh.deleted_at = fresh.deleted_at.and(old.deleted_at.or(fresh.deleted_at));
                }
                snapshots::put(t, &row)?;
            }
            Ok(())
        })
    }

    /// The index part as text, in a fixed order, without what is this host's own: equal for a catalog and
    /// its rebuild. Every row is checked on the way.
    pub fn index_dump(&self) -> Result<String, CatalogError> {
        self.read_of(&[Part::Snapshots, Part::Packs], |t| {
            let mut lines = Vec::new();
            let mut lineages = BTreeSet::new();
            for row in snapshots::select(t, &Filter { deleted: true, ..Filter::default() })? {
                lineages.insert((row.key.store.clone(), row.key.lineage()));
                let deleted = if row.deleted_at.is_some() { "deleted" } else { "live" };
                let of_the_store = SnapshotRow { verified: None, deleted_at: None, ..row };
                let json =
                    serde_json::to_string(&of_the_store).map_err(|e| CatalogError::Value(e.to_string()))?;
                lines.push(format!("snapshot {deleted} {json}"));
            }
            for (store, lineage) in &lineages {
                for pack in packs::select(t, store, lineage)? {
                    let needed: Vec<_> = packs::needed_by(t, store, lineage, pack.id)?
                        .into_iter()
                        .map(|number| number.to_string())
                        .collect();
                    let (PackRow { id, name, length }, needed) = (pack, needed.join(" "));
                    lines.push(format!(
                        "pack {store} {}{name} {id} {length} needed by {needed}",
                        lineage.prefix()
                    ));
                }
            }
            // Straight from their tables, so that one of which nothing is left shows.
            let mut sources = t.prepare(
                "SELECT 'source ' || ifnull(stores.name, '') || ' ' || ifnull(s.host || ' ' || s.source, '') \
                 FROM stores LEFT JOIN sources s ON stores.id = s.store",
            )?;
            for line in sources.query_map([], |row| row.get(0))? {
                lines.push(line?);
            }
            lines.sort_unstable();
            lines.push(String::new());
            Ok(lines.join("\n"))
        })
    }
}
