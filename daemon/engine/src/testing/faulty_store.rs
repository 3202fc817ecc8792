//! The faulty twin of the store port: wraps any store and fails as it is told.
//!
//! Faults are data: which call of which verb, and what happens. All calls go through a [`CallLog`], so that a run
//! can be ended at each of them; an upload of a dead process is left open, as the kernel would leave it.

use std::fmt;
use std::future::pending;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::calls::{CallLog, When};
use crate::port::store::{
    Conditions, ObjectInfo, OpenUpload, Put, ReadStore, Store, StoreError, StoreErrorKind as Kind, Upload,
};

/// The calls of the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of that name")]
pub enum Verb {
    Get,
    GetRange,
    Head,
    List,
    Folders,
    Put,
    Begin,
    Write,
    Finish,
    Abort,
    Delete,
    OpenUploads,
    AbortUpload,
    Conditions,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetRange => "get_range",
            Self::Head => "head",
            Self::List => "list",
            Self::Folders => "folders",
            Self::Put => "put",
            Self::Begin => "begin",
            Self::Write => "write",
            Self::Finish => "finish",
            Self::Abort => "abort",
            Self::Delete => "delete",
            Self::OpenUploads => "open_uploads",
            Self::AbortUpload => "abort_upload",
            Self::Conditions => "conditions",
        }
    }
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// An error of that kind, before or after the effect.
    Fail(When, Kind),
    /// No answer, ever, and no effect.
    Stall,
    /// Reads come back without their last bytes.
    Cut(usize),
    /// Reads come back with this bit flipped, counted from the start and wrapping around.
    Flip(usize),
    /// `put(IfAbsent)` replaces, and says yes.
    IgnoreCondition,
    /// Lists come back without the keys that contain this, as if they were out of date.
    Lacks(&'static str),
}

/// When something happens, and what.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which calls.
    pub verb: Verb,
    /// Only keys that contain this; the empty text is in every key.
    pub key_part: String,
    /// From which of these calls on, counted from 1.
    pub first: u64,
    /// How many in a row.
    pub times: u64,
    /// What.
    pub effect: Effect,
}

impl Fault {
    /// At the `nth` such call, once.
    pub fn nth(verb: Verb, nth: u64, effect: Effect) -> Self {
        Self { verb, key_part: String::new(), first: nth, times: 1, effect }
    }

    /// At every such call.
    pub fn always(verb: Verb, effect: Effect) -> Self {
        Self { verb, key_part: String::new(), first: 1, times: u64::MAX, effect }
    }

    /// Only for keys that contain `part`.
    #[must_use]
    pub fn at(mut self, part: &str) -> Self {
        part.clone_into(&mut self.key_part);
        self
    }
}

/// A store that fails as told.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Arc<Mutex<Vec<(Fault, u64)>>>,
    log: Arc<CallLog>,
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({:?})", self.inner)
    }
}

impl FaultyStore {
    /// Around `inner`; faults may also be added later.
    pub fn new(inner: Arc<dyn Store>, log: Arc<CallLog>, faults: Vec<Fault>) -> Self {
        let faults = faults.into_iter().map(|fault| (fault, 0)).collect();
        Self { inner, faults: Arc::new(Mutex::new(faults)), log }
    }

    /// One more fault; its calls are counted from now on.
    pub fn add(&self, fault: Fault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push((fault, 0));
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Every delete is refused, as by an object lock.
    pub fn deny_deletes(&self) {
        self.add(Fault::always(Verb::Delete, Effect::Fail(When::Before, Kind::Denied)));
    }

    /// The calls so far.
    pub fn log(&self) -> &Arc<CallLog> {
        &self.log
    }

    fn effect(&self, verb: Verb, key: &str) -> Option<Effect> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for (fault, seen) in faults.iter_mut() {
            if fault.verb == verb && key.contains(&fault.key_part) {
                *seen += 1;
                let now = *seen >= fault.first && *seen - fault.first < fault.times;
                found = found.or(now.then_some(fault.effect));
            }
        }
        found
    }

