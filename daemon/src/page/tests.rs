//! What is told of sources that stand well, badly, or nowhere; and that alerts and dashboard ask for what is told.

use std::collections::{BTreeMap, BTreeSet};

use engine::adapter::clock::SystemClock;
use engine::usecase::health::Health;
use engine::usecase::vanished::Vanished;

use super::metrics::escaped;
use super::*;

pub(super) fn health(source: &str, overdue: bool) -> Health {
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
        unpruned: None,
        drill: None,
    }
}

fn sight(health: Vec<Health>, vanished: &[&str]) -> Sight {
    let since = "2026-11-20T03:00:00Z".parse().unwrap();
    let gone = |source: &&str| Vanished { source: (*source).into(), policy: "p".into(), since };
    Sight { health, vanished: vanished.iter().map(gone).collect() }
}

fn page() -> Page {
    Page::new("vm-1", Arc::new(SystemClock::start()), Arc::new(|| Ok(History::default())))
}

const NONE: Counts<'_> = Counts { failures: &BTreeMap::new(), told: 0, untold: 0 };

#[test]
fn health_is_red_until_all_is_known_to_be_well() {
    let page = page();
    let status = |page: &Page| {
        let Answer { status, body, .. } = page.answer("GET /healthz HTTP/1.1");
        (status, body)
    };
    assert_eq!(status(&page).0, "503 Service Unavailable");
    page.set(sight(vec![health("a", false)], &[]), NONE, None);
    assert_eq!(status(&page), ("200 OK", "ok\n".to_owned()));
    page.set(sight(vec![health("a", false), health("b", true)], &["c"]), NONE, None);
    assert_eq!(status(&page), ("503 Service Unavailable", "overdue: b\nvanished: c\n".to_owned()));
    let held = Health { held: Some("lost all".into()), ..health("a", false) };
    let unpruned = Health { unpruned: Some("no space".into()), ..health("b", false) };
    page.set(sight(vec![held, unpruned], &[]), NONE, None);
    assert_eq!(status(&page), ("503 Service Unavailable", "not pruned: a\nnot pruned: b\n".to_owned()));
    page.set(sight(vec![health("a", false)], &[]), NONE, Some("Docker is away"));
    assert_eq!(status(&page).1, "Docker is away\n");
    assert_eq!(page.answer("POST /metrics HTTP/1.1").status, "405 Method Not Allowed");
    assert_eq!(page.answer("").status, "405 Method Not Allowed");
    assert_eq!(page.answer("GET /../etc HTTP/1.0").status, "404 Not Found");
}

fn now() -> jiff::Timestamp {
    "2026-11-20T03:00:00Z".parse().unwrap()
}

/// A clock that is moved by hand.
struct Moved(std::sync::Mutex<Duration>);

#[async_trait::async_trait]
impl Clock for Moved {
    fn now(&self) -> jiff::Timestamp {
        now()
    }

    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, _span: Duration) {}
}

/// What was good when the loop last came by says nothing once it hangs.
#[test]
fn what_nobody_has_set_for_long_is_not_well() {
    let clock = Arc::new(Moved(std::sync::Mutex::default()));
    let page = Page::new("vm-1", Arc::<Moved>::clone(&clock), Arc::new(|| Ok(History::default())));
    page.set(sight(vec![health("a", false)], &[]), NONE, None);
    for (seconds, status, body) in
        [(300, "200 OK", "ok\n"), (301, "503 Service Unavailable", "has not looked for 301 s\n")]
    {
        *clock.0.lock().unwrap() = Duration::from_secs(seconds);
        let answer = page.answer("GET /healthz HTTP/1.1");
        assert_eq!((answer.status, answer.body.as_str()), (status, body));
    }
    assert!(page.answer("GET / HTTP/1.1").body.contains("backupd has not looked for 301 s"));
    page.set(sight(vec![health("a", false)], &[]), NONE, None);
    assert_eq!(page.answer("GET /healthz HTTP/1.1").status, "200 OK");
}

/// A web site may make its own name lead to this host; the browser still says that name.
#[test]
fn the_page_is_told_only_to_who_asks_for_a_loopback_name() {
    let page = page();
    for (host, status) in [
        ("", "200 OK"),
        ("Host: 127.0.0.1:9620", "200 OK"),
        ("host: localhost", "200 OK"),
        ("Host: [::1]:9620", "200 OK"),
        ("Host: evil.example:9620", "403 Forbidden"),
        ("Host: 127.0.0.1.evil.example", "403 Forbidden"),
        ("Host: 10.0.0.1", "403 Forbidden"),
    ] {
        let answer = page.answer(&format!("GET / HTTP/1.1\r\n{host}\r\n\r\n"));
        assert_eq!(answer.status, status, "{host}");
        assert_eq!(answer.media == HTML, status == "200 OK");
    }
}

