//! What a store refuses, or only pretends to do: clocks, permissions, conditions, lists, space, certificates.

use super::*;

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
