//! What is stored: objects as ropes of blobs, so that nothing is copied from request to reply.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

use bytes::Bytes;
use jiff::Timestamp;

/// Bytes that came in one request.
#[derive(Debug, Clone)]
pub(super) enum Blob {
    Memory(Arc<Vec<Bytes>>, u64),
    File(Arc<BlobFile>, u64),
}

/// Removed with the last object that holds it.
#[derive(Debug)]
pub(super) struct BlobFile {
    path: PathBuf,
    file: fs::File,
}

impl Drop for BlobFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// How much is read from a file at once.
const READ_BYTES: u64 = 1 << 20;

impl Blob {
    /// Keeps chunks in memory, or writes them to a file of `dir`.
    pub(super) fn store(chunks: Vec<Bytes>, dir: Option<&Path>) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let Some(dir) = dir else { return Ok(Self::Memory(Arc::new(chunks), length)) };
        let path = dir.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = fs::File::options().read(true).write(true).create_new(true).open(&path)?;
        let mut at = 0;
        for chunk in &chunks {
            file.write_all_at(chunk, at)?;
            at += chunk.len() as u64;
        }
        Ok(Self::File(Arc::new(BlobFile { path, file }), length))
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Memory(_, length) | Self::File(_, length) => *length,
        }
    }

    /// Cuts `range` out of it, without copying what is in memory.
    fn slices(&self, range: Range<u64>, out: &mut Vec<Slice>) {
        match self {
            Self::File(file, _) => {
                let mut start = range.start;
                while start < range.end {
                    let end = range.end.min(start + READ_BYTES);
                    out.push(Slice::File(file.clone(), start..end));
                    start = end;
                }
            }
            Self::Memory(chunks, _) => {
                let mut at = 0_u64;
                for chunk in chunks.iter() {
                    let end = at + chunk.len() as u64;
                    let (from, to) = (range.start.max(at), range.end.min(end));
                    if from < to {
                        let within = |n: u64| usize::try_from(n - at).unwrap_or(usize::MAX);
                        out.push(Slice::Memory(chunk.slice(within(from)..within(to))));
                    }
                    at = end;
                }
            }
        }
    }
}

/// A piece of a reply.
#[derive(Debug)]
pub(super) enum Slice {
    Memory(Bytes),
    File(Arc<BlobFile>, Range<u64>),
}

impl Slice {
    /// Its bytes. Reading from a tmpfs does not block long enough to matter.
    pub(super) fn bytes(self) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes),
            Self::File(file, range) => {
                let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
                let mut bytes = vec![0; length];
                file.file.read_exact_at(&mut bytes, range.start)?;
                Ok(Bytes::from(bytes))
            }
        }
    }
}

/// A stored object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) blobs: Vec<Blob>,
    pub(super) etag: String,
    pub(super) modified: Timestamp,
}

impl Object {
    pub(super) fn length(&self) -> u64 {
        self.blobs.iter().map(Blob::length).sum()
    }

    pub(super) fn slices(&self, range: Range<u64>) -> Vec<Slice> {
        let (mut at, mut out) = (0, Vec::new());
        for blob in &self.blobs {
            let end = at + blob.length();
            let (from, to) = (range.start.max(at), range.end.min(end));
            if from < to {
                blob.slices(from - at..to - at, &mut out);
            }
            at = end;
        }
        out
    }
}

/// An upload that is open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) key: String,
    pub(super) parts: BTreeMap<u32, (Blob, String)>,
}

#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: BTreeMap<String, Open>,
}

/// All buckets.
#[derive(Debug, Default)]
pub(super) struct Objects {
    buckets: BTreeMap<String, Bucket>,
    stamps: u64,
}

impl Objects {
    pub(super) fn bucket(&mut self, name: &str) -> &mut Bucket {
        self.buckets.entry(name.to_owned()).or_default()
    }

    /// A tag that was never given before. Clients must not take it for a hash.
    pub(super) fn stamp(&mut self) -> String {
        self.stamps += 1;
        format!("{:032x}", self.stamps)
    }

    pub(super) fn stored_bytes(&self) -> u64 {
        let objects = self.buckets.values().flat_map(|bucket| bucket.objects.values());
        let uploads = self.buckets.values().flat_map(|bucket| bucket.uploads.values());
        let parts = uploads.flat_map(|upload| upload.parts.values());
        objects.map(Object::length).sum::<u64>() + parts.map(|(blob, _)| blob.length()).sum::<u64>()
    }

    pub(super) fn lengths(&self, bucket: &str) -> Vec<(String, u64)> {
        let objects = self.buckets.get(bucket).into_iter().flat_map(|bucket| &bucket.objects);
        objects.map(|(key, object)| (key.clone(), object.length())).collect()
    }

    pub(super) fn open_keys(&self, bucket: &str) -> Vec<String> {
        let uploads = self.buckets.get(bucket).into_iter().flat_map(|bucket| bucket.uploads.values());
        uploads.map(|upload| upload.key.clone()).collect()
    }
}
