//! Which snapshots there are. The store is the truth; the catalog spares us from reading it whole each time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::{DrillRow, Filter, SnapshotKey, SnapshotRow, VerifiedResult};
use crate::failure::{Class, Failure};
use crate::format::manifest::{Consistency, Manifest, SnapshotKind};
use crate::format::names::Lineage;
use crate::port::store::ReadStore;
use crate::usecase::drill::DrillLine;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::index::{self, Folder};
use crate::usecase::opened::{open, snapshot_id, trusted};
use crate::usecase::unread::Unread;
use crate::words::{HostName, Number, SnapshotName, SourceName};

/// Manifests fetched at once.
pub(crate) const FETCHES: usize = 16;

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
    /// Where it lies, without how that is reached.
    pub store: String,
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
            set: row.set.as_ref().map(ToString::to_string),
            partial: row.partial,
            deleted_at: row.deleted_at,
            by_hand: row.by_hand,
            damaged: row.verified.is_some_and(|v| !good(v.result)),
            store: row.key.store,
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

/// What there is.
#[derive(Debug)]
pub struct Listed {
    /// The wanted snapshots, oldest first.
    pub lines: Vec<SnapshotLine>,
    /// Those of them that the store lists and whose manifests cannot be read, by name.
    pub unread: Vec<Unread>,
}

/// The wanted snapshots, after a look at what is new in the store.
pub async fn snapshots(host: &Host, wanted: &Wanted) -> Result<Listed, Failure> {
    let store = host.reading().await?;
    let whose = match &wanted.host {
        WantedHost::This => Some(host.settings().host.clone()),
        WantedHost::Named(name) => Some(name.clone()),
        WantedHost::All => None,
    };
    let is_wanted = |lineage: &Lineage| wanted.source.as_ref().is_none_or(|source| *source == lineage.source);
    let mut lineages = index::lineages(&*store, whose.as_ref()).await?;
    lineages.retain(is_wanted);
    let mut rows = unlisted(host, &store.name(), whose.as_ref(), &lineages, is_wanted)?;
    let mut unread = Vec::new();
    // Each is a task of its own: reading long listings is work, which one thread would do alone.
    let mut refreshed = stream::iter(lineages)
        .map(|lineage| {
            let (host, store) = (host.clone(), Arc::clone(&store));
            tokio::spawn(async move { refresh(&host, &*store, &lineage).await })
        })
        .buffer_unordered(FETCHES);
    while let Some(of_one) = refreshed.next().await {
        let of_one = of_one.map_err(|e| Failure::failed("list snapshots").because(e))??;
        rows.extend(of_one.rows);
        unread.extend(of_one.unread);
    }
    rows.retain(|row| wanted.deleted || row.deleted_at.is_none());
    unread.retain(|one| wanted.deleted || !one.deleted);
    unread.sort_by(|a, b| (&a.lineage, a.number).cmp(&(&b.lineage, b.number)));
    rows.sort_by(|a, b| (a.taken_at, a.key.number, &a.key).cmp(&(b.taken_at, b.key.number, &b.key)));
    let said = Said::of(host, &store.name(), whose.as_ref(), wanted.source.as_ref())?;
    let lines = rows.into_iter().map(|row| SnapshotLine::new(host, row, &said)).collect();
    Ok(Listed { lines, unread })
}

/// What the catalog knows of wanted lineages that the store does not list: nobody looked each of them up, so nobody
/// knows that they are gone.
fn unlisted(
    host: &Host,
    store: &str,
    whose: Option<&HostName>,
    listed: &[Lineage],
    is_wanted: impl Fn(&Lineage) -> bool,
) -> Result<Vec<SnapshotRow>, Failure> {
    let listed: BTreeSet<&Lineage> = listed.iter().collect();
    let what = |e| catalog_failure("list snapshots", e);
    let mut rows = Vec::new();
    for lineage in host.catalog().lineages(store, whose).map_err(what)? {
        if is_wanted(&lineage) && !listed.contains(&lineage) {
            rows.extend(host.catalog().snapshots(&Filter::of(store, &lineage)).map_err(what)?);
        }
    }
    Ok(rows)
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

/// A lineage after a look at its store.
pub(crate) struct Refreshed {
    /// What the store lists.
    pub(crate) folder: Folder,
    /// What the catalog knows now, soft-deleted ones among them, by the time at which they were taken.
    pub(crate) rows: Vec<SnapshotRow>,
    /// What the store lists and nobody could read, so that it is not among the rows.
    pub(crate) unread: Vec<Unread>,
}

/// Brings the catalog's rows of one lineage up to what the store has, and gives both: listing and rows may be long, so
/// nobody asks for them twice.
pub(crate) async fn refresh(
    host: &Host,
    store: &dyn ReadStore,
    lineage: &Lineage,
) -> Result<Refreshed, Failure> {
    let what = || format!("index `{}`", lineage.prefix());
    let filter = Filter::of(&store.name(), lineage);
    // Both may be long, and neither waits for the other.
    let (at, of_lineage) = (host.clone(), filter.clone());
    let known = tokio::task::spawn_blocking(move || at.catalog().snapshots(&of_lineage));
    let folder = index::folder(store, lineage).await?;
    let known = known.await.map_err(|e| Failure::failed(what()).because(e))?;
    let known = known.map_err(|e| catalog_failure(what(), e))?;
    let rows: BTreeSet<_> = known.iter().map(|row| (row.key.number, row.deleted_at.is_some())).collect();
    let is_known = |number: Number, deleted: bool| rows.contains(&(number, deleted));
    let live = folder.live.iter().map(|number| (*number, false));
    let deleted = folder.deleted.iter().map(|number| (*number, true));
    let new: Vec<_> = live.chain(deleted).filter(|(number, deleted)| !is_known(*number, *deleted)).collect();
    let mut changed = !new.is_empty();
    let mut unread = Vec::new();
    if changed {
        let keys = trusted(host, store, &lineage.host).await?;
        let mut fetched = stream::iter(new)
            .map(|(number, deleted)| {
                let signed = index::manifest(store, lineage, number, deleted, &keys);
                async move { (number, deleted, signed.await) }
            })
            .buffered(FETCHES);
        let mut numbers = Vec::new();
        while let Some((number, deleted, signed)) = fetched.next().await {
            match signed {
                Ok(signed) => numbers.push(signed),
                // It was deleted since it was listed.
                Err(failure)
                    if failure.class == Class::NotFound
                        && index::found(store, lineage, number).await?.is_none() => {}
                // One that cannot be trusted is not listed, and does not hide the others.
                Err(failure) => unread.push(Unread { lineage: lineage.clone(), number, deleted, failure }),
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
            changed = true;
        }
    }
    let rows = if changed {
        host.catalog().snapshots(&filter).map_err(|e| catalog_failure(what(), e))?
    } else {
        known
    };
    Ok(Refreshed { folder, rows, unread })
}

/// A listing that lacks a key may be stale; only an object that is asked for and is not there is gone.
async fn forget_if_gone(
    host: &Host,
    store: &dyn ReadStore,
    lineage: &Lineage,
    key: &SnapshotKey,
) -> Result<(), Failure> {
    if index::found(store, lineage, key.number).await?.is_some() {
        return Ok(());
    }
    // Whoever removes a snapshot for good forgets it first, and may have done so since the rows were read.
    let known = host.catalog().snapshot(key).map_err(|e| catalog_failure(format!("look for `{key}`"), e))?;
    if known.is_some_and(|row| row.deleted_at.is_none()) {
        tracing::warn!("`{}` is gone from the store, and with it `{key}`", lineage.manifest(key.number));
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
