//! The contract of the store port, as a suite that every adapter and every twin runs.
//!
//! Each check begins with a fresh, empty store. It says what the port promises and nothing that one adapter
//! happens to do; what an adapter does besides is tested beside it.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::port::store::{Conditions, OpenUpload, Put, Store, StoreError, StoreErrorKind as Kind};

const MIB: usize = 1 << 20;

/// The first part's size of the S3 adapter, where off-by-one errors would live.
const PART: usize = 8 * MIB;

/// Runs everything. `make` gives a fresh and empty store each time.
///
/// # Panics
/// When the store breaks the contract.
pub async fn check_store<F: Future<Output = Arc<dyn Store>>>(make: impl Fn() -> F) {
    objects_come_back_exactly(&*make().await).await;
    ranges_are_exact_or_errors(&*make().await).await;
    what_is_missing_is_said_to_be(&*make().await).await;
    odd_but_legal_keys_work(&*make().await).await;
    illegal_keys_are_refused(&*make().await).await;
    lists_are_complete_sorted_and_once(&*make().await).await;
    folders_are_the_next_components(&*make().await).await;
    a_commit_is_exclusive(make().await).await;
    uploads_of_every_length_appear_whole(&*make().await).await;
    nothing_is_visible_before_the_finish(&*make().await).await;
    an_aborted_upload_leaves_nothing(&*make().await).await;
    a_dropped_upload_is_gone_or_listed(&*make().await).await;
    open_uploads_are_found_by_prefix(&*make().await).await;
    many_at_once_do_not_disturb_each_other(make().await).await;
}

/// Bytes that differ everywhere, so that a shifted or repeated piece is seen.
fn noise(length: usize, seed: u64) -> Bytes {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 11).to_le_bytes());
    }
    bytes.truncate(length);
    Bytes::from(bytes)
}

fn ok<T>(what: &str, result: Result<T, StoreError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error} ({:?})", error.kind),
    }
}

fn refused<T>(what: &str, result: Result<T, StoreError>) -> Kind {
    match result {
        Ok(_) => panic!("{what}: succeeded"),
        Err(error) => error.kind,
    }
}

async fn put(store: &dyn Store, key: &str, bytes: &Bytes) {
    ok(key, store.put(key, bytes.clone(), Put::Replace).await);
}

async fn upload(store: &dyn Store, key: &str, bytes: &Bytes, step: usize) -> Result<u64, StoreError> {
    let mut upload = store.begin(key).await?;
    for start in (0..bytes.len()).step_by(step) {
        upload.write(bytes.slice(start..bytes.len().min(start + step))).await?;
    }
    upload.finish().await
}

async fn objects_come_back_exactly(store: &dyn Store) {
    for length in [0, 1, 1000, MIB + 1] {
        let (key, bytes) = (format!("a/{length}"), noise(length, length as u64));
        put(store, &key, &bytes).await;
        assert!(ok(&key, store.get(&key, length as u64).await) == bytes, "{key}");
        let info = ok(&key, store.head(&key).await).map(|info| (info.key, info.length));
        assert_eq!(info, Some((key.clone(), length as u64)));
    }
    put(store, "a/1", &noise(5, 5)).await;
    assert!(ok("replaced", store.get("a/1", 5).await) == noise(5, 5));
    assert_eq!(refused("get with a small max", store.get("a/1", 4).await), Kind::Other);
    ok("delete", store.delete("a/1").await);
    assert_eq!(ok("head", store.head("a/1").await), None);
    let left: Vec<_> = ok("list", store.list("a/").await).into_iter().map(|info| info.key).collect();
    assert_eq!(left, ["a/0", "a/1000", "a/1048577"]);
}

