//! What the S3 adapter does when the server, the network or the clock misbehaves.
//!
//! The rule behind every test: a call ends in bounded time, says what went wrong, and never says yes to
//! something that is not stored.

#![expect(clippy::unwrap_used, reason = "a test's own functions may fail the test")]
#![expect(clippy::wildcard_enum_match_arm, reason = "each test names the requests that it is about")]

mod refusals;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use engine::adapter::clock::SystemClock;
use engine::adapter::store::limits::Limits;
use engine::adapter::store::url::{S3Url, StoreUrl};
use engine::adapter::store::{Options, open_with};
use engine::port::clock::Clock;
use engine::port::store::{Conditions, Put, Store, StoreError, StoreErrorKind as Kind};
use integration::scripted_s3::{Action, Op, Rule, ScriptedS3, Setup, Side, When};
use jiff::{SignedDuration, Timestamp};

const BUCKET: &str = "faults";
const KIB: usize = 1 << 10;
const PART: usize = 64 * KIB;

/// Small where something happens again and again, so that what takes minutes in the field takes milliseconds here. No pause
/// of a busy machine counts as hanging.
fn limits() -> Limits {
    Limits {
        connect: Duration::from_secs(5),
        reply: Duration::from_secs(5),
        complete_reply: Duration::from_secs(6),
        stall: Duration::from_secs(3),
        stall_bytes: 4_096,
        budget: Duration::from_millis(1_500),
        tries_max: 6,
        backoff_first: Duration::from_millis(5),
        backoff_max: Duration::from_millis(50),
        part_bytes: PART as u64,
        piece_bytes: PART as u64,
        ..Limits::default()
    }
}

/// For what hangs.
fn impatient() -> Limits {
    Limits {
        connect: Duration::from_millis(500),
        reply: Duration::from_millis(400),
        complete_reply: Duration::from_millis(600),
        stall: Duration::from_millis(300),
        ..limits()
    }
}

async fn open_at(url: S3Url, server: &ScriptedS3, limits: Limits, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
    let options = Options { limits, keys: Some(server.keys()), create: false };
    open_with(&StoreUrl::S3(url), clock, options).await.unwrap()
}

async fn open(server: &ScriptedS3, limits: Limits) -> Arc<dyn Store> {
    let mut url = server.bucket(BUCKET);
    url.prefix = "p".to_owned();
    open_at(url, server, limits, Arc::new(SystemClock::start())).await
}

async fn fresh() -> (ScriptedS3, Arc<dyn Store>) {
    fresh_with(limits()).await
}

async fn fresh_with(limits: Limits) -> (ScriptedS3, Arc<dyn Store>) {
    let server = ScriptedS3::start().await;
    let store = open(&server, limits).await;
    (server, store)
}

fn noise(length: usize) -> Bytes {
    (0..length).map(|n| u8::try_from((n * 31 + n / 251) % 256).unwrap()).collect()
}

async fn upload(store: &dyn Store, key: &str, bytes: &Bytes) -> Result<u64, StoreError> {
    let mut upload = store.begin(key).await?;
    for start in (0..bytes.len()).step_by(10_000) {
        upload.write(bytes.slice(start..bytes.len().min(start + 10_000))).await?;
    }
    upload.finish().await
}

/// Every call of the port once; the first error, or `Ok` only if everything is as it should be.
async fn everything(store: &dyn Store) -> Result<(), StoreError> {
    let (small, large) = (noise(100), noise(3 * PART + 5));
    store.put("h/s/small", small.clone(), Put::Replace).await?;
    upload(store, "h/s/pack", &large).await?;
    assert_eq!(store.get("h/s/small", 100).await?, small);
    assert!(store.get_range("h/s/pack", 5..large.len() as u64).await? == large.slice(5..));
    assert_eq!(store.head("h/s/pack").await?.map(|info| info.length), Some(large.len() as u64));
    assert_eq!(store.list("h/").await?.len(), 2);
    assert_eq!(store.folders("h/").await?, ["s"]);
    assert_eq!(store.open_uploads("").await?, []);
    store.delete("h/s/small").await?;
    store.delete("h/s/pack").await?;
    assert_eq!(store.list("").await?, []);
    Ok(())
}

// --- E1: errors that pass ---

#[tokio::test]
async fn passing_errors_are_survived() {
    let (server, store) = fresh().await;
    for (status, code) in [
        (500, "InternalError"),
        (503, "SlowDown"),
        (429, "TooManyRequests"),
        (408, "RequestTimeout"),
        (502, ""),
    ] {
        server.rule(Rule::all(When::Percent(5), Action::Status(status, code)));
    }
    for _ in 0..5 {
        everything(&*store).await.unwrap();
    }
    server.forget_rules();
    server.rule(Rule::all(When::Percent(30), Action::Status(503, "SlowDown")));
    let mut passed = 0;
    for _ in 0..5 {
        match everything(&*store).await {
            Ok(()) => passed += 1,
            Err(error) => assert_eq!(error.kind, Kind::Unavailable, "{error}"),
        }
    }
    assert!(passed > 0, "six tries at 30 % fail once in a thousand calls");
}

