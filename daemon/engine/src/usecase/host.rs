//! This host, opened: its settings, state folder, catalog, clock, and its store and engine when needed.

use std::path::PathBuf;
use std::sync::Arc;

use crate::failure::Failure;
use crate::port::clock::Clock;
use crate::words::HostName;

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
    /// zstd level, 1 to 19.
    pub level: i32,
    /// Threads that compress, decode and write; 0 is one for each core.
    pub workers: u32,
    /// Memory limit of a helper.
    pub helper_memory_bytes: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Self { level: 3, workers: 0, helper_memory_bytes: 192 << 20 }
    }
}

/// This host.
pub struct Host {
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl Host {
    /// Opens state folder and catalog; the store and the engine are opened when first needed.
    pub async fn open(_settings: Settings, _clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        Err(Failure::failed("not in this build"))
    }

    /// As given.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}
