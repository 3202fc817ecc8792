//! The name of a store as a person types it.
//!
//! `s3://bucket/prefix?endpoint=http://127.0.0.1:8333&region=us-east-1&path_style=true` or `file:///dir`.
//! Credentials have no place in it: it is printed in messages, stored in catalogs and seen in process lists.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::limits::PARTS_MAX;
use crate::port::store::check_key;

/// Where a store is and how to speak to it. Parsed once; later code never checks again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StoreUrl {
    /// A bucket, or a folder of it.
    S3(S3Url),
    /// A local directory, absolute.
    File(PathBuf),
}

/// A bucket and what has to be known about its server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct S3Url {
    /// The bucket.
    pub bucket: String,
    /// The folder in it, without slashes at its ends; may be empty.
    pub prefix: String,
    /// The server, `http://host:port` or `https://host`; Amazon's when there is none.
    pub endpoint: Option<String>,
    /// The region; the AWS chain's when there is none.
    pub region: Option<String>,
    /// The bucket as the first part of the path instead of the host name. Unset: yes with an endpoint.
    pub path_style: Option<bool>,
    /// A PEM file of the authorities that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// The most parts an upload may have here.
    pub part_cap: Option<u32>,
    /// When checksum headers are sent.
    pub checksum: Checksum,
    /// Whether the bodies of uploads are hashed for the signature. Unset: yes without TLS.
    pub sign_payload: Option<bool>,
    /// The profile of the AWS configuration files.
    pub profile: Option<String>,
}

/// When checksum headers and trailers are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Checksum {
    /// Only where the protocol demands it. Some servers break on more, and every frame has a hash of ours.
    #[default]
    WhenRequired,
    /// Wherever the SDK can.
    WhenSupported,
}

/// A store URL that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreUrlError {
    /// Neither `s3://` nor `file://`.
    #[error("store `{0}` begins with neither `s3://` nor `file:///`")]
    Scheme(String),
    /// `s3://key:secret@bucket`.
    #[error(
        "a store URL holds no credentials; set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or a profile"
    )]
    Credentials,
    /// Not the name of a bucket.
    #[error("`{0}` is not the name of a bucket")]
    Bucket(String),
    /// Not a folder in a bucket.
    #[error("prefix `{prefix}` cannot be used: {why}")]
    Prefix {
        /// As given.
        prefix: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not an absolute local path.
    #[error("`{0}` is not `file:///` and an absolute path")]
    File(String),
    /// A misspelt key.
    #[error("store URL has unknown key `{key}`; did you mean `{nearest}`?")]
    UnknownKey {
        /// As given.
        key: String,
        /// The known key that is most like it.
        nearest: &'static str,
    },
    /// A key that does not belong to this scheme.
    #[error("a `file://` store has no settings, but `{0}` was given")]
    FileKey(String),
    /// The same key twice.
    #[error("store URL has `{0}` twice")]
    Twice(String),
    /// A value that makes no sense.
    #[error("store URL has `{key}={value}`; {want}")]
    Value {
        /// The key.
        key: &'static str,
        /// As given.
        value: String,
        /// What it should be.
        want: &'static str,
    },
    /// A broken `%` escape.
    #[error("`{0}` has a `%` that two hex digits do not follow, or is not UTF-8 behind it")]
    Escape(String),
}

const KEYS: [&str; 8] =
    ["endpoint", "region", "path_style", "ca", "part_cap", "checksum", "sign_payload", "profile"];

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let (rest, query) = text.split_once('?').unwrap_or((text, ""));
        if let Some(rest) = rest.strip_prefix("s3://") {
            return Ok(Self::S3(parse_s3(rest, query)?));
        }
        let Some(path) = rest.strip_prefix("file://") else {
            // Whatever it is, what stands before an `@` could be a secret.
            return Err(if text.contains('@') { StoreUrlError::Credentials } else { scheme(text) });
        };
        if let Some(pair) = query.split('&').find(|pair| !pair.is_empty()) {
            return Err(StoreUrlError::FileKey(key_of(pair).to_owned()));
        }
        let path = PathBuf::from(decode(path)?);
        let plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
        if !path.is_absolute() || !plain {
            return Err(StoreUrlError::File(text.to_owned()));
        }
        Ok(Self::File(path))
    }
}

fn scheme(text: &str) -> StoreUrlError {
    StoreUrlError::Scheme(text.to_owned())
}

