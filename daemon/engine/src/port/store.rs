//! Where packs and manifests live.
//!
//! A key is a relative path of ASCII text as `format::names` makes it; [`check_key`] says what is legal, and
//! every adapter refuses the rest before it does anything. No key is ever also the prefix folder of another.
//! Every call ends: an adapter has a deadline for each attempt and a bounded number of attempts, and gives
//! [`StoreError`] when they are used up. Dropping the future of a call cancels it; what the call would have
//! done is then unknown.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

/// What went wrong, as far as it matters for what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// No object with that key.
    NotFound,
    /// The bucket or folder itself is missing.
    NoBucket,
    /// Refused: credentials, permissions, a lock on the object.
    Denied,
    /// The clock of this host differs too much from the store's for its signatures.
    ClockSkew,
    /// `put` with [`Put::IfAbsent`] found an object there.
    Exists,
    /// No space, or over quota.
    Full,
    /// Read-only file system.
    ReadOnly,
    /// Could not be reached, too slow, or failing; trying later may help.
    Unavailable,
    /// What came back makes no sense: wrong length, error in a success, not what was asked for.
    Garbled,
    /// Settings that cannot work: bad URL, bad CA file, unknown scheme.
    Settings,
    /// Everything else that trying again will not help.
    Other,
}

impl StoreErrorKind {
    /// Whether trying the same call again later can help. No `_` arm: a new kind must decide.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Unavailable | Self::Garbled => true,
            Self::NotFound
            | Self::NoBucket
            | Self::Denied
            | Self::ClockSkew
            | Self::Exists
            | Self::Full
            | Self::ReadOnly
            | Self::Settings
            | Self::Other => false,
        }
    }
}

/// A store could not do a thing. Never made from an error of the source that is backed up.
#[derive(Debug, thiserror::Error)]
#[error("{deed} `{key}`: {why}")]
pub struct StoreError {
    /// What kind.
    pub kind: StoreErrorKind,
    /// The bare verb: `put`, `get`, `list`.
    pub deed: &'static str,
    /// The key or prefix.
    pub key: String,
    /// In words, without secrets.
    pub why: String,
}

impl StoreError {
    /// With the bare verb, the key or prefix, and the reason in words.
    pub fn new(kind: StoreErrorKind, deed: &'static str, key: &str, why: impl Into<String>) -> Self {
        Self { kind, deed, key: key.to_owned(), why: why.into() }
    }
}

/// Longest key in bytes: S3 allows 1024, and the store's own prefix comes in front.
pub const KEY_BYTES_MAX: usize = 900;

/// Longest component in bytes: file systems allow 255.
pub const COMPONENT_BYTES_MAX: usize = 255;

/// Refuses what no adapter could store safely. Names that start with a dot in the first component are the
/// adapters' own (`.tmp`, the marker, the probe).
pub fn check_key(key: &str) -> Result<(), &'static str> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err("a key has between 1 and 900 bytes");
    }
    if key.starts_with('.') {
        return Err("a key does not start with a dot");
    }
    if !key.bytes().all(|b| b.is_ascii_graphic() || b == b' ') || key.contains('\\') {
        return Err("a key is printable ASCII without backslashes");
    }
    match key.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() <= COMPONENT_BYTES_MAX) {
        true => Ok(()),
        false => Err("a key has no empty, `.`, `..` or overlong component"),
    }
}

/// Whether a `put` may replace what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Replaces. Only for objects that have one writer (`owner.json`, a soft-deleted manifest).
    Replace,
    /// Fails with [`StoreErrorKind::Exists`] if an object is there: the commit.
    IfAbsent,
}

/// What a listing or `head` says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: String,
    /// Its length.
    pub length: u64,
    /// The store's idea of when it was written. Never used for order or retention.
    pub modified: Option<Timestamp>,
}

/// An upload that was begun and neither finished nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// The key it would have become.
    pub key: String,
    /// The store's name for it.
    pub id: String,
}

