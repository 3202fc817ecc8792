//! One request over HTTP or HTTPS to where somebody is told.
//!
//! Always true: no error and no log holds more of a URL than its host, for the rest may be a secret; no redirect is
//! followed; of the answer only its status is read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A file that holds a URL is no longer than this.
const URL_BYTES_MAX: u64 = 4 << 10;

/// The URL that `address` is or names: itself, the first line of a `file:///…`, or that of a `credential:NAME` among
/// the credentials that systemd gave us. Read anew for each request, so that a secret can be changed.
pub(crate) async fn resolve(address: &str, credentials: Option<&Path>) -> Result<Uri, String> {
    let file = match (address.strip_prefix("file://"), address.strip_prefix("credential:")) {
        (Some(path), _) => Some(PathBuf::from(path)),
        (None, Some(name)) => {
            let folder = credentials.ok_or("there are no credentials: is `LoadCredential=` in the unit?")?;
            Some(folder.join(name))
        }
        (None, None) => None,
    };
    let text = match file {
        Some(path) => first_line(&path).await.map_err(|e| format!("read `{}`: {e}", path.display()))?,
        None => address.to_owned(),
    };
    let uri: Option<Uri> = text.parse().ok();
    let fine = |uri: &Uri| {
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        web && uri.host().is_some() && !uri.authority().is_some_and(|all| all.as_str().contains('@'))
    };
    uri.filter(fine).ok_or_else(|| "it is no `https://…` without a user name".to_owned())
}

async fn first_line(path: &Path) -> io::Result<String> {
    use tokio::io::AsyncReadExt as _;
    // Whoever waits for the other end of a fifo waits in a thread of its own, and there are only so many.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = tokio::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).await?;
    if !file.metadata().await?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(URL_BYTES_MAX).read_to_end(&mut bytes).await?;
    let text = String::from_utf8(bytes).map_err(|_not_text| io::Error::other("it is not text"))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// How an address is named in logs.
pub(crate) fn shown(address: &str) -> String {
    let uri: Option<Uri> = address.parse().ok();
    match uri.as_ref().filter(|_| address.starts_with("http")).and_then(Uri::host) {
        Some(host) => host.to_owned(),
        None => address.to_owned(),
    }
}

/// POSTs a body as JSON, or GETs without one; anything but success is an error in words.
pub(crate) async fn request(uri: &Uri, body: Option<Bytes>) -> Result<(), String> {
    request_by(uri, body, platform_roots).await
}

async fn request_by(
    uri: &Uri,
    body: Option<Bytes>,
    roots: impl FnOnce() -> RootCertStore + Send + 'static,
) -> Result<(), String> {
    let named = uri.host().unwrap_or_default();
    let host = named.trim_start_matches('[').trim_end_matches(']');
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(|e| format!("connect: {e}"))?;
    let status = if is_tls {
        let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
        let roots = tokio::task::spawn_blocking(roots).await.map_err(|e| e.to_string())?;
        let stream = TlsConnector::from(Arc::new(tls(roots)?)).connect(name, stream).await;
        exchange(stream.map_err(|e| format!("TLS: {e}"))?, uri, body).await?
    } else {
        exchange(stream, uri, body).await?
    };
    if status.is_success() { Ok(()) } else { Err(format!("it answered {}", status.as_u16())) }
}

/// As the store's adapter trusts: what this host trusts. Read each time, for authorities come and go.
fn platform_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn tls(roots: RootCertStore) -> Result<ClientConfig, String> {
    if roots.is_empty() {
        return Err("this host trusts no authority; install `ca-certificates`".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|e| e.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    uri: &Uri,
    body: Option<Bytes>,
) -> Result<hyper::StatusCode, String> {
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(method).uri(path);
    if let Some(authority) = uri.authority() {
        request = request.header(HOST, authority.as_str());
    }
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let request = request.header(USER_AGENT, concat!("backupd/", env!("CARGO_PKG_VERSION")));
    let request = request.body(Full::new(body.unwrap_or_default())).map_err(|e| e.to_string())?;
    let (mut sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|e| format!("speak HTTP: {e}"))?;
    let mut sent = std::pin::pin!(sender.send_request(request));
    let answer = tokio::select! {
        biased;
        answer = &mut sent => answer,
        // What ended it is in the answer.
        _ended = connection => sent.await,
    };
    answer.map(|answer| answer.status()).map_err(|e| format!("speak HTTP: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_comes_from_where_the_policy_says() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hook");
        engine::durable::replace(&file, b"https://hooks.example/T0KEN \nmore\n", 0o600).unwrap();
        let by_file = format!("file://{}", file.display());
        for (address, want) in [
            (by_file.as_str(), Some("https://hooks.example/T0KEN")),
            ("credential:hook", Some("https://hooks.example/T0KEN")),
            ("http://10.0.0.1:8080/x?y=z", Some("http://10.0.0.1:8080/x?y=z")),
            ("credential:none", None),
            ("file:///nowhere", None),
            ("https://user:pass@hooks.example/", None),
            ("ftp://hooks.example/", None),
            ("", None),
        ] {
            let got = resolve(address, Some(dir.path())).await;
            assert_eq!(got.as_ref().ok().map(ToString::to_string).as_deref(), want, "{got:?}");
            assert!(!format!("{:?}", got.err()).contains("pass"), "{address}");
        }
        assert!(resolve("credential:hook", None).await.unwrap_err().contains("LoadCredential"));
    }

    /// H9: a fifo in its place, or a folder, is an error at once.
    #[tokio::test]
    async fn nobody_waits_for_a_file_that_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("fifo"), mode).unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        for name in ["fifo", "folder"] {
            let address = format!("credential:{name}");
            let resolved = resolve(&address, Some(dir.path()));
            let resolved = tokio::time::timeout(std::time::Duration::from_secs(5), resolved).await;
            let Ok(Err(why)) = resolved else {
                // Whoever waits is let go, so that this test can end.
                drop(std::fs::File::options().read(true).write(true).open(dir.path().join("fifo")));
                panic!("{name} was waited for, or read");
            };
            assert!(why.contains("no regular file"), "{name}: {why}");
        }
    }

    /// A server that one authority vouches for hears those who trust it, and nothing of the others.
    #[tokio::test]
    async fn https_is_spoken_with_whom_is_trusted() {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![pair.cert.der().clone()], key)
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri =
            format!("https://localhost:{}/x", listener.local_addr().unwrap().port()).parse().unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut bytes = [0; 1024];
                tokio::io::AsyncReadExt::read(&mut stream, &mut bytes).await.unwrap();
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
            }
        });
        for (trusted, want) in [(&pair, Ok(())), (&stranger, Err("TLS: "))] {
            let cert = trusted.cert.der().clone();
            let roots = move || {
                let mut roots = RootCertStore::empty();
                roots.add(cert).unwrap();
                roots
            };
            let got = request_by(&uri, Some(Bytes::from_static(b"{}")), roots).await;
            assert_eq!(got.as_ref().map_err(|e| &e[..5]).copied(), want, "{got:?}");
        }
        assert!(request_by(&uri, None, RootCertStore::empty).await.unwrap_err().contains("ca-certificates"));
    }

    #[test]
    fn a_log_names_the_host_alone() {
        for (address, want) in [
            ("https://hooks.example:8443/T0KEN?x=y", "hooks.example"),
            ("http://[::1]/T0KEN", "[::1]"),
            ("file:///etc/backupd/hook", "file:///etc/backupd/hook"),
            ("credential:hook", "credential:hook"),
        ] {
            assert_eq!(shown(address), want);
        }
    }
}
