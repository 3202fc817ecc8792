//! What is told over HTTP on this host: `/` for people, `/metrics` for a scraper, `/healthz` for a load balancer.
//!
//! Always true: it binds a loopback address, reads at most 4 KiB and for 2 seconds from anyone, serves
//! 8 at once, answers and closes. It changes nothing. It tells names, times, sizes and why runs failed; never content,
//! never a secret. What it tells was worked out by the loop that keeps the schedules, so asking costs that loop
//! nothing; only the page asks the catalog besides. A web site that a browser on this host shows cannot read the
//! page, for it is told only to who asks for a loopback address by that name.

mod chart;
mod metrics;
mod screen;
mod tables;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use engine::failure::Failure;
use engine::port::clock::Clock;
use engine::usecase::drill::DrillStanding;
use engine::usecase::history::History;
use jiff::tz::TimeZone;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::debug;

use self::metrics::metrics;
use self::screen::{View, html};
use crate::keeping::{Counts, Sight};

const REQUEST_BYTES_MAX: usize = 4 << 10;
const PATIENCE: Duration = Duration::from_secs(2);
const AT_ONCE: usize = 8;

/// The loop sets what is told at least each minute; what is older than this says nothing of today.
const STALE: Duration = Duration::from_secs(300);

/// What was backed up so far; asked when somebody looks.
pub(crate) type Past = Arc<dyn Fn() -> Result<History, Failure> + Send + Sync>;

/// What is told; the loop replaces it, whoever asks reads it.
pub(crate) struct Page {
    host: String,
    clock: Arc<dyn Clock>,
    past: Past,
    told: RwLock<Arc<Told>>,
}

#[derive(Default)]
struct Told {
    metrics: String,
    sight: Sight,
    trouble: Option<String>,
    /// `None` until the first look: nobody knows yet.
    ill: Option<Vec<String>>,
    /// When it was set, by the time that no clock on a wall changes.
    at: Duration,
}

/// What is sent back.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: &'static str,
    media: &'static str,
    body: String,
}

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

impl Page {
    /// Of this host.
    pub(crate) fn new(host: &str, clock: Arc<dyn Clock>, past: Past) -> Self {
        Self { host: host.to_owned(), clock, past, told: RwLock::default() }
    }

    /// From now on this is told. `trouble` is what makes the whole service ill, as a Docker that does not answer.
    pub(crate) fn set(&self, sight: Sight, counts: Counts<'_>, trouble: Option<&str>) {
        let overdue = sight.health.iter().filter(|health| health.overdue);
        let mut ill: Vec<String> = overdue.map(|health| format!("overdue: {}", health.source)).collect();
        ill.extend(sight.health.iter().filter_map(|health| {
            let alarming = health.drill.as_ref().is_some_and(DrillStanding::is_alarming);
            alarming.then(|| format!("not proven: {}", health.source))
        }));
        let unpruned = sight.health.iter().filter(|health| health.is_unpruned());
        ill.extend(unpruned.map(|health| format!("not pruned: {}", health.source)));
        ill.extend(sight.vanished.iter().map(|gone| format!("vanished: {}", gone.source)));
        ill.extend(trouble.map(str::to_owned));
        let metrics = metrics(&sight, counts, trouble.is_some(), self.clock.now());
        let at = self.clock.elapsed();
        let told = Told { metrics, sight, trouble: trouble.map(str::to_owned), ill: Some(ill), at };
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(told);
    }

    fn told(&self) -> Arc<Told> {
        Arc::clone(&self.told.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is sent back to a request; blocks while the catalog is asked.
    fn answer(&self, request: &str) -> Answer {
        let text = |status, body: String| Answer { status, media: TEXT, body };
        let mut words = request.lines().next().unwrap_or_default().split_whitespace();
        let (verb, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let told = self.told();
        let stale = self.stale(&told);
        match (verb, path) {
            ("GET", "/metrics") => text("200 OK", told.metrics.clone()),
            ("GET", "/healthz") => match &told.ill {
                Some(_) if stale.is_some() => {
                    text("503 Service Unavailable", stale.unwrap_or_default() + "\n")
                }
                Some(ill) if ill.is_empty() => text("200 OK", "ok\n".to_owned()),
                Some(ill) => text("503 Service Unavailable", ill.join("\n") + "\n"),
                None => text("503 Service Unavailable", "has not looked yet\n".to_owned()),
            },
            ("GET", "/") if !asks_for_loopback(request) => {
                text("403 Forbidden", "ask for `127.0.0.1` or `localhost`\n".to_owned())
            }
            ("GET", "/") => self.screen(&told),
            ("GET", _) => text("404 Not Found", "`/`, `/metrics` or `/healthz`\n".to_owned()),
            _ => text("405 Method Not Allowed", "only GET\n".to_owned()),
        }
    }

    /// Nobody has set it for long: the loop that keeps the schedules hangs.
    fn stale(&self, told: &Told) -> Option<String> {
        let age = self.clock.elapsed().saturating_sub(told.at);
        let stale = told.ill.is_some() && age > STALE;
        stale.then(|| format!("has not looked for {} s", age.as_secs()))
    }

    fn screen(&self, told: &Told) -> Answer {
        let past = (self.past)();
        let catalog = past.as_ref().err().map(|failure| format!("the catalog cannot be asked: {failure}"));
        let unseen = told.ill.is_none().then(|| "nobody has looked at this host yet".to_owned());
        let stale = self.stale(told).map(|stale| format!("backupd {stale}: what follows is of then"));
        let trouble = told.trouble.iter().cloned().chain(stale).chain(unseen).chain(catalog);
        let trouble: Vec<String> = trouble.collect();
        let view = View {
            host: &self.host,
            sight: &told.sight,
            trouble: &trouble,
            history: &past.unwrap_or_default(),
            now: self.clock.now(),
            zone: &TimeZone::system(),
        };
        Answer { status: "200 OK", media: HTML, body: html(&view) }
    }
}

/// Whether the request names this host by a loopback name: a page of elsewhere, whose name was made to lead here, does not.
fn asks_for_loopback(request: &str) -> bool {
    let name = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
    };
    let Some(host) = request.lines().skip(1).find_map(name) else { return true };
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some(_) | None => &host,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
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
                    let answered = tokio::time::timeout(PATIENCE, answer(stream, page)).await;
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

async fn answer(mut stream: TcpStream, page: Arc<Page>) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut part = [0; 1024];
    while bytes.len() < REQUEST_BYTES_MAX && !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut part).await?;
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&part[..read]);
    }
    let request = String::from_utf8_lossy(&bytes).into_owned();
    let answer =
        tokio::task::spawn_blocking(move || page.answer(&request)).await.map_err(io::Error::other)?;
    let Answer { status, media, body } = answer;
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Type: {media}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests;
