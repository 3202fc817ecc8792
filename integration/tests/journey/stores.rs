//! Stores for tests that are not asynchronous themselves: each of the servers, and a bucket on it.

use std::future::Future;
use std::sync::OnceLock;

use engine::adapter::store::url::{S3Url, StoreUrl};
use integration::scripted_s3::ScriptedS3;
use integration::servers::s3::S3Server;
use tokio::runtime::{Builder, Runtime};

use crate::world::World;

/// The bucket of every test.
pub(crate) const BUCKET: &str = "journeys";

/// What the scripted server and the worlds on it are told; it looks for itself where it should not be.
pub(crate) const KEY_ID: &str = "AKCANARYCANARYID";
/// See [`KEY_ID`].
pub(crate) const SECRET: &str = "canary-secret/of+the/journey";

/// Waits for something that only runtimes do. Servers live on while nobody waits.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime =
        RUNTIME.get_or_init(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
    runtime.block_on(future)
}

/// A world whose store is in a bucket of a real server.
pub(crate) fn on(server: &S3Server) -> World {
    let bucket = wait(server.bucket(BUCKET));
    let keys = server.keys();
    World::at_store(S3Server::folder(&bucket, "a/prefix").to_string(), (&keys.id, &keys.secret))
}

/// A scripted server, and a world on it.
pub(crate) fn scripted() -> (ScriptedS3, World) {
    let server = wait(ScriptedS3::start());
    let world = World::at_store(address(server.bucket(BUCKET)), (KEY_ID, SECRET));
    (server, world)
}

/// As `--store` takes it.
pub(crate) fn address(bucket: S3Url) -> String {
    StoreUrl::S3(bucket).to_string()
}
