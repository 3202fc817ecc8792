//! What retention would do with a source, and why: one value that is printed, and that a prune carries out.
//!
//! Always true: looking changes nothing in the store. A snapshot whose manifest cannot be read is in no plan, so
//! nothing happens to it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use policies::retention::{self, Clock, Decided, Decision, Keep, Lineage as Known, Snapshot, Why};
use serde::Serialize;

use crate::catalog::{CatalogError, Filter, SnapshotRow, VerifiedResult};
use crate::failure::Failure;
use crate::format::names::Lineage;
use crate::usecase::guarding;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::index;
use crate::usecase::opened::{nothing_of, snapshot_id};
use crate::usecase::snapshots::{Refreshed, refresh};
use crate::words::SourceName;

/// The plan for one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// Which.
    pub source: SourceName,
    /// All snapshots that can be read, the newest first; soft-deleted ones among them.
    pub snapshots: Vec<Fate>,
    /// What a person should know of the rest.
    pub warnings: Vec<String>,
    /// When a prune last came to its end.
    pub pruned_at: Option<Timestamp>,
    #[serde(skip)]
    pub(crate) plan: retention::Plan,
    #[serde(skip)]
    pub(crate) keep: Keep,
    #[serde(skip)]
    pub(crate) zone: TimeZone,
}

impl Retention {
    /// Whether a prune would do anything.
    pub fn is_idle(&self) -> bool {
        self.plan.deletes().chain(self.plan.purges()).next().is_none()
    }

    /// Whether it deletes more than it keeps, which a changed rule can do and an ordinary night does not: ask first.
    pub fn is_sweeping(&self) -> bool {
        self.plan.is_sweeping()
    }

    /// Whether counts alone say what goes. Then no clock that was wrong can have brought it about.
    pub fn is_by_count(&self) -> bool {
        let by_age = |decided: &Decided| matches!(decided.decision, Decision::Delete(Why::ByHandOver { .. }));
        self.keep.terms().within.is_zero() && !self.plan.all.iter().any(by_age)
    }
}

/// What happens to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fate {
    /// Its id.
    pub snapshot: String,
    /// Its source.
    pub source: SourceName,
    /// Its number.
    pub number: u64,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// What.
    pub action: Action,
    /// Why, the first reason first; never empty.
    pub reasons: Vec<String>,
    /// When it was last verified or drilled, and was good.
    pub proven_at: Option<Timestamp>,
}

/// What happens to a snapshot, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It stays.
    Keep,
    /// It is deleted, and can be undeleted.
    Delete,
    /// It would be deleted or purged, but not now.
    Held,
    /// It goes for good.
    Purge,
}

impl Action {
    /// For tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Delete => "delete",
            Self::Held => "held",
            Self::Purge => "purge",
        }
    }
}

/// This host's sources that have snapshots in the store.
pub async fn sources(host: &Host) -> Result<Vec<SourceName>, Failure> {
    let store = host.reading().await?;
    let lineages = index::lineages(&*store, Some(&host.settings().host)).await?;
    Ok(lineages.into_iter().map(|lineage| lineage.source).collect())
}

/// Plans what `keep` does with a source of this host; days and weeks are those of `zone`.
pub async fn retention(
    host: &Host,
    source: &SourceName,
    keep: &Keep,
    zone: &TimeZone,
) -> Result<Retention, Failure> {
    let lineage = Lineage { host: host.settings().host.clone(), source: source.clone() };
    let Looked { plan, warnings, proven } = look(host, &lineage, keep, zone).await?;
    if plan.all.is_empty() && warnings.is_empty() {
        return Err(nothing_of(&lineage, host));
    }
    let store = host.reading().await?.name();
    let pruned_at = host.catalog().pruned_at(&store, &lineage);
    let fate = |decided: &Decided| fate(&lineage, decided, proven.get(&decided.number).copied());
    let snapshots = plan.all.iter().map(fate).collect();
    Ok(Retention {
        source: source.clone(),
        snapshots,
        warnings,
        pruned_at: pruned_at.map_err(|e| catalog_failure(format!("look at `{source}`"), e))?,
        plan,
        keep: *keep,
        zone: zone.clone(),
    })
}

/// A lineage after a look at its store.
pub(crate) struct Looked {
    pub(crate) plan: retention::Plan,
    /// Of manifests that cannot be read.
    pub(crate) warnings: Vec<String>,
    /// When each was last found good.
    pub(crate) proven: BTreeMap<u64, Timestamp>,
}

