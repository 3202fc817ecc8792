//! The container engine of this host.
//!
//! Every call has a deadline of its own and gives [`DockerError`] when it passes; nothing waits for ever on a
//! daemon that does not answer. Nothing here ever pulls an image, and nothing creates a volume unless it is
//! asked to by name.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::port::changes::Changes;
use crate::port::exec::{Exec, ExecSpec};
use crate::port::trial::Trials;
use crate::words::RunId;

/// Every container of ours carries it, with the run's id.
pub const RUN_LABEL: &str = "backupd.run";

/// Beside it, which state folder the run belongs to: two installations on one host leave each other alone.
pub const OWNER_LABEL: &str = "backupd.owner";

/// A volume beside a helper's mount carries it too, with the run's id: it is the helper's own.
pub const SCRATCH_LABEL: &str = "backupd.scratch";

/// What went wrong, as far as it matters for what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DockerErrorKind {
    /// The socket is not there, refused, or nobody answers in time.
    Unreachable,
    /// No permission to use the socket.
    Denied,
    /// No such container or volume.
    NotFound,
    /// The volume or container is in use, or exists already.
    Conflict,
    /// The engine is too old, or lacks what we need.
    Unsupported,
    /// The helper ended without saying how: killed, out of memory, engine died.
    HelperDied,
    /// Everything else.
    Other,
}

/// The engine could not do a thing.
#[derive(Debug, thiserror::Error)]
#[error("{deed}: {why}")]
pub struct DockerError {
    /// What kind.
    pub kind: DockerErrorKind,
    /// What was tried: `create helper container`.
    pub deed: String,
    /// In words.
    pub why: String,
}

/// The engine itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// `20.10.24`.
    pub version: String,
    /// `1.41`.
    pub api: String,
    /// Host folders can be bind-mounted into helpers, so the fast channel works.
    pub local: bool,
    /// Where the engine keeps its data (`/var/lib/docker`); `None` if that is not on this machine.
    pub data_root: Option<String>,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// `local` or a plugin.
    pub driver: String,
    /// Options that it was made with.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Where the host sees it, if the driver says so.
    pub mountpoint: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Docker made up its name.
    pub anonymous: bool,
}

/// A volume to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewVolume {
    /// Its name.
    pub name: String,
    /// `local` if empty.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What a container has mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountOf {
    /// A volume.
    Volume {
        /// Its name.
        name: String,
    },
    /// A folder of the host.
    Bind {
        /// Which.
        path: String,
    },
    /// tmpfs, npipe and the like: nothing to back up.
    Other,
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What.
    pub of: MountOf,
    /// Where in the container.
    pub at: String,
    /// May the container write there.
    pub writable: bool,
}

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Its process runs.
    Running,
    /// Its process is frozen.
    Paused,
    /// The engine is about to start it again.
    Restarting,
    /// Created or ended.
    Down,
}

/// What its health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It has none.
    None,
    /// Not yet known.
    Starting,
    /// Fine.
    Healthy,
    /// Not fine.
    Unhealthy,
}

/// Variables in which images tell the version of the server in them.
pub const VERSION_VARIABLES: [&str; 5] =
    ["PG_MAJOR", "MARIADB_VERSION", "MYSQL_VERSION", "REDIS_VERSION", "VALKEY_VERSION"];

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id, whole.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// Image as it was named.
    pub image: String,
    /// Image by content.
    pub image_id: String,
    /// State.
    pub state: ContainerState,
    /// Health.
    pub health: Health,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// `no`, `always`, `unless-stopped`, `on-failure:3`.
    pub restart_policy: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// It removes itself when it ends, so stopping it would destroy it.
    pub auto_remove: bool,
    /// This program runs in it.
    pub has_us: bool,
    /// What its environment says under [`VERSION_VARIABLES`]; nothing else of it is ever kept.
    pub versions: BTreeMap<String, String>,
}

/// What a helper may do with its mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read-only mount, `DAC_READ_SEARCH` alone.
    Read,
    /// Writable mount, and just what giving back owners, modes, devices and capabilities needs.
    Write,
}

/// The one thing that a helper sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HelperMount {
    /// An existing volume, by name.
    Volume(String),
    /// An existing folder of the host.
    Folder(String),
}

/// A helper to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperSpec {
    /// The run it works for.
    pub run: RunId,
    /// Our installation.
    pub owner: String,
    /// What it sees as `/source`.
    pub mount: HelperMount,
    /// What it may do.
    pub access: Access,
    /// Memory limit.
    pub memory_bytes: u64,
    /// Process limit.
    pub pids: u32,
    /// How far it stands back where others want processor and disk, as nice(1): 0 to 19.
    pub nice: u8,
    /// It has an empty volume of its own beside the mount, which goes when it goes.
    pub scratch: bool,
}

/// A running helper with its channel, before the first record.
pub struct Helper {
    /// Records from the helper.
    pub from: Box<dyn AsyncRead + Send + Unpin>,
    /// Records to the helper.
    pub to: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its life.
    pub life: Box<dyn HelperLife>,
}

