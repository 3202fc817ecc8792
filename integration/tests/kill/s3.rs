//! The scripted S3 server, for tests that are not async themselves.

use std::time::{Duration, Instant};

use integration::scripted_s3::{Action, Op, Rule, ScriptedS3, When};
use tokio::runtime::Runtime;

use crate::program::Running;

const BUCKET: &str = "bucket";

/// Longer than any two requests of one program are apart, unless a reply is what it waits for.
const QUIET: Duration = Duration::from_secs(1);

/// A running server.
pub(crate) struct S3 {
    // Before the runtime, in which it lives.
    pub(crate) server: ScriptedS3,
    _runtime: Runtime,
}

impl S3 {
    /// On a thread of its own.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        Self { server: runtime.block_on(ScriptedS3::start()), _runtime: runtime }
    }

    /// As `--store` takes it.
    pub(crate) fn url(&self) -> String {
        let port = self.server.addr().port();
        format!("s3://{BUCKET}/p?endpoint=http://127.0.0.1:{port}&region=us-east-1&path_style=true")
    }

    /// What programs find in their environment.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let keys = self.server.keys();
        vec![("AWS_ACCESS_KEY_ID", keys.id), ("AWS_SECRET_ACCESS_KEY", keys.secret)]
    }

    /// Does this to the requests of a kind, for keys that contain `key_part`, from the `first` one on.
    pub(crate) fn script(&self, op: Op, key_part: &str, first: u64, action: Action) {
        let when = When::From(first, u64::MAX / 2);
        self.server.rule(Rule { op: Some(op), key_part: key_part.to_owned(), when, action });
    }

    /// Waits until a program that is about to be held up by the script has sent its last request.
    pub(crate) fn held_up(&self, running: &mut Running, op: Op, more_than: u64) {
        let reached = running.until(|| self.count(op) > more_than);
        assert!(reached, "it ended before a request of the kind {op:?}");
        let total = || self.server.counters().requests.values().sum::<u64>();
        let (mut seen, mut since) = (total(), Instant::now());
        let held = running.until(|| {
            let now = total();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            since.elapsed() > QUIET
        });
        assert!(held, "it was not held up at {op:?}");
    }

    /// Requests of a kind so far.
    pub(crate) fn count(&self, op: Op) -> u64 {
        self.server.counters().requests.get(&op).copied().unwrap_or(0)
    }

    /// Keys of open uploads.
    pub(crate) fn open_uploads(&self) -> Vec<String> {
        self.server.uploads(BUCKET)
    }

    /// All keys that end so.
    pub(crate) fn keys(&self, ending: &str) -> Vec<String> {
        let all = self.server.objects(BUCKET).into_iter().map(|(key, _length)| key);
        all.filter(|key| key.ends_with(ending)).collect()
    }
}