/// Plans after a look at the store.
pub(crate) async fn look(
    host: &Host,
    lineage: &Lineage,
    keep: &Keep,
    zone: &TimeZone,
) -> Result<Looked, Failure> {
    let store = host.reading().await?;
    let Refreshed { folder, rows, .. } = refresh(host, &*store, lineage).await?;
    let proven = rows.iter().filter_map(proven).collect();
    let plan = plan_of(host, &store.name(), lineage, rows, keep, zone)?;
    let planned: BTreeSet<u64> = plan.all.iter().map(|decided| decided.number).collect();
    let unread = folder.live.iter().chain(&folder.deleted).filter(|number| !planned.contains(&number.get()));
    let told = |number| {
        let id = snapshot_id(host, lineage, number);
        format!("`{id}` is left alone: its manifest cannot be read; `backupctl show {id}` tells why")
    };
    let warnings = unread.map(|number| told(*number)).collect();
    Ok(Looked { plan, warnings, proven })
}

/// The plan by what the catalog knows now. Its rows are those of signed manifests, which never change; that all are
/// there is certain only right after [`refresh`].
pub(crate) async fn plan_known(
    host: &Host,
    lineage: &Lineage,
    keep: &Keep,
    zone: &TimeZone,
) -> Result<retention::Plan, Failure> {
    let store = host.reading().await?.name();
    let rows = host.catalog().snapshots(&Filter::of(&store, lineage));
    let rows = rows.map_err(|e| catalog_failure(format!("look at `{}`", lineage.source), e))?;
    plan_of(host, &store, lineage, rows, keep, zone)
}

fn plan_of(
    host: &Host,
    store: &str,
    lineage: &Lineage,
    rows: Vec<SnapshotRow>,
    keep: &Keep,
    zone: &TimeZone,
) -> Result<retention::Plan, Failure> {
    let known = gather(host, store, lineage, rows);
    let known = known.map_err(|e| catalog_failure(format!("look at `{}`", lineage.source), e))?;
    // No store tells its time through our port. S3 refuses requests of a host whose clock is far off, and the clock of
    // a folder is the host's.
    let clock = Clock { now: host.clock().now(), store: None };
    Ok(retention::plan(&known, keep, zone, &clock))
}

fn gather(
    host: &Host,
    store: &str,
    lineage: &Lineage,
    rows: Vec<SnapshotRow>,
) -> Result<Known, CatalogError> {
    let catalog = host.catalog();
    let pins: BTreeSet<_> = catalog.pins(store)?.into_iter().map(|pin| pin.key).collect();
    let snapshots: Vec<_> =
        rows.into_iter().map(|row| Snapshot { pinned: pins.contains(&row.key), ..snapshot(&row) }).collect();
    let flags = guarding::standing(host, store, lineage)?.into_iter();
    let flags = flags.map(|flagged| (flagged.key.number.get(), flagged.flag));
    // What was flagged and then never committed holds nothing.
    let flags = flags.filter(|(number, _)| snapshots.iter().any(|snapshot| snapshot.number == *number));
    Ok(Known {
        flags: flags.collect(),
        failed_at: catalog.failed_at(lineage, host.clock().now())?,
        snapshots,
    })
}

fn snapshot(row: &SnapshotRow) -> Snapshot {
    let found = |result| row.verified.is_some_and(|verified| verified.result == result);
    Snapshot {
        number: row.key.number.get(),
        taken_at: row.taken_at,
        by_hand: row.by_hand,
        // One that was found damaged pushes no whole one out either.
        partial: row.partial || found(VerifiedResult::Damaged),
        proven: found(VerifiedResult::Good),
        pinned: false,
        // Packs are shared and counted: a snapshot never needs another one's manifest.
        needs: Vec::new(),
        deleted_at: row.deleted_at,
    }
}

/// A snapshot's number and when it was found good, if that is the last that was found.
fn proven(row: &SnapshotRow) -> Option<(u64, Timestamp)> {
    let good = row.verified.filter(|verified| verified.result == VerifiedResult::Good)?;
    Some((row.key.number.get(), good.at))
}

fn fate(lineage: &Lineage, decided: &Decided, proven_at: Option<Timestamp>) -> Fate {
    let (action, reasons) = match &decided.decision {
        Decision::Keep(reasons) => (Action::Keep, reasons.iter().map(ToString::to_string).collect()),
        Decision::Delete(why) => (Action::Delete, vec![why.to_string()]),
        Decision::Held(holds) => (Action::Held, holds.iter().map(ToString::to_string).collect()),
        Decision::Purge { .. } => (Action::Purge, vec!["deleted, and its grace time is over".to_owned()]),
    };
    Fate {
        snapshot: format!("{}@{}", lineage.source, decided.number),
        source: lineage.source.clone(),
        number: decided.number,
        taken_at: decided.taken_at,
        action,
        reasons,
        proven_at,
    }
}