#[tokio::test]
async fn an_outage_ends_with_the_budget_and_says_how_often_it_was_tried() {
    let (server, store) = fresh().await;
    server.rule(Rule::all(When::Always, Action::Status(503, "SlowDown")));
    let began = Instant::now();
    let error = store.put("x", noise(10), Put::Replace).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(error.to_string(), "put `x`: SlowDown: said by the scripted server (status 503) (6 tries)");
    assert_eq!(server.counters().requests[&Op::Put], 6);
}

// --- E2: what hangs ---

/// One request that hangs in one way: the call ends in time, as unavailable, in these words.
async fn check_hang(action: Action, op: Op, words: &str) {
    let (server, store) = fresh_with(impatient()).await;
    let bytes = noise(3 * PART);
    upload(&*store, "pack", &bytes).await.unwrap();
    server.rule(Rule::new(op, When::Always, action.clone()));
    let began = Instant::now();
    let error = match op {
        Op::Get => store.get_range("pack", 0..PART as u64).await.map(drop).unwrap_err(),
        Op::Put => store.put("x", noise(10), Put::Replace).await.unwrap_err(),
        Op::List => store.list("").await.map(drop).unwrap_err(),
        _ => upload(&*store, "other", &bytes).await.map(drop).unwrap_err(),
    };
    assert_eq!(error.kind, Kind::Unavailable, "{action:?} {op:?}: {error}");
    assert!(error.why.contains(words), "{action:?} {op:?}: {error}");
    assert!(began.elapsed() < Duration::from_secs(8), "{action:?} {op:?} took {:?}", began.elapsed());
}

#[tokio::test]
async fn whatever_hangs_is_given_up_and_named() {
    tokio::join!(
        check_hang(Action::NoReply, Op::Get, "no reply within"),
        check_hang(Action::NoReply, Op::Put, "no reply within"),
        check_hang(Action::NoRead, Op::Part, "no reply within"),
        check_hang(Action::Stall(0), Op::Get, "only 0 bytes came within"),
        check_hang(Action::Stall(10_000), Op::Get, "bytes came within"),
        check_hang(Action::Slow(100), Op::Get, "bytes came within"),
        check_hang(Action::NoReply, Op::List, "no reply within"),
        check_hang(Action::Spaces(Duration::from_millis(20)), Op::Complete, "no reply within"),
    );
}

#[tokio::test]
async fn a_request_that_nobody_reads_is_a_stall() {
    let (server, store) = fresh_with(impatient()).await;
    server.rule(Rule::new(Op::Put, When::Always, Action::NoRead));
    // More than the socket buffers of both sides hold.
    let error = store.put("x", Bytes::from(vec![7; 32 << 20]), Put::Replace).await.unwrap_err();
    assert!(error.why.contains("bytes could be sent within"), "{error}");
}

#[tokio::test]
async fn a_slow_line_is_no_stall() {
    let limits = Limits { stall: Duration::from_millis(600), ..limits() };
    let (server, store) = fresh_with(limits).await;
    let bytes = noise(2 * PART);
    upload(&*store, "pack", &bytes).await.unwrap();
    // 64 KiB at 50 kB a second: twice the stall time, with enough bytes in each.
    server.rule(Rule::new(Op::Get, When::Always, Action::Slow(50_000)));
    let got = store.get_range("pack", 0..bytes.len() as u64).await.unwrap();
    assert!(got == bytes);
    assert_eq!(server.counters().requests[&Op::Get], 2, "no try was wasted");
}

// --- E3: broken connections and lost replies ---

#[tokio::test]
async fn a_reset_on_either_side_of_the_effect_of_any_request_is_survived() {
    let ops = [Op::Get, Op::Head, Op::Put, Op::Delete, Op::List, Op::Part, Op::Complete, Op::ListUploads];
    for op in ops.into_iter().chain([Op::CreateUpload]) {
        for side in [Side::Before, Side::After] {
            if (op, side) == (Op::CreateUpload, Side::After) {
                continue;
            }
            let (server, store) = fresh().await;
            server.rule(Rule::new(op, When::From(1, 2), Action::Reset(side)));
            everything(&*store).await.unwrap_or_else(|error| panic!("{op:?} {side:?}: {error}"));
            assert_eq!(server.uploads(BUCKET), Vec::<String>::new(), "{op:?} {side:?}");
        }
    }
}

#[tokio::test]
async fn an_upload_whose_name_was_lost_on_the_way_is_listed_for_recovery() {
    let (server, store) = fresh().await;
    server.rule(Rule::new(Op::CreateUpload, When::From(1, 1), Action::Reset(Side::After)));
    let bytes = noise(3 * PART);
    assert_eq!(upload(&*store, "h/pack", &bytes).await.unwrap(), bytes.len() as u64);
    let left = store.open_uploads("h/").await.unwrap();
    assert_eq!(left.len(), 1);
    store.abort_upload(&left[0]).await.unwrap();
    assert_eq!(store.open_uploads("").await.unwrap(), []);
    assert!(store.get("h/pack", bytes.len() as u64).await.unwrap() == bytes);
}