async fn ranges_are_exact_or_errors(store: &dyn Store) {
    let bytes = noise(20 * MIB, 7);
    ok("upload", upload(store, "pack", &bytes, MIB).await);
    let length = bytes.len();
    for (start, end) in
        [(0, 1), (0, length), (length - 1, length), (PART - 1, PART + 1), (5, 5 + PART), (1, length - 1)]
    {
        let got = ok("range", store.get_range("pack", start as u64..end as u64).await);
        assert!(got == bytes.slice(start..end), "range {start}..{end}");
    }
    let length = length as u64;
    for range in [0..length + 1, length - 1..length + 1, length..length + 1, length + 5..length + 9] {
        let what = format!("range {range:?}");
        assert_eq!(refused(&what, store.get_range("pack", range).await), Kind::Garbled, "{what}");
    }
    assert_eq!(refused("empty range", store.get_range("pack", 5..5).await), Kind::Garbled);
    assert_eq!(refused("missing", store.get_range("other", 0..1).await), Kind::NotFound);
}

async fn what_is_missing_is_said_to_be(store: &dyn Store) {
    assert_eq!(refused("get", store.get("no/such", 1).await), Kind::NotFound);
    assert_eq!(ok("head", store.head("no/such").await), None);
    ok("delete", store.delete("no/such").await);
    ok("delete again", store.delete("no/such").await);
    assert_eq!(ok("list", store.list("no/").await), []);
    assert_eq!(ok("list", store.list("").await), []);
    assert_eq!(ok("folders", store.folders("").await), Vec::<String>::new());
    assert_eq!(ok("uploads", store.open_uploads("").await), []);
    let gone = OpenUpload { key: "no/such".into(), id: "0011223344556677889900aa".into() };
    // A server may call an id malformed that it never gave; it must not call it a failure of its own.
    if let Err(error) = store.abort_upload(&gone).await {
        assert_eq!(error.kind, Kind::Other, "{error}");
    }
}

async fn odd_but_legal_keys_work(store: &dyn Store) {
    let long = ["x".repeat(200), "y".repeat(200), "z".repeat(200), "w".repeat(190)].join("/");
    let mut keys = vec![
        "vm-1/web=3A=2Fvar=2Flib/00000001.manifest".to_owned(),
        "vm-1/a b/c".to_owned(),
        "vm-1/..a/b..".to_owned(),
        "vm-1/.hidden/x".to_owned(),
        "vm-1/plus+and&more/%41".to_owned(),
        "vm-1/~tilde/(x)".to_owned(),
        format!("vm-1/{long}"),
    ];
    keys.sort();
    for key in &keys {
        put(store, key, &Bytes::copy_from_slice(key.as_bytes())).await;
    }
    for key in &keys {
        assert_eq!(ok(key, store.get(key, 2_000).await), key.as_bytes(), "{key}");
    }
    let listed: Vec<_> = ok("list", store.list("").await).into_iter().map(|info| info.key).collect();
    assert_eq!(listed, keys);
    for key in &keys {
        ok(key, store.delete(key).await);
    }
    assert_eq!(ok("list", store.list("").await), []);
}

async fn illegal_keys_are_refused(store: &dyn Store) {
    for key in ["", "/a", "a/../b", "a//b", "../a", ".tmp/a", "a\nb"] {
        let put = store.put(key, Bytes::new(), Put::Replace).await;
        assert_eq!(refused(key, put), Kind::Other, "{key:?}");
        assert_eq!(refused(key, store.get(key, 1).await), Kind::Other, "{key:?}");
        assert_eq!(refused(key, store.delete(key).await), Kind::Other, "{key:?}");
        assert_eq!(refused(key, store.begin(key).await.map(drop)), Kind::Other, "{key:?}");
    }
}

