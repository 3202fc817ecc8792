//! S3's actions on what is stored. Faults of the script are not here, except for those inside an action.

use std::ops::Range;

use hyper::StatusCode;
use jiff::Timestamp;

use super::objects::{Blob, Object, Objects, Open, Slice};
use super::request::Ask;
use super::script::{Action, Op, Settings};
use super::xml;

/// S3's own: a page has a thousand entries.
const PAGE: usize = 1_000;

/// What is sent back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<Slice>,
    /// Of the body, or of what a HEAD speaks of.
    pub(super) length: u64,
}

impl Answer {
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), length: 0 }
    }

    pub(super) fn xml(status: StatusCode, text: String) -> Self {
        let length = text.len() as u64;
        let headers = vec![("content-type", "application/xml".to_owned())];
        Self { status, headers, body: vec![Slice::Memory(text.into())], length }
    }

    pub(super) fn error(status: u16, code: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::xml(status, xml::error(code, "said by the scripted server"))
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn tagged(self, etag: &str) -> Self {
        self.with("etag", format!("\"{etag}\""))
    }
}

/// Does what is asked. `blob` is the request's body.
pub(super) fn answer(
    store: &mut Objects,
    ask: &Ask,
    blob: Option<Blob>,
    action: Option<&Action>,
    settings: &Settings,
    now: Timestamp,
) -> Answer {
    let blob = || blob.unwrap_or_else(|| Blob::Memory(Vec::new().into(), 0));
    match ask.op {
        Op::Head if ask.key.is_empty() => Answer::empty(StatusCode::OK),
        Op::Get | Op::Head => read(store, ask, action),
        Op::List => list(store, ask, settings.messy_lists),
        Op::ListUploads => list_uploads(store, ask),
        Op::Put => {
            let ignored = settings.ignore_conditions || action == Some(&Action::IgnoreCondition);
            let taken = store.bucket(&ask.bucket).objects.contains_key(&ask.key);
            if ask.header("if-none-match") == Some("*") && taken && !ignored {
                return Answer::error(412, "PreconditionFailed");
            }
            let etag = store.stamp();
            let object = Object { blobs: vec![blob()], etag: etag.clone(), modified: now };
            store.bucket(&ask.bucket).objects.insert(ask.key.clone(), object);
            Answer::empty(StatusCode::OK).tagged(&etag)
        }
        Op::Delete => {
            store.bucket(&ask.bucket).objects.remove(&ask.key);
            Answer::empty(StatusCode::NO_CONTENT)
        }
        Op::CreateUpload => {
            let id = store.stamp();
            let open = Open { key: ask.key.clone(), parts: std::collections::BTreeMap::new() };
            store.bucket(&ask.bucket).uploads.insert(id.clone(), open);
            let mut inside = String::new();
            xml::element(&mut inside, "UploadId", &id);
            Answer::xml(StatusCode::OK, xml::document("InitiateMultipartUploadResult", &inside))
        }
        Op::Part => {
            let (etag, number) = (store.stamp(), ask.query("partNumber").parse().unwrap_or(0));
            match store.bucket(&ask.bucket).uploads.get_mut(ask.query("uploadId")) {
                Some(open) if number > 0 => {
                    open.parts.insert(number, (blob(), etag.clone()));
                    Answer::empty(StatusCode::OK).tagged(&etag)
                }
                Some(_) => Answer::error(400, "InvalidArgument"),
                None => Answer::error(404, "NoSuchUpload"),
            }
        }
        Op::Complete => complete(store, ask, &blob(), now),
        Op::Abort => match store.bucket(&ask.bucket).uploads.remove(ask.query("uploadId")) {
            Some(_) => Answer::empty(StatusCode::NO_CONTENT),
            None => Answer::error(404, "NoSuchUpload"),
        },
    }
}

fn complete(store: &mut Objects, ask: &Ask, blob: &Blob, now: Timestamp) -> Answer {
    let mut text = Vec::new();
    let whole = Object { blobs: vec![blob.clone()], etag: String::new(), modified: now };
    for slice in whole.slices(0..blob.length()) {
        match slice.bytes() {
            Ok(bytes) => text.extend_from_slice(&bytes),
            Err(_) => return Answer::error(500, "InternalError"),
        }
    }
    let text = String::from_utf8_lossy(&text);
    let (numbers, etags) = (xml::texts(&text, "PartNumber"), xml::texts(&text, "ETag"));
    let etag = store.stamp();
    let bucket = store.bucket(&ask.bucket);
    let Some(open) = bucket.uploads.get(ask.query("uploadId")) else {
        return Answer::error(404, "NoSuchUpload");
    };
    let mut blobs = Vec::new();
    for (number, etag) in numbers.iter().zip(&etags) {
        let stored = number.parse().ok().and_then(|number: u32| open.parts.get(&number));
        match stored {
            Some((blob, stored)) if stored == etag.trim_matches('"') => blobs.push(blob.clone()),
            Some(_) | None => return Answer::error(400, "InvalidPart"),
        }
    }
    if blobs.is_empty() || numbers.len() != etags.len() {
        return Answer::error(400, "MalformedXML");
    }
    let etag = format!("{etag}-{}", blobs.len());
    bucket.uploads.remove(ask.query("uploadId"));
    bucket.objects.insert(ask.key.clone(), Object { blobs, etag: etag.clone(), modified: now });
    let mut inside = String::new();
    xml::element(&mut inside, "Key", &ask.key);
    xml::element(&mut inside, "ETag", &format!("\"{etag}\""));
    Answer::xml(StatusCode::OK, xml::document("CompleteMultipartUploadResult", &inside))
}