fn parse_s3(rest: &str, query: &str) -> Result<S3Url, StoreUrlError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains('@') || bucket.contains(':') {
        return Err(StoreUrlError::Credentials);
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if bucket.is_empty() || bucket.len() > 255 || bucket.starts_with('.') || !bucket.bytes().all(legal) {
        return Err(StoreUrlError::Bucket(bucket.to_owned()));
    }
    let prefix = decode(prefix.trim_matches('/'))?;
    if !prefix.is_empty() {
        check_key(&prefix).map_err(|why| StoreUrlError::Prefix { prefix: prefix.clone(), why })?;
    }
    let mut url = S3Url::new(bucket.to_owned(), prefix);
    let mut seen: Vec<&'static str> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let given = key_of(pair);
        let Some(key) = KEYS.into_iter().find(|known| *known == given) else {
            return Err(StoreUrlError::UnknownKey { key: given.to_owned(), nearest: nearest(given) });
        };
        if seen.contains(&key) {
            return Err(StoreUrlError::Twice(key.to_owned()));
        }
        seen.push(key);
        url.set(key, decode(pair.split_once('=').map_or("", |(_, value)| value))?)?;
    }
    Ok(url)
}

fn key_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(key, _)| key)
}

impl StoreUrl {
    /// The place alone, without what says how to reach it: what snapshots are remembered by.
    pub fn name(&self) -> String {
        match self {
            Self::S3(url) => Self::S3(S3Url::new(url.bucket.clone(), url.prefix.clone())).to_string(),
            Self::File(_) => self.to_string(),
        }
    }
}

impl S3Url {
    /// A bucket of the AWS chain's server with nothing said about it.
    pub fn new(bucket: String, prefix: String) -> Self {
        Self {
            bucket,
            prefix,
            endpoint: None,
            region: None,
            path_style: None,
            ca: None,
            part_cap: None,
            checksum: Checksum::default(),
            sign_payload: None,
            profile: None,
        }
    }

    fn set(&mut self, key: &'static str, value: String) -> Result<(), StoreUrlError> {
        match key {
            "endpoint" => self.endpoint = Some(endpoint(value)?),
            "path_style" => self.path_style = Some(boolean(key, value)?),
            "sign_payload" => self.sign_payload = Some(boolean(key, value)?),
            "ca" if value.starts_with('/') => self.ca = Some(PathBuf::from(value)),
            "ca" => return Err(StoreUrlError::Value { key, value, want: "it must be an absolute path" }),
            "part_cap" => match value.parse() {
                Ok(cap @ 1_000..=PARTS_MAX) => self.part_cap = Some(cap),
                Ok(_) | Err(_) => {
                    return Err(StoreUrlError::Value {
                        key,
                        value,
                        want: "it must be between 1000 and 10000",
                    });
                }
            },
            "checksum" => match value.as_str() {
                "when_required" => self.checksum = Checksum::WhenRequired,
                "when_supported" => self.checksum = Checksum::WhenSupported,
                _ => {
                    let want = "it must be `when_required` or `when_supported`";
                    return Err(StoreUrlError::Value { key, value, want });
                }
            },
            _ if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic()) => {
                return Err(StoreUrlError::Value { key, value, want: "it must be a name" });
            }
            "region" => self.region = Some(value),
            _ => self.profile = Some(value),
        }
        Ok(())
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let flag = |flag: bool| flag.to_string();
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        [
            ("endpoint", self.endpoint.clone()),
            ("region", self.region.clone()),
            ("path_style", self.path_style.map(flag)),
            ("ca", self.ca.as_ref().map(path)),
            ("part_cap", self.part_cap.map(|cap| cap.to_string())),
            ("checksum", (self.checksum == Checksum::WhenSupported).then(|| "when_supported".to_owned())),
            ("sign_payload", self.sign_payload.map(flag)),
            ("profile", self.profile.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

fn boolean(key: &'static str, value: String) -> Result<bool, StoreUrlError> {
    match value.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(StoreUrlError::Value { key, value, want: "it must be `true` or `false`" }),
    }
}

fn endpoint(value: String) -> Result<String, StoreUrlError> {
    let host = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
    let host = host.map(|host| host.trim_end_matches('/'));
    match host {
        Some(host) if host.contains('@') => Err(StoreUrlError::Credentials),
        Some(host)
            if !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/?#".contains(&b)) =>
        {
            Ok(value.trim_end_matches('/').to_owned())
        }
        Some(_) | None => Err(StoreUrlError::Value {
            key: "endpoint",
            value,
            want: "it must be `http://` or `https://` with a host and perhaps a port",
        }),
    }
}

/// Prints what parses back to the same; there is nothing secret in it.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = match self {
            Self::File(path) => return write!(f, "file://{}", encode(&path.to_string_lossy())),
            Self::S3(url) => url,
        };
        write!(f, "s3://{}", url.bucket)?;
        if !url.prefix.is_empty() {
            write!(f, "/{}", encode(&url.prefix))?;
        }
        let mut mark = '?';
        for (key, value) in url.settings() {
            write!(f, "{mark}{key}={}", encode(&value))?;
            mark = '&';
        }
        Ok(())
    }
}