    async fn call<T>(
        &self,
        verb: Verb,
        key: &str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let effect = self.effect(verb, key);
        let said = |kind| StoreError::new(kind, verb.word(), key, "told to fail");
        let work = async {
            match effect {
                Some(Effect::Fail(When::Before, kind)) => Err(said(kind)),
                Some(Effect::Fail(When::After, kind)) => {
                    work.await?;
                    Err(said(kind))
                }
                Some(Effect::Stall) => pending().await,
                Some(Effect::Cut(_) | Effect::Flip(_) | Effect::IgnoreCondition | Effect::Lacks(_))
                | None => work.await,
            }
        };
        self.log.call(format!("store.{} {key}", verb.word()), || said(Kind::Unavailable), work).await
    }

    /// Reads, and damages what came.
    async fn read(
        &self,
        verb: Verb,
        key: &str,
        work: impl Future<Output = Result<Bytes, StoreError>>,
    ) -> Result<Bytes, StoreError> {
        let damage = self.damage(verb, key);
        let bytes = self.call(verb, key, work).await?;
        Ok(match damage {
            Some(Effect::Cut(cut)) => bytes.slice(..bytes.len().saturating_sub(cut)),
            Some(Effect::Flip(bit)) if !bytes.is_empty() => {
                let mut damaged = BytesMut::from(&bytes[..]);
                let at = (bit / 8) % damaged.len();
                damaged[at] ^= 1 << (bit % 8);
                damaged.freeze()
            }
            Some(_) | None => bytes,
        })
    }

    /// Looks ahead at what the next such call will do, without counting it.
    fn damage(&self, verb: Verb, key: &str) -> Option<Effect> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = faults.iter().filter(|(fault, seen)| {
            let next = seen + 1;
            fault.verb == verb
                && key.contains(&fault.key_part)
                && next >= fault.first
                && next - fault.first < fault.times
        });
        due.next().map(|(fault, _)| fault.effect)
    }
}

#[async_trait]
impl ReadStore for FaultyStore {
    fn name(&self) -> String {
        self.inner.name()
    }

