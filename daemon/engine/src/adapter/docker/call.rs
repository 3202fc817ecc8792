//! One call to the engine: never without a deadline, and never an error without words for a person.

use std::io;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use tokio::sync::OnceCell;

use super::address::Address;
use super::ourselves;
use crate::port::docker::{DockerError, DockerErrorKind as Kind};

/// Questions that the engine answers from memory.
pub(super) const ASK: Duration = Duration::from_secs(15);

/// Lists; volumes of plugins can be slow to tell.
pub(super) const LIST: Duration = Duration::from_secs(60);

/// Changes of one thing.
pub(super) const CHANGE: Duration = Duration::from_secs(60);

/// Starting: networks and plugins take their time.
pub(super) const START: Duration = Duration::from_secs(120);

/// What stopping may take beyond the grace that the container has.
pub(super) const STOP_EXTRA: Duration = Duration::from_secs(30);

/// Loading the helper's image: a few megabytes, on a disk that may be busy.
pub(super) const LOAD: Duration = Duration::from_secs(180);

/// The oldest API that has everything we use.
const API_FLOOR: (u32, u32) = (1, 41);

/// The engine behind one address.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) address: Address,
    /// The container that we run in, if we do.
    pub(super) ourselves: Option<String>,
    checked: OnceCell<()>,
}

impl Engine {
    pub(super) fn at(address: Address) -> Self {
        Self { address, ourselves: ourselves::container(), checked: OnceCell::new() }
    }

    /// A client of an engine that is known to be new enough; asks it once.
    pub(super) async fn client(&self) -> Result<Docker, DockerError> {
        let client = self.address.client().map_err(|e| self.explain("connect to Docker", &e))?;
        self.checked
            .get_or_try_init(async || {
                let version = self.within("ask Docker's version", ASK, client.version()).await?;
                check_version(version.api_version.as_deref().unwrap_or(""))?;
                check_platform(version.os.as_deref(), version.arch.as_deref())
            })
            .await?;
        Ok(client)
    }

    /// Waits for `call`, but no longer than `limit`.
    pub(super) async fn within<T>(
        &self,
        deed: &str,
        limit: Duration,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, DockerError> {
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map_err(|e| self.explain(deed, &e)),
            Err(_passed) => Err(DockerError {
                kind: Kind::Unreachable,
                deed: deed.to_owned(),
                why: format!("`{}` did not answer within {} s", self.address, limit.as_secs()),
            }),
        }
    }

    pub(super) fn explain(&self, deed: &str, error: &Error) -> DockerError {
        let (kind, why) = explain(&self.address, error);
        DockerError { kind, deed: deed.to_owned(), why }
    }
}

