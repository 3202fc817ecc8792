//! The store port's contract on real S3 servers, and on the user's own where one is named.

#![expect(clippy::unwrap_used, reason = "a test's own functions may fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use engine::adapter::clock::SystemClock;
use engine::adapter::store::url::{S3Url, StoreUrl};
use engine::adapter::store::{AccessKeys, Options, open_with};
use engine::port::store::{Conditions, Store};
use engine::testing::store_contract::check_store;
use integration::scripted_s3::ScriptedS3;
use integration::servers::s3::S3Server;

async fn open(url: &StoreUrl, keys: Option<AccessKeys>) -> Arc<dyn Store> {
    let options = Options { keys, ..Options::default() };
    open_with(url, Arc::new(SystemClock::start()), options).await.unwrap()
}

/// Every check gets a folder of its own in one bucket.
async fn check_bucket(bucket: &S3Url, keys: Option<AccessKeys>) {
    let count = AtomicU32::new(0);
    check_store(|| {
        let mut prefix = format!("contract/{}", count.fetch_add(1, Ordering::Relaxed));
        if !bucket.prefix.is_empty() {
            prefix = format!("{}/{prefix}", bucket.prefix);
        }
        let (url, keys) = (S3Server::folder(bucket, &prefix), keys.clone());
        async move { open(&url, keys).await }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_keeps_the_contract() {
    let server = S3Server::weed().await;
    let bucket = server.bucket("contract").await;
    let store = open(&StoreUrl::S3(bucket.clone()), Some(server.keys())).await;
    assert_eq!(store.conditions().await.unwrap(), Conditions::Enforced);
    check_bucket(&bucket, Some(server.keys())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rclone_keeps_the_contract_of_one_writer() {
    let server = S3Server::rclone().await;
    let bucket = server.bucket("contract").await;
    let store = open(&StoreUrl::S3(bucket.clone()), Some(server.keys())).await;
    assert_eq!(store.conditions().await.unwrap(), Conditions::Ignored);
    check_bucket(&bucket, Some(server.keys())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scripted_server_without_a_script_keeps_the_contract() {
    let server = ScriptedS3::start().await;
    check_bucket(&server.bucket("contract"), Some(server.keys())).await;
}

/// Writes and deletes under `contract/` of the store that `BACKUPD_TEST_STORE` names; the AWS chain opens it.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "the store to test is named by the environment")]
async fn the_store_of_the_environment_keeps_the_contract() {
    let Ok(text) = std::env::var("BACKUPD_TEST_STORE") else { return };
    match text.parse().unwrap() {
        StoreUrl::S3(bucket) => check_bucket(&bucket, None).await,
        StoreUrl::File(_) => panic!("`BACKUPD_TEST_STORE` is for S3"),
    }
}