/// Whether `Put::IfAbsent` can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// Two writers collide: one of them gets `Exists`.
    Enforced,
    /// The server says yes to both. The adapter then looks before it puts, which only helps one writer.
    Ignored,
}

/// Reading. A restore gets nothing more than this, so no path leads from a restore to a delete.
///
/// * `get` gives the whole object, or `Other` if it is longer than `max`.
/// * `get_range` gives exactly the bytes of the range, or an error. It may fetch the range in pieces, all of
///   them of one version of the object.
/// * A range that reaches beyond the object is `Garbled`, never shorter data. So is an empty one.
/// * `head` gives `None` for a missing object; `get` gives `NotFound`.
/// * `list` gives every key that starts with `prefix`, in byte order, each once, foreign ones among them;
///   keys that were put before the call are in it, keys that were deleted before are not.
/// * `folders` gives the distinct next components under `prefix` (which ends in `/` or is empty), sorted. A
///   folder is there as long as an object is below it; some servers still show it for a while afterwards.
#[async_trait]
pub trait ReadStore: Send + Sync + fmt::Debug {
    /// For people, without secrets: `s3://bucket/prefix` or `file:///dir`.
    fn name(&self) -> String;

    /// The whole object, if it is not longer than `max`.
    async fn get(&self, key: &str, max: u64) -> Result<Bytes, StoreError>;

    /// A range of the object; not empty.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// Length and date, or `None`.
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, StoreError>;

    /// All keys under a prefix.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError>;

    /// The folders directly under a prefix, without slashes.
    async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
}

/// Reading and writing.
///
/// * When `put` or `Upload::finish` returns `Ok`, the object is durable and every later `get`, `head` and
///   `list` sees it whole. Before, nobody sees any part of it.
/// * When `put` or `finish` fails, the object may or may not be there; the caller looks.
/// * `put(IfAbsent)` that meets its own earlier attempt (a lost reply) gives `Exists`; the caller reads back
///   and compares.
/// * `delete` of a missing key is `Ok`.
#[async_trait]
pub trait Store: ReadStore {
    /// Stores a small object in one request.
    async fn put(&self, key: &str, body: Bytes, mode: Put) -> Result<(), StoreError>;

    /// Begins an object of unknown length.
    async fn begin(&self, key: &str) -> Result<Box<dyn Upload>, StoreError>;

    /// Deletes an object.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Uploads under a prefix that are still open, of whoever began them.
    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, StoreError>;

    /// Aborts one of them; one that is gone is `Ok`.
    async fn abort_upload(&self, upload: &OpenUpload) -> Result<(), StoreError>;

    /// Finds out, once, whether conditions are enforced. Writes and deletes a small object of its own.
    async fn conditions(&self) -> Result<Conditions, StoreError>;
}

/// An object on its way.
///
/// * `write` takes bytes in order and returns when there is room for more: several parts may be in flight,
///   and memory is bounded by the adapter. An error of any part comes out of the next call.
/// * Only `finish` makes the object appear, with exactly the bytes written.
/// * `abort` (and, as far as possible, dropping) leaves nothing behind. A process that dies leaves an
///   [`OpenUpload`].
#[async_trait]
pub trait Upload: Send {
    /// The store's name for it, once the store knows of it.
    fn id(&self) -> Option<OpenUpload>;

    /// Takes the next bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Makes the object appear and gives its length.
    async fn finish(self: Box<Self>) -> Result<u64, StoreError>;

    /// Gives up.
    async fn abort(self: Box<Self>) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_could_leave_the_store_are_refused() {
        let long = "x".repeat(256);
        let longer = "x/".repeat(450) + "x";
        for key in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/./b",
            "../a",
            ".tmp/x",
            ".backupd-store",
            "a\\b",
            "a\0b",
            "a\nb",
            "é",
            &long,
            &longer,
        ] {
            assert!(check_key(key).is_err(), "{key:?}");
        }
        for key in ["a", "a/b", "web=3A=2Fa/00000042.manifest", "a/..b", "a/.b", "a b/c", "x.tar.zst"] {
            assert_eq!(check_key(key), Ok(()), "{key:?}");
        }
    }
}
