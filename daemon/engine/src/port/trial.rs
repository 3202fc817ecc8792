//! Trial containers: a program of an image that is on this host, started on restored data to see whether it works.
//!
//! The data and the program are of strangers, so a trial has no network, no mount but one volume of ours, no
//! capability, a root that it cannot write to, and limits on memory and processes. What may be written besides the
//! volume (`/tmp`, `/run`, what the image calls a volume) is in memory and ends with it.

use std::time::Duration;

use async_trait::async_trait;

use crate::port::docker::{Container, DockerError};
use crate::words::RunId;

/// What of its output is kept: the end of it.
pub const SAID_BYTES: usize = 64 << 10;

/// What a trial sees of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialMount {
    /// A volume that carries the label of the trial's run.
    pub volume: String,
    /// Where, absolute.
    pub at: String,
}

/// A trial to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialSpec {
    /// The run it works for.
    pub run: RunId,
    /// Our installation.
    pub owner: String,
    /// The image, by content or by name; never pulled.
    pub image: String,
    /// Program and arguments, in place of the image's own.
    pub argv: Vec<String>,
    /// `UID:GID`.
    pub user: String,
    /// The one mount, if it needs any.
    pub mount: Option<TrialMount>,
    /// Memory limit; what it writes to memory counts.
    pub memory_bytes: u64,
    /// Process limit.
    pub pids: u32,
}

/// A trial that was started.
pub struct Trial {
    /// Its container, for those who ask something inside it.
    pub container: Container,
    /// Its life.
    pub life: Box<dyn TrialLife>,
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialEnd {
    /// Its exit status: 126 and 127 if the program could not be started, as in a shell. Never zero for one that used
    /// up its memory.
    pub status: i64,
    /// In words.
    pub why: String,
    /// It, or something that it had started, used up its memory.
    pub out_of_memory: bool,
}

/// The life of a trial.
///
/// If this is dropped (or our process dies) the container stays until a sweep finds it by its labels.
#[async_trait]
pub trait TrialLife: Send + Sync {
    /// Waits for its end, at most `patience`; `None` if it runs on.
    async fn ended(&mut self, patience: Duration) -> Result<Option<TrialEnd>, DockerError>;

    /// The end of what it wrote so far, at most [`SAID_BYTES`], as it is: it may hold anything.
    async fn said(&self) -> Result<String, DockerError>;
}

/// The part of the container engine that tries things out.
///
/// * `image` gives the content id of an image that is on this host, and never fetches one.
/// * `start_trial` fails with `NotFound` if the image or the volume is not there, or the volume is not the run's, and
///   never lets the engine make either. If it fails, nothing is left behind.
/// * The labels of a trial are those of a helper: it is listed among the leftovers and not among the containers, and
///   `container` and `stop` take its id.
/// * Whoever drops the future of `start_trial` before it is done leaves a container to the next sweep.
#[async_trait]
pub trait Trials: Send + Sync {
    /// The id of an image, by name or id.
    async fn image(&self, name: &str) -> Result<Option<String>, DockerError>;

    /// Starts a trial.
    async fn start_trial(&self, spec: &TrialSpec) -> Result<Trial, DockerError>;
}
