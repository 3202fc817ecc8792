//! Deletes snapshots: softly first, for good when asked to.
//!
//! The order is the reverse of a backup's, in the steps of `removal`. A crash after any of
//! them leaves the snapshot listed and whole, or not listed; where both manifest and tombstone exist, the manifest
//! counts.

use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::Verb;
use crate::failure::{Class, Failure};
use crate::format::manifest::Manifest;
use crate::format::names::Lineage;
use crate::port::store::Store;
use crate::usecase::blame;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::index::{self, Signed};
use crate::usecase::opened::{open, snapshot_id, trusted};
use crate::usecase::removal::{Needs, Removal};
use crate::usecase::run::Run;
use crate::usecase::watch::{Told, Watch};
use crate::words::SnapshotName;

/// What a deletion would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeletePlan {
    /// Which snapshot.
    pub snapshot: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// It is the newest of its source.
    pub newest: bool,
    /// For good, not softly.
    pub purge: bool,
    /// Bytes that become free.
    pub frees_bytes: u64,
    /// Objects that go.
    pub objects: Vec<String>,
    /// What a person should know before.
    pub warnings: Vec<String>,
    /// The snapshot, found again when the plan is carried out.
    #[serde(skip)]
    pub name: SnapshotName,
}

/// Plans a deletion. With `purge`, a soft-deleted snapshot can be named too.
pub async fn plan_delete(host: &Host, name: &SnapshotName, purge: bool) -> Result<DeletePlan, Failure> {
    let (lineage, signed, deleted) = find(host, name, purge).await?;
    own_only(host, &lineage)?;
    let store = host.store().await?;
    let folder = index::folder(&*store, &lineage).await?;
    let number = signed.manifest.number;
    let newest = !deleted && folder.live.iter().max() == Some(&number);
    let mut plan = DeletePlan {
        snapshot: snapshot_id(host, &lineage, number),
        taken_at: signed.manifest.taken_at,
        newest,
        purge,
        frees_bytes: 0,
        objects: Vec::new(),
        warnings: Vec::new(),
        name: SnapshotName {
            host: Some(lineage.host.clone()),
            source: lineage.source.clone(),
            number: Some(number),
        },
    };
    if !deleted {
        plan.objects.push(lineage.manifest(number));
    }
    if purge {
        let mut needs = Needs::of(host, &*store, &lineage).await?;
        let unneeded = needs.unneeded(&*store, &lineage, &signed.manifest).await?;
        plan.frees_bytes = unneeded.iter().map(|(_, length)| length).sum();
        plan.objects.extend(unneeded.into_iter().map(|(key, _)| key));
        plan.warnings.push("it cannot be brought back".to_owned());
    }
    let key = host.snapshot_key(&lineage, number).await?;
    let pins = host.catalog().pins(&key.store).map_err(|e| catalog_failure(format!("look at `{key}`"), e))?;
    plan.warnings.extend(pins.iter().filter(|pin| pin.key == key).map(|pin| match pin.note.as_str() {
        "" => "it is pinned".to_owned(),
        note => format!("it is pinned: {note}"),
    }));
    if newest {
        plan.warnings.push(match folder.live.len() {
            1 => format!("it is the only snapshot of `{}`", lineage.source),
            _ => format!("it is the newest snapshot of `{}`", lineage.source),
        });
    }
    Ok(plan)
}

/// Finds a live snapshot or, for a purge, a soft-deleted one.
async fn find(host: &Host, name: &SnapshotName, purge: bool) -> Result<(Lineage, Signed, bool), Failure> {
    match open(host, name).await {
        Ok(opened) => Ok((opened.lineage, opened.signed, false)),
        Err(failure) if failure.class == Class::NotFound && purge => {
            match (name.number, soft_deleted(host, name).await) {
                (Some(_), Ok((lineage, signed))) => Ok((lineage, signed, true)),
                (Some(_) | None, _) => Err(failure),
            }
        }
        Err(failure) => Err(failure),
    }
}

