//! Accepts connections, reads requests, lets the script decide, and replies.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use engine::adapter::clock::SystemClock;
use engine::port::clock::Clock;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::Setup;
use super::api::{Answer, answer};
use super::body::{Fate, Reply};
use super::chunked;
use super::objects::{Blob, Objects};
use super::request::Ask;
use super::script::{Action, Op, Script, Settings, Side};

/// S3's own: signatures of another time are refused.
const SKEW_MAX: SignedDuration = SignedDuration::from_mins(15);

/// For how long a request hangs that is told to; longer than every test.
const HANG: Duration = Duration::from_secs(3_600);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Server {
    objects: Mutex<Objects>,
    script: Mutex<Script>,
    dir: Option<PathBuf>,
    clock: SystemClock,
}

pub(super) async fn start(setup: Setup) -> io::Result<(SocketAddr, Arc<Server>, JoinHandle<()>)> {
    let addr = setup.addr.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    let server = Arc::new(Server {
        objects: Mutex::default(),
        script: Mutex::default(),
        dir: setup.dir,
        clock: SystemClock::start(),
    });
    let task = tokio::spawn(accept(listener, server.clone(), setup.tls.map(TlsAcceptor::from)));
    Ok((addr, server, task))
}

/// Connections end with this future, since they live in its set.
async fn accept(listener: TcpListener, server: Arc<Server>, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Without it small replies wait for the peer's delayed acknowledgement; a failure only makes it slow.
        drop(stream.set_nodelay(true));
        connections.spawn(connection(stream, server.clone(), tls.clone()));
    }
}

