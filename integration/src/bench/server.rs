//! S3 servers to measure against: our own on memory, so that tools are what is measured, and a real one on disk.
//!
//! Each measurement gets a fresh server with an empty bucket, so nothing has to be cleaned out and counters
//! begin at zero. A server ends, and its files go, when its value is dropped.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use engine::adapter::clock::SystemClock;
use engine::adapter::store::url::{S3Url, StoreUrl};
use engine::adapter::store::{AccessKeys, Options, open_with};
use engine::port::store::Store;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::scripted_s3::{ScriptedS3, Setup};
use crate::servers::s3::S3Server;

/// The bucket that every server is given.
pub const BUCKET: &str = "bench";

/// The prefix in it where backupctl has its store.
pub const OURS: &str = "ours";

/// How much is fetched at once when nothing is done with it.
const RANGE_BYTES: usize = 32 << 20;

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
        let folder = folder_in_memory()?;
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
    /// rustic takes options of its own.
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
            .env("OPENDAL_BUCKET", BUCKET)
            .env("OPENDAL_ROOT", "/rustic")
            .env("OPENDAL_REGION", "us-east-1")
            .env("OPENDAL_ENDPOINT", self.endpoint())
            .env("OPENDAL_ACCESS_KEY_ID", &keys.id)
            .env("OPENDAL_SECRET_ACCESS_KEY", &keys.secret)
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

    /// Does something with what lies below a prefix, through our own client.
    pub fn with_store<T>(
        &self,
        prefix: &str,
        work: impl AsyncFnOnce(&dyn Store) -> io::Result<T>,
    ) -> io::Result<T> {
        let url = StoreUrl::S3(S3Url { prefix: prefix.to_owned(), ..self.bucket.clone() });
        let options = Options { keys: Some(self.keys()), ..Options::default() };
        self.runtime.block_on(async {
            let clock = Arc::new(SystemClock::start());
            let store = open_with(&url, clock, options).await.map_err(io::Error::other)?;
            work(&*store).await
        })
    }

    /// Seconds in which our client alone sends one object of so many bytes, as it sends packs, and fetches so many of
    /// them again.
    pub fn bare_seconds(&self, sent: u64, fetched: u64) -> io::Result<(f64, f64)> {
        let piece = Bytes::from(vec![7; 1 << 20]);
        self.with_store("bare", async |store| {
            let began = Instant::now();
            let mut upload = store.begin("object").await.map_err(io::Error::other)?;
            for at in (0..sent).step_by(piece.len()) {
                let length = usize::try_from(sent - at).unwrap_or(usize::MAX).min(piece.len());
                upload.write(piece.slice(..length)).await.map_err(io::Error::other)?;
            }
            upload.finish().await.map_err(io::Error::other)?;
            let put = began.elapsed().as_secs_f64();
            let began = Instant::now();
            let end = fetched.min(sent);
            for at in (0..end).step_by(RANGE_BYTES) {
                let range = at..end.min(at + RANGE_BYTES as u64);
                store.get_range("object", range).await.map_err(io::Error::other)?;
            }
            Ok((put, began.elapsed().as_secs_f64()))
        })
    }

    fn keys(&self) -> AccessKeys {
        match &self.running {
            Running::Ours(server) => server.keys(),
            Running::SeaweedFs(server) => server.keys(),
        }
    }
}

/// A new folder in memory where there is a file system of it; it goes with its handle.
pub fn folder_in_memory() -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("bkd-bench.");
    let memory = "/dev/shm";
    if Path::new(memory).is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }
}