async fn lists_are_complete_sorted_and_once(store: &dyn Store) {
    let key = |n: usize| format!("host/source/{n:05}.manifest");
    // More than a page of a thousand, and foreign objects among them.
    let numbers: Vec<usize> = (0..1_110).collect();
    for some in numbers.chunks(37) {
        let puts = some.iter().map(|n| {
            let (key, bytes) = (key(*n), noise(*n % 7, 1));
            Box::pin(async move { store.put(&key, bytes, Put::Replace).await })
        });
        for done in futures_util::future::join_all(puts).await {
            ok("put", done);
        }
    }
    put(store, "host/README", &noise(3, 1)).await;
    put(store, "host/source-2/x", &noise(3, 1)).await;
    let listed = ok("list", store.list("host/source/").await);
    assert_eq!(listed.len(), numbers.len());
    for (n, info) in listed.iter().enumerate() {
        assert_eq!((&info.key, info.length), (&key(n), (n % 7) as u64));
    }
    let part: Vec<_> = ok("list", store.list("host/source/0110").await);
    assert_eq!(part.len(), 10, "a prefix may end within a name");
    let all: Vec<_> = ok("list", store.list("host/").await).into_iter().map(|info| info.key).collect();
    assert_eq!(all.len(), numbers.len() + 2);
    assert!(all.is_sorted() && all[0] == "host/README", "byte order");
    assert_eq!(all[1], "host/source-2/x", "`-` comes before `/`");
    assert_eq!(ok("folders", store.folders("host/").await), ["source", "source-2"]);
}

async fn folders_are_the_next_components(store: &dyn Store) {
    for key in ["b/1/x", "b/1/y", "b/2/z", "a/owner.json", "a/c=3A/deleted/x", "top"] {
        put(store, key, &noise(1, 1)).await;
    }
    assert_eq!(ok("folders", store.folders("").await), ["a", "b"]);
    assert_eq!(ok("folders", store.folders("b/").await), ["1", "2"]);
    assert_eq!(ok("folders", store.folders("a/").await), ["c=3A"]);
    assert_eq!(ok("folders", store.folders("none/").await), Vec::<String>::new());
    ok("delete", store.delete("b/2/z").await);
    let left = ok("folders", store.folders("b/").await);
    assert!(left == ["1"] || left == ["1", "2"], "an emptied folder may linger: {left:?}");
}

async fn a_commit_is_exclusive(store: Arc<dyn Store>) {
    ok("first", store.put("c/1", noise(9, 1), Put::IfAbsent).await);
    assert_eq!(refused("second", store.put("c/1", noise(9, 2), Put::IfAbsent).await), Kind::Exists);
    assert!(ok("get", store.get("c/1", 9).await) == noise(9, 1), "the first one stays");
    ok("delete", store.delete("c/1").await);
    ok("after a delete", store.put("c/1", noise(9, 3), Put::IfAbsent).await);
    if ok("conditions", store.conditions().await) == Conditions::Ignored {
        return;
    }
    for round in 0..5 {
        let key = format!("race/{round}");
        let racers = (0..16_u64).map(|me| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { store.put(&key, noise(100, me), Put::IfAbsent).await.map(|()| me) })
        });
        let mut winners = Vec::new();
        for racer in futures_util::future::join_all(racers).await {
            match racer {
                Ok(Ok(me)) => winners.push(me),
                Ok(Err(error)) => assert_eq!(error.kind, Kind::Exists, "{error}"),
                Err(broken) => panic!("{broken}"),
            }
        }
        assert_eq!(winners.len(), 1, "winners of {key}");
        assert!(ok("get", store.get(&key, 100).await) == noise(100, winners[0]), "the winner's bytes");
    }
}

async fn uploads_of_every_length_appear_whole(store: &dyn Store) {
    for (length, step) in [
        (0, 1),
        (5, 2),
        (PART - 1, MIB),
        (PART, MIB),
        (PART + 1, MIB),
        (2 * PART, PART),
        (21 * MIB + 3, 700_001),
        (24 * MIB, 24 * MIB),
    ] {
        let (key, bytes) = (format!("u/{length}"), noise(length, length as u64));
        assert_eq!(ok(&key, upload(store, &key, &bytes, step).await), length as u64);
        assert!(ok(&key, store.get(&key, length as u64).await) == bytes, "{key}");
        ok("delete", store.delete(&key).await);
    }
    assert_eq!(ok("uploads", store.open_uploads("").await), []);
}

