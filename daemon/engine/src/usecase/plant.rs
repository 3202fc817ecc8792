//! Puts a small tree into a new volume of our own, through the same helper that restores. For the tour and
//! for tests; it touches no volume that it did not make.

use std::collections::BTreeMap;

use archive::channel::{End, Job, Piece, RecordKind, Target, UnpackJob, Unpacked, put_frame};
use archive::entry::{Entry, Extent, Kind, Stamp, Witness};
use archive::frame::{Encoder, FRAME_BYTES, FrameRow};
use archive::path::TreePath;
use archive::row::put_row;

use crate::failure::{Class, Failure};
use crate::pipeline::channel::{ChannelError, read_record, write_record};
use crate::port::docker::{Access, HelperMount, NewVolume};
use crate::usecase::blame;
use crate::usecase::host::Host;
use crate::usecase::job::{Session, spec};
use crate::usecase::run::Glance;

/// The label of a volume that the tour made, and may remove.
pub const DEMO_LABEL: &str = "backupd.demo";

/// What to plant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlantedContent {
    /// A folder.
    Folder,
    /// A file with this content; all files together are smaller than a frame.
    File(Vec<u8>),
    /// A symlink to this target.
    Symlink(Vec<u8>),
}

/// One entry to plant, in path order; the root comes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planted {
    /// Where.
    pub path: TreePath,
    /// Permission bits.
    pub mode: u32,
    /// What.
    pub content: PlantedContent,
}

/// Makes the volume and plants the tree; gives the number of entries.
pub async fn plant(host: &Host, volume: &str, tree: &[Planted]) -> Result<u64, Failure> {
    let docker = host.docker().await?;
    let labels = BTreeMap::from([(DEMO_LABEL.to_owned(), "true".to_owned())]);
    let new = NewVolume { name: volume.to_owned(), labels, ..NewVolume::default() };
    let what = format!("make volume `{volume}`");
    docker.create_volume(&new).await.map_err(|e| blame::docker(what.clone(), e))?;
    let glance = Glance::begin(host)?;
    let job = Job::Unpack(UnpackJob {
        run: glance.id().to_string(),
        workers: 1,
        into: Target::Empty,
        places: Vec::new(),
    });
    let spec = spec(host, glance.id(), &HelperMount::Volume(volume.to_owned()), Access::Write);
    let mut session = Session::open(&*docker, &spec, &job, what).await?;
    match send(&mut session, tree, host.clock().now().as_second()).await {
        Ok(unpacked) => {
            session.close().await?;
            Ok(unpacked.totals.entries)
        }
        Err(e) => Err(session.broke(e).await),
    }
}

async fn send(session: &mut Session, tree: &[Planted], now: i64) -> Result<Unpacked, ChannelError> {
    let protocol = |e: &dyn std::fmt::Display| ChannelError::Protocol(e.to_string());
    let (mut rows, mut raw, mut pieces) = (Vec::new(), Vec::new(), Vec::new());
    let mut before: &[u8] = b"";
    let root = Planted { path: TreePath::root(), mode: 0o755, content: PlantedContent::Folder };
    let tree = || std::iter::once(&root).chain(tree);
    for (ordinal, planted) in (0..).zip(tree()) {
        let entry = entry(planted, raw.len() as u64, now);
        put_row(&mut rows, before, &entry);
        before = planted.path.as_bytes();
        if let PlantedContent::File(bytes) = &planted.content {
            let small = |n: usize| u32::try_from(n).map_err(|e| protocol(&e));
            let (frame_offset, length) = (small(raw.len())?, small(bytes.len())?);
            if length > 0 {
                pieces.push(Piece { entry: ordinal, file_offset: 0, frame_offset, length });
            }
            raw.extend_from_slice(bytes);
        }
    }
    assert!(raw.len() <= FRAME_BYTES, "BUG: planted more than a frame");
    let to = &mut *session.helper.to;
    write_record(to, RecordKind::Rows, &rows, &[]).await?;
    if !raw.is_empty() {
        let (stored, hash) = Encoder::new(3).and_then(|mut e| e.encode(&raw)).map_err(|e| protocol(&e))?;
        let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let row = FrameRow { offset: 0, stored: length(stored.len()), raw: length(raw.len()), hash };
        write_record(to, RecordKind::Frame, &put_frame(&row, &pieces, &[]), &stored).await?;
    }
    let end = End { entries: tree().count() as u64, data_bytes: raw.len() as u64 };
    let end = serde_json::to_vec(&end).map_err(|e| protocol(&e))?;
    write_record(to, RecordKind::End, &end, &[]).await?;
    loop {
        let record = read_record(&mut *session.helper.from).await?;
        if record.kind == RecordKind::Done {
            return record.json();
        }
        if record.kind != RecordKind::Progress {
            return Err(ChannelError::Protocol(format!("{:?} while planting", record.kind)));
        }
    }
}

fn entry(planted: &Planted, position: u64, now: i64) -> Entry {
    let kind = match &planted.content {
        PlantedContent::Folder => Kind::Folder,
        PlantedContent::Symlink(target) => Kind::Symlink { target: target.clone() },
        PlantedContent::File(bytes) => {
            let length = bytes.len() as u64;
            let extent = Extent::Stored { pack: 1, position, length };
            Kind::File { size: length, content: if length > 0 { vec![extent] } else { Vec::new() } }
        }
    };
    Entry {
        path: planted.path.clone(),
        kind,
        mode: planted.mode,
        uid: 0,
        gid: 0,
        modified: Stamp { seconds: now, nanoseconds: 0 },
        xattrs: Vec::new(),
        witness: Witness::default(),
    }
}

/// Removes a volume that [`plant`] made, or that was restored from one. Refuses every other.
pub async fn uproot(host: &Host, volume: &str) -> Result<(), Failure> {
    let docker = host.docker().await?;
    let what = format!("remove volume `{volume}`");
    let Some(found) = docker.volume(volume).await.map_err(|e| blame::docker(what.clone(), e))? else {
        return Ok(());
    };
    if !found.labels.contains_key(DEMO_LABEL) {
        return Err(Failure::new(Class::Unsafe, what).because("it was not made by the tour"));
    }
    docker.remove_volume(volume).await.map_err(|e| blame::docker(what, e))
}