async fn connection(stream: TcpStream, server: Arc<Server>, tls: Option<TlsAcceptor>) {
    match tls {
        None => talk(stream, server).await,
        Some(acceptor) => {
            // A client that refuses our certificate is what some tests are about.
            if let Ok(stream) = acceptor.accept(stream).await {
                talk(stream, server).await;
            }
        }
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, server: Arc<Server>) {
    let service = service_fn(move |request| {
        let server = server.clone();
        async move { server.serve(request).await }
    });
    // Its error is the reset that the script wanted, or a client that went away.
    drop(http1::Builder::new().max_buf_size(1 << 20).serve_connection(TokioIo::new(stream), service).await);
}

impl Server {
    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, request: Request<Incoming>) -> io::Result<Response<Reply>> {
        let (head, body) = request.into_parts();
        let Some(ask) = Ask::parse(&head.method, &head.uri, &head.headers) else {
            return self.reply(Op::Get, Answer::error(501, "NotImplemented"), None);
        };
        let (action, settings) = {
            let mut script = self.script();
            (script.action(ask.op, &ask.key), script.settings.clone())
        };
        match action {
            Some(Action::Reset(Side::Before)) => return Err(io::Error::other("reset by the script")),
            Some(Action::NoRead) => tokio::time::sleep(HANG).await,
            _ => {}
        }
        let chunks = self.collect(body, &ask).await?;
        if let Some(refusal) = self.refusal(&ask, action.as_ref(), &settings, &chunks) {
            return self.reply(ask.op, refusal, action.as_ref());
        }
        match action {
            Some(Action::NoReply) => tokio::time::sleep(HANG).await,
            Some(Action::Spaces(_)) => {
                return self.reply(ask.op, Answer::empty(StatusCode::OK), action.as_ref());
            }
            _ => {}
        }
        let blob = self.blob(chunks, action.as_ref())?;
        let now = self.now(&settings);
        let done = answer(&mut self.objects(), &ask, Some(blob), action.as_ref(), &settings, now);
        match action {
            Some(Action::Reset(Side::After)) => Err(io::Error::other("reset by the script")),
            Some(Action::Hollow(Side::After)) => self.reply(ask.op, Answer::empty(StatusCode::OK), None),
            Some(Action::ErrorIn200(Side::After, code)) => self.reply(ask.op, Answer::error(200, code), None),
            action => self.reply(ask.op, done, action.as_ref()),
        }
    }

    async fn collect(&self, mut body: Incoming, ask: &Ask) -> io::Result<Vec<Bytes>> {
        let mut chunks = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Ok(bytes) = frame.map_err(io::Error::other)?.into_data() {
                self.script().counters.bytes_in += bytes.len() as u64;
                chunks.push(bytes);
            }
        }
        if ask.is_chunked() { chunked::decode(&chunks) } else { Ok(chunks) }
    }

    fn blob(&self, mut chunks: Vec<Bytes>, action: Option<&Action>) -> io::Result<Blob> {
        if let Some(Action::StoreShort(by)) = action {
            let last = chunks.last_mut().ok_or_else(|| io::Error::other("nothing to store short"))?;
            last.truncate(last.len().saturating_sub(usize::try_from(*by).unwrap_or(usize::MAX)));
        }
        match &self.dir {
            // Writing to a tmpfs is a copy in memory; the other connections have threads of their own.
            Some(dir) => tokio::task::block_in_place(|| Blob::store(chunks, Some(dir))),
            None => Blob::store(chunks, None),
        }
    }

    fn now(&self, settings: &Settings) -> Timestamp {
        let ahead = SignedDuration::from_secs(settings.clock_ahead_seconds.unwrap_or(0));
        self.clock.now().saturating_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// What the request is refused with, before it has any effect.
    fn refusal(
        &self,
        ask: &Ask,
        action: Option<&Action>,
        settings: &Settings,
        chunks: &[Bytes],
    ) -> Option<Answer> {
        match action {
            Some(Action::Status(status, code)) => return Some(Answer::error(*status, code)),
            Some(Action::ErrorIn200(Side::Before, code)) => return Some(Answer::error(200, code)),
            Some(Action::Hollow(Side::Before)) => return Some(Answer::empty(StatusCode::OK)),
            _ => {}
        }
        if let Some(region) = settings.region {
            let mut answer = Answer::error(301, "PermanentRedirect");
            answer.headers.push(("x-amz-bucket-region", region.to_owned()));
            return Some(answer);
        }
        let signed = ask.header("x-amz-date").and_then(signing_time);
        let late = signed.is_some_and(|at| self.now(settings).duration_since(at).abs() > SKEW_MAX);
        if settings.clock_ahead_seconds.is_some() && late {
            return Some(Answer::error(403, "RequestTimeTooSkewed"));
        }
        if settings.no_bucket {
            return Some(Answer::error(404, "NoSuchBucket"));
        }
        let deletes = matches!(ask.op, Op::Delete | Op::Abort);
        let writes = matches!(ask.op, Op::Put | Op::Part | Op::CreateUpload | Op::Complete);
        if settings.deny_deletes && deletes || settings.deny_writes && (deletes || writes) {
            return Some(Answer::error(403, "AccessDenied"));
        }
        let coming: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let full = settings.quota_bytes.is_some_and(|quota| self.objects().stored_bytes() + coming > quota);
        (writes && full).then(|| Answer::error(403, "QuotaExceeded"))
    }

    fn reply(&self, op: Op, answer: Answer, action: Option<&Action>) -> io::Result<Response<Reply>> {
        let (date, fate) = {
            let mut script = self.script();
            script.counters.bytes_out += if op == Op::Head { 0 } else { answer.length };
            (self.now(&script.settings), fate(action))
        };
        let mut response = Response::builder()
            .status(answer.status)
            .header("date", date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        if !matches!(fate, Fate::Spaces(_)) && answer.status != StatusCode::NO_CONTENT {
            response = response.header("content-length", answer.length);
        }
        let body = if op == Op::Head { Vec::new() } else { answer.body };
        let fate = if op == Op::Head { Fate::Whole } else { fate };
        response.body(Reply::new(body, fate)).map_err(io::Error::other)
    }
}

fn fate(action: Option<&Action>) -> Fate {
    match action {
        Some(Action::Slow(rate)) => Fate::Slow(*rate),
        Some(Action::Stall(after)) => Fate::Stall(*after),
        Some(Action::Cut(after)) => Fate::Cut(*after),
        Some(Action::Spaces(every)) => Fate::Spaces(*every),
        _ => Fate::Whole,
    }
}

/// `20261121T020000Z`.
fn signing_time(text: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    time.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
