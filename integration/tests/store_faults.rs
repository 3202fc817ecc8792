//! What the S3 adapter does when the server, the network or the clock misbehaves.
//!
//! The rule behind every test: a call ends in bounded time, says what went wrong, and never says yes to
//! something that is not stored.

#![expect(clippy::unwrap_used, reason = "a test's own functions may fail the test")]
#![expect(clippy::wildcard_enum_match_arm, reason = "each test names the requests that it is about")]

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

/// Small in every respect, so that what takes minutes in the field takes milliseconds here.
fn limits() -> Limits {
    Limits {
        connect: Duration::from_millis(500),
        reply: Duration::from_millis(400),
        complete_reply: Duration::from_millis(600),
        stall: Duration::from_millis(300),
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

async fn open_at(url: S3Url, server: &ScriptedS3, limits: Limits, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
    let options = Options { limits, keys: Some(server.keys()), create: false };
    open_with(&StoreUrl::S3(url), clock, options).await.unwrap()
}

async fn open(server: &ScriptedS3) -> Arc<dyn Store> {
    let mut url = server.bucket(BUCKET);
    url.prefix = "p".to_owned();
    open_at(url, server, limits(), Arc::new(SystemClock::start())).await
}

async fn fresh() -> (ScriptedS3, Arc<dyn Store>) {
    let server = ScriptedS3::start().await;
    let store = open(&server).await;
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
    let (server, store) = fresh().await;
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
    let (server, store) = fresh().await;
    server.rule(Rule::new(Op::Put, When::Always, Action::NoRead));
    // More than the socket buffers of both sides hold.
    let error = store.put("x", Bytes::from(vec![7; 32 << 20]), Put::Replace).await.unwrap_err();
    assert!(error.why.contains("bytes could be sent within"), "{error}");
}

#[tokio::test]
async fn a_slow_line_is_no_stall() {
    let (server, store) = fresh().await;
    let bytes = noise(2 * PART);
    upload(&*store, "pack", &bytes).await.unwrap();
    // 64 KiB at 100 kB a second: twice the stall time, with enough bytes in each.
    server.rule(Rule::new(Op::Get, When::Always, Action::Slow(100_000)));
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

/// A clock that is wrong by a fixed span.
struct Skewed(SystemClock, SignedDuration);

#[async_trait]
impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        self.0.now() + self.1
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, span: Duration) {
        self.0.sleep(span).await;
    }
}

#[tokio::test]
async fn a_wrong_clock_is_called_a_clock() {
    for (minutes, words) in
        [(20, "20 minutes ahead of"), (-20, "20 minutes behind"), (-20, "20 minutes behind")]
    {
        let server = ScriptedS3::start().await;
        server.settings(|settings| settings.clock_ahead_seconds = Some(0));
        let clock = Arc::new(Skewed(SystemClock::start(), SignedDuration::from_mins(minutes)));
        let store = open_at(server.bucket(BUCKET), &server, limits(), clock).await;
        for error in [
            store.put("x", noise(1), Put::Replace).await.unwrap_err(),
            store.head("x").await.unwrap_err(),
            store.list("").await.unwrap_err(),
        ] {
            assert_eq!(error.kind, Kind::ClockSkew, "{error}");
            assert!(error.why.contains(words), "{error}");
        }
    }
}

// --- E9, E13: what is not allowed ---

#[tokio::test]
async fn missing_and_forbidden_things_are_told_apart_at_once() {
    let (server, store) = fresh().await;
    server.settings(|settings| settings.no_bucket = true);
    assert_eq!(store.list("").await.unwrap_err().kind, Kind::NoBucket);
    assert_eq!(store.put("x", noise(1), Put::Replace).await.unwrap_err().kind, Kind::NoBucket);
    server.settings(|settings| (settings.no_bucket, settings.region) = (false, Some("eu-west-1")));
    let error = store.list("").await.unwrap_err();
    assert_eq!(error.kind, Kind::Settings);
    assert!(error.why.contains("`region=eu-west-1`"), "{error}");
    server.settings(|settings| (settings.region, settings.deny_writes) = (None, true));
    assert_eq!(store.put("x", noise(1), Put::Replace).await.unwrap_err().kind, Kind::Denied);
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(server.counters().requests[&Op::Put], 2, "nothing of it was tried again");
}

#[tokio::test]
async fn backups_need_no_permission_to_delete() {
    let (server, store) = fresh().await;
    server.settings(|settings| settings.deny_deletes = true);
    assert_eq!(store.conditions().await.unwrap(), Conditions::Enforced);
    upload(&*store, "h/pack", &noise(3 * PART)).await.unwrap();
    store.put("h/1", noise(10), Put::IfAbsent).await.unwrap();
    assert_eq!(store.delete("h/1").await.unwrap_err().kind, Kind::Denied);
    assert_eq!(store.list("h/").await.unwrap().len(), 2);
    assert_eq!(server.counters().requests[&Op::Delete], 2, "no storm: the probe's and ours");
}

// --- E11: conditions that are ignored ---

#[tokio::test]
async fn ignored_conditions_are_found_out_and_one_writer_is_still_safe() {
    let (server, store) = fresh().await;
    server.settings(|settings| settings.ignore_conditions = true);
    store.put("h/1", noise(1), Put::IfAbsent).await.unwrap();
    assert_eq!(store.put("h/1", noise(2), Put::IfAbsent).await.unwrap_err().kind, Kind::Exists);
    assert_eq!(store.get("h/1", 9).await.unwrap(), noise(1));
    assert_eq!(store.conditions().await.unwrap(), Conditions::Ignored);
    assert_eq!(server.counters().requests[&Op::Put], 3, "probed once");
    assert_eq!(store.list("").await.unwrap().len(), 1, "the probe is gone");
}

#[tokio::test]
async fn refused_conditions_are_as_good_as_ignored_ones() {
    let (server, store) = fresh().await;
    server.rule(Rule {
        key_part: "probe".to_owned(),
        ..Rule::new(Op::Put, When::Always, Action::Status(501, "NotImplemented"))
    });
    store.put("h/1", noise(1), Put::IfAbsent).await.unwrap();
    assert_eq!(store.conditions().await.unwrap(), Conditions::Ignored);
}

// --- E15, E16, E19: lists and strangers ---

#[tokio::test]
async fn messy_lists_come_out_sorted_and_once() {
    let (server, store) = fresh().await;
    let stranger = open_at(server.bucket(BUCKET), &server, limits(), Arc::new(SystemClock::start())).await;
    for n in 0..2_050 {
        store.put(&format!("h/{n:04}"), Bytes::new(), Put::Replace).await.unwrap();
    }
    stranger.put("other/tool", noise(1), Put::Replace).await.unwrap();
    stranger.put("p2/tool", noise(1), Put::Replace).await.unwrap();
    server.settings(|settings| settings.messy_lists = true);
    let keys: Vec<_> = store.list("").await.unwrap().into_iter().map(|info| info.key).collect();
    assert_eq!(keys, (0..2_050).map(|n| format!("h/{n:04}")).collect::<Vec<_>>());
    assert_eq!(store.folders("").await.unwrap(), ["h"]);
    assert_eq!(stranger.folders("").await.unwrap(), ["other", "p", "p2"]);
}

#[tokio::test]
async fn uploads_of_strangers_are_listed_where_they_are_and_never_touched() {
    let (server, store) = fresh().await;
    let stranger = open_at(server.bucket(BUCKET), &server, limits(), Arc::new(SystemClock::start())).await;
    let mut theirs = stranger.begin("other/tool").await.unwrap();
    theirs.write(noise(2 * PART)).await.unwrap();
    let ours = store.begin("h/pack").await.unwrap();
    drop(ours);
    let mut ours = store.begin("h/pack").await.unwrap();
    ours.write(noise(2 * PART)).await.unwrap();
    assert_eq!(store.open_uploads("").await.unwrap().len(), 1);
    ours.abort().await.unwrap();
    assert_eq!(server.uploads(BUCKET), ["other/tool"]);
    theirs.finish().await.unwrap();
}

// --- E18: parts ---

#[tokio::test]
async fn parts_are_as_few_as_their_size_allows() {
    let (server, store) = fresh().await;
    upload(&*store, "one", &noise(PART - 1)).await.unwrap();
    assert_eq!(server.counters().requests.get(&Op::Part), None, "a small object is one request");
    upload(&*store, "two", &noise(5 * PART + 1)).await.unwrap();
    assert_eq!(server.counters().requests[&Op::Part], 6);
}

// --- E23: no room ---

#[tokio::test]
async fn a_full_store_fails_once_and_leaves_no_upload() {
    let (server, store) = fresh().await;
    server.settings(|settings| settings.quota_bytes = Some(3 * PART as u64));
    let error = upload(&*store, "pack", &noise(9 * PART)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Full, "{error}");
    assert_eq!(server.uploads(BUCKET), Vec::<String>::new());
    server.settings(|settings| settings.quota_bytes = None);
    upload(&*store, "pack", &noise(9 * PART)).await.unwrap();
}

// --- E24, E25: TLS and names ---

fn certificate() -> (Arc<tokio_rustls::rustls::ServerConfig>, String) {
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{ServerConfig, crypto::ring};
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), made.cert.pem())
}

