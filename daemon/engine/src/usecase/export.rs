//! Writes a snapshot as a plain tarball that needs no software of ours to be unpacked.
//!
//! Standard tools cannot see that a tarball was cut short, so the report carries the BLAKE3 of what was
//! written, and success is said only after every frame was checked and written.

use std::io::Write;
use std::pin::pin;

use futures_util::stream::StreamExt as _;
use serde::Serialize;

use crate::failure::{Class, Failure};
use crate::pipeline::scan::scan;
use crate::usecase::blame;
use crate::usecase::browse::cannot_write;
use crate::usecase::host::Host;
use crate::usecase::opened::open;
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
    let Some(pack) = manifest.packs.first() else {
        return Err(Failure::failed(format!("export `{id}`")).because("its manifest lists no pack"));
    };
    watch.tell(Told::Step(format!("exporting {id}")));
    let mut hasher = blake3::Hasher::new();
    let (mut raw_bytes, mut bytes) = (0, 0);
    let mut frames = pin!(scan(&opened.reading, pack));
    while let Some(scanned) = frames.next().await {
        if watch.cancel().is_asked() {
            return Err(Failure::new(Class::Interrupted, format!("export of `{id}` was interrupted"))
                .hint("what was written is not a whole tarball; delete it"));
        }
        let (stored, raw) = scanned.bytes.map_err(|e| blame::read(format!("export `{id}`"), e))?;
        raw_bytes += raw.len() as u64;
        let piece: &[u8] = match what {
            ExportAs::Tar => &raw,
            ExportAs::TarZst => &stored,
        };
        hasher.update(piece);
        bytes += piece.len() as u64;
        out.write_all(piece).map_err(cannot_write)?;
        let of_bytes = Some(pack.raw_bytes);
        watch.tell(Told::Progress(Progress { entries: 0, bytes: raw_bytes, of_bytes, path: String::new() }));
    }
    out.flush().map_err(cannot_write)?;
    if raw_bytes != pack.raw_bytes {
        return Err(
            Failure::failed(format!("export `{id}`")).because("the pack is shorter than its manifest says")
        );
    }
    Ok(ExportReport { snapshot: id, bytes, blake3: hasher.finalize().to_hex().to_string() })
}
