//! The memory twin of the store port. Clones share their content: one is this process, another the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;

use crate::port::store::{
    Conditions, ObjectInfo, OpenUpload, Put, ReadStore, Store, StoreError, StoreErrorKind as Kind, Upload,
    check_key,
};

/// A store that keeps the contract and is gone with its last clone.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    name: Option<String>,
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<u64, String>,
    uploads_begun: u64,
    ranges: Vec<(String, Range<u64>)>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one of that name, for whoever has two.
    pub fn called(name: &str) -> Self {
        let state = State { name: Some(name.to_owned()), ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Puts an object past all rules: a foreign one, or a damaged one.
    pub fn plant(&self, key: &str, bytes: impl Into<Bytes>) {
        self.state().objects.insert(key.to_owned(), bytes.into());
    }

    /// Takes an object away past all rules.
    pub fn lose(&self, key: &str) -> Option<Bytes> {
        self.state().objects.remove(key)
    }

    /// All objects, to compare two moments.
    pub fn snapshot(&self) -> BTreeMap<String, Bytes> {
        self.state().objects.clone()
    }

    /// Which ranges of which objects were asked for since this was asked last.
    pub fn take_ranges(&self) -> Vec<(String, Range<u64>)> {
        std::mem::take(&mut self.state().ranges)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, key: &str) -> Result<Bytes, StoreError> {
        legal("get", key)?;
        let found = self.state().objects.get(key).cloned();
        found.ok_or_else(|| StoreError::new(Kind::NotFound, "get", key, "no such object"))
    }
}

/// Without the content, which may be large.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "MemoryStore({} objects, {} open uploads)", state.objects.len(), state.uploads.len())
    }
}

fn legal(deed: &'static str, key: &str) -> Result<(), StoreError> {
    check_key(key).map_err(|why| StoreError::new(Kind::Other, deed, key, why))
}

fn info(key: &str, bytes: &Bytes) -> ObjectInfo {
    // A date that no test can take for a time: stores' dates are never used for order.
    ObjectInfo { key: key.to_owned(), length: bytes.len() as u64, modified: Some(Timestamp::UNIX_EPOCH) }
}

#[async_trait]
impl ReadStore for MemoryStore {
    fn name(&self) -> String {
        self.state().name.clone().unwrap_or_else(|| "memory".to_owned())
    }

    async fn get(&self, key: &str, max: u64) -> Result<Bytes, StoreError> {
        let object = self.object(key)?;
        if object.len() as u64 > max {
            return Err(StoreError::new(Kind::Other, "get", key, "the object is longer than makes sense"));
        }
        Ok(object)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let object = self.object(key)?;
        self.state().ranges.push((key.to_owned(), range.clone()));
        let within = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        match within {
            Some((start, end)) if start < end && end <= object.len() => Ok(object.slice(start..end)),
            Some(_) | None => {
                let why = format!("bytes {}..{} of an object of {}", range.start, range.end, object.len());
                Err(StoreError::new(Kind::Garbled, "get", key, why))
            }
        }
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, StoreError> {
        legal("head", key)?;
        Ok(self.state().objects.get(key).map(|bytes| info(key, bytes)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let state = self.state();
        let objects = state.objects.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(objects.map(|(key, bytes)| info(key, bytes)).collect())
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let state = self.state();
        let below = state.objects.keys().filter_map(|key| Some(key.strip_prefix(prefix)?.split_once('/')?.0));
        // Keys are sorted with their slashes, names without: `a-b/` comes before `a/`.
        let found: BTreeSet<&str> = below.collect();
        Ok(found.into_iter().map(str::to_owned).collect())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn put(&self, key: &str, body: Bytes, mode: Put) -> Result<(), StoreError> {
        legal("put", key)?;
        let mut state = self.state();
        if mode == Put::IfAbsent && state.objects.contains_key(key) {
            return Err(StoreError::new(Kind::Exists, "put", key, "there is an object of that name already"));
        }
        state.insert(key, body);
        Ok(())
    }

    async fn begin(&self, key: &str) -> Result<Box<dyn Upload>, StoreError> {
        legal("begin", key)?;
        let mut state = self.state();
        state.uploads_begun += 1;
        let id = state.uploads_begun;
        state.uploads.insert(id, key.to_owned());
        drop(state);
        Ok(Box::new(MemoryUpload { store: self.clone(), key: key.to_owned(), id, bytes: BytesMut::new() }))
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        legal("delete", key)?;
        self.state().objects.remove(key);
        Ok(())
    }

    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, StoreError> {
        let state = self.state();
        let open = state.uploads.iter().filter(|(_, key)| key.starts_with(prefix));
        let mut found: Vec<_> =
            open.map(|(id, key)| OpenUpload { key: key.clone(), id: id.to_string() }).collect();
        found.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        Ok(found)
    }

    async fn abort_upload(&self, upload: &OpenUpload) -> Result<(), StoreError> {
        if let Ok(id) = upload.id.parse() {
            self.state().uploads.remove(&id);
        }
        Ok(())
    }

    async fn conditions(&self) -> Result<Conditions, StoreError> {
        Ok(Conditions::Enforced)
    }
}

impl State {
    /// Whoever stores a key that is also a folder breaks the port's contract, and real stores in odd ways.
    fn insert(&mut self, key: &str, body: Bytes) {
        let folder = format!("{key}/");
        let above = key.match_indices('/').any(|(at, _)| self.objects.contains_key(&key[..at]));
        let below = self.objects.range(folder.clone()..).next().is_some_and(|(k, _)| k.starts_with(&folder));
        assert!(!above && !below, "BUG: `{key}` is an object and a folder");
        self.objects.insert(key.to_owned(), body);
    }
}

/// Its bytes are nowhere to be seen until it is finished.
struct MemoryUpload {
    store: MemoryStore,
    key: String,
    id: u64,
    bytes: BytesMut,
}

#[async_trait]
impl Upload for MemoryUpload {
    fn id(&self) -> Option<OpenUpload> {
        Some(OpenUpload { key: self.key.clone(), id: self.id.to_string() })
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, StoreError> {
        let bytes = std::mem::take(&mut self.bytes).freeze();
        let mut state = self.store.state();
        if state.uploads.remove(&self.id).is_none() {
            return Err(StoreError::new(Kind::NotFound, "finish", &self.key, "the upload was aborted"));
        }
        let length = bytes.len() as u64;
        state.insert(&self.key, bytes);
        Ok(length)
    }

    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Drop for MemoryUpload {
    fn drop(&mut self) {
        self.store.state().uploads.remove(&self.id);
    }
}
