//! A store that has thousands of snapshots, each with a manifest as a real one, signed and chained; nothing of
//! their content is there, for nothing that is measured here reads it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use archive::channel::{Notes, Totals};
use archive::layout::{BlockRef, FORMAT, RootRef};
use engine::format::key::HostKey;
use engine::format::manifest::{Consistency, Manifest, PackRef, Parent, SnapshotKind, VolumeShape};
use engine::format::names::{Lineage, owner_key};
use engine::format::owner::Owner;
use engine::format::signed;
use engine::port::store::{Put, Store};
use engine::words::{HostName, Number, RunId};
use jiff::{SignedDuration, Timestamp};

/// Under which name this host writes.
pub const HOST: &str = "scale";

/// So many packs are behind a snapshot, as they are behind an incremental one.
const PACKS: u64 = 8;

/// How many sources, and how many snapshots each has.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Sources.
    pub sources: u64,
    /// Of each.
    pub snapshots: u64,
}

/// Fills `store` as if the installation of `state` had backed up for years, until now.
pub async fn plant(store: &dyn Store, state: &Path, size: Size, now: Timestamp) -> io::Result<()> {
    let key = HostKey::load_or_make(&state.join("host.key")).map_err(io::Error::other)?;
    let owner: RunId =
        std::fs::read_to_string(state.join("owner"))?.trim().parse().map_err(io::Error::other)?;
    let host: HostName = HOST.parse().map_err(io::Error::other)?;
    let owner = Owner::new(host.clone(), owner, key.public(), now);
    let bytes = owner.to_bytes().map_err(io::Error::other)?;
    put(store, &owner_key(&host), bytes.into()).await?;
    for source in 0..size.sources {
        let source = format!("{}{source:03}", super::service::PREFIX).parse().map_err(io::Error::other)?;
        let lineage = Lineage { host: host.clone(), source };
        let mut parent = None;
        for number in (1..=size.snapshots).filter_map(Number::new) {
            let age = i64::try_from(size.snapshots - number.get()).map_err(io::Error::other)?;
            let taken_at = now - SignedDuration::from_hours(1 + 24 * age);
            let bytes = signed::seal(&manifest(&lineage, number, taken_at, parent.take())?, &key);
            let bytes = bytes.map_err(io::Error::other)?;
            parent = Some(Parent { number, hash: *blake3::hash(&bytes).as_bytes() });
            put(store, &lineage.manifest(number), bytes).await?;
        }
    }
    Ok(())
}

async fn put(store: &dyn Store, key: &str, bytes: bytes::Bytes) -> io::Result<()> {
    store.put(key, bytes, Put::Replace).await.map_err(io::Error::other)
}

fn manifest(
    lineage: &Lineage,
    number: Number,
    taken_at: Timestamp,
    parent: Option<Parent>,
) -> io::Result<Manifest> {
    let run = |n: u64| format!("{n:016x}").parse::<RunId>().map_err(io::Error::other);
    let block = |offset| BlockRef { offset, length: 4000, hash: *blake3::hash(b"block").as_bytes() };
    let newest = number.get();
    let mut packs = Vec::new();
    for of in (newest.saturating_sub(PACKS - 1).max(1)..=newest).filter_map(Number::new) {
        packs.push(PackRef {
            id: of.pack_id(0),
            name: Lineage::pack_name(of, taken_at, &run(of.get())?, 0),
            length: 1 << 20,
            hash: *blake3::hash(&of.get().to_le_bytes()).as_bytes(),
            raw_bytes: 4 << 20,
            used: 2 << 20,
            content_bytes: 4 << 20,
            footer: block((1 << 20) - 4000),
        });
    }
    let kind = if newest == 1 { SnapshotKind::Full } else { SnapshotKind::Incremental };
    let root = RootRef { pack: number.pack_id(0), block: block(8000), segments: 12, rows: 9000 };
    Ok(Manifest {
        format: FORMAT,
        host: lineage.host.clone(),
        source: lineage.source.clone(),
        number,
        run: run(newest)?,
        taken_at,
        finished_at: taken_at,
        kind,
        consistency: Consistency::Idle,
        freeze_ms: 0,
        set: None,
        by_hand: false,
        totals: Totals { entries: 9000, files: 8000, bytes: 4 << 30, data_bytes: 4 << 30 },
        packs,
        entries: vec![root.clone()],
        pages: vec![root],
        full_at: None,
        notes: Notes::default(),
        identity: None,
        volume: VolumeShape { name: lineage.source.to_string(), ..VolumeShape::default() },
        users: Vec::new(),
        imported: None,
        made_by: BTreeMap::from([("backupd".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        parent,
    })
}
