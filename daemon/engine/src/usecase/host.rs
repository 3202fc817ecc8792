//! This host, opened: its settings, state folder, catalog, clock, and its store and engine when needed.
//!
//! Always true: one [`Host`] speaks of one store. [`Host::at`] is the same host at another of its stores: state
//! folder, catalog, locks, clock and engine are shared, so whoever has the right one in hand cannot mix two up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use archive::levels::Levels;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use crate::absent::is_absent;
use crate::adapter;
use crate::adapter::store::url::{StoreUrl, StoreUrlError};
use crate::catalog::{self, Catalog, CatalogError, Filter};
use crate::failure::{Class, Failure};
use crate::format::key::HostKey;
use crate::format::owner::Owner;
use crate::lock::{LockError, Locks};
use crate::port::clock::Clock;
use crate::port::docker::Docker;
use crate::port::store::{ReadStore, Store};
use crate::state::StateDir;
use crate::usecase::blame;
use crate::words::{HostName, RunId};

/// Where things are, after flags, environment and settings file were put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `file:///dir` or `s3://bucket/prefix?…`.
    pub store: String,
    /// This host's name in the store.
    pub host: HostName,
    /// The state folder.
    pub state: PathBuf,
    /// As `DOCKER_HOST`; `None` is the local socket.
    pub docker: Option<String>,
    /// Compression and limits.
    pub effort: Effort,
}

/// How much of the machine a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// How to compress.
    pub levels: Levels,
    /// Threads that compress, decode and write; 0 is one for each core.
    pub workers: u32,
    /// Memory limit of a helper.
    pub helper_memory_bytes: u64,
    /// What a second pass may keep in the state folder until it is uploaded.
    pub spool_bytes: u64,
    /// What a restore that is cut off must have unpacked for the next one to go on with it.
    pub unfinished_bytes: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            levels: Levels::Adaptive,
            workers: 0,
            helper_memory_bytes: 192 << 20,
            spool_bytes: 1 << 30,
            unfinished_bytes: 64 << 20,
        }
    }
}

impl Effort {
    /// More threads would only take memory: a helper has a limit, and beyond this the store is slower.
    const WORKERS_MAX: usize = 16;

    /// Threads, at least one.
    pub fn workers(&self) -> u32 {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let wanted = if self.workers == 0 { cores } else { self.workers as usize };
        u32::try_from(wanted.clamp(1, Self::WORKERS_MAX)).unwrap_or(1)
    }
}

/// This host, at one of its stores.
#[derive(Clone)]
pub struct Host {
    settings: Settings,
    shared: Arc<Shared>,
    store: StoreCell,
    docker: Arc<OnceCell<Arc<dyn Docker>>>,
}

/// A store that is opened at its first use, once for all.
type StoreCell = Arc<OnceCell<Arc<dyn Store>>>;

/// What is the same at every store.
struct Shared {
    clock: Arc<dyn Clock>,
    state: StateDir,
    catalog: Catalog,
    locks: Locks,
    notice: Option<String>,
    key: OnceLock<HostKey>,
    /// By their names, so that each is opened once. Those that settings, policies and the catalog name: a handful.
    stores: Mutex<BTreeMap<String, StoreCell>>,
}

