//! What only a local directory can get wrong. The contract suite does the rest.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use super::*;
use crate::adapter::clock::SystemClock;
use crate::adapter::store::{open, open_or_create, url::StoreUrl};

async fn store(path: &Path) -> Arc<dyn Store> {
    open_or_create(&StoreUrl::File(path.to_owned()), Arc::new(SystemClock::start())).await.unwrap()
}

#[tokio::test]
async fn an_unmounted_path_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        let url = StoreUrl::File(path.clone());
        let error = open(&url, Arc::new(SystemClock::start())).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NoBucket);
        assert!(error.to_string().ends_with("is the disk mounted?"), "{error}");
        assert!(!path.join(MARKER).exists());
    }
    let link = dir.path().join("link");
    symlink("nowhere", &link).unwrap();
    for path in [link.clone(), link.join("store")] {
        let error = open_or_create(&StoreUrl::File(path), Arc::new(SystemClock::start())).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NoBucket, "{error}");
        assert!(!dir.path().join("nowhere").exists());
    }
    let made = store(&dir.path().join("a/b")).await;
    made.put("x", Bytes::from_static(b"1"), Put::IfAbsent).await.unwrap();
    let again = open(&StoreUrl::File(dir.path().join("a/b")), Arc::new(SystemClock::start())).await.unwrap();
    assert_eq!(again.get("x", 1).await.unwrap(), "1");
}

#[tokio::test]
async fn no_symlink_leads_out_of_the_store() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = store(dir.path()).await;
    std::fs::create_dir(outside.path().join("d")).unwrap();
    std::fs::File::create(outside.path().join("canary")).unwrap();
    symlink(outside.path(), dir.path().join("link")).unwrap();
    symlink(outside.path().join("canary"), dir.path().join("object")).unwrap();
    for mode in [Put::Replace, Put::IfAbsent] {
        store.put("link/x", Bytes::from_static(b"1"), mode).await.unwrap_err();
        store.put("link/d/x", Bytes::from_static(b"1"), mode).await.unwrap_err();
    }
    store.get("link/canary", 9).await.unwrap_err();
    store.get("object", 9).await.unwrap_err();
    drop(store.delete("link/canary").await);
    assert_eq!(store.list("").await.unwrap(), []);
    store.put("object", Bytes::from_static(b"1"), Put::Replace).await.unwrap();
    assert_eq!(
        std::fs::read(outside.path().join("canary")).unwrap(),
        b"",
        "the link was replaced, not followed"
    );
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn what_dead_processes_left_is_swept_or_listed() {
    let dir = tempfile::tempdir().unwrap();
    let first = store(dir.path()).await;
    let upload = first.begin("h/s/pack").await.unwrap();
    let id = upload.id().unwrap();
    std::mem::forget(upload);
    let leftover = dir.path().join(".tmp/00112233445566778899aabb.put");
    std::fs::File::create(&leftover).unwrap();
    let busy = dir.path().join(".tmp/ffffffffffffffffffffffff.put");
    let lock = std::fs::File::create(&busy).unwrap();
    lock.lock().unwrap();

    let second = store(dir.path()).await;
    assert!(!leftover.exists() && busy.exists(), "only what nobody holds is swept");
    assert_eq!(second.open_uploads("h/").await.unwrap(), std::slice::from_ref(&id));
    second.abort_upload(&id).await.unwrap();
    assert_eq!(second.open_uploads("").await.unwrap(), []);
    second.abort_upload(&OpenUpload { id: "../../x".into(), ..id }).await.unwrap_err();
}

#[tokio::test]
async fn a_full_disk_is_full() {
    // Writing to /dev/full fails with ENOSPC, as a full disk would.
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::open(Folder::root(dir.path()).unwrap()).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = fault::of("write", "x", std::io::Write::write_all(&mut &file, b"x").unwrap_err());
    assert_eq!(error.kind, StoreErrorKind::Full);
    assert_eq!(stage.uploads().unwrap(), []);
}
