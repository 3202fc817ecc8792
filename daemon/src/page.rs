//! Metrics and health over HTTP, for a scraper and a load balancer on this host: `/metrics`, `/healthz`.
//!
//! Always true: it binds a loopback address, reads at most 4 KiB and for 2 seconds from anyone, serves
//! 8 at once, answers and closes. It tells names, times and sizes; never content, never a secret. What it
//! tells was worked out by the loop that keeps the schedules, so asking costs that loop nothing.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use engine::catalog::DrillResult;
use engine::usecase::drill::DrillStanding;
use engine::usecase::health::Health;
use engine::words::SourceName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::debug;

use crate::keeping::{Counts, Sight};

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
    pub(crate) fn set(&self, sight: &Sight, counts: Counts<'_>, trouble: Option<&str>) {
        let overdue = sight.health.iter().filter(|health| health.overdue);
        let mut ill: Vec<String> = overdue.map(|health| format!("overdue: {}", health.source)).collect();
        ill.extend(sight.health.iter().filter_map(|health| {
            let alarming = health.drill.as_ref().is_some_and(DrillStanding::is_alarming);
            alarming.then(|| format!("not proven: {}", health.source))
        }));
        ill.extend(sight.vanished.iter().map(|gone| format!("vanished: {}", gone.source)));
        ill.extend(trouble.map(str::to_owned));
        let told = Told { metrics: metrics(sight, counts, trouble.is_some()), ill: Some(ill) };
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
fn metrics(sight: &Sight, counts: Counts<'_>, trouble: bool) -> String {
    let mut out = String::new();
    of_sources(&mut out, &sight.health, counts);
    of_drills(&mut out, &sight.health);
    let gone = sight.vanished.iter().map(|gone| (labels(&gone.source, &gone.policy), "1".to_owned()));
    family(&mut out, "vanished", "gauge", "1 for a source that is not there any more and is missed.", gone);
    let alone = |value: String| std::iter::once((String::new(), value));
    let trouble = alone(u8::from(trouble).to_string());
    let about = "1 while Docker cannot be asked, policies are bad, or two claim one source.";
    family(&mut out, "trouble", "gauge", about, trouble);
    let told = alone(counts.told.to_string());
    family(&mut out, "notifications_total", "counter", "Webhooks, commands and heartbeats that heard.", told);
    let untold = alone(counts.untold.to_string());
    let about = "Those that were given up after several tries.";
    family(&mut out, "notification_failures_total", "counter", about, untold);
    out
}

/// What there is of each source that a policy backs up.
fn of_sources(out: &mut String, all: &[Health], counts: Counts<'_>) {
    let mut each = |name: &str, kind: &str, about: &str, value: &dyn Fn(&Health) -> Option<String>| {
        let of = |health: &Health| Some((labels(&health.source, &health.policy), value(health)?));
        family(out, name, kind, about, all.iter().filter_map(of));
    };
    let seconds = |at: jiff::Timestamp| at.as_second().to_string();
    let flag = |on: bool| Some(u8::from(on).to_string());
    let name = |health: &Health| health.source.parse::<SourceName>().ok();
    each("last_success_timestamp_seconds", "gauge", "When the newest whole snapshot was taken.", &|h| {
        h.last_good.map(seconds)
    });
    each("last_success_age_seconds", "gauge", "Seconds since then.", &|h| {
        h.age_seconds.map(|age| age.to_string())
    });
    each("last_run_duration_seconds", "gauge", "How long the newest run took.", &|h| {
        h.last_seconds.map(|seconds| seconds.to_string())
    });
    each("last_run_bytes", "gauge", "How many bytes it read.", &|h| h.last_bytes.map(|b| b.to_string()));
    each("next_run_timestamp_seconds", "gauge", "When it runs next.", &|h| h.next.map(seconds));
    each("overdue", "gauge", "1 if its schedule wants a newer snapshot than there is.", &|h| flag(h.overdue));
    each("failing", "gauge", "Runs that failed since the last good one.", &|h| Some(h.failures.to_string()));
    each("running", "gauge", "1 while a run is on.", &|h| flag(h.running.is_some()));
    each("run_failures_total", "counter", "Runs that failed since this process began.", &|h| {
        Some(counts.failures.get(&name(h)?).copied().unwrap_or(0).to_string())
    });
    each("guard_held", "gauge", "1 while the guard holds its pruning.", &|h| flag(h.held.is_some()));
    each("prune_refused", "gauge", "1 while its pruning would delete more than it keeps.", &|h| {
        flag(counts.sweeping.contains(&name(h)?))
    });
    each("last_prune_timestamp_seconds", "gauge", "When pruning last came to its end.", &|h| {
        h.pruned_at.map(seconds)
    });
}

/// What drills found.
fn of_drills(out: &mut String, all: &[Health]) {
    let mut each = |name: &str, about: &str, value: &dyn Fn(&DrillStanding) -> Option<String>| {
        let of =
            |health: &Health| Some((labels(&health.source, &health.policy), value(health.drill.as_ref()?)?));
        family(out, name, "gauge", about, all.iter().filter_map(of));
    };
    let flag = |on: bool| Some(u8::from(on).to_string());
    each("proven_timestamp_seconds", "When a drill last proved a snapshot of it.", &|drill| {
        drill.proven_at.map(|at| at.as_second().to_string())
    });
    each("drill_restore_seconds", "How long the newest restore of a drill took.", &|drill| {
        drill.restore_seconds.map(|seconds| seconds.to_string())
    });
    each("drill_good", "1 if the newest drill proved a snapshot.", &|drill| {
        drill.last.as_ref().and_then(|last| flag(last.result == DrillResult::Proven))
    });
    each("drill_overdue", "1 if its policy wants a newer proof than there is.", &|drill| flag(drill.overdue));
}

/// One metric, with a line for each that has a value.
fn family(
    out: &mut String,
    name: &str,
    kind: &str,
    about: &str,
    values: impl Iterator<Item = (String, String)>,
) {
    // Writing into a text cannot fail.
    writeln!(out, "# HELP backupd_{name} {about}\n# TYPE backupd_{name} {kind}").ok();
    for (labels, value) in values {
        writeln!(out, "backupd_{name}{labels} {value}").ok();
    }
}

fn labels(source: &str, policy: &str) -> String {
    format!("{{source=\"{}\",policy=\"{}\"}}", escaped(source), escaped(policy))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