impl Host {
    /// Opens state folder and catalog; the store and the engine are opened when first needed.
    pub async fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        Self::open_with(settings, clock, Catalog::open).await
    }

    /// For programs that only look: the parts of the catalog are checked as they are needed.
    pub async fn open_to_look(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        Self::open_with(settings, clock, Catalog::open_to_look).await
    }

    async fn open_with(settings: Settings, clock: Arc<dyn Clock>, how: OpenCatalog) -> Result<Self, Failure> {
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(settings, clock, how));
        opened.await.map_err(|e| Failure::failed("open the state folder").because(e))?
    }

    fn open_blocking(settings: Settings, clock: Arc<dyn Clock>, how: OpenCatalog) -> Result<Self, Failure> {
        let state = StateDir::open(&settings.state).map_err(|e| {
            let hint = e.hint();
            with_hint(Failure::failed("open the state folder").because(e), hint)
        })?;
        let opened =
            how(&state.catalog(), clock.now()).map_err(|e| catalog_failure("open the catalog", e))?;
        let shared = Shared {
            clock,
            locks: Locks::new(state.locks()),
            state,
            catalog: opened.catalog,
            notice: opened.notice,
            key: OnceLock::new(),
            stores: Mutex::default(),
        };
        let shared = Arc::new(shared);
        let store = shared.store(&name_of(&settings.store));
        Ok(Self { settings, shared, store, docker: Arc::default() })
    }

    /// The same host at another of its stores.
    #[must_use]
    pub fn at(&self, store: &str) -> Self {
        let settings = Settings { store: store.to_owned(), ..self.settings.clone() };
        Self { settings, store: self.shared.store(&name_of(store)), ..self.clone() }
    }

    /// The same host for one deed. A folder that is its store is opened anew, as what is mounted there now, and held no
    /// longer: a disk may be taken away between two deeds, and come back. A server stays the same one.
    #[must_use]
    pub fn anew(&self) -> Self {
        let store =
            if self.store_folder().is_some() { StoreCell::default() } else { Arc::clone(&self.store) };
        Self { store, ..self.clone() }
    }

    /// With ports of the caller's choice, for tests and for programs that have opened them already.
    #[must_use]
    pub fn with_ports(self, store: Arc<dyn Store>, docker: Arc<dyn Docker>) -> Self {
        let store = self.shared.opened(&name_of(&self.settings.store), store);
        Self { store, docker: Arc::new(OnceCell::new_with(Some(docker))), ..self }
    }

    /// With a port of the caller's choice for another of its stores.
    #[must_use]
    pub fn with_store(self, address: &str, store: Arc<dyn Store>) -> Self {
        self.shared.opened(&name_of(address), store);
        self
    }

    /// What a person should know of how the catalog was found.
    pub fn notice(&self) -> Option<&str> {
        self.shared.notice.as_deref()
    }

    /// Where things are.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.shared.clock
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.shared.catalog
    }

    pub(crate) fn locks(&self) -> &Locks {
        &self.shared.locks
    }

    /// The id of this installation, as a label.
    pub(crate) fn owner(&self) -> String {
        self.shared.state.owner().to_string()
    }

    /// The id of this installation.
    pub(crate) fn installation(&self) -> RunId {
        self.shared.state.owner().clone()
    }

    /// The key that signs this host's manifests; made at its first use.
    pub(crate) fn key(&self) -> Result<&HostKey, Failure> {
        if let Some(key) = self.shared.key.get() {
            return Ok(key);
        }
        let key = HostKey::load_or_make(&self.shared.state.host_key()).map_err(|e| {
            let hint = e.hint();
            with_hint(Failure::new(Class::WrongKey, "load the key of this host").because(e), hint)
        })?;
        Ok(self.shared.key.get_or_init(|| key))
    }

    /// Whether this installation may write where `owner` says who writes.
    pub(crate) fn allowed_by(&self, owner: &Owner) -> Result<(), Failure> {
        owner.allows(self.shared.state.owner(), &self.key()?.public()).map_err(|e| {
            let hint = e.hint();
            with_hint(Failure::new(Class::Unsafe, "write under this host's name").because(e), hint)
        })
    }

    /// The store, which must exist.
    pub async fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        self.store.get_or_try_init(|| self.open_store(false)).await.cloned()
    }

    /// The store, for the first backup too: a local directory that was never used is made a store.
    pub(crate) async fn store_to_fill(&self) -> Result<Arc<dyn Store>, Failure> {
        self.store.get_or_try_init(|| self.open_store(true)).await.cloned()
    }

    /// The store, for reading alone.
    pub async fn reading(&self) -> Result<Arc<dyn ReadStore>, Failure> {
        Ok(self.store().await?)
    }

    async fn open_store(&self, create: bool) -> Result<Arc<dyn Store>, Failure> {
        let url = self.store_url()?;
        let clock = Arc::clone(&self.shared.clock);
        let opened = match create && !self.has_snapshots_in(&url)? {
            true => adapter::store::open_or_create(&url, clock).await,
            false => adapter::store::open(&url, clock).await,
        };
        opened.map_err(|e| blame::store("open the store", e))
    }

    /// A directory that had snapshots and has lost its marker is not the one that we know: most likely the
    /// disk is not mounted, and nothing must be written beneath it.
    fn has_snapshots_in(&self, url: &StoreUrl) -> Result<bool, Failure> {
        let filter = Filter { store: Some(url.to_string()), deleted: true, ..Filter::default() };
        let known = self.catalog().snapshots(&filter).map_err(|e| catalog_failure("open the store", e))?;
        Ok(!known.is_empty())
    }

    /// A local directory that no backup has used yet, and that is missing or empty.
    pub(crate) fn is_new_folder_store(&self) -> bool {
        let Some(folder) = self.store_folder() else { return false };
        let vacant = match std::fs::read_dir(&folder) {
            Ok(mut inside) => inside.next().is_none(),
            Err(_) => is_absent(&folder),
        };
        vacant && self.store_url().is_ok_and(|url| matches!(self.has_snapshots_in(&url), Ok(false)))
    }

    /// How runs remember the store.
    pub(crate) fn store_name(&self) -> Result<String, Failure> {
        Ok(self.store_url()?.to_string())
    }

    /// How the catalog calls it: as the opened store does.
    pub(crate) fn indexed_name(&self) -> Result<String, Failure> {
        match self.store.get() {
            Some(store) => Ok(store.name()),
            None => Ok(self.store_url()?.name()),
        }
    }

    /// As a person types it, whether or not it makes sense.
    pub fn store_address(&self) -> String {
        name_of(&self.settings.store)
    }

    fn store_url(&self) -> Result<StoreUrl, Failure> {
        self.settings.store.parse().map_err(|e: StoreUrlError| {
            Failure::new(Class::Usage, "read the store's address")
                .because(e)
                .hint("`--store` takes `file:///dir` or `s3://bucket/prefix?endpoint=…&region=…`")
        })
    }

    /// Where the store lies, if it is a folder.
    pub(crate) fn store_folder(&self) -> Option<PathBuf> {
        folder_of(&self.settings.store)
    }

    /// The folders among the stores that this process has heard of.
    pub(crate) fn store_folders(&self) -> Vec<PathBuf> {
        self.shared.known_stores().iter().filter_map(|name| folder_of(name)).collect()
    }

    /// The container engine.
    pub async fn docker(&self) -> Result<Arc<dyn Docker>, Failure> {
        let open = || async {
            let settings = adapter::docker::Settings {
                host: self.settings.docker.clone(),
                run_dir: self.shared.state.run(),
                attach: false,
                socket_volume: None,
            };
            let docker = adapter::docker::BollardDocker::new(settings);
            let docker = docker.map_err(|e| blame::docker("reach Docker", e))?;
            Ok::<Arc<dyn Docker>, Failure>(Arc::new(docker))
        };
        self.docker.get_or_try_init(open).await.cloned()
    }

    /// Where the pack of a run's second pass waits for its upload.
    pub(crate) fn spool(&self, run: &RunId) -> PathBuf {
        self.shared.state.path().join(format!("{run}.spool"))
    }

    /// An empty folder of ours that a helper may look at.
    pub(crate) fn scratch_folder(&self) -> Result<PathBuf, Failure> {
        let folder = self.shared.state.path().join("scratch");
        match std::fs::create_dir(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(Failure::failed(format!("make `{}`", folder.display())).because(e))
            }
            Ok(()) | Err(_) => Ok(folder),
        }
    }
}

