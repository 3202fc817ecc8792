//! S3 servers to measure against: our own on memory, so that tools are what is measured, and a real one on disk.
//!
//! Each measurement gets a fresh server with an empty bucket, so nothing has to be cleaned out and counters
//! begin at zero. A server ends, and its files go, when its value is dropped.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;

use crate::programs::built;

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

/// What went through a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Counters {
    /// Bytes of bodies that it received.
    pub bytes_in: u64,
    /// Bytes of bodies that it sent.
    pub bytes_out: u64,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    kind: ServerKind,
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Server {
    /// Starts one and makes the bucket.
    pub fn start(kind: ServerKind) -> io::Result<Self> {
        let (child, address, folder) = match kind {
            ServerKind::Ours => ours()?,
            ServerKind::SeaweedFs => seaweedfs()?,
        };
        let server = Self { kind, child, address, _folder: folder };
        server.wait_for_bucket()?;
        Ok(server)
    }

    /// `http://host:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The environment in which every tool finds this server; rclone calls it `bench:`.
    pub fn introduce<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("AWS_ACCESS_KEY_ID", "benchmark")
            .env("AWS_SECRET_ACCESS_KEY", "benchmark-secret")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("RCLONE_CONFIG", "")
            .env("RCLONE_CONFIG_BENCH_TYPE", "s3")
            .env("RCLONE_CONFIG_BENCH_PROVIDER", "Other")
            .env("RCLONE_CONFIG_BENCH_ENV_AUTH", "true")
            .env("RCLONE_CONFIG_BENCH_REGION", "us-east-1")
            .env("RCLONE_CONFIG_BENCH_ENDPOINT", self.endpoint())
    }

    /// What went through so far; `None` for a server that does not count.
    pub fn counters(&self) -> io::Result<Option<Counters>> {
        if self.kind != ServerKind::Ours {
            return Ok(None);
        }
        let body = self.exchange("GET", "/_counters", &[])?;
        serde_json::from_slice(&body).map(Some).map_err(io::Error::other)
    }

    /// Sends and fetches one object as fast as one connection can; bytes a second of both.
    pub fn bare_rates(&self, bytes: usize) -> io::Result<(f64, f64)> {
        let object = format!("/{BUCKET}/bare");
        let body = vec![7; bytes];
        let began = Instant::now();
        self.exchange("PUT", &object, &body)?;
        let put = began.elapsed();
        let began = Instant::now();
        let back = self.exchange("GET", &object, &[])?;
        let get = began.elapsed();
        if back.len() != bytes {
            return Err(io::Error::other("the server gave another length than it was sent"));
        }
        self.exchange("DELETE", &object, &[])?;
        let rate = |wall: Duration| f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / wall.as_secs_f64();
        Ok((rate(put), rate(get)))
    }

    fn wait_for_bucket(&self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match self.exchange("PUT", &format!("/{BUCKET}"), &[]) {
                Ok(_) => return Ok(()),
                Err(e) if Instant::now() > deadline => return Err(e),
                Err(_not_yet) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// One request, unsigned: ours asks for no signature, SeaweedFS is told to allow anyone.
    fn exchange(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address)?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut reader = BufReader::with_capacity(1 << 20, stream);
        let mut status = String::new();
        reader.read_line(&mut status)?;
        let (mut length, mut line) = (None, String::new());
        while reader.read_line(&mut line)? > 2 {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse::<u64>().ok();
            }
            line.clear();
        }
        let mut answer = Vec::new();
        reader.take(length.unwrap_or(u64::MAX)).read_to_end(&mut answer)?;
        // A bucket that is there already is as good as a new one.
        let fine = matches!(status.split(' ').nth(1), Some("200" | "204" | "409"));
        if fine { Ok(answer) } else { Err(io::Error::other(format!("{method} {path}: {}", status.trim()))) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its files are temporary, so it need not end in good order; an error means that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Memory where there is a file system of it.
fn folder_in(preferred: &str) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("bkd-bench.");
    if Path::new(preferred).is_dir() { builder.tempdir_in(preferred) } else { builder.tempdir() }
}

fn ours() -> io::Result<(Child, String, TempDir)> {
    let folder = folder_in("/dev/shm")?;
    let mut child = Command::new(built("scripted-s3")?)
        .args(["--addr", "127.0.0.1:0", "--dir"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    // It says where it listens, as an address or as a URL.
    let address = line.trim().rsplit('/').next().unwrap_or_default().to_owned();
    if address.is_empty() {
        return Err(io::Error::other("`scripted-s3` did not say where it listens"));
    }
    Ok((child, address, folder))
}

fn seaweedfs() -> io::Result<(Child, String, TempDir)> {
    let folder = folder_in("/var/tmp")?;
    let config = folder.path().join("s3.json");
    let anyone = serde_json::json!({ "identities": [
        { "name": "anonymous", "actions": ["Admin", "Read", "Write", "List"] },
        { "name": "bench", "actions": ["Admin", "Read", "Write", "List"],
          "credentials": [{ "accessKey": "benchmark", "secretKey": "benchmark-secret" }] },
    ] });
    File::create(&config)?.write_all(anyone.to_string().as_bytes())?;
    let ports = free_ports(10)?;
    let mut command = Command::new("weed");
    command.current_dir(folder.path()).env("TMPDIR", folder.path());
    command.args(["mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false", "-admin.ui=false"]);
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.arg(format!("-dir={}", folder.path().display())).arg(format!("-s3.config={}", config.display()));
    let flags =
        ["s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "filer.port", "filer.port.grpc"];
    let flags = flags.into_iter().chain(["volume.port", "volume.port.grpc", "admin.port", "admin.port.grpc"]);
    for (flag, port) in flags.zip(&ports) {
        command.arg(format!("-{flag}={port}"));
    }
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok((child, format!("127.0.0.1:{}", ports[0]), folder))
}

/// Ports that nobody uses now.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