/// Gives `None` for what does not exist.
pub(super) fn found<T>(answer: Result<T, DockerError>) -> Result<Option<T>, DockerError> {
    match answer {
        Ok(it) => Ok(Some(it)),
        Err(e) if e.kind == Kind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn check_version(api: &str) -> Result<(), DockerError> {
    let parsed = api.split_once('.').and_then(|(major, minor)| {
        let minor = minor.split('.').next()?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    if parsed.is_some_and(|version| version >= API_FLOOR) {
        return Ok(());
    }
    let (major, minor) = API_FLOOR;
    Err(DockerError {
        kind: Kind::Unsupported,
        deed: "use this container engine".to_owned(),
        why: format!("it speaks API `{api}`; `{major}.{minor}` (Docker 20.10) or newer is needed"),
    })
}

/// The helper is a Linux binary of our own architecture; another one could not run it.
fn check_platform(os: Option<&str>, arch: Option<&str>) -> Result<(), DockerError> {
    let ours = super::image::architecture();
    let wrong = |what: &str, is: &str, want: &str| {
        Err(DockerError {
            kind: Kind::Unsupported,
            deed: "use this container engine".to_owned(),
            why: format!("its {what} is `{is}`, and this backupd was built for `{want}`"),
        })
    };
    match (os, arch) {
        (Some(os), _) if os != "linux" => wrong("system", os, "linux"),
        (_, Some(arch)) if arch != ours => wrong("architecture", arch, ours),
        _ => Ok(()),
    }
}

fn explain(address: &Address, error: &Error) -> (Kind, String) {
    if let Error::DockerResponseServerError { status_code, message } = error {
        let message = message.trim().trim_end_matches('.').to_owned();
        return match status_code {
            404 => (Kind::NotFound, message),
            409 => (Kind::Conflict, message),
            403 => (Kind::Denied, message),
            501 => (Kind::Unsupported, message),
            // Half an engine: a proxy in front of one that is down.
            502..=504 => (Kind::Unreachable, message),
            // The one error of this status that we can name: a bind mount of a folder that is not there.
            400 if message.contains("bind source path does not exist") => (Kind::NotFound, message),
            _ => (Kind::Other, format!("{message} (status {status_code})")),
        };
    }
    if let Error::SocketNotFoundError(path) = error {
        return (Kind::Unreachable, format!("there is no socket `{path}`; is Docker running?"));
    }
    let (cause, words) = root(error);
    match cause {
        Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            (Kind::Unreachable, format!("nobody listens on `{address}`; is Docker running? ({words})"))
        }
        Some(io::ErrorKind::PermissionDenied) => {
            let hint = "run as root, or as a member of the group `docker`";
            (Kind::Denied, format!("no permission to use `{address}`; {hint}"))
        }
        _ if matches!(error, Error::JsonDataError { .. } | Error::JsonSerdeError { .. }) => {
            (Kind::Other, format!("`{address}` answered what we cannot read: {words}"))
        }
        _ if matches!(error, Error::DockerStreamError { .. }) => (Kind::Other, words),
        _ => (Kind::Unreachable, format!("the connection to `{address}` failed: {words}")),
    }
}

/// The last cause of an error in words, and the kind of the I/O error among its causes.
fn root(error: &Error) -> (Option<io::ErrorKind>, String) {
    let mut kind = None;
    let mut last: &dyn std::error::Error = error;
    loop {
        if let Some(io) = last.downcast_ref::<io::Error>() {
            kind = Some(io.kind());
        }
        match last.source() {
            Some(cause) => last = cause,
            None => return (kind, last.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_engines_are_refused_by_version() {
        for (api, fine) in [
            ("1.41", true),
            ("1.53", true),
            ("2.0", true),
            ("1.40", false),
            ("0.99", false),
            ("", false),
            ("garbage", false),
        ] {
            assert_eq!(check_version(api).is_ok(), fine, "{api}");
        }
        let refused = check_version("1.24").unwrap_err();
        assert_eq!(refused.kind, Kind::Unsupported);
        assert!(refused.why.contains("1.24") && refused.why.contains("1.41"), "{refused}");
        assert!(check_platform(Some("windows"), None).is_err());
        assert!(check_platform(Some("linux"), Some("mips")).is_err());
        check_platform(Some("linux"), Some(super::super::image::architecture())).unwrap();
    }

    #[track_caller]
    fn check(status_code: u16, message: &str, want: Kind) {
        let error = Error::DockerResponseServerError { status_code, message: message.to_owned() };
        let (kind, why) = explain(&Address::Unix("/s".to_owned()), &error);
        assert_eq!(kind, want, "{why}");
    }

    #[test]
    fn answers_are_told_apart_by_what_to_do_next() {
        check(404, "No such container: x", Kind::NotFound);
        check(409, "volume is in use", Kind::Conflict);
        check(400, "bind source path does not exist: /x", Kind::NotFound);
        check(400, "invalid mount", Kind::Other);
        check(500, "no space left on device", Kind::Other);
        check(503, "", Kind::Unreachable);
    }

    /// What stands at the other end of a socket when things go wrong; everything ends in a typed error.
    #[tokio::test]
    async fn a_broken_engine_is_an_error_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.sock");
        let engine = Engine::at(Address::Unix(path.display().to_string()));
        let missing = engine.client().await.unwrap_err();
        assert_eq!(missing.kind, Kind::Unreachable);
        assert!(missing.why.contains("is Docker running"), "{missing}");

        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let answers: [(&[u8], Kind); 4] = [
            (b"", Kind::Unreachable),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Kind::Unreachable),
            (b"HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n", Kind::Other),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"Version", Kind::Other),
        ];
        for (answer, want) in answers {
            let serve = async {
                let (mut peer, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let n = tokio::io::AsyncReadExt::read(&mut peer, &mut request).await.unwrap();
                assert!(n > 0);
                tokio::io::AsyncWriteExt::write_all(&mut peer, answer).await.unwrap();
            };
            let (got, ()) = tokio::join!(engine.client(), serve);
            let got = got.unwrap_err();
            assert_eq!(got.kind, want, "{got}");
        }

        let mute = engine.address.client().unwrap();
        let late = engine.within("ask", Duration::from_millis(50), mute.version()).await.unwrap_err();
        assert_eq!(late.kind, Kind::Unreachable);
        assert!(late.why.contains("did not answer"), "{late}");

        drop(listener);
        let refused = engine.client().await.unwrap_err();
        assert_eq!(refused.kind, Kind::Unreachable);
        assert!(refused.why.contains("nobody listens"), "{refused}");
    }
}