#[test]
fn a_catalog_that_cannot_be_asked_is_an_alarm_and_no_page_that_looks_well() {
    let page = Page::new(
        "vm",
        Arc::new(SystemClock::start()),
        Arc::new(|| Err(Failure::failed("open the catalog"))),
    );
    assert!(page.answer("GET / HTTP/1.0").body.contains("nobody has looked at this host yet"));
    page.set(sight(vec![health("a", false)], &[]), NONE, None);
    let body = page.answer("GET / HTTP/1.0").body;
    assert!(
        body.contains("the catalog cannot be asked: open the catalog") && !body.contains("all is well"),
        "{body}"
    );
}

pub(super) fn drilled(overdue: bool) -> DrillStanding {
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
    let page = page();
    let mut a = health("a", false);
    a.drill = Some(drilled(true));
    page.set(sight(vec![a.clone()], &[]), NONE, None);
    assert_eq!(page.answer("GET /healthz HTTP/1.1").body, "not proven: a\n");
    a.drill = Some(drilled(false));
    page.set(sight(vec![a, health("b", false)], &[]), NONE, None);
    assert_eq!(page.answer("GET /healthz HTTP/1.1").body, "ok\n");
    let text = page.answer("GET /metrics HTTP/1.1").body;
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
    let counts = Counts { failures: &failures, told: 7, untold: 2 };
    let mut b = health("b", false);
    b.held = Some("lost all".into());
    b.unpruned = Some("it would delete more than it keeps".into());
    b.pruned_at = Some("2026-11-20T02:00:00Z".parse().unwrap());
    b.failures = 4;
    let text = metrics(&sight(vec![health("a", true), b], &["gone"]), counts, false, now());
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
        "backupd_last_look_timestamp_seconds 1795143600",
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
    let text = metrics(&sight(Vec::new(), &[]), NONE, false, now());
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

/// One rule: its keys with their texts; those of a map inside with a dot.
type Rule = BTreeMap<String, String>;

/// Reads as much of YAML as the file of rules uses: two spaces a level, `- alert:` begins a rule, a value stands on the
/// line of its key. Whatever else it finds is wrong.
fn rules(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    for want in ["groups:", "  - name: backupd", "    rules:"] {
        assert_eq!(lines.next(), Some(want));
    }
    let mut map = String::new();
    for line in lines {
        let inside = line.trim_start();
        let depth = line.len() - inside.len();
        let (key, value) = inside.split_once(':').unwrap_or_else(|| panic!("no key: {line}"));
        let value = value.strip_prefix(' ').unwrap_or(value);
        assert!(!line.contains('\t') && !value.ends_with(' '), "{line}");
        let key = match (depth, key.strip_prefix("- ")) {
            (6, Some(first)) => {
                rules.push(Rule::new());
                first.to_owned()
            }
            (8, None) => {
                map = if value.is_empty() { format!("{key}.") } else { String::new() };
                key.to_owned()
            }
            (10, None) => format!("{map}{key}"),
            _ => panic!("at column {depth}: {line}"),
        };
        let quoted = value.starts_with('"');
        assert!(
            !quoted || (value.len() > 1 && value.ends_with('"') && value.matches('"').count() == 2),
            "{line}"
        );
        // Without quotes these would end the value, or begin something else.
        let plain = value.strip_prefix('{').and_then(|map| map.strip_suffix('}')).unwrap_or(value);
        let open = plain.contains(" #") || plain.contains(": ") && plain == value;
        assert!(quoted || !open, "{line}");
        let rule = rules.last_mut().unwrap_or_else(|| panic!("before the first rule: {line}"));
        assert_eq!(rule.insert(key, value.trim_matches('"').to_owned()), None, "twice: {line}");
    }
    rules
}

#[test]
fn the_alerts_are_rules_that_prometheus_takes() {
    let rules = rules(include_str!("../../alerts.yml"));
    assert!(rules.len() >= 8, "{rules:?}");
    let mut names = BTreeSet::new();
    for rule in &rules {
        let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
        assert!(is_word(&rule["alert"]) && names.insert(&rule["alert"]), "{rule:?}");
        let expr = &rule["expr"];
        let count = |c: char| expr.matches(c).count();
        assert_eq!((count('('), count('['), count('{')), (count(')'), count(']'), count('}')), "{expr}");
        assert!(expr.contains(" == ") || expr.contains(" > "), "an alert compares: {expr}");
        let span = rule.get("for").map_or("1m", String::as_str);
        assert!(policies::policy::parse_time(span).is_some(), "{span}");
        let severity = &rule["labels"];
        assert!(["{severity: critical}", "{severity: warning}"].contains(&severity.as_str()), "{severity}");
        for text in ["annotations.summary", "annotations.next"] {
            let text = &rule[text];
            assert_eq!(text.matches("{{ $labels.").count(), text.matches(" }}").count(), "{text}");
            assert_eq!(text.matches("{{").count(), text.matches("{{ $labels.").count(), "{text}");
        }
        let known =
            ["alert", "annotations", "annotations.next", "annotations.summary", "expr", "for", "labels"];
        assert!(rule.keys().all(|key| known.contains(&key.as_str())), "{rule:?}");
    }
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
    tokio::spawn(accept(listener, Arc::new(page())));
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.0 503 ") && answer.ends_with("\r\n\r\nhas not looked yet\n"),
        "{answer}"
    );
}
