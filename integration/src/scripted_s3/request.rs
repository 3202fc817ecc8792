//! What a request asks for.

use std::collections::BTreeMap;

use hyper::header::HeaderMap;
use hyper::{Method, Uri};

use super::script::Op;

/// A request, understood.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) op: Op,
    pub(super) bucket: String,
    /// Empty for what concerns the bucket.
    pub(super) key: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: HeaderMap,
}

impl Ask {
    /// `None` for what this server does not speak.
    pub(super) fn parse(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let path = uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query: BTreeMap<String, String> = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        let has = |name| query.contains_key(name);
        let op = match (method.as_str(), key.is_empty()) {
            ("GET", true) if has("uploads") => Op::ListUploads,
            ("GET", true) => Op::List,
            ("GET", false) => Op::Get,
            ("HEAD", _) => Op::Head,
            ("POST", false) if has("uploads") => Op::CreateUpload,
            ("POST", false) if has("uploadId") => Op::Complete,
            ("PUT", false) if has("uploadId") => Op::Part,
            ("PUT", false) => Op::Put,
            ("DELETE", false) if has("uploadId") => Op::Abort,
            ("DELETE", false) => Op::Delete,
            _ => return None,
        };
        Some(Self { op, bucket: decode(bucket), key: decode(key), query, headers: headers.clone() })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// Whether the body is in the `aws-chunked` encoding.
    pub(super) fn is_chunked(&self) -> bool {
        self.header("x-amz-content-sha256").is_some_and(|said| said.starts_with("STREAMING-"))
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut digit = || char::from(rest.next().unwrap_or(b'0')).to_digit(16).unwrap_or(0);
                let value = digit() * 16 + digit();
                bytes.push(u8::try_from(value).unwrap_or(b'?'));
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
