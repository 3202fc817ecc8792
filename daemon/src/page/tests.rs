//! What is told of sources that stand well, badly, or nowhere; and that alerts and dashboard ask for what is told.

use std::collections::{BTreeMap, BTreeSet};

use engine::usecase::vanished::Vanished;

use super::*;

fn health(source: &str, overdue: bool) -> Health {
    Health {
        source: source.into(),
        policy: "p".into(),
        last_good: Some("2026-11-20T02:00:00Z".parse().unwrap()),
        age_seconds: Some(3600),
        last_seconds: Some(8.5),
        last_bytes: None,
        next: None,
        overdue,
        failures: 0,
        message: None,
        running: None,
        held: None,
        pruned_at: None,
        drill: None,
    }
}

fn sight(health: Vec<Health>, vanished: &[&str]) -> Sight {
    let since = "2026-11-20T03:00:00Z".parse().unwrap();
    let gone = |source: &&str| Vanished { source: (*source).into(), policy: "p".into(), since };
    Sight { health, vanished: vanished.iter().map(gone).collect() }
}

const NONE: Counts<'_> =
    Counts { failures: &BTreeMap::new(), sweeping: &BTreeSet::new(), told: 0, untold: 0 };

#[test]
fn health_is_red_until_all_is_known_to_be_well() {
    let page = Page::default();
    let status = |page: &Page| page.answer("GET /healthz HTTP/1.1");
    assert_eq!(status(&page).0, "503 Service Unavailable");
    page.set(&sight(vec![health("a", false)], &[]), NONE, None);
    assert_eq!(status(&page), ("200 OK", "ok\n".to_owned()));
    page.set(&sight(vec![health("a", false), health("b", true)], &["c"]), NONE, None);
    assert_eq!(status(&page), ("503 Service Unavailable", "overdue: b\nvanished: c\n".to_owned()));
    page.set(&sight(vec![health("a", false)], &[]), NONE, Some("Docker is away"));
    assert_eq!(status(&page).1, "Docker is away\n");
    assert_eq!(page.answer("POST /metrics HTTP/1.1").0, "405 Method Not Allowed");
    assert_eq!(page.answer("").0, "405 Method Not Allowed");
    assert_eq!(page.answer("GET /../etc HTTP/1.0").0, "404 Not Found");
}

fn drilled(overdue: bool) -> DrillStanding {
    DrillStanding {
        every_seconds: Some(604_800),
        proven_at: Some("2026-11-20T02:00:00Z".parse().unwrap()),
        proven: Some("a@1".into()),
        restore_seconds: Some(2.5),
        last: None,
        message: None,
        next: None,
        overdue,
        running: false,
    }
}

#[test]
fn what_drills_proved_is_told_and_a_proof_that_is_too_old_is_ill() {
    let page = Page::default();
    let mut a = health("a", false);
    a.drill = Some(drilled(true));
    page.set(&sight(vec![a.clone()], &[]), NONE, None);
    assert_eq!(page.answer("GET /healthz HTTP/1.1").1, "not proven: a\n");
    a.drill = Some(drilled(false));
    page.set(&sight(vec![a, health("b", false)], &[]), NONE, None);
    assert_eq!(page.answer("GET /healthz HTTP/1.1").1, "ok\n");
    let text = page.answer("GET /metrics HTTP/1.1").1;
    for line in [
        "backupd_proven_timestamp_seconds{source=\"a\",policy=\"p\"} 1795140000",
        "backupd_drill_restore_seconds{source=\"a\",policy=\"p\"} 2.5",
        "backupd_drill_overdue{source=\"a\",policy=\"p\"} 0",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    assert!(!text.contains("drill_good{") && !text.contains("drill_overdue{source=\"b\""), "{text}");
}

#[test]
fn metrics_have_one_line_for_each_source_that_has_a_value() {
    let failures = BTreeMap::from([("a".parse().unwrap(), 3)]);
    let sweeping = BTreeSet::from(["b".parse().unwrap()]);
    let counts = Counts { failures: &failures, sweeping: &sweeping, told: 7, untold: 2 };
    let mut b = health("b", false);
    b.held = Some("lost all".into());
    b.pruned_at = Some("2026-11-20T02:00:00Z".parse().unwrap());
    b.failures = 4;
    let text = metrics(&sight(vec![health("a", true), b], &["gone"]), counts, false);
    for line in [
        "backupd_last_success_timestamp_seconds{source=\"a\",policy=\"p\"} 1795140000",
        "backupd_last_run_duration_seconds{source=\"a\",policy=\"p\"} 8.5",
        "backupd_overdue{source=\"a\",policy=\"p\"} 1",
        "backupd_failing{source=\"b\",policy=\"p\"} 4",
        "backupd_run_failures_total{source=\"a\",policy=\"p\"} 3",
        "backupd_guard_held{source=\"a\",policy=\"p\"} 0",
        "backupd_guard_held{source=\"b\",policy=\"p\"} 1",
        "backupd_prune_refused{source=\"b\",policy=\"p\"} 1",
        "backupd_last_prune_timestamp_seconds{source=\"b\",policy=\"p\"} 1795140000",
        "backupd_vanished{source=\"gone\",policy=\"p\"} 1",
        "backupd_trouble 0",
        "backupd_notifications_total 7",
        "backupd_notification_failures_total 2",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    assert!(!text.contains("last_run_bytes{"), "{text}");
    assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = text.match_indices("backupd_").filter(|(at, _)| !text[..*at].ends_with(is_name));
    starts.map(|(at, _)| text[at..].chars().take_while(|c| is_name(*c)).collect()).collect()
}

/// A rule or a panel about a metric that nobody writes stays silent for ever.
#[test]
fn alerts_and_dashboard_ask_for_what_is_told() {
    let text = metrics(&sight(Vec::new(), &[]), NONE, false);
    let told: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned))
        .collect();
    let (alerts, dashboard) =
        (names(include_str!("../../alerts.yml")), names(include_str!("../../dashboard.json")));
    assert!(told.len() >= 16, "{told:?}");
    assert_eq!(alerts.difference(&told).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(dashboard.difference(&told).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(told.difference(&dashboard).collect::<Vec<_>>(), [""; 0], "the dashboard shows all");
}

#[test]
fn the_dashboard_is_one_that_grafana_takes() {
    let board: serde_json::Value = serde_json::from_str(include_str!("../../dashboard.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{panel}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        let asked = panel["targets"].as_array().unwrap();
        assert!(!asked.is_empty() && asked.iter().all(|target| target["expr"].is_string()), "{panel}");
    }
    assert!(board["uid"].is_string() && board["schemaVersion"].is_u64());
}

#[tokio::test]
async fn it_answers_over_a_socket_and_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(accept(listener, Arc::default()));
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.0 503 ") && answer.ends_with("\r\n\r\nhas not looked yet\n"),
        "{answer}"
    );
}
