//! Which snapshots there are. The store is the truth; the catalog spares us from reading it whole each time.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::rebuild::{IndexRow, index_row};
use crate::catalog::{DrillRow, Filter, SnapshotKey, SnapshotRow, VerifiedResult};
use crate::failure::Failure;
use crate::format::manifest::{Consistency, MANIFEST_BYTES_MAX, Manifest, SnapshotKind};
use crate::format::names::Lineage;
use crate::port::store::{ReadStore, StoreErrorKind};
use crate::usecase::blame;
use crate::usecase::drill::DrillLine;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::index;
use crate::usecase::opened::{open, snapshot_id, trusted};
use crate::usecase::watch::{Told, Watch};
use crate::words::{HostName, Number, SnapshotName, SourceName};

/// Manifests fetched at once.
const FETCHES: usize = 16;

/// Whose snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedHost {
    /// Of this host.
    This,
    /// Of another.
    Named(HostName),
    /// Of all that write to the store.
    All,
}

/// Which snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Whose.
    pub host: WantedHost,
    /// Of one source.
    pub source: Option<SourceName>,
    /// Soft-deleted ones too.
    pub deleted: bool,
}

/// One snapshot, for a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SnapshotLine {
    /// As people type it.
    pub id: String,
    /// Of what.
    pub source: SourceName,
    /// Whose.
    pub host: HostName,
    /// Its number.
    pub number: u64,
    /// When reading began.
    pub taken_at: Timestamp,
    /// Full or incremental.
    pub kind: SnapshotKind,
    /// How writers were held.
    pub consistency: Consistency,
    /// Regular files.
    pub files: u64,
    /// Apparent bytes.
    pub bytes: u64,
    /// What it added to the store.
    pub sent_bytes: u64,
    /// When it was last read back whole, or drilled, and was good.
    pub proven_at: Option<Timestamp>,
    /// Held by a person.
    pub pinned: bool,
    /// The set that it belongs to.
    pub set: Option<String>,
    /// Something that should be in it is not.
    pub partial: bool,
    /// Soft-deleted since.
    pub deleted_at: Option<Timestamp>,
    /// Made by hand.
    pub by_hand: bool,
    /// It was read back or drilled, and something was wrong.
    pub damaged: bool,
    /// The newest drill that judged it.
    pub drill: Option<DrillLine>,
}

impl SnapshotLine {
    fn new(host: &Host, row: SnapshotRow, said: &Said) -> Self {
        let good = |result| result == VerifiedResult::Good;
        Self {
            pinned: said.pins.contains(&row.key),
            drill: said.drills.get(&row.key).map(DrillLine::from),
            id: snapshot_id(host, &row.key.lineage(), row.key.number),
            source: row.key.source,
            host: row.key.host,
            number: row.key.number.get(),
            taken_at: row.taken_at,
            kind: row.kind,
            consistency: row.consistency,
            files: row.totals.files,
            bytes: row.totals.bytes,
            sent_bytes: row.sent_bytes,
            proven_at: row.verified.filter(|v| good(v.result)).map(|v| v.at),
            set: None,
            partial: row.partial,
            deleted_at: row.deleted_at,
            by_hand: row.by_hand,
            damaged: row.verified.is_some_and(|v| !good(v.result)),
        }
    }

    /// Its whole name.
    pub fn name(&self) -> SnapshotName {
        SnapshotName {
            host: Some(self.host.clone()),
            source: self.source.clone(),
            number: Number::new(self.number),
        }
    }
}

/// The wanted snapshots, oldest first, after a look at what is new in the store.
pub async fn snapshots(host: &Host, wanted: &Wanted) -> Result<Vec<SnapshotLine>, Failure> {
    let store = host.reading().await?;
    let whose = match &wanted.host {
        WantedHost::This => Some(host.settings().host.clone()),
        WantedHost::Named(name) => Some(name.clone()),
        WantedHost::All => None,
    };
    let mut lineages = index::lineages(&*store, whose.as_ref()).await?;
    lineages.retain(|lineage| wanted.source.as_ref().is_none_or(|source| *source == lineage.source));
    let reading = &*store;
    let mut refreshed = stream::iter(lineages)
        .map(|lineage| async move { refresh(host, reading, &lineage).await })
        .buffer_unordered(FETCHES);
    while let Some(done) = refreshed.next().await {
        done?;
    }
    drop(refreshed);
    let filter = Filter {
        store: Some(store.name()),
        host: whose,
        source: wanted.source.clone(),
        deleted: wanted.deleted,
    };
    let rows = host.catalog().snapshots(&filter).map_err(|e| catalog_failure("list snapshots", e))?;
    let said = Said::of(host, &store.name(), filter.host.as_ref(), filter.source.as_ref())?;
    Ok(rows.into_iter().map(|row| SnapshotLine::new(host, row, &said)).collect())
}