async fn soft_deleted(host: &Host, name: &SnapshotName) -> Result<(Lineage, Signed), Failure> {
    let store = host.reading().await?;
    let whose = name.host.clone().unwrap_or_else(|| host.settings().host.clone());
    let lineage = Lineage { host: whose, source: name.source.clone() };
    let Some(number) = name.number else {
        return Err(Failure::new(Class::Usage, format!("`{name}` names no number"))
            .hint("`backupctl snapshots --deleted` shows the numbers"));
    };
    let keys = trusted(host, &*store, &lineage.host).await?;
    let signed = index::manifest(&*store, &lineage, number, true, &keys).await?;
    Ok((lineage, signed))
}

fn own_only(host: &Host, lineage: &Lineage) -> Result<(), Failure> {
    if lineage.host == host.settings().host {
        return Ok(());
    }
    Err(Failure::new(Class::Unsafe, format!("`{}/{}` is not this host's", lineage.host, lineage.source))
        .hint("delete it on the host that writes it, or with `--host` if that host is no more"))
}

/// Carries a plan out.
pub async fn delete(host: &Host, plan: DeletePlan, watch: &dyn Watch) -> Result<(), Failure> {
    let whose = plan.name.host.clone().unwrap_or_else(|| host.settings().host.clone());
    let lineage = Lineage { host: whose, source: plan.name.source.clone() };
    own_only(host, &lineage)?;
    let run = Run::begin(host, Verb::Delete, &lineage)?;
    let done = carry_out(host, &run, &lineage, &plan, watch).await;
    run.end(done)
}

async fn carry_out(
    host: &Host,
    run: &Run<'_>,
    lineage: &Lineage,
    plan: &DeletePlan,
    watch: &dyn Watch,
) -> Result<(), Failure> {
    let store = host.store().await?;
    let (_, signed, deleted) = find(host, &plan.name, plan.purge).await?;
    let number = signed.manifest.number;
    run.working(Some(number))?;
    let allowed = index::owner(&*store, &lineage.host).await?;
    if let Some(owner) = allowed {
        host.allowed_by(&owner)?;
    }
    watch.tell(Told::Step(format!("deleting {}", plan.snapshot)));
    let removal = Removal { host, store: &*store, lineage };
    if !deleted {
        removal.soften(&signed).await?;
    }
    if plan.purge {
        removal.purge(&signed, &mut Needs::of(host, &*store, lineage).await?).await?;
    }
    Ok(())
}

/// Brings a soft-deleted snapshot back.
pub async fn undelete(host: &Host, name: &SnapshotName) -> Result<(), Failure> {
    let (lineage, signed) = soft_deleted(host, name).await?;
    own_only(host, &lineage)?;
    let run = Run::begin(host, Verb::Delete, &lineage)?;
    let done = async {
        let store = host.store().await?;
        let number = signed.manifest.number;
        run.working(Some(number))?;
        refuse_without_packs(&*store, &lineage, &signed.manifest).await?;
        Removal { host, store: &*store, lineage: &lineage }.bring_back(&signed).await
    };
    let done = done.await;
    run.end(done)
}

/// A purge that was cut off leaves a tombstone whose packs are gone: it must not come back as a snapshot.
async fn refuse_without_packs(
    store: &dyn Store,
    lineage: &Lineage,
    manifest: &Manifest,
) -> Result<(), Failure> {
    for pack in &manifest.packs {
        let key = format!("{}{}", lineage.prefix(), pack.name);
        let found = store.head(&key).await.map_err(|e| blame::store(format!("look for `{key}`"), e))?;
        if found.is_none_or(|found| found.length != pack.length) {
            let id = format!("{}@{}", lineage.source, manifest.number);
            return Err(Failure::failed(format!("bring `{id}` back"))
                .because(format!("its pack `{key}` is gone or cut"))
                .hint(format!("`backupctl delete --purge {id}` removes the rest of it")));
        }
    }
    Ok(())
}