fn decode(text: &str) -> Result<String, StoreUrlError> {
    let broken = || StoreUrlError::Escape(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (high, low) = (digit().ok_or_else(broken)?, digit().ok_or_else(broken)?);
        bytes.push((high << 4) | low);
    }
    String::from_utf8(bytes).map_err(|_not_utf8| broken())
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/:.-_~=@,+[]".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The known key with the fewest letters to change.
fn nearest(given: &str) -> &'static str {
    let best = KEYS.into_iter().min_by_key(|known| distance(given.as_bytes(), known.as_bytes()));
    best.unwrap_or(KEYS[0])
}

/// Levenshtein's, one row at a time.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let swap = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = swap.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, &str>) {
        let got = text.parse::<StoreUrl>().map(|url| url.to_string()).map_err(|error| error.to_string());
        assert_eq!(got.as_deref().map_err(String::as_str), want, "{text}");
    }

    #[test]
    fn what_can_be_typed() {
        check("s3://b", Ok("s3://b"));
        check("s3://b/", Ok("s3://b"));
        check("s3://b/a/c/", Ok("s3://b/a/c"));
        check("s3://b?checksum=when_required", Ok("s3://b"));
        check(
            "s3://b/p?endpoint=http://127.0.0.1:8333/&region=us-east-1&path_style=true&ca=/x%20y.pem&part_cap=1000&checksum=when_supported&sign_payload=false&profile=ops",
            Ok(
                "s3://b/p?endpoint=http://127.0.0.1:8333&region=us-east-1&path_style=true&ca=/x%20y.pem&part_cap=1000&checksum=when_supported&sign_payload=false&profile=ops",
            ),
        );
        check("file:///var/lib/backupd/store", Ok("file:///var/lib/backupd/store"));
        check("file:///a%20b", Ok("file:///a%20b"));
    }

    #[test]
    fn what_is_refused_and_in_which_words() {
        let secret = "a store URL holds no credentials; set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or a profile";
        check("s3://key:secret@b/p", Err(secret));
        check("https://key:secret@host/b", Err(secret));
        check("s3://b?endpoint=http://key:secret@host", Err(secret));
        check("/var/x", Err("store `/var/x` begins with neither `s3://` nor `file:///`"));
        check("s3://", Err("`` is not the name of a bucket"));
        check(
            "s3://b/a//c",
            Err("prefix `a//c` cannot be used: a key has no empty, `.`, `..` or overlong component"),
        );
        check("s3://b/../c", Err("prefix `../c` cannot be used: a key does not start with a dot"));
        check("file://host/x", Err("`file://host/x` is not `file:///` and an absolute path"));
        check("file:///a/../b", Err("`file:///a/../b` is not `file:///` and an absolute path"));
        check("file:///a?ca=/x", Err("a `file://` store has no settings, but `ca` was given"));
        check(
            "s3://b?endpiont=http://x",
            Err("store URL has unknown key `endpiont`; did you mean `endpoint`?"),
        );
        check(
            "s3://b?pathstyle=true",
            Err("store URL has unknown key `pathstyle`; did you mean `path_style`?"),
        );
        check("s3://b?region=a&region=b", Err("store URL has `region` twice"));
        check("s3://b?path_style=yes", Err("store URL has `path_style=yes`; it must be `true` or `false`"));
        check(
            "s3://b?part_cap=10001",
            Err("store URL has `part_cap=10001`; it must be between 1000 and 10000"),
        );
        check("s3://b?ca=x.pem", Err("store URL has `ca=x.pem`; it must be an absolute path"));
        check(
            "s3://b?endpoint=127.0.0.1:1",
            Err(
                "store URL has `endpoint=127.0.0.1:1`; it must be `http://` or `https://` with a host and perhaps a port",
            ),
        );
        check(
            "s3://b/%zz",
            Err("`%zz` has a `%` that two hex digits do not follow, or is not UTF-8 behind it"),
        );
    }

    proptest! {
        #[test]
        fn print_and_parse_agree(bucket in "[a-z0-9][a-z0-9-]{0,20}", prefix in "([a-z][ -.0-~]{0,8}/){0,2}[a-z]", file in "(/[ -~&&[^/]]{1,9}){1,3}",
                                 region in proptest::option::of("[!-~]{1,12}"), cap in proptest::option::of(1_000u32..=10_000)) {
            let mut url = S3Url::new(bucket, String::new());
            if check_key(&prefix).is_ok() { url.prefix = prefix; }
            (url.region, url.part_cap) = (region, cap);
            let url = StoreUrl::S3(url);
            prop_assert_eq!(url.to_string().parse::<StoreUrl>(), Ok(url));
            let file = StoreUrl::File(PathBuf::from(file.replace("..", "x")));
            prop_assert_eq!(file.to_string().parse::<StoreUrl>(), Ok(file));
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,60}") {
            drop(text.parse::<StoreUrl>());
        }
    }
}
