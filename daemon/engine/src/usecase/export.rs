//! Writes a snapshot as a plain tarball that needs no software of ours to be unpacked.
//!
//! Standard tools cannot see that a tarball was cut short, so the report carries the BLAKE3 of what was
//! written, and success is said only after every frame was checked and written.

use std::io::{self, Write};
use std::pin::pin;

use archive::frame::{Encoder, FRAME_BYTES};
use futures_util::stream::StreamExt as _;
use serde::Serialize;

use crate::failure::{Class, Failure};
use crate::format::manifest::{PackRef, SnapshotKind};
use crate::pipeline::scan::scan;
use crate::pipeline::tarball::{self, TarballError};
use crate::usecase::blame;
use crate::usecase::browse::cannot_write;
use crate::usecase::host::Host;
use crate::usecase::notes::warnings;
use crate::usecase::opened::{Opened, open};
use crate::usecase::watch::{Progress, Told, Watch};
use crate::words::SnapshotName;

/// What an export looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportAs {
    /// A tarball.
    Tar,
    /// A tarball in zstd frames, as it lies in the store, without our tables.
    TarZst,
}

/// A finished export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    /// Which snapshot.
    pub snapshot: String,
    /// Bytes that were written.
    pub bytes: u64,
    /// BLAKE3 of them.
    pub blake3: String,
    /// Something that should be in it is not.
    pub partial: bool,
}

/// Writes the tarball to `out`.
pub async fn export(
    host: &Host,
    name: &SnapshotName,
    what: ExportAs,
    out: &mut (dyn Write + Send),
    watch: &dyn Watch,
) -> Result<ExportReport, Failure> {
    let opened = open(host, name).await?;
    let id = opened.id(host);
    let manifest = &opened.signed.manifest;
    watch.tell(Told::Step(format!("exporting {id}")));
    if manifest.is_partial() {
        let why = warnings(&manifest.notes).join("; ");
        watch.tell(Told::Warning(format!("snapshot `{id}` is partial: {why}")));
    }
    let mut counted = Counted { out, hasher: blake3::Hasher::new(), bytes: 0 };
    match (manifest.kind, manifest.packs.as_slice()) {
        // Its one pack is the tarball, unless nothing of a first pass is left. What could not be read to its end stands in
        // there with zeros, which nobody must take for its content.
        (SnapshotKind::Full, [pack])
            if pack.id == manifest.number.pack_id(0) && manifest.notes.unreadable == 0 =>
        {
            whole_pack(&opened, &id, pack, what, &mut counted, watch).await?;
        }
        (SnapshotKind::Full | SnapshotKind::Incremental, _) => {
            gathered(&opened, &id, what, host.settings().effort.levels.first(), &mut counted, watch).await?;
        }
    }
    counted.out.flush().map_err(cannot_write)?;
    let blake3 = counted.hasher.finalize().to_hex().to_string();
    Ok(ExportReport { snapshot: id, bytes: counted.bytes, blake3, partial: manifest.is_partial() })
}

/// What went out.
struct Counted<'a> {
    out: &'a mut (dyn Write + Send),
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Counted<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        self.out.write_all(piece)
    }
}

fn interrupted(id: &str) -> Failure {
    Failure::new(Class::Interrupted, format!("export of `{id}` was interrupted"))
        .hint("what was written is not a whole tarball; delete it")
}

async fn whole_pack(
    opened: &Opened,
    id: &str,
    pack: &PackRef,
    what: ExportAs,
    out: &mut Counted<'_>,
    watch: &dyn Watch,
) -> Result<(), Failure> {
    let mut raw_bytes = 0;
    let mut frames = pin!(scan(&opened.reading, pack));
    while let Some(scanned) = frames.next().await {
        if watch.cancel().is_asked() {
            return Err(interrupted(id));
        }
        let (stored, raw) = scanned.bytes.map_err(|e| blame::read(format!("export `{id}`"), e))?;
        raw_bytes += raw.len() as u64;
        let piece: &[u8] = match what {
            ExportAs::Tar => &raw,
            ExportAs::TarZst => &stored,
        };
        out.write(piece).map_err(cannot_write)?;
        tell(watch, raw_bytes, pack.raw_bytes);
    }
    if raw_bytes == pack.raw_bytes {
        return Ok(());
    }
    Err(Failure::failed(format!("export `{id}`")).because("the pack is shorter than its manifest says"))
}

/// A tarball whose content lies in several packs.
async fn gathered(
    opened: &Opened,
    id: &str,
    what: ExportAs,
    level: i32,
    out: &mut Counted<'_>,
    watch: &dyn Watch,
) -> Result<(), Failure> {
    let cannot_compress = |e: io::Error| Failure::failed(format!("export `{id}`")).because(e);
    let mut encoder = Encoder::new(level).map_err(cannot_compress)?;
    let of_bytes = opened.signed.manifest.totals.data_bytes;
    let (mut frame, mut stored) = (Vec::with_capacity(FRAME_BYTES), Vec::new());
    let mut raw_bytes = 0;
    let mut pass_on = |bytes: &[u8]| {
        if watch.cancel().is_asked() {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        raw_bytes += bytes.len() as u64;
        tell(watch, raw_bytes, of_bytes.max(raw_bytes));
        let mut bytes = bytes;
        if what == ExportAs::Tar {
            return out.write(bytes);
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(FRAME_BYTES - frame.len()));
            frame.extend_from_slice(now);
            bytes = later;
            if frame.len() == FRAME_BYTES {
                encoder.encode_into(&frame, &mut stored)?;
                frame.clear();
                out.write(&stored)?;
            }
        }
        Ok(())
    };
    match tarball::write(&opened.reading, &mut pass_on).await {
        Ok(()) => {}
        Err(TarballError::Write(e)) if e.kind() == io::ErrorKind::Interrupted => return Err(interrupted(id)),
        Err(TarballError::Write(e)) => return Err(cannot_write(e)),
        Err(TarballError::Read(e)) => return Err(blame::read(format!("export `{id}`"), e)),
    }
    if !frame.is_empty() {
        encoder.encode_into(&frame, &mut stored).map_err(cannot_compress)?;
        out.write(&stored).map_err(cannot_write)?;
    }
    Ok(())
}

fn tell(watch: &dyn Watch, bytes: u64, of_bytes: u64) {
    let of_bytes = Some(of_bytes);
    watch.tell(Told::Progress(Progress { entries: 0, bytes, of_bytes, path: String::new() }));
}
