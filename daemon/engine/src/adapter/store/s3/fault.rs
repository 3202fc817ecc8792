//! What a failed try means. All knowledge of S3's codes, of HTTP's and of the SDK's errors is here.

use std::error::Error;
use std::io;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use jiff::{SignedDuration, Timestamp};

use super::super::limits::MESSAGE_CHARS_MAX;
use crate::port::store::{StoreError, StoreErrorKind};

/// Signatures are valid for fifteen minutes; servers with a clock of their own say nothing until then.
const SKEW_MAX: SignedDuration = SignedDuration::from_mins(10);

/// Why one try failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: StoreErrorKind,
    pub(super) why: String,
    /// Whether trying again can help.
    pub(super) again: bool,
}

impl Fault {
    /// Retried as its kind says.
    pub(super) fn new(kind: StoreErrorKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into(), again: kind.is_retryable() }
    }

    /// Not retried, whatever its kind.
    pub(super) fn last(kind: StoreErrorKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into(), again: false }
    }

    pub(super) fn tell(self, deed: &'static str, key: &str, tries: u32) -> StoreError {
        let why = if tries > 1 { format!("{} ({tries} tries)", self.why) } else { self.why };
        StoreError::new(self.kind, deed, key, why)
    }

    /// From the SDK. `now` is this host's time, to see a wrong clock behind a refusal.
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>, now: Timestamp) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let meta = error.as_service_error().map(|service| service.meta());
        match error.raw_response() {
            Some(response) => {
                let header = |name| response.headers().get(name);
                Reply {
                    status: response.status().as_u16(),
                    code: meta.and_then(|meta| meta.code()),
                    message: meta.and_then(|meta| meta.message()),
                    region: header("x-amz-bucket-region"),
                    skew: header("date").and_then(|date| skew(date, now)),
                    cause: &innermost(error),
                }
                .fault()
            }
            None => transport(error),
        }
    }
}

/// The last of an error's causes.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// How far our clock is from the server's `Date`.
fn skew(date: &str, now: Timestamp) -> Option<SignedDuration> {
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(now.duration_since(theirs))
}

/// What of an error reply tells its meaning.
struct Reply<'r> {
    status: u16,
    code: Option<&'r str>,
    message: Option<&'r str>,
    region: Option<&'r str>,
    skew: Option<SignedDuration>,
    /// What the SDK says of a reply that it cannot parse.
    cause: &'r str,
}

