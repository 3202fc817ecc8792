//! Where the container engine listens, in the words of `DOCKER_HOST`.
//!
//! A client is made anew for each call: that costs microseconds, and a daemon that outlives its engine's
//! restarts never holds a connection to a dead one.

use std::fmt;

use bollard::{API_DEFAULT_VERSION, Docker};

use crate::port::docker::{DockerError, DockerErrorKind};

/// Longer than any deadline of ours, so that it is always ours which passes first.
const CLIENT_TIMEOUT_S: u64 = 24 * 3600;

/// How to reach the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket of this machine, by path.
    Unix(String),
    /// `host:port`, without encryption.
    Tcp(String),
}

impl Address {
    /// Reads `unix://` and `tcp://`; nothing is the usual socket. Other schemes are refused by name.
    pub(super) fn parse(host: Option<&str>) -> Result<Self, DockerError> {
        let text = host.unwrap_or("").trim();
        let (scheme, rest) = match text.split_once("://") {
            None if text.is_empty() => return Ok(Self::Unix("/var/run/docker.sock".to_owned())),
            None => return Err(refused(text, "it has no `unix://` or `tcp://` in front")),
            Some(parts) => parts,
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.to_owned())),
            "unix" => Err(refused(text, "the path of a socket must be absolute")),
            "tcp" | "http" if !rest.is_empty() => Ok(Self::Tcp(rest.trim_end_matches('/').to_owned())),
            "ssh" => Err(refused(
                text,
                "ssh is not built in; forward the socket (`ssh -L /run/docker-far.sock:/var/run/docker.sock \
                 HOST`), use it as `unix:///run/docker-far.sock`, and set the helper's channel to `attach`",
            )),
            _ => Err(refused(text, "only `unix://` and `tcp://` are supported")),
        }
    }

    /// Whether the engine runs on this machine, so that it sees the same folders.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// A client; no connection is made before its first call.
    pub(super) fn client(&self) -> Result<Docker, bollard::errors::Error> {
        match self {
            Self::Unix(path) => Docker::connect_with_unix(path, CLIENT_TIMEOUT_S, API_DEFAULT_VERSION),
            Self::Tcp(host) => {
                Docker::connect_with_http(&format!("tcp://{host}"), CLIENT_TIMEOUT_S, API_DEFAULT_VERSION)
            }
        }
    }
}

fn refused(text: &str, why: &str) -> DockerError {
    DockerError {
        kind: DockerErrorKind::Unsupported,
        deed: format!("use `{text}` as the container engine"),
        why: why.to_owned(),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => f.write_str(path),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: Option<&str>, want: Result<Address, &str>) {
        match (Address::parse(host), want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want),
            (Err(got), Err(words)) => {
                assert_eq!(got.kind, DockerErrorKind::Unsupported);
                assert!(got.to_string().contains(words), "{got}");
            }
            (got, want) => panic!("{host:?} gave {got:?}, not {want:?}"),
        }
    }

    #[test]
    fn engines_are_named_as_in_docker_host() {
        check(None, Ok(Address::Unix("/var/run/docker.sock".to_owned())));
        check(Some(""), Ok(Address::Unix("/var/run/docker.sock".to_owned())));
        check(Some("unix:///run/user/1000/docker.sock"), {
            Ok(Address::Unix("/run/user/1000/docker.sock".to_owned()))
        });
        check(Some("tcp://10.0.0.1:2375/"), Ok(Address::Tcp("10.0.0.1:2375".to_owned())));
        check(Some("unix://docker.sock"), Err("absolute"));
        check(Some("ssh://far"), Err("ssh -L"));
        check(Some("https://far:2376"), Err("only `unix://` and `tcp://`"));
        check(Some("/var/run/docker.sock"), Err("in front"));
        check(Some("tcp://"), Err("only"));
    }
}
