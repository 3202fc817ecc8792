//! An S3 server of ours that fails on purpose, as a script says.
//!
//! Complete enough for our store adapter, fast enough to measure it, and honest where it matters: bytes that
//! were stored come back, and a fault happens exactly where it was scripted. It takes any signature.

mod api;
mod body;
mod chunked;
mod objects;
mod request;
mod script;
mod serve;
mod xml;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use engine::adapter::store::AccessKeys;
use engine::adapter::store::url::S3Url;
use tokio::task::JoinHandle;

pub use self::script::{Action, Counters, Op, Rule, Settings, Side, When};
use self::serve::Server;

/// How to start one.
#[derive(Debug, Default)]
pub struct Setup {
    /// Where to listen; any free port of the loopback without it.
    pub addr: Option<SocketAddr>,
    /// A folder for what is stored, best on a tmpfs; in memory without it.
    pub dir: Option<PathBuf>,
    /// With TLS.
    pub tls: Option<Arc<tokio_rustls::rustls::ServerConfig>>,
}

/// A running server; it stops with its handle.
#[derive(Debug)]
pub struct ScriptedS3 {
    addr: SocketAddr,
    tls: bool,
    server: Arc<Server>,
    task: JoinHandle<()>,
}

impl ScriptedS3 {
    /// In memory, on a free port, without a script.
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await.unwrap_or_else(|error| panic!("start scripted S3: {error}"))
    }

    /// As told.
    pub async fn start_with(setup: Setup) -> std::io::Result<Self> {
        let tls = setup.tls.is_some();
        let (addr, server, task) = serve::start(setup).await?;
        Ok(Self { addr, tls, server, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of a bucket; it is there as soon as it is named, unless the settings say that it is gone.
    pub fn bucket(&self, name: &str) -> S3Url {
        let (scheme, host) = if self.tls { ("https", "localhost") } else { ("http", "127.0.0.1") };
        let mut url = S3Url::new(name.to_owned(), String::new());
        url.endpoint = Some(format!("{scheme}://{host}:{}", self.addr.port()));
        url.region = Some("us-east-1".to_owned());
        url
    }

    /// Any will do.
    pub fn keys(&self) -> AccessKeys {
        AccessKeys { id: "AKSCRIPTED".to_owned(), secret: "canary-secret-of-the-script".to_owned() }
    }

    /// Adds a rule; calls are counted from now on.
    pub fn rule(&self, rule: Rule) {
        self.server.script().rule(rule);
    }

    /// Forgets all rules.
    pub fn forget_rules(&self) {
        self.server.script().forget();
    }

    /// Changes what holds for every request.
    pub fn settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.server.script().settings);
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.server.script().counters.clone()
    }

    /// Every stored key of a bucket with its length.
    pub fn objects(&self, bucket: &str) -> Vec<(String, u64)> {
        self.server.objects().lengths(bucket)
    }

    /// The keys of every open upload of a bucket.
    pub fn uploads(&self, bucket: &str) -> Vec<String> {
        self.server.objects().open_keys(bucket)
    }
}

impl Drop for ScriptedS3 {
    fn drop(&mut self) {
        self.task.abort();
    }
}