impl Reply<'_> {
    fn fault(&self) -> Fault {
        use StoreErrorKind as K;
        let kind = self.kind();
        let said = self.said();
        let skew = self.skew.filter(|skew| skew.abs() >= SKEW_MAX);
        match kind {
            K::ClockSkew => Fault::new(kind, clock(self.skew, &said)),
            // Many servers call a signature of another time a wrong one, or say nothing at all (HEAD).
            K::Denied if skew.is_some() => Fault::new(K::ClockSkew, clock(skew, &said)),
            K::Settings => match self.region {
                Some(region) => Fault::new(
                    kind,
                    format!("the bucket is in region `{region}`; name it with `region={region}` ({said})"),
                ),
                None => Fault::new(kind, format!("wrong region or endpoint: {said}")),
            },
            // Beyond the end of the object: the next reply will say the same.
            K::Garbled if self.status == 416 => Fault::last(kind, said),
            K::Exists => Fault::new(kind, "there is an object of that name already"),
            K::NotFound
            | K::NoBucket
            | K::Denied
            | K::Full
            | K::ReadOnly
            | K::Unavailable
            | K::Garbled
            | K::Other => Fault::new(kind, said),
        }
    }

    /// The code first, since proxies and servers disagree about the status; the status where there is no code.
    fn kind(&self) -> StoreErrorKind {
        use StoreErrorKind as K;
        match (self.code.unwrap_or_default(), self.status) {
            ("RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture", _) => K::ClockSkew,
            ("NoSuchBucket", _) => K::NoBucket,
            ("NoSuchKey" | "NoSuchUpload" | "NotFound", _) => K::NotFound,
            ("PreconditionFailed", _) => K::Exists,
            // S3: two conditional writes met; whether an object is there now, the next try finds out.
            ("ConditionalRequestConflict" | "OperationAborted", _) => K::Unavailable,
            (
                "PermanentRedirect"
                | "TemporaryRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
                _,
            ) => K::Settings,
            (
                "QuotaExceeded" | "EntityTooLarge" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded",
                _,
            ) => K::Full,
            ("InvalidRange", _) => K::Garbled,
            (
                "RequestTimeout"
                | "SlowDown"
                | "SlowDownRead"
                | "SlowDownWrite"
                | "InternalError"
                | "ServiceUnavailable"
                | "Throttling"
                | "ThrottlingException"
                | "TooManyRequests"
                | "RequestLimitExceeded"
                | "BadDigest"
                | "XAmzContentSHA256Mismatch"
                | "IncompleteBody",
                _,
            ) => K::Unavailable,
            ("NotImplemented", _) | (_, 501 | 405) => K::Other,
            (_, 507) => K::Full,
            (_, 408 | 425 | 429 | 500 | 502 | 503 | 504) => K::Unavailable,
            (_, 401 | 403) => K::Denied,
            (_, 404) => K::NotFound,
            (_, 409) => K::Unavailable,
            (_, 412) => K::Exists,
            (_, 416) => K::Garbled,
            (_, 301 | 302 | 307 | 308) => K::Settings,
            // A proxy's page with a success, or XML that breaks off.
            (_, 200..=299) => K::Garbled,
            // S3 answers HEAD to a bucket elsewhere with 400 and the region in a header.
            (_, 400) if self.region.is_some() => K::Settings,
            (_, 500..) => K::Unavailable,
            _ => K::Other,
        }
    }

    fn said(&self) -> String {
        let status = self.status;
        match (self.code, self.message.map(tame)) {
            (Some(code), Some(message)) => format!("{}: {message} (status {status})", tame(code)),
            (Some(code), None) => format!("{} (status {status})", tame(code)),
            (None, Some(message)) => format!("{message} (status {status})"),
            (None, None) if (200..300).contains(&status) => {
                format!("the reply cannot be understood: {} (status {status})", tame(self.cause))
            }
            (None, None) => format!("status {status}"),
        }
    }
}

fn clock(skew: Option<SignedDuration>, said: &str) -> String {
    match skew {
        Some(skew) => {
            let minutes = (skew.abs().as_secs() + 30) / 60;
            let way = if skew.is_negative() { "behind" } else { "ahead of" };
            format!("this host's clock is {minutes} minutes {way} the store's: {said}")
        }
        None => format!("this host's clock differs too much from the store's: {said}"),
    }
}

/// A server's words, shortened and without control characters.
fn tame(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}

/// No reply at all. The SDK wraps causes deeply; the innermost that we know tells.
fn transport(error: &(dyn Error + 'static)) -> Fault {
    let mut chain = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            // A TLS failure is wrapped in an I/O error that says nothing; go on to what is inside.
            let kind = io.kind();
            if kind == io::ErrorKind::ConnectionRefused {
                return Fault::new(K::Unavailable, "connection refused");
            }
            let broken =
                [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::UnexpectedEof];
            if broken.contains(&kind) {
                return Fault::new(K::Unavailable, "connection broken off");
            }
            if let Some(inner) = io.get_ref() {
                chain.push(inner.to_string());
            }
        }
        chain.push(cause.to_string());
        next = cause.source();
    }
    words(&chain)
}

use StoreErrorKind as K;