    async fn get(&self, key: &str, max: u64) -> Result<Bytes, StoreError> {
        self.read(Verb::Get, key, self.inner.get(key, max)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.read(Verb::GetRange, key, self.inner.get_range(key, range)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, StoreError> {
        self.call(Verb::Head, key, self.inner.head(key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let damage = self.damage(Verb::List, prefix);
        let mut listed = self.call(Verb::List, prefix, self.inner.list(prefix)).await?;
        if let Some(Effect::Lacks(part)) = damage {
            listed.retain(|object| !object.key.contains(part));
        }
        Ok(listed)
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.call(Verb::Folders, prefix, self.inner.folders(prefix)).await
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn put(&self, key: &str, body: Bytes, mode: Put) -> Result<(), StoreError> {
        let ignored = self.damage(Verb::Put, key) == Some(Effect::IgnoreCondition);
        let mode = if ignored { Put::Replace } else { mode };
        self.call(Verb::Put, key, self.inner.put(key, body, mode)).await
    }

    async fn begin(&self, key: &str) -> Result<Box<dyn Upload>, StoreError> {
        let inner = self.call(Verb::Begin, key, async {
            let upload = self.inner.begin(key).await?;
            Ok(Inner { upload: Some(upload), log: self.log.clone() })
        });
        Ok(Box::new(FaultyUpload { inner: inner.await?, key: key.to_owned(), store: self.clone() }))
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.call(Verb::Delete, key, self.inner.delete(key)).await
    }

    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, StoreError> {
        self.call(Verb::OpenUploads, prefix, self.inner.open_uploads(prefix)).await
    }

    async fn abort_upload(&self, upload: &OpenUpload) -> Result<(), StoreError> {
        self.call(Verb::AbortUpload, &upload.key, self.inner.abort_upload(upload)).await
    }

    async fn conditions(&self) -> Result<Conditions, StoreError> {
        let ignored = {
            let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            faults.iter().any(|(fault, _)| fault.effect == Effect::IgnoreCondition)
        };
        let found = self.call(Verb::Conditions, "", self.inner.conditions()).await?;
        Ok(if ignored { Conditions::Ignored } else { found })
    }
}

/// The upload that is wrapped; forgotten instead of dropped when the process is dead.
struct Inner {
    upload: Option<Box<dyn Upload>>,
    log: Arc<CallLog>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.log.is_dead()
            && let Some(upload) = self.upload.take()
        {
            // The dead run no destructors: what was begun stays open in the store.
            std::mem::forget(upload);
        }
    }
}

struct FaultyUpload {
    inner: Inner,
    key: String,
    store: FaultyStore,
}

impl FaultyUpload {
    fn over(&self) -> StoreError {
        StoreError::new(Kind::Other, "upload", &self.key, "it is over")
    }
}

#[async_trait]
impl Upload for FaultyUpload {
    fn id(&self) -> Option<OpenUpload> {
        self.inner.upload.as_ref().and_then(|upload| upload.id())
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let over = self.over();
        let upload = self.inner.upload.as_mut().ok_or(over)?;
        self.store.call(Verb::Write, &self.key, upload.write(bytes)).await
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, StoreError> {
        let (store, key) = (self.store.clone(), self.key.clone());
        let work = async {
            let over = self.over();
            self.inner.upload.take().ok_or(over)?.finish().await
        };
        store.call(Verb::Finish, &key, work).await
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StoreError> {
        let (store, key) = (self.store.clone(), self.key.clone());
        let work = async {
            let over = self.over();
            self.inner.upload.take().ok_or(over)?.abort().await
        };
        store.call(Verb::Abort, &key, work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::calls::{CrashPoint, Dead};
    use crate::testing::memory_store::MemoryStore;

    fn faulty(memory: &MemoryStore, faults: Vec<Fault>) -> FaultyStore {
        FaultyStore::new(Arc::new(memory.clone()), CallLog::recording(), faults)
    }

    #[tokio::test]
    async fn faults_happen_where_they_are_told_to() {
        let memory = MemoryStore::new();
        let store = faulty(
            &memory,
            vec![
                Fault::nth(Verb::Put, 2, Effect::Fail(When::Before, Kind::Full)),
                Fault::nth(Verb::Put, 3, Effect::Fail(When::After, Kind::Unavailable)),
                Fault::always(Verb::GetRange, Effect::Flip(9)).at("a"),
                Fault::nth(Verb::Get, 1, Effect::Cut(2)),
            ],
        );
        store.deny_deletes();
        let body = Bytes::from_static(b"abc");
        store.put("a", body.clone(), Put::Replace).await.unwrap();
        assert_eq!(store.put("b", body.clone(), Put::Replace).await.unwrap_err().kind, Kind::Full);
        assert_eq!(store.put("c", body.clone(), Put::Replace).await.unwrap_err().kind, Kind::Unavailable);
        assert_eq!(memory.snapshot().into_keys().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(store.get_range("a", 0..3).await.unwrap(), "a`c");
        assert_eq!(store.get_range("c", 0..3).await.unwrap(), "abc");
        assert_eq!(store.get("a", 9).await.unwrap(), "a");
        assert_eq!(store.get("a", 9).await.unwrap(), "abc");
        assert_eq!(store.delete("a").await.unwrap_err().kind, Kind::Denied);
        assert_eq!(store.log().names()[0..2], ["store.put a", "store.put b"]);
    }

    #[tokio::test]
    async fn a_dead_process_leaves_its_upload_open() {
        let memory = MemoryStore::new();
        for (call, when, visible) in
            [(2, When::Before, 0), (2, When::After, 0), (3, When::Before, 0), (3, When::After, 1)]
        {
            let log = CallLog::crashing(CrashPoint { call, when }, Dead::Errs);
            let store = FaultyStore::new(Arc::new(memory.clone()), log, Vec::new());
            let mut upload = store.begin("p").await.unwrap();
            let written = upload.write(Bytes::from_static(b"x")).await;
            assert_eq!(written.is_err(), call == 2);
            assert!(upload.finish().await.is_err());
            assert_eq!(memory.snapshot().len(), visible, "{call} {when:?}");
            let open = memory.open_uploads("").await.unwrap();
            assert_eq!(open.len(), 1 - visible, "{call} {when:?}");
            for upload in &open {
                memory.abort_upload(upload).await.unwrap();
            }
        }
    }
}