fn read(store: &mut Objects, ask: &Ask, action: Option<&Action>) -> Answer {
    let Some(object) = store.bucket(&ask.bucket).objects.get(&ask.key).cloned() else {
        return Answer::error(404, "NoSuchKey");
    };
    let total = object.length();
    let dated = |answer: Answer| {
        let modified = object.modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        answer.tagged(&object.etag).with("last-modified", modified).with("accept-ranges", "bytes")
    };
    let Some(range) = ask.header("range") else {
        let answer = Answer { length: total, body: object.slices(0..total), ..Answer::empty(StatusCode::OK) };
        return dated(answer);
    };
    let Some(range) = parse_range(range, total) else { return Answer::error(416, "InvalidRange") };
    let (named, sent) = match action {
        Some(Action::Shorter(by)) => {
            let range = range.start..range.end.saturating_sub(*by).max(range.start + 1);
            (range.clone(), range)
        }
        Some(Action::Shifted(by)) => {
            let by = (*by).min(total - range.end);
            (range.start + by..range.end + by, range.start + by..range.end + by)
        }
        Some(Action::WholeIn206) => (range, 0..total),
        Some(_) | None => (range.clone(), range),
    };
    let said = format!("bytes {}-{}/{total}", named.start, named.end - 1);
    let answer = Answer {
        length: sent.end - sent.start,
        body: object.slices(sent),
        ..Answer::empty(StatusCode::PARTIAL_CONTENT)
    };
    dated(answer).with("content-range", said)
}

/// As S3: a range that begins within the object is cut at its end.
fn parse_range(header: &str, total: u64) -> Option<Range<u64>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().unwrap_or(u64::MAX - 1));
    (first < total && first <= last).then(|| first..total.min(last + 1))
}

/// Keys, or folders where a delimiter was given, in byte order; messy pages repeat and are backwards.
fn list(store: &mut Objects, ask: &Ask, messy: bool) -> Answer {
    let (prefix, delimiter, after) =
        (ask.query("prefix"), ask.query("delimiter"), ask.query("continuation-token"));
    let mut entries: Vec<(String, Option<&Object>)> = Vec::new();
    // As a real one, it looks only at what can be in the answer.
    for (key, object) in store.bucket(&ask.bucket).objects.range(prefix.to_owned()..) {
        let Some(rest) = key.strip_prefix(prefix) else { break };
        match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
            None => entries.push((key.clone(), Some(object))),
            Some(at) => {
                let folder = format!("{prefix}{}{delimiter}", &rest[..at]);
                if entries.last().is_none_or(|(last, _)| *last != folder) {
                    entries.push((folder, None));
                }
            }
        }
    }
    let start = entries.partition_point(|(name, _)| name.as_str() <= after);
    let end = entries.len().min(start + PAGE);
    let first = if messy { start.saturating_sub(7) } else { start };
    let mut page: Vec<_> = entries[first..end].iter().collect();
    if messy {
        page.reverse();
    }
    let mut inside = String::new();
    for (name, object) in page {
        let mut entry = String::new();
        match object {
            Some(object) => {
                xml::element(&mut entry, "Key", name);
                xml::element(
                    &mut entry,
                    "LastModified",
                    &object.modified.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                );
                xml::element(&mut entry, "ETag", &format!("\"{}\"", object.etag));
                xml::element(&mut entry, "Size", &object.length().to_string());
                inside.push_str(&format!("<Contents>{entry}</Contents>"));
            }
            None => {
                xml::element(&mut entry, "Prefix", name);
                inside.push_str(&format!("<CommonPrefixes>{entry}</CommonPrefixes>"));
            }
        }
    }
    let more = end < entries.len();
    xml::element(&mut inside, "IsTruncated", if more { "true" } else { "false" });
    if more {
        xml::element(&mut inside, "NextContinuationToken", &entries[end - 1].0);
    }
    Answer::xml(StatusCode::OK, xml::document("ListBucketResult", &inside))
}

fn list_uploads(store: &mut Objects, ask: &Ask) -> Answer {
    let prefix = ask.query("prefix");
    let mut inside = String::new();
    for (id, open) in &store.bucket(&ask.bucket).uploads {
        if open.key.starts_with(prefix) {
            let mut entry = String::new();
            xml::element(&mut entry, "Key", &open.key);
            xml::element(&mut entry, "UploadId", id);
            inside.push_str(&format!("<Upload>{entry}</Upload>"));
        }
    }
    xml::element(&mut inside, "IsTruncated", "false");
    Answer::xml(StatusCode::OK, xml::document("ListMultipartUploadsResult", &inside))
}
