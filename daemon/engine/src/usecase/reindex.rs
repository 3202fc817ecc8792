//! The index of a store, made anew from the store alone, or compared with it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;

use crate::catalog::Filter;
use crate::catalog::rebuild::{IndexRow, index_row};
use crate::failure::Failure;
use crate::format::manifest::MANIFEST_BYTES_MAX;
use crate::port::store::{ReadStore, StoreErrorKind};
use crate::usecase::blame;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::index;
use crate::usecase::opened::trusted;
use crate::usecase::snapshots::FETCHES;
use crate::usecase::watch::{Told, Watch};

/// What a rebuild found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Rebuilt {
    /// Hosts that write to the store.
    pub hosts: u64,
    /// Sources of all of them.
    pub lineages: u64,
    /// Snapshots, soft-deleted ones among them.
    pub snapshots: u64,
    /// Manifests that could not be used, with the reason.
    pub unreadable: Vec<String>,
}

/// Makes the index anew from the store alone.
pub async fn catalog_rebuild(host: &Host, watch: &dyn Watch) -> Result<Rebuilt, Failure> {
    let (rows, mut rebuilt) = read_all(host, watch).await?;
    let store = host.reading().await?.name();
    host.catalog().replace_index(&store, &rows).map_err(|e| catalog_failure("rebuild the catalog", e))?;
    rebuilt.snapshots = rows.len() as u64;
    Ok(rebuilt)
}

async fn read_all(host: &Host, watch: &dyn Watch) -> Result<(Vec<IndexRow>, Rebuilt), Failure> {
    let store = host.reading().await?;
    let lineages = index::lineages(&*store, None).await?;
    let mut rebuilt = Rebuilt { lineages: lineages.len() as u64, ..Rebuilt::default() };
    let (mut rows, mut keys, mut of_host) = (Vec::new(), Vec::new(), None);
    for lineage in lineages {
        watch.tell(Told::Step(format!("reading {}", lineage.prefix())));
        if of_host.as_ref() != Some(&lineage.host) {
            keys = trusted(host, &*store, &lineage.host).await?;
            of_host = Some(lineage.host.clone());
            rebuilt.hosts += 1;
        }
        let folder = index::folder(&*store, &lineage).await?;
        let live = folder.live.iter().map(|number| lineage.manifest(*number));
        let deleted = folder.deleted.iter().map(|number| lineage.deleted(*number));
        let objects: Vec<String> = live.chain(deleted).collect();
        let mut fetched = stream::iter(objects).map(|key| fetch(&*store, key)).buffered(FETCHES);
        while let Some((key, bytes)) = fetched.next().await {
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(failure) if failure.class == crate::failure::Class::NotFound => continue,
                Err(failure) => return Err(failure),
            };
            let signer = crate::format::signed::open(&bytes).ok().map(|opened| opened.signed_by);
            let signer = signer.filter(|signer| keys.contains(signer)).or_else(|| keys.first().copied());
            match index_row(&store.name(), &key, &bytes, signer.as_ref(), host.clock().now()) {
                Ok(row) if signer.is_some() => rows.push(row),
                Ok(_) => rebuilt.unreadable.push(format!("{key}: nobody says whose signature counts")),
                Err(why) => rebuilt.unreadable.push(format!("{key}: {why}")),
            }
        }
    }
    Ok((rows, rebuilt))
}

async fn fetch(store: &dyn ReadStore, key: String) -> (String, Result<Bytes, Failure>) {
    let bytes = store.get(&key, MANIFEST_BYTES_MAX).await.map_err(|e| {
        if e.kind == StoreErrorKind::NotFound {
            Failure::not_found(format!("`{key}` is gone"))
        } else {
            blame::store(format!("read manifest `{key}`"), e)
        }
    });
    (key, bytes)
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Checked {
    /// Snapshots in the store.
    pub snapshots: u64,
    /// Where catalog and store disagree, a line each.
    pub differences: Vec<String>,
}

/// Compares the index with the store, changing neither.
pub async fn catalog_check(host: &Host, watch: &dyn Watch) -> Result<Checked, Failure> {
    host.catalog().check().map_err(|e| catalog_failure("check the catalog", e))?;
    let (rows, rebuilt) = read_all(host, watch).await?;
    let filter = Filter { store: Some(host.reading().await?.name()), deleted: true, ..Filter::default() };
    let known = host.catalog().snapshots(&filter).map_err(|e| catalog_failure("list snapshots", e))?;
    let mut checked = Checked { snapshots: rows.len() as u64, differences: rebuilt.unreadable };
    let by_key: BTreeMap<_, _> = known.iter().map(|known| (&known.key, known)).collect();
    for row in &rows {
        let key = &row.snapshot.key;
        match by_key.get(key) {
            None => checked.differences.push(format!("{key}: in the store, not in the catalog")),
            Some(known) if known.manifest_hash != row.snapshot.manifest_hash => {
                checked.differences.push(format!("{key}: the store has another manifest"));
            }
            Some(known) if known.deleted_at.is_some() != row.snapshot.deleted_at.is_some() => {
                checked.differences.push(format!("{key}: deleted in one of them only"));
            }
            Some(_) => {}
        }
    }
    let stored: BTreeSet<_> = rows.iter().map(|row| &row.snapshot.key).collect();
    for known in known.iter().filter(|known| !stored.contains(&known.key)) {
        checked.differences.push(format!("{}: in the catalog, not in the store", known.key));
    }
    Ok(checked)
}