fn words(chain: &[String]) -> Fault {
    let has = |text: &str| chain.iter().find(|said| said.contains(text));
    let innermost = chain.last().map_or("no reply", String::as_str);
    if let Some(said) = has("certificate") {
        let why = format!("TLS: {}; a private authority is named with `ca=/path.pem`", tame(said));
        return Fault::new(K::Settings, why);
    }
    if has("dns error").is_some() || has("failed to lookup address").is_some() {
        return Fault::new(K::Unavailable, format!("the host name cannot be resolved: {}", tame(innermost)));
    }
    // Credential providers come first: their errors may mention time-outs of the instance metadata service.
    if has("redentials").is_some() {
        let why =
            "no usable credentials in environment, profile or instance; `AWS_PROFILE` or `AWS_ACCESS_KEY_ID`";
        return Fault::new(K::Denied, format!("{why} ({})", tame(innermost)));
    }
    if has("received corrupt message").is_some() || has("InvalidContentType").is_some() {
        return Fault::new(K::Settings, "TLS: the server does not speak it on this port; try `http://`");
    }
    if has("timed out").is_some() || has("timeout").is_some() {
        return Fault::new(K::Unavailable, "no connection in time");
    }
    Fault::new(K::Unavailable, tame(innermost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, code: &str, kind: K) {
        let code = (!code.is_empty()).then_some(code);
        let reply = Reply { status, code, message: None, region: None, skew: None, cause: "" };
        let fault = reply.fault();
        assert_eq!(fault.kind, kind, "{status} {code:?}");
        assert_eq!(fault.again, kind.is_retryable() && status != 416);
    }

    #[test]
    fn every_reply_has_its_kind() {
        for status in [408, 429, 500, 502, 503, 504, 409] {
            check(status, "", K::Unavailable);
        }
        check(503, "SlowDown", K::Unavailable);
        check(400, "RequestTimeout", K::Unavailable);
        check(409, "ConditionalRequestConflict", K::Unavailable);
        check(400, "XAmzContentSHA256Mismatch", K::Unavailable);
        check(403, "RequestTimeTooSkewed", K::ClockSkew);
        check(400, "RequestTimeTooSkewed", K::ClockSkew);
        check(301, "PermanentRedirect", K::Settings);
        check(400, "AuthorizationHeaderMalformed", K::Settings);
        check(403, "AccessDenied", K::Denied);
        check(401, "", K::Denied);
        check(403, "", K::Denied);
        check(403, "InvalidObjectState", K::Denied);
        check(404, "NoSuchBucket", K::NoBucket);
        check(404, "NoSuchKey", K::NotFound);
        check(404, "", K::NotFound);
        check(412, "PreconditionFailed", K::Exists);
        check(507, "", K::Full);
        check(403, "QuotaExceeded", K::Full);
        check(416, "InvalidRange", K::Garbled);
        check(200, "", K::Garbled);
        check(501, "NotImplemented", K::Other);
        check(400, "InvalidArgument", K::Other);
        check(200, "InternalError", K::Unavailable);
    }

    #[test]
    fn a_wrong_clock_and_a_wrong_region_are_said_in_words() {
        let denied = Reply {
            status: 403,
            code: Some("SignatureDoesNotMatch"),
            message: None,
            region: None,
            skew: skew("Sat, 21 Nov 2026 02:20:00 GMT", "2026-11-21T02:00:00Z".parse().unwrap()),
            cause: "",
        };
        let fault = denied.fault();
        assert_eq!(fault.kind, K::ClockSkew);
        assert!(fault.why.starts_with("this host's clock is 20 minutes behind the store's"), "{}", fault.why);

        let elsewhere = Reply {
            status: 400,
            code: None,
            message: None,
            region: Some("eu-west-1"),
            skew: None,
            cause: "",
        };
        assert_eq!(elsewhere.fault().kind, K::Settings);
        assert!(elsewhere.fault().why.contains("`region=eu-west-1`"));
    }

    #[test]
    fn a_server_cannot_write_into_our_terminal() {
        let message = format!("\u{1b}[2J\n{}", "x".repeat(5_000));
        let reply = Reply {
            status: 400,
            code: Some("X"),
            message: Some(&message),
            region: None,
            skew: None,
            cause: "",
        };
        assert!(reply.fault().why.len() < 400 && !reply.fault().why.contains(char::is_control));
    }
}
