//! The store port's contract on every store that needs no server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use engine::adapter::clock::SystemClock;
use engine::adapter::store::open_or_create;
use engine::adapter::store::url::StoreUrl;
use engine::port::store::Store;
use engine::testing::calls::CallLog;
use engine::testing::faulty_store::FaultyStore;
use engine::testing::memory_store::MemoryStore;
use engine::testing::store_contract::check_store;

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    check_store(|| async { Arc::new(MemoryStore::new()) as Arc<dyn Store> }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_store_without_faults_keeps_the_contract() {
    check_store(|| async {
        let inner = Arc::new(MemoryStore::new());
        Arc::new(FaultyStore::new(inner, CallLog::recording(), Vec::new())) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_directory_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    check_store(|| async {
        let path = dir.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
        open_or_create(&StoreUrl::File(path), Arc::new(SystemClock::start())).await.unwrap()
    })
    .await;
}