async fn nothing_is_visible_before_the_finish(store: &dyn Store) {
    let bytes = noise(10 * MIB, 3);
    let mut upload = ok("begin", store.begin("v/pack").await);
    ok("write", upload.write(bytes.clone()).await);
    assert_eq!(ok("head", store.head("v/pack").await), None);
    assert_eq!(ok("list", store.list("").await), []);
    assert_eq!(ok("finish", upload.finish().await), bytes.len() as u64);
    assert_eq!(ok("list", store.list("").await).len(), 1);
    assert!(ok("get", store.get("v/pack", bytes.len() as u64).await) == bytes);
}

async fn an_aborted_upload_leaves_nothing(store: &dyn Store) {
    for length in [0, 5, PART, 2 * PART + 5] {
        let mut upload = ok("begin", store.begin("x/pack").await);
        ok("write", upload.write(noise(length, 1)).await);
        ok("abort", upload.abort().await);
        assert_eq!(ok("list", store.list("").await), []);
        assert_eq!(ok("uploads", store.open_uploads("").await), []);
    }
}

async fn a_dropped_upload_is_gone_or_listed(store: &dyn Store) {
    let mut upload = ok("begin", store.begin("d/pack").await);
    ok("write", upload.write(noise(PART + 5, 1)).await);
    drop(upload);
    for left in ok("uploads", store.open_uploads("d/").await) {
        assert_eq!(left.key, "d/pack");
        ok("abort", store.abort_upload(&left).await);
    }
    assert_eq!(ok("uploads", store.open_uploads("").await), []);
    assert_eq!(ok("head", store.head("d/pack").await), None);
}

async fn open_uploads_are_found_by_prefix(store: &dyn Store) {
    let mut open = Vec::new();
    for key in ["o/a/1", "o/a/2", "o/b/1"] {
        let mut upload = ok("begin", store.begin(key).await);
        // Enough that every adapter has to tell its store about it.
        ok("write", upload.write(noise(PART + 1, 1)).await);
        open.push(upload);
    }
    let keys = |found: Vec<OpenUpload>| found.into_iter().map(|upload| upload.key).collect::<Vec<_>>();
    let found = ok("uploads", store.open_uploads("o/a/").await);
    assert_eq!(
        found.iter().map(|upload| Some(upload.clone())).collect::<Vec<_>>(),
        [open[0].id(), open[1].id()]
    );
    assert_eq!(keys(ok("uploads", store.open_uploads("").await)), ["o/a/1", "o/a/2", "o/b/1"]);
    ok("abort", store.abort_upload(&found[0]).await);
    ok("abort of what is gone", store.abort_upload(&found[0]).await);
    assert_eq!(keys(ok("uploads", store.open_uploads("o/").await)), ["o/a/2", "o/b/1"]);
    refused("finish of what was aborted", open.remove(0).finish().await);
    assert_eq!(ok("head", store.head("o/a/1").await), None);
    for upload in open {
        ok("abort", upload.abort().await);
    }
    assert_eq!(ok("uploads", store.open_uploads("").await), []);
}

async fn many_at_once_do_not_disturb_each_other(store: Arc<dyn Store>) {
    let tasks = (0..12_u64).map(|me| {
        let store = store.clone();
        tokio::spawn(async move {
            let (key, bytes) = (format!("m/{me}/pack"), noise(MIB + 17, me));
            ok(&key, upload(&*store, &key, &bytes, 100_000).await);
            ok(&key, store.put(&format!("m/{me}/x"), noise(10, me), Put::IfAbsent).await);
            assert!(ok(&key, store.get(&key, bytes.len() as u64).await) == bytes, "{key}");
            let range = ok(&key, store.get_range(&key, 1_000..900_000).await);
            assert!(range == bytes.slice(1_000..900_000), "{key}");
            ok(&key, store.delete(&format!("m/{me}/x")).await);
        })
    });
    for task in futures_util::future::join_all(tasks).await {
        if let Err(broken) = task {
            panic!("{broken}");
        }
    }
    assert_eq!(ok("list", store.list("m/").await).len(), 12);
}
