//! Proves that snapshots can be restored: reads what a restore would read, and checks every hash.
//!
//! Quick verification reads manifests, tables and the frame lists, and asks for the length of each pack.
//! The full one also fetches and decodes every frame. Damage is told by snapshot, object, frame and the
//! files that need it; it never ends the verification of the rest.

mod bad;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use archive::frame::Hash;
use archive::layout::{TAIL_BYTES, put_tail};
use futures_util::stream::StreamExt as _;
use serde::Serialize;

use self::bad::Bad;
use crate::failure::{Class, Failure};
use crate::format::manifest::PackRef;
use crate::format::names::Lineage;
use crate::pipeline::reading::{ReadError, Reading};
use crate::pipeline::scan::scan;
use crate::usecase::drill::refuted;
use crate::usecase::host::Host;
use crate::usecase::index;
use crate::usecase::opened::{Opened, open};
use crate::usecase::snapshots::{Wanted, WantedHost, snapshots};
use crate::usecase::watch::{Progress, Told, Watch};
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
    // Snapshots share packs: what was read and found whole is not read again.
    let mut whole = BTreeSet::new();
    for name in names {
        watch.tell(Told::Step(format!("verifying {name}")));
        let before = report.damaged.len();
        let opened = match one(host, &name, request.quick, watch, &mut whole, &mut report).await {
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
    whole: &mut BTreeSet<(String, Hash)>,
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
    let of_bytes = manifest.packs.iter().map(|pack| pack.raw_bytes).sum();
    let mut bad = Bad { id: &id, reading: &opened.reading, frames: BTreeMap::new() };
    for pack in &manifest.packs {
        let key = (opened.reading.key(pack), pack.hash);
        if whole.contains(&key) {
            continue;
        }
        let before = report.damaged.len();
        if let Err(e) = lengths(&opened.reading, pack).await {
            bad.add(pack, None, e, report)?;
            continue;
        }
        if quick {
            continue;
        }
        let mut frames = pin!(scan(&opened.reading, pack));
        while let Some(scanned) = frames.next().await {
            if watch.cancel().is_asked() {
                return Err(Failure::new(
                    Class::Interrupted,
                    format!("verification of `{id}` was interrupted"),
                ));
            }
            match scanned.bytes {
                Ok((_, raw)) => {
                    report.frames += 1;
                    report.bytes += raw.len() as u64;
                }
                Err(e) => bad.add(pack, Some(scanned.frame), e, report)?,
            }
            let bytes = (scanned.frame + 1) * archive::frame::FRAME_BYTES as u64;
            let path = String::new();
            watch.tell(Told::Progress(Progress { entries: 0, bytes, of_bytes: Some(of_bytes), path }));
        }
        if report.damaged.len() == before {
            whole.insert(key);
        }
    }
    bad.tables(manifest.totals.entries, report).await?;
    bad.pages(report).await?;
    Ok(Some(opened))
}

/// The pack is there, as long as it was, and its tail and frame lists are whole.
async fn lengths(reading: &Reading, pack: &PackRef) -> Result<(), ReadError> {
    match reading.store().head(&reading.key(pack)).await? {
        None => return Err(reading.damaged(pack, None, "the pack is missing")),
        Some(found) if found.length != pack.length => {
            let what = format!("the pack is {} bytes long and should be {}", found.length, pack.length);
            return Err(reading.damaged(pack, None, what));
        }
        Some(_) => {}
    }
    // Only whoever has lost the manifest reads the tail, and that is no time to find it damaged.
    let tail = pack.length.saturating_sub(TAIL_BYTES as u64)..pack.length;
    if reading.store().get_range(&reading.key(pack), tail).await? != put_tail(&pack.footer) {
        return Err(reading.damaged(pack, None, "its tail does not point to its footer"));
    }
    let footer = reading.footer(pack).await?;
    for list in 0..footer.lists.len() {
        reading.frame_list(pack, list).await?;
    }
    Ok(())
}
