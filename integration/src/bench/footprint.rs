//! What a snapshot takes in the store besides the content of files: its tables and its manifest.

use std::io;

use engine::archive::layout::{RootRef, Tag, block_body, read_root};
use engine::format::manifest::{MANIFEST_BYTES_MAX, Manifest};
use engine::port::store::Store;

use super::server::{OURS, Server};

/// Bytes of one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Roots and segments of both tables, in whichever pack they lie.
    pub tables: u64,
    /// The manifest, signature and all.
    pub manifest: u64,
}

/// Of the newest snapshot on a server that holds one lineage.
pub fn newest(server: &Server) -> io::Result<Footprint> {
    server.with_store(OURS, async |store| {
        let listed = store.list("").await.map_err(io::Error::other)?;
        let manifests = listed.into_iter().filter(|object| object.key.ends_with(".manifest"));
        // Numbers have eight digits, so the order of names is theirs.
        let newest = manifests.max_by(|a, b| a.key.cmp(&b.key));
        let key = newest.ok_or_else(|| io::Error::other("no snapshot was made"))?.key;
        let signed = store.get(&key, MANIFEST_BYTES_MAX).await.map_err(io::Error::other)?;
        let body = signed.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let manifest = Manifest::parse(body).map_err(io::Error::other)?;
        let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut tables = 0;
        for root in manifest.entries.iter().chain(&manifest.pages) {
            tables += of_root(store, folder, &manifest, root).await?;
        }
        Ok(Footprint { tables, manifest: signed.len() as u64 })
    })
}

async fn of_root(store: &dyn Store, folder: &str, manifest: &Manifest, root: &RootRef) -> io::Result<u64> {
    let pack = manifest.packs.iter().find(|pack| pack.id == root.pack);
    let pack =
        pack.ok_or_else(|| io::Error::other("a root lies in a pack that the manifest does not name"))?;
    let range = root.block.offset..root.block.offset + u64::from(root.block.length);
    let bytes = store.get_range(&format!("{folder}/{}", pack.name), range).await.map_err(io::Error::other)?;
    let body = block_body(Tag::Root, &bytes).map_err(io::Error::other)?;
    let segments = read_root(body).map_err(io::Error::other)?;
    let lengths = segments.iter().map(|segment| u64::from(segment.block.length));
    Ok(u64::from(root.block.length) + lengths.sum::<u64>())
}
