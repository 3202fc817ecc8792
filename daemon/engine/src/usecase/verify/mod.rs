//! Proves that snapshots can be restored: reads what a restore would read, and checks every hash.
//!
//! Quick verification reads manifests, tables and the frame lists, and asks for the length of each pack.
//! The full one also fetches and decodes every frame. Damage is told by snapshot, object, frame and the
//! files that need it; it never ends the verification of the rest. Packs in which there is any are remembered, so that
//! the next backup leans on none of them.

mod bad;
mod packs;

use std::collections::BTreeMap;

use serde::Serialize;

use self::bad::Bad;
use self::packs::Packs;
use crate::failure::{Class, Failure};
use crate::format::names::Lineage;
use crate::usecase::drill::refuted;
use crate::usecase::host::Host;
use crate::usecase::index;
use crate::usecase::opened::{Opened, open};
use crate::usecase::snapshots::{Wanted, WantedHost, snapshots};
use crate::usecase::watch::{Told, Watch};
use crate::words::SnapshotName;

/// What to verify.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyRequest {
    /// Which snapshots; none means all of this host.
    pub names: Vec<SnapshotName>,
    /// Tables and lengths only.
    pub quick: bool,
}

/// Something that would keep a restore from being exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The snapshot.
    pub snapshot: String,
    /// The object in the store.
    pub object: String,
    /// The frame within it.
    pub frame: Option<u64>,
    /// Files that need it, the first of them.
    pub files: Vec<String>,
    /// What is wrong.
    pub what: String,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifyReport {
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// Frames that were decoded and are whole.
    pub frames: u64,
    /// Raw bytes of these.
    pub bytes: u64,
    /// What is wrong.
    pub damaged: Vec<Damage>,
    /// How long it took.
    pub seconds: f64,
}

/// Verifies; the report says what is damaged, an error only that it could not be found out.
pub async fn verify(
    host: &Host,
    request: &VerifyRequest,
    watch: &dyn Watch,
) -> Result<VerifyReport, Failure> {
    let began = host.clock().elapsed();
    let mut report = VerifyReport { snapshots: 0, frames: 0, bytes: 0, damaged: Vec::new(), seconds: 0.0 };
    let names = if request.names.is_empty() { all_of_this_host(host).await? } else { request.names.clone() };
    let mut packs = Packs::default();
    for name in names {
        watch.tell(Told::Step(format!("verifying {name}")));
        let before = report.damaged.len();
        let opened = match one(host, &name, request.quick, watch, &mut packs, &mut report).await {
            // It was deleted since it was listed, and the others are to be verified all the same.
            Err(failure) if failure.class == Class::NotFound && request.names.is_empty() => {
                if is_listed(host, &name).await? {
                    return Err(failure);
                }
                continue;
            }
            done => done?,
        };
        report.snapshots += 1;
        if let Some(opened) = opened {
            let good = report.damaged.len() == before;
            // A quick look proves nothing about the content, but what it finds broken is broken.
            if !request.quick || !good {
                // All bytes of a database may be there, and be a database that its own checker refused.
                let key = host.snapshot_key(&opened.lineage, opened.signed.manifest.number).await?;
                let good = good && !refuted(host, &key)?;
                host.note_verified(&opened.lineage, &opened.signed, good).await?;
            }
            packs.note(&report, before);
            let of_it = opened.signed.manifest.packs.iter();
            let (damaged, whole): (Vec<_>, Vec<_>) =
                of_it.partition(|pack| packs.is_bad(&opened.reading.key(pack)));
            let whole = if request.quick { &[][..] } else { &whole };
            host.note_packs(&opened.lineage, &damaged, whole).await?;
        }
    }
    report.seconds = (host.clock().elapsed().saturating_sub(began)).as_secs_f64();
    Ok(report)
}

/// What is listed, and what is not because its manifest cannot be trusted: that is damage too.
async fn all_of_this_host(host: &Host) -> Result<Vec<SnapshotName>, Failure> {
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    let mut names: Vec<_> = snapshots(host, &wanted).await?.lines.iter().map(|line| line.name()).collect();
    let store = host.reading().await?;
    for lineage in index::lineages(&*store, Some(&host.settings().host)).await? {
        for number in index::folder(&*store, &lineage).await?.live {
            let (host, source) = (Some(lineage.host.clone()), lineage.source.clone());
            let name = SnapshotName { host, source, number: Some(number) };
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// Asked of the list: that a bucket is gone is told by nothing else.
async fn is_listed(host: &Host, name: &SnapshotName) -> Result<bool, Failure> {
    let whose = name.host.clone().unwrap_or_else(|| host.settings().host.clone());
    let lineage = Lineage { host: whose, source: name.source.clone() };
    let live = index::folder(&*host.reading().await?, &lineage).await?.live;
    Ok(name.number.is_some_and(|number| live.contains(&number)))
}

async fn one(
    host: &Host,
    name: &SnapshotName,
    quick: bool,
    watch: &dyn Watch,
    packs: &mut Packs,
    report: &mut VerifyReport,
) -> Result<Option<Opened>, Failure> {
    let opened = match open(host, name).await {
        Ok(opened) => opened,
        // A manifest that cannot be trusted or read is damage; a name that does not exist is a mistake.
        Err(failure) if matches!(failure.class, Class::WrongKey | Class::Failed) && name.number.is_some() => {
            report.damaged.push(Damage {
                snapshot: name.to_string(),
                object: "manifest".to_owned(),
                frame: None,
                files: Vec::new(),
                what: failure.to_string(),
            });
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    let id = opened.id(host);
    let manifest = &opened.signed.manifest;
    let mut bad = Bad { id: &id, reading: &opened.reading, frames: BTreeMap::new() };
    for pack in &manifest.packs {
        for flaw in packs.flaws((&bad, pack), quick, watch, report).await? {
            bad.add(pack, flaw, report);
        }
    }
    bad.tables(manifest.totals.entries, report).await?;
    bad.pages(report).await?;
    Ok(Some(opened))
}
