//! S3 servers to measure against: our own on memory, so that tools are what is measured, and a real one on disk.
//!
//! Each measurement gets a fresh server with an empty bucket, so nothing has to be cleaned out and counters
//! begin at zero. A server ends, and its files go, when its value is dropped.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::adapter::clock::SystemClock;
use engine::adapter::store::url::{S3Url, StoreUrl};
use engine::adapter::store::{AccessKeys, Options, open_with};
use engine::port::store::Put;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::scripted_s3::{ScriptedS3, Setup};
use crate::servers::s3::S3Server;

/// The bucket that every server is given.
pub const BUCKET: &str = "bench";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// Ours, with its objects in memory.
    Ours,
    /// SeaweedFS, with its objects on disk.
    SeaweedFs,
}

#[derive(Debug)]
enum Running {
    Ours(ScriptedS3),
    SeaweedFs(S3Server),
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    // Before the runtime, which it needs to end.
    running: Running,
    bucket: S3Url,
    runtime: Runtime,
    _folder: TempDir,
}

impl Server {
    /// Starts one and makes the bucket.
    pub fn start(kind: ServerKind) -> io::Result<Self> {
        let runtime = Runtime::new()?;
        let folder = folder_in("/dev/shm")?;
        let (running, bucket) = match kind {
            ServerKind::Ours => {
                let setup = Setup { dir: Some(folder.path().to_owned()), ..Setup::default() };
                let server = runtime.block_on(ScriptedS3::start_with(setup))?;
                let bucket = server.bucket(BUCKET);
                (Running::Ours(server), bucket)
            }
            ServerKind::SeaweedFs => {
                let server = runtime.block_on(S3Server::weed());
                let bucket = runtime.block_on(server.bucket(BUCKET));
                (Running::SeaweedFs(server), bucket)
            }
        };
        Ok(Self { running, bucket, runtime, _folder: folder })
    }

    /// `http://host:port`.
    pub fn endpoint(&self) -> &str {
        self.bucket.endpoint.as_deref().unwrap_or_default()
    }

    /// The environment in which every tool finds this server; rclone calls it `bench:`.
    pub fn introduce<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let keys = self.keys();
        command
            .env("AWS_ACCESS_KEY_ID", &keys.id)
            .env("AWS_SECRET_ACCESS_KEY", &keys.secret)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("RCLONE_CONFIG", "")
            .env("RCLONE_CONFIG_BENCH_TYPE", "s3")
            .env("RCLONE_CONFIG_BENCH_PROVIDER", "Other")
            .env("RCLONE_CONFIG_BENCH_ENV_AUTH", "true")
            .env("RCLONE_CONFIG_BENCH_REGION", "us-east-1")
            .env("RCLONE_CONFIG_BENCH_ENDPOINT", self.endpoint())
    }

    /// Bytes of bodies that came in and went out so far; zeros from a server that does not count.
    pub fn counters(&self) -> (u64, u64) {
        match &self.running {
            Running::Ours(server) => {
                let counters = server.counters();
                (counters.bytes_in, counters.bytes_out)
            }
            Running::SeaweedFs(_) => (0, 0),
        }
    }

    /// Sends and fetches one object over one connection; bytes a second of both.
    pub fn bare_rates(&self, bytes: u32) -> io::Result<(f64, f64)> {
        let url = StoreUrl::S3(self.bucket.clone());
        let options = Options { keys: Some(self.keys()), ..Options::default() };
        let body = Bytes::from(vec![7; bytes as usize]);
        let rate =
            |began: Instant| f64::from(bytes) / began.elapsed().max(Duration::from_micros(1)).as_secs_f64();
        self.runtime.block_on(async {
            let store =
                open_with(&url, Arc::new(SystemClock::start()), options).await.map_err(io::Error::other)?;
            let began = Instant::now();
            store.put("bare", body, Put::Replace).await.map_err(io::Error::other)?;
            let put = rate(began);
            let began = Instant::now();
            let back = store.get("bare", bytes.into()).await.map_err(io::Error::other)?;
            assert!(back.len() == bytes as usize, "BUG: the store gave another length than it was sent");
            Ok((put, rate(began)))
        })
    }

    fn keys(&self) -> AccessKeys {
        match &self.running {
            Running::Ours(server) => server.keys(),
            Running::SeaweedFs(server) => server.keys(),
        }
    }
}

/// Memory where there is a file system of it.
fn folder_in(preferred: &str) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("bkd-bench.");
    if Path::new(preferred).is_dir() { builder.tempdir_in(preferred) } else { builder.tempdir() }
}