#[tokio::test]
async fn a_lost_reply_to_a_commit_is_a_collision_that_the_caller_settles() {
    let (server, store) = fresh().await;
    assert_eq!(store.conditions().await.unwrap(), Conditions::Enforced);
    server.rule(Rule::new(Op::Put, When::From(1, 1), Action::Reset(Side::After)));
    let error = store.put("h/1", noise(10), Put::IfAbsent).await.unwrap_err();
    assert_eq!(error.kind, Kind::Exists);
    assert_eq!(store.get("h/1", 10).await.unwrap(), noise(10));
    server.rule(Rule::new(Op::Put, When::From(1, 1), Action::Status(409, "ConditionalRequestConflict")));
    store.put("h/2", noise(10), Put::IfAbsent).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_down_is_named() {
    let (server, _) = fresh().await;
    let url = server.bucket(BUCKET);
    drop(server);
    let other = ScriptedS3::start().await;
    let store = open_at(url, &other, limits(), Arc::new(SystemClock::start())).await;
    let error = store.head("x").await.unwrap_err();
    assert_eq!(
        (error.kind, error.to_string().as_str()),
        (Kind::Unavailable, "head `x`: connection refused (6 tries)")
    );
}

// --- E4, E5: a yes that means no ---

#[tokio::test]
async fn a_yes_that_is_none_is_a_failure_and_leaves_no_upload() {
    let bytes = noise(3 * PART);
    for action in [
        Action::ErrorIn200(Side::Before, "InternalError"),
        Action::Hollow(Side::Before),
        Action::Status(500, "InternalError"),
    ] {
        for op in [Op::Complete, Op::Part, Op::Put] {
            let (server, store) = fresh().await;
            server.rule(Rule::new(op, When::Always, action.clone()));
            let error = match op {
                Op::Put => store.put("pack", bytes.clone(), Put::Replace).await.unwrap_err(),
                _ => upload(&*store, "pack", &bytes).await.map(drop).unwrap_err(),
            };
            assert!(error.kind.is_retryable(), "{op:?} {action:?}: {error}");
            assert_eq!(server.objects(BUCKET), [], "{op:?} {action:?}");
            assert_eq!(server.uploads(BUCKET), Vec::<String>::new(), "{op:?} {action:?}");
        }
    }
}

#[tokio::test]
async fn a_no_that_means_yes_is_settled_by_looking() {
    for action in [Action::ErrorIn200(Side::After, "InternalError"), Action::Hollow(Side::After)] {
        let (server, store) = fresh().await;
        server.rule(Rule::new(Op::Complete, When::From(1, 1), action));
        let bytes = noise(3 * PART);
        assert_eq!(upload(&*store, "pack", &bytes).await.unwrap(), bytes.len() as u64);
        assert!(store.get("pack", bytes.len() as u64).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn parts_and_objects_that_are_stored_short_are_seen() {
    for (op, length) in [(Op::Part, 3 * PART), (Op::Put, 1_000)] {
        let (server, store) = fresh().await;
        server.rule(Rule::new(op, When::From(1, 1), Action::StoreShort(1)));
        let error = upload(&*store, "pack", &noise(length)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Garbled);
        let words = format!("{length} bytes were sent and {} are there", length - 1);
        assert!(error.why.contains(&words), "{error}");
    }
}

// --- E6: reads that are not what was asked ---

#[tokio::test]
async fn a_read_is_exact_however_the_server_cuts_and_shifts_it() {
    let bytes = noise(4 * PART + 99);
    for action in [
        Action::Cut(0),
        Action::Cut(1),
        Action::Cut(60_000),
        Action::Shorter(10),
        Action::WholeIn206,
        Action::Shifted(3),
    ] {
        let (server, store) = fresh().await;
        upload(&*store, "pack", &bytes).await.unwrap();
        server.rule(Rule::new(Op::Get, When::From(2, 3), action.clone()));
        let got = store
            .get_range("pack", 1..bytes.len() as u64)
            .await
            .unwrap_or_else(|e| panic!("{action:?}: {e}"));
        assert!(got == bytes.slice(1..), "{action:?}");

        server.forget_rules();
        server.rule(Rule::new(Op::Get, When::Always, action.clone()));
        if let Ok(got) = store.get_range("pack", 7..500).await {
            assert!(got == bytes.slice(7..500), "{action:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_goes_on_where_it_broke() {
    let (server, store) = fresh().await;
    let bytes = noise(PART);
    store.put("x", bytes.clone(), Put::Replace).await.unwrap();
    server.rule(Rule::new(Op::Get, When::From(1, 3), Action::Cut(20_000)));
    let before = server.counters().bytes_out;
    assert!(store.get_range("x", 0..PART as u64).await.unwrap() == bytes);
    let asked = server.counters().bytes_out - before;
    assert_eq!(
        asked,
        (4 * PART - 3 * 20_000 - 2 * 20_000 - 20_000) as u64,
        "every try asked only for the rest"
    );
}

// --- E8: clocks ---
