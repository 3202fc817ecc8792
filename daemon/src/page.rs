//! Metrics and health over HTTP, for a scraper and a load balancer on this host: `/metrics`, `/healthz`.
//!
//! Always true: it binds a loopback address, reads at most 4 KiB and for 2 seconds from anyone, serves
//! 8 at once, answers and closes. It tells names, times and sizes; never content, never a secret. What it
//! tells was worked out by the loop that keeps the schedules, so asking costs that loop nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use engine::usecase::health::Health;
use engine::words::SourceName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::debug;

const REQUEST_BYTES_MAX: usize = 4 << 10;
const PATIENCE: Duration = Duration::from_secs(2);
const AT_ONCE: usize = 8;

/// What is told; the loop replaces it, whoever asks reads it.
#[derive(Debug, Default)]
pub(crate) struct Page(RwLock<Told>);

#[derive(Debug, Clone, Default)]
struct Told {
    metrics: String,
    /// `None` until the first look: nobody knows yet.
    ill: Option<Vec<String>>,
}

impl Page {
    /// From now on this is told. `trouble` is what makes the whole service ill, as a Docker that does not answer.
    pub(crate) fn set(&self, all: &[Health], failures: &BTreeMap<SourceName, u64>, trouble: Option<&str>) {
        let overdue = all.iter().filter(|health| health.overdue);
        let mut ill: Vec<String> = overdue.map(|health| format!("overdue: {}", health.source)).collect();
        ill.extend(trouble.map(str::to_owned));
        let told = Told { metrics: metrics(all, failures, trouble.is_some()), ill: Some(ill) };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = told;
    }

    fn told(&self) -> Told {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Status and body for the first line of a request.
    fn answer(&self, request: &str) -> (&'static str, String) {
        let mut words = request.split_whitespace();
        let (verb, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let told = self.told();
        match (verb, path) {
            ("GET", "/metrics") => ("200 OK", told.metrics),
            ("GET", "/healthz") => match told.ill {
                Some(ill) if ill.is_empty() => ("200 OK", "ok\n".to_owned()),
                Some(ill) => ("503 Service Unavailable", ill.join("\n") + "\n"),
                None => ("503 Service Unavailable", "has not looked yet\n".to_owned()),
            },
            ("GET", _) => ("404 Not Found", "`/metrics` or `/healthz`\n".to_owned()),
            _ => ("405 Method Not Allowed", "only GET\n".to_owned()),
        }
    }
}

/// Listens until the process ends.
pub(crate) async fn serve(at: SocketAddr, page: Arc<Page>) -> io::Result<()> {
    let listener = TcpListener::bind(at).await?;
    tokio::spawn(accept(listener, page));
    Ok(())
}

async fn accept(listener: TcpListener, page: Arc<Page>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = Arc::clone(&page);
                tokio::spawn(async move {
                    let answered = tokio::time::timeout(PATIENCE, answer(stream, &page)).await;
                    debug!("a page was asked for: {answered:?}");
                    drop(place);
                });
            }
            // Out of descriptors, or the peer went away: the next one may do better.
            Err(e) => {
                debug!("accept: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, page: &Page) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut part = [0; 1024];
    while bytes.len() < REQUEST_BYTES_MAX && !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut part).await?;
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&part[..read]);
    }
    let request = String::from_utf8_lossy(&bytes);
    let (status, body) = page.answer(request.lines().next().unwrap_or_default());
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// In the text format of Prometheus.
fn metrics(all: &[Health], failures: &BTreeMap<SourceName, u64>, trouble: bool) -> String {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, about: &str, value: &dyn Fn(&Health) -> Option<String>| {
        // Writing into a text cannot fail.
        writeln!(out, "# HELP backupd_{name} {about}\n# TYPE backupd_{name} {kind}").ok();
        for health in all {
            if let Some(value) = value(health) {
                let (source, policy) = (escaped(&health.source), escaped(&health.policy));
                writeln!(out, "backupd_{name}{{source=\"{source}\",policy=\"{policy}\"}} {value}").ok();
            }
        }
    };
    let seconds = |at: jiff::Timestamp| at.as_second().to_string();
    family("last_success_timestamp_seconds", "gauge", "When the newest whole snapshot was taken.", &|h| {
        h.last_good.map(seconds)
    });
    family("last_success_age_seconds", "gauge", "Seconds since then.", &|h| {
        h.age_seconds.map(|age| age.to_string())
    });
    family("last_run_duration_seconds", "gauge", "How long the newest run took.", &|h| {
        h.last_seconds.map(|seconds| seconds.to_string())
    });
    family("last_run_bytes", "gauge", "How many bytes it read.", &|h| h.last_bytes.map(|b| b.to_string()));
    family("next_run_timestamp_seconds", "gauge", "When it runs next.", &|h| h.next.map(seconds));
    family("overdue", "gauge", "1 if its schedule wants a newer snapshot than there is.", &|h| {
        Some(u8::from(h.overdue).to_string())
    });
    family("running", "gauge", "1 while a run is on.", &|h| Some(u8::from(h.running.is_some()).to_string()));
    family("run_failures_total", "counter", "Runs that failed since this process began.", &|h| {
        let source: SourceName = h.source.parse().ok()?;
        Some(failures.get(&source).copied().unwrap_or(0).to_string())
    });
    let trouble = u8::from(trouble);
    writeln!(
        out,
        "# HELP backupd_trouble 1 while Docker cannot be asked, policies are bad, or two claim one source.\n\
         # TYPE backupd_trouble gauge\nbackupd_trouble {trouble}"
    )
    .ok();
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
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
        }
    }

    #[test]
    fn health_is_red_until_all_is_known_to_be_well() {
        let page = Page::default();
        let status = |page: &Page| page.answer("GET /healthz HTTP/1.1");
        assert_eq!(status(&page).0, "503 Service Unavailable");
        page.set(&[health("a", false)], &BTreeMap::new(), None);
        assert_eq!(status(&page), ("200 OK", "ok\n".to_owned()));
        page.set(&[health("a", false), health("b", true)], &BTreeMap::new(), None);
        assert_eq!(status(&page), ("503 Service Unavailable", "overdue: b\n".to_owned()));
        page.set(&[health("a", false)], &BTreeMap::new(), Some("Docker is away"));
        assert_eq!(status(&page).1, "Docker is away\n");
        assert_eq!(page.answer("POST /metrics HTTP/1.1").0, "405 Method Not Allowed");
        assert_eq!(page.answer("").0, "405 Method Not Allowed");
        assert_eq!(page.answer("GET /../etc HTTP/1.0").0, "404 Not Found");
    }

    #[test]
    fn metrics_have_one_line_for_each_source_that_has_a_value() {
        let failures = BTreeMap::from([("a".parse().unwrap(), 3)]);
        let text = metrics(&[health("a", true)], &failures, false);
        for line in [
            "backupd_last_success_timestamp_seconds{source=\"a\",policy=\"p\"} 1795140000",
            "backupd_last_run_duration_seconds{source=\"a\",policy=\"p\"} 8.5",
            "backupd_overdue{source=\"a\",policy=\"p\"} 1",
            "backupd_run_failures_total{source=\"a\",policy=\"p\"} 3",
            "backupd_trouble 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert!(!text.contains("last_run_bytes{"), "{text}");
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
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
}
