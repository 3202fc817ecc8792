//! SeaweedFS, which has every feature, and `rclone serve s3`, which ignores conditions and much else.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use engine::adapter::store::AccessKeys;
use engine::adapter::store::url::{S3Url, StoreUrl};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::ports;
use super::process::{Server, find};

const KEY_ID: &str = "AKBACKUPDTEST";
const SECRET: &str = "backupd-test-secret-1";

/// How often a start is tried with other ports, and how long a server may take.
const STARTS_MAX: u32 = 3;
const READY_POLLS_MAX: u32 = 300;
const READY_POLL: Duration = Duration::from_millis(100);

/// A running server. Its data goes with it.
#[derive(Debug)]
pub struct S3Server {
    server: Server,
    dir: TempDir,
    port: u16,
    /// SeaweedFS' own file interface, through which buckets are made.
    filer: Option<u16>,
    /// All ports, which are in the names of the socket files that SeaweedFS leaves in the temporary folder.
    ports: Vec<u16>,
}

impl S3Server {
    /// SeaweedFS, all in one process.
    pub async fn weed() -> Self {
        Self::start("weed", start_weed).await
    }

    /// `rclone serve s3` over an empty directory.
    pub async fn rclone() -> Self {
        Self::start("rclone", start_rclone).await
    }

    async fn start(name: &str, begin: impl Fn(TempDir) -> Self) -> Self {
        let mut words = String::new();
        for _start in 0..STARTS_MAX {
            let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("make a folder for {name}: {error}"));
            let mut started = begin(dir);
            if started.is_ready().await {
                return started;
            }
            words = started.server.last_words();
        }
        panic!("`{name}` did not start; its last words:\n{words}");
    }

    async fn is_ready(&mut self) -> bool {
        for _poll in 0..READY_POLLS_MAX {
            // Both answer to a request without a signature, if only to refuse it, once they serve.
            let main = request(self.port, "GET /").await;
            let filer = match self.filer {
                Some(port) => request(port, "GET /").await,
                None => main,
            };
            if main.is_some_and(|status| status < 500) && filer.is_some_and(|status| status < 500) {
                return true;
            }
            if self.server.has_ended().unwrap_or(true) {
                return false;
            }
            sleep(READY_POLL).await;
        }
        false
    }

    /// Ends it; its data stays.
    pub fn stop(&mut self) {
        self.server.kill();
    }

    /// Starts rclone again where it was, over the same data.
    pub async fn rclone_again(&mut self) {
        self.server = serve_rclone(self.dir.path(), self.port);
        assert!(self.is_ready().await, "rclone does not come back:\n{}", self.server.last_words());
    }

    /// Makes a bucket and gives its address.
    pub async fn bucket(&self, name: &str) -> S3Url {
        match self.filer {
            None => std::fs::create_dir_all(self.dir.path().join("data").join(name))
                .unwrap_or_else(|error| panic!("make bucket: {error}")),
            Some(filer) => {
                let mut made = None;
                for _poll in 0..READY_POLLS_MAX {
                    made = request(filer, &format!("POST /buckets/{name}/")).await;
                    if made.is_some_and(|status| status < 300) {
                        break;
                    }
                    sleep(READY_POLL).await;
                }
                assert!(made.is_some_and(|status| status < 300), "make bucket: status {made:?}");
            }
        }
        let mut url = S3Url::new(name.to_owned(), String::new());
        url.endpoint = Some(format!("http://127.0.0.1:{}", self.port));
        url.region = Some("us-east-1".to_owned());
        url
    }

    /// The address of a folder in a bucket that is there.
    pub fn folder(bucket: &S3Url, prefix: &str) -> StoreUrl {
        StoreUrl::S3(S3Url { prefix: prefix.to_owned(), ..bucket.clone() })
    }

    /// What opens it.
    pub fn keys(&self) -> AccessKeys {
        AccessKeys { id: KEY_ID.to_owned(), secret: SECRET.to_owned() }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.server.kill();
        let Ok(entries) = std::fs::read_dir("/tmp") else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = |port: &u16| name.ends_with(&format!("-{port}.sock"));
            if name.starts_with("seaweedfs-") && self.ports.iter().any(ours) {
                // Litter of a dead process; what cannot be removed harms nobody.
                drop(std::fs::remove_file(entry.path()));
            }
        }
    }
}

fn start_weed(dir: TempDir) -> S3Server {
    let ports: [u16; 10] = ports::free().unwrap_or_else(|error| panic!("find ports: {error}"));
    let config = serde_json::json!({"identities": [{
        "name": "test",
        "credentials": [{"accessKey": KEY_ID, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }]});
    let file = dir.path().join("s3.json");
    write(&file, &config.to_string());
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap_or_else(|error| panic!("make {}: {error}", data.display()));

    let mut command = Command::new(find("weed", "BACKUPD_TEST_WEED"));
    command.arg("mini").arg(format!("-dir={}", data.display())).arg(format!("-s3.config={}", file.display()));
    command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false", "-admin.ui=false"]);
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
    let flags = [
        "s3.port",
        "s3.port.grpc",
        "master.port",
        "master.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "admin.port",
        "admin.port.grpc",
    ];
    for (flag, port) in flags.iter().zip(ports) {
        command.arg(format!("-{flag}={port}"));
    }
    // It has no memory limit of its own, and would take more than a gigabyte.
    command.env("GOMEMLIMIT", "400MiB").current_dir(dir.path());
    S3Server {
        server: spawn(command, dir.path()),
        dir,
        port: ports[0],
        filer: Some(ports[4]),
        ports: ports.to_vec(),
    }
}

fn start_rclone(dir: TempDir) -> S3Server {
    let [port] = ports::free().unwrap_or_else(|error| panic!("find a port: {error}"));
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap_or_else(|error| panic!("make {}: {error}", data.display()));
    S3Server { server: serve_rclone(dir.path(), port), dir, port, filer: None, ports: vec![port] }
}

fn serve_rclone(dir: &Path, port: u16) -> Server {
    let mut command = Command::new(find("rclone", "BACKUPD_TEST_RCLONE"));
    command.args(["serve", "s3", "--addr", &format!("127.0.0.1:{port}")]).arg(dir.join("data"));
    // From the environment, so that the key is in no process list; quoted, because it is read as a list of pairs.
    command.env("RCLONE_AUTH_KEY", format!("\"{KEY_ID},{SECRET}\"")).env("RCLONE_CONFIG", "/dev/null");
    spawn(command, dir)
}

fn spawn(command: Command, dir: &Path) -> Server {
    let name = format!("{}", command.get_program().to_string_lossy());
    Server::start(command, dir.join("log")).unwrap_or_else(|error| panic!("start `{name}`: {error}"))
}

fn write(path: &Path, text: &str) {
    let written = std::fs::File::create(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    written.unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
}

/// One plain HTTP request without a body; its status, or `None` while nobody answers.
async fn request(port: u16, line: &str) -> Option<u16> {
    let asking = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let text =
            format!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.ok()?;
        let mut reply = [0; 12];
        stream.read_exact(&mut reply).await.ok()?;
        std::str::from_utf8(&reply[9..]).ok()?.parse().ok()
    };
    timeout(Duration::from_secs(5), asking).await.ok().flatten()
}