/// What this host knows of snapshots that no store tells.
struct Said {
    pins: BTreeSet<SnapshotKey>,
    drills: BTreeMap<SnapshotKey, DrillRow>,
}

impl Said {
    fn of(
        host: &Host,
        store: &str,
        whose: Option<&HostName>,
        source: Option<&SourceName>,
    ) -> Result<Self, Failure> {
        let pins = host.catalog().pins(store).map_err(|e| catalog_failure("list pins", e))?;
        let drills = host.catalog().judged(store, whose, source);
        let drills = drills.map_err(|e| catalog_failure("list drills", e))?;
        Ok(Self { pins: pins.into_iter().map(|pin| pin.key).collect(), drills })
    }
}

/// Brings the catalog's rows of one lineage up to what the store has.
pub(crate) async fn refresh(host: &Host, store: &dyn ReadStore, lineage: &Lineage) -> Result<(), Failure> {
    let what = || format!("index `{}`", lineage.prefix());
    let folder = index::folder(store, lineage).await?;
    let filter = Filter::of(&store.name(), lineage);
    let known = host.catalog().snapshots(&filter).map_err(|e| catalog_failure(what(), e))?;
    let rows: BTreeSet<_> = known.iter().map(|row| (row.key.number, row.deleted_at.is_some())).collect();
    let is_known = |number: Number, deleted: bool| rows.contains(&(number, deleted));
    let live = folder.live.iter().map(|number| (*number, false));
    let deleted = folder.deleted.iter().map(|number| (*number, true));
    let new: Vec<_> = live.chain(deleted).filter(|(number, deleted)| !is_known(*number, *deleted)).collect();
    if !new.is_empty() {
        let keys = trusted(host, store, &lineage.host).await?;
        let mut fetched = stream::iter(new)
            .map(|(number, deleted)| index::manifest(store, lineage, number, deleted, &keys))
            .buffered(FETCHES);
        let mut numbers = Vec::new();
        while let Some(signed) = fetched.next().await {
            match signed {
                Ok(signed) => numbers.push(signed),
                // One that cannot be trusted is not listed, and does not hide the others.
                Err(failure) => tracing::warn!("passed over: {failure}"),
            }
        }
        for signed in numbers {
            let number = signed.manifest.number;
            let key = if folder.live.contains(&number) {
                lineage.manifest(number)
            } else {
                lineage.deleted(number)
            };
            host.note_snapshot(&key, &signed, &signed.signed_by).await?;
        }
    }
    let listed: BTreeSet<_> = folder.live.iter().chain(&folder.deleted).collect();
    for row in &known {
        if !listed.contains(&row.key.number) {
            forget_if_gone(host, store, lineage, &row.key).await?;
        }
    }
    Ok(())
}

/// A listing that lacks a key may be stale; only an object that is asked for and is not there is gone.
async fn forget_if_gone(
    host: &Host,
    store: &dyn ReadStore,
    lineage: &Lineage,
    key: &SnapshotKey,
) -> Result<(), Failure> {
    for object in [lineage.manifest(key.number), lineage.deleted(key.number)] {
        let found = store.head(&object).await.map_err(|e| blame::store(format!("look for `{object}`"), e))?;
        if found.is_some() {
            return Ok(());
        }
    }
    host.catalog().forget(key).map_err(|e| catalog_failure(format!("forget `{key}`"), e))
}

/// A snapshot with all that its manifest says.
#[derive(Debug, Clone)]
pub struct Shown {
    /// As in a list.
    pub line: SnapshotLine,
    /// The manifest.
    pub manifest: Manifest,
    /// The key that signed it, in hexadecimal digits.
    pub signed_by: String,
}

/// Shows one snapshot.
pub async fn show(host: &Host, name: &SnapshotName) -> Result<Shown, Failure> {
    let opened = open(host, name).await?;
    let number = opened.signed.manifest.number;
    host.note_snapshot(&opened.lineage.manifest(number), &opened.signed, &opened.signed.signed_by).await?;
    let key = host.snapshot_key(&opened.lineage, number).await?;
    let row = host.catalog().snapshot(&key).map_err(|e| catalog_failure(format!("show `{name}`"), e))?;
    let row = row.ok_or_else(|| Failure::not_found(format!("there is no snapshot `{name}`")))?;
    Ok(Shown {
        line: SnapshotLine::new(host, row, &Said::of(host, &key.store, Some(&key.host), Some(&key.source))?),
        manifest: opened.signed.manifest,
        signed_by: opened.signed.signed_by.to_string(),
    })
}

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