/// The end of a helper.
///
/// `finish` and `kill` both remove the container; after either nothing of it is left. If this is dropped
/// (or our process dies) the container stays until a sweep finds it by its labels.
#[async_trait]
pub trait HelperLife: Send + Sync {
    /// Waits for its end, at most `patience`, and says why it ended if that was not status 0: exit status, out of
    /// memory, still running (then it is killed). `Ok` proves nothing about the job; only its last record does.
    async fn finish(self: Box<Self>, patience: Duration) -> Result<(), DockerError>;

    /// Ends it now.
    async fn kill(self: Box<Self>) -> Result<(), DockerError>;
}

/// A helper that a dead run may have left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Container id.
    pub id: String,
    /// From its label.
    pub run: RunId,
    /// From its label.
    pub owner: String,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// The container engine.
///
/// What tries things out is [`Trials`].
///
/// * `volume` and `container` give `None` for what does not exist and never make anything.
/// * `create_volume` fails with `Conflict` if the name is taken.
/// * `stop` returns when the container is down; `start` when it was started (not when it is healthy). Both
///   are `Ok` if that is so already. A container that was made with more time to end than `grace` gets that.
/// * `exit_status` is that of the last process of a container that is down; `None` of one that is not, or never ran.
/// * `pause` returns when no process of it runs any more, `unpause` when they do again; both are `Ok` if that is so
///   already, and fail with `Conflict` if the container is down.
/// * `open_helper` makes sure of the helper's image first (made by us, addressed by content, loaded through
///   the engine), creates the container with labels, limits and no way out, connects its channel and returns
///   when it is connected. If it fails, nothing is left behind. It fails with `NotFound` if the volume or
///   folder is missing, and never lets the engine create it: a volume that vanishes after the question and
///   is made anew by the engine is removed again. Through the engine's own channel (remote engines) it returns
///   when the helper was started; whether it lives shows at the first record.
/// * The scratch volume of a helper has no name and carries [`SCRATCH_LABEL`] and the labels of the run. The engine removes it
///   with the container.
/// * Whoever drops the future of `open_helper` before it is done leaves a container to the next sweep.
/// * `exec` starts a program inside a container that runs; it fails with `Conflict` if that is down or paused. A program
///   that cannot be started is no error here: it ends with status 126 or 127, and says why in its output or last words.
/// * `exec_runs` tells whether a program runs that `exec` has started with these words, for us or for somebody else; it does
///   not where the container is gone or down.
/// * `leftovers` lists containers by our two labels and by nothing else.
/// * `changes` asks the engine first, so it fails where nobody is there. [`Changes`] tells what happens after it has
///   returned.
#[async_trait]
pub trait Docker: Trials {
    /// Who is there.
    async fn about(&self) -> Result<About, DockerError>;

    /// The content id of the helper image, known before it is loaded.
    fn helper_image_id(&self) -> String;

    /// All volumes.
    async fn volumes(&self) -> Result<Vec<Volume>, DockerError>;

    /// One volume.
    async fn volume(&self, name: &str) -> Result<Option<Volume>, DockerError>;

    /// Makes a volume.
    async fn create_volume(&self, new: &NewVolume) -> Result<Volume, DockerError>;

    /// Removes a volume that nobody uses.
    async fn remove_volume(&self, name: &str) -> Result<(), DockerError>;

    /// All containers, stopped ones among them, ours apart.
    async fn containers(&self) -> Result<Vec<Container>, DockerError>;

    /// One container, by id or name.
    async fn container(&self, id: &str) -> Result<Option<Container>, DockerError>;

    /// Stops it, with `grace` before it is killed.
    async fn stop(&self, id: &str, grace: Duration) -> Result<(), DockerError>;

    /// How its last process ended, if it is down.
    async fn exit_status(&self, id: &str) -> Result<Option<i64>, DockerError>;

    /// Starts it.
    async fn start(&self, id: &str) -> Result<(), DockerError>;

    /// Freezes its processes.
    async fn pause(&self, id: &str) -> Result<(), DockerError>;

    /// Lets them go on.
    async fn unpause(&self, id: &str) -> Result<(), DockerError>;

    /// Sets its restart policy, in the words of [`Container::restart_policy`].
    async fn set_restart_policy(&self, id: &str, policy: &str) -> Result<(), DockerError>;

    /// Starts a program inside a container.
    async fn exec(&self, spec: &ExecSpec) -> Result<Exec, DockerError>;

    /// Whether a program of these words, started inside a container, has not ended yet.
    async fn exec_runs(&self, container: &str, argv: &[String]) -> Result<bool, DockerError>;

    /// Starts a helper and connects to it.
    async fn open_helper(&self, spec: &HelperSpec) -> Result<Helper, DockerError>;

    /// Containers of ours.
    async fn leftovers(&self) -> Result<Vec<Leftover>, DockerError>;

    /// Removes one of these by force.
    async fn remove_leftover(&self, leftover: &Leftover) -> Result<(), DockerError>;

    /// Subscribes to what happens from now on.
    async fn changes(&self) -> Result<Box<dyn Changes>, DockerError>;
}
