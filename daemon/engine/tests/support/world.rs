//! The world around one installation, and the deeds that tests do in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use archive::levels::Levels;
use archive::path::TreePath;
use async_trait::async_trait;
use engine::failure::Failure;
use engine::port::clock::Clock;
use engine::port::docker::{Container, ContainerState, Docker, Health, Mount, MountOf, NewVolume};
use engine::port::store::Store;
use engine::testing::fake_docker::{Calls, FakeDocker, real_jobs};
use engine::testing::memory_store::MemoryStore;
use engine::usecase::backup::{BackupReport, BackupRequest, backup};
use engine::usecase::host::{Effort, Host, Settings};
use engine::usecase::import::ImportRequest;
use engine::usecase::restore::{RestoreReport, RestoreRequest, plan_restore, restore};
use engine::usecase::terms::RunTerms;
use engine::usecase::watch::Silent;
use engine::words::{Number, SnapshotName, SourceName};
use jiff::Timestamp;
use policies::policy::Consistency;
use policies::retention::guard::Limits;

use super::tree::{self, Tree};

/// A clock that stands until it is moved; waiting is real.
pub(crate) struct StoodClock(Mutex<Timestamp>);

impl StoodClock {
    pub(crate) fn advance(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap();
        *now = Timestamp::from_second(now.as_second() + seconds).unwrap();
    }
}

#[async_trait]
impl Clock for StoodClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, span: Duration) {
        // Patience with others costs tests nothing; what must not pass is longer.
        let short = if span <= Duration::from_secs(10) { Duration::from_millis(10) } else { span };
        tokio::time::sleep(short).await;
    }
}

/// One installation and its world.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: MemoryStore,
    pub(crate) docker: Arc<FakeDocker>,
    pub(crate) clock: Arc<StoodClock>,
    /// What a restore that is cut off must have had for the next to go on with it.
    pub(crate) unfinished_bytes: u64,
    /// What may be read while somebody is held.
    pub(crate) spool_bytes: u64,
}

/// A folder in memory, where there is one with room for all of them at once: what survives a power cut is not what these
/// tests ask.
pub(crate) fn temporary() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map(|of| of.f_bavail * of.f_frsize);
    if free.is_ok_and(|free| free > 2 << 30) {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        // As in a helper: modes come from rows and nowhere else.
        rustix::process::umask(rustix::fs::Mode::empty());
        let folder = temporary();
        std::fs::create_dir(folder.path().join("volumes")).unwrap();
        let docker = FakeDocker::new(folder.path().join("volumes"), real_jobs(), Calls::new().script());
        // The twin's engine counts its times from here.
        let clock = StoodClock(Mutex::new(Timestamp::from_second(1_767_225_600).unwrap()));
        Self {
            folder,
            store: MemoryStore::new(),
            docker: Arc::new(docker),
            clock: Arc::new(clock),
            unfinished_bytes: Effort::default().unfinished_bytes,
            spool_bytes: Effort::default().spool_bytes,
        }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            store: "s3://bucket/prefix".to_owned(),
            host: "h1".parse().unwrap(),
            state: self.state(),
            docker: None,
            effort: Effort {
                levels: Levels::Fixed(1),
                workers: 1,
                unfinished_bytes: self.unfinished_bytes,
                spool_bytes: self.spool_bytes,
                ..Effort::default()
            },
        }
    }

    /// A new process with these ports.
    pub(crate) async fn host_with(&self, store: Arc<dyn Store>, docker: Arc<dyn Docker>) -> Host {
        let host = Host::open(self.settings(), Arc::<StoodClock>::clone(&self.clock)).await.unwrap();
        host.with_ports(store, docker)
    }

    /// A new process whose ports work.
    pub(crate) async fn host(&self) -> Host {
        self.host_with(Arc::new(self.store.clone()), Arc::<FakeDocker>::clone(&self.docker)).await
    }

    /// Makes a volume with a planted tree, and gives its description.
    pub(crate) async fn volume(&self, name: &str, flavour: u8) -> Tree {
        let new = NewVolume {
            name: name.to_owned(),
            labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
            ..NewVolume::default()
        };
        self.docker.create_volume(&new).await.unwrap();
        tree::plant(&self.docker.volume_folder(name), flavour);
        self.tree(name)
    }

    pub(crate) fn replant(&self, name: &str, flavour: u8) -> Tree {
        tree::plant(&self.docker.volume_folder(name), flavour);
        self.tree(name)
    }

    pub(crate) fn tree(&self, volume: &str) -> Tree {
        tree::record(&self.docker.volume_folder(volume))
    }
}

/// A container that has a volume mounted.
pub(crate) fn container(name: &str, volume: &str, state: ContainerState, policy: &str) -> Container {
    let mount =
        Mount { of: MountOf::Volume { name: volume.to_owned() }, at: "/data".to_owned(), writable: true };
    Container {
        id: format!("id-of-{name}"),
        name: name.to_owned(),
        image: "db:14".to_owned(),
        image_id: "sha256:14".to_owned(),
        state,
        health: Health::None,
        started_at: Some(Timestamp::UNIX_EPOCH),
        restart_policy: policy.to_owned(),
        labels: BTreeMap::new(),
        mounts: vec![mount],
        auto_remove: false,
        has_us: false,
        versions: BTreeMap::new(),
    }
}

pub(crate) fn source(name: &str) -> SourceName {
    name.parse().unwrap()
}

pub(crate) fn snapshot(name: &str) -> SnapshotName {
    name.parse().unwrap()
}

pub(crate) fn backup_request(name: &str) -> BackupRequest {
    BackupRequest {
        source: source(name),
        by_hand: false,
        allow_empty: false,
        full: false,
        guard: Limits::default(),
        consistency: Consistency::default(),
        terms: RunTerms::default(),
    }
}

pub(crate) fn import_request(name: &str) -> ImportRequest {
    ImportRequest {
        source: source(name),
        taken_at: None,
        archive: "old.tar".to_owned(),
        beneath: TreePath::root(),
        strip: 0,
    }
}

pub(crate) async fn back_up(host: &Host, name: &str) -> Result<BackupReport, Failure> {
    backup(host, &backup_request(name), &Silent::default()).await
}

pub(crate) fn restore_request(name: &str, number: u64, into: Option<&str>) -> RestoreRequest {
    RestoreRequest {
        source: source(name),
        host: None,
        number: Number::new(number),
        at: None,
        into: into.map(str::to_owned),
        to: None,
        paths: Vec::new(),
        keep_previous: false,
        delta: false,
        fresh: false,
        accept_partial: false,
        accept_version: false,
    }
}

/// Plans a restore and carries it out.
pub(crate) async fn restore_as(host: &Host, request: &RestoreRequest) -> Result<RestoreReport, Failure> {
    let plan = plan_restore(host, request).await?;
    restore(host, plan, &Silent::default()).await
}