#[tokio::test]
async fn a_private_certificate_is_refused_until_its_authority_is_named() {
    let (tls, pem) = certificate();
    let server = ScriptedS3::start_with(Setup { tls: Some(tls), ..Setup::default() }).await.unwrap();
    let store = open_at(server.bucket(BUCKET), &server, limits(), Arc::new(SystemClock::start())).await;
    let error = store.put("x", noise(1), Put::Replace).await.unwrap_err();
    assert_eq!(error.kind, Kind::Settings, "{error}");
    assert!(error.why.contains("certificate") && error.why.contains("`ca=/path.pem`"), "{error}");
    assert_eq!(server.objects(BUCKET), []);

    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::io::Write::write_all(&mut std::fs::File::create(&ca).unwrap(), pem.as_bytes()).unwrap();
    let trusting = S3Url { ca: Some(ca.clone()), ..server.bucket(BUCKET) };
    let store = open_at(trusting.clone(), &server, limits(), Arc::new(SystemClock::start())).await;
    everything(&*store).await.unwrap();

    let elsewhere = trusting.endpoint.clone().map(|url| url.replace("localhost", "127.0.0.1"));
    let store =
        open_at(S3Url { endpoint: elsewhere, ..trusting }, &server, limits(), Arc::new(SystemClock::start()))
            .await;
    assert_eq!(store.head("x").await.unwrap_err().kind, Kind::Settings, "the name must be the certificate's");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_and_a_port_without_tls_are_said_in_words() {
    let server = ScriptedS3::start().await;
    for (endpoint, kind, words) in [
        ("http://no-such-host.invalid".to_owned(), Kind::Unavailable, "the host name cannot be resolved"),
        (
            server.bucket(BUCKET).endpoint.unwrap().replace("http:", "https:"),
            Kind::Settings,
            "TLS: the server does not speak it",
        ),
    ] {
        let limits = Limits { connect: Duration::from_secs(5), ..limits() };
        let url = S3Url { endpoint: Some(endpoint), ..server.bucket(BUCKET) };
        let store = open_at(url, &server, limits, Arc::new(SystemClock::start())).await;
        let error = store.head("x").await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.why.contains(words), "{error}");
    }
}

// --- K: secrets ---

#[tokio::test]
async fn no_secret_is_in_errors_or_debug_output() {
    let (server, store) = fresh().await;
    server.rule(Rule::all(When::Always, Action::Status(403, "SignatureDoesNotMatch")));
    let error = store.put("x", noise(1), Put::IfAbsent).await.unwrap_err();
    let options = Options { limits: limits(), keys: Some(server.keys()), create: false };
    for text in [format!("{error} {error:?}"), format!("{store:?} {}", store.name()), format!("{options:?}")]
    {
        assert!(!text.contains("canary-secret") && !text.contains("AKSCRIPTED"), "{text}");
    }
}