/// A way to open the catalog.
type OpenCatalog = fn(&Path, Timestamp) -> Result<catalog::Opened, CatalogError>;

impl Shared {
    fn store(&self, name: &str) -> StoreCell {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(stores.entry(name.to_owned()).or_default())
    }

    fn opened(&self, name: &str, store: Arc<dyn Store>) -> StoreCell {
        let opened = Arc::new(OnceCell::new_with(Some(store)));
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.insert(name.to_owned(), Arc::clone(&opened));
        opened
    }

    fn known_stores(&self) -> Vec<String> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

/// One name for one store, however its address was typed. What is no address is found out when it is opened.
fn name_of(address: &str) -> String {
    address.parse().map_or_else(|_: StoreUrlError| address.to_owned(), |url: StoreUrl| url.to_string())
}

fn folder_of(address: &str) -> Option<PathBuf> {
    match address.parse() {
        Ok(StoreUrl::File(path)) => Some(path),
        Ok(StoreUrl::S3(_)) | Err(_) => None,
    }
}

/// Adds a hint, if there is one.
pub(crate) fn with_hint(failure: Failure, hint: Option<String>) -> Failure {
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The catalog could not do its part.
pub(crate) fn catalog_failure(what: impl Into<String>, error: CatalogError) -> Failure {
    let class = match &error {
        CatalogError::NoRun(_) | CatalogError::NoSnapshot(_) => Class::NotFound,
        CatalogError::Replaced(_) => Class::WrongKey,
        CatalogError::Busy | CatalogError::DamagedInUse { .. } => Class::Busy,
        CatalogError::Io { .. }
        | CatalogError::Newer { .. }
        | CatalogError::Damaged(_)
        | CatalogError::Full
        | CatalogError::ReadOnly
        | CatalogError::Illegal { .. }
        | CatalogError::Value(_)
        | CatalogError::Sqlite(_) => Class::Failed,
    };
    let hint = error.hint();
    with_hint(Failure::new(class, what).because(error), hint)
}

/// A lock could not be taken.
pub(crate) fn lock_failure(what: impl Into<String>, error: LockError) -> Failure {
    let class = match &error {
        LockError::Busy { .. } => Class::Busy,
        LockError::Io { .. } => Class::Failed,
    };
    let hint = error.hint();
    with_hint(Failure::new(class, what).because(error), hint)
}
