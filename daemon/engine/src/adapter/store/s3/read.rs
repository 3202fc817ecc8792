//! Reading objects: whole, in ranges, in pieces, and on from where a body broke off.
//!
//! What a reply says of itself is checked against what was asked: `Content-Range`, `Content-Length`, the number
//! of bytes, and one `ETag` for all pieces. `Content-Encoding` is never believed: some servers keep `aws-chunked`.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::Shared;
use super::fault::Fault;
use super::watch::Progress;
use crate::port::store::{ObjectInfo, StoreError, StoreErrorKind as Kind};

/// A piece of an object as far as it has come, over all tries.
struct Piece {
    range: Range<u64>,
    bytes: BytesMut,
    etag: Option<String>,
}

impl Shared {
    pub(super) async fn get(&self, key: &str, max: u64) -> Result<Bytes, StoreError> {
        let one = |progress: Progress| -> super::call::Try<'_, Bytes> {
            let request = self.client.get_object().bucket(&self.bucket).key(self.full(key));
            Box::pin(async move {
                let reply = request.send().await.map_err(|error| self.fault(&error))?;
                progress.replied();
                let long = || {
                    Fault::last(
                        Kind::Other,
                        format!("the object has more than the {max} bytes that make sense"),
                    )
                };
                let length = reply.content_length().and_then(|length| u64::try_from(length).ok());
                if length.is_some_and(|length| length > max) {
                    return Err(long());
                }
                let mut bytes = BytesMut::new();
                match fill(reply.body, &mut bytes, max, &progress).await {
                    Filled::Whole => {}
                    Filled::TooLong => return Err(long()),
                    Filled::Broken(fault) => return Err(fault),
                }
                match length {
                    Some(length) if length != bytes.len() as u64 => Err(cut(bytes.len() as u64, length)),
                    Some(_) | None => Ok(bytes.freeze()),
                }
            })
        };
        self.call("get", key, one).await
    }

    pub(super) async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let wrong = |why: &str| StoreError::new(Kind::Garbled, "get", key, why);
        let Some(length) = range.end.checked_sub(range.start).and_then(|n| usize::try_from(n).ok()) else {
            return Err(wrong("the range ends before it begins"));
        };
        if length == 0 {
            return Err(wrong("the range is empty"));
        }
        // One allocation; each piece owns its part of it, so joining them again copies nothing.
        let mut rest = BytesMut::with_capacity(length);
        let mut pieces = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start.saturating_add(self.limits.piece_bytes.max(1)));
            let here = usize::try_from(end - start).unwrap_or(length);
            let next = rest.split_off(here.min(rest.capacity()));
            pieces.push(Piece { range: start..end, bytes: rest, etag: None });
            (rest, start) = (next, end);
        }
        let fetched = stream::iter(pieces.into_iter().map(|piece| self.piece(key, piece)));
        let pieces: Vec<Piece> = fetched.buffered(self.limits.pieces_in_flight.max(1)).try_collect().await?;
        let mut whole = BytesMut::new();
        let etag = pieces.first().and_then(|piece| piece.etag.clone());
        for piece in pieces {
            if piece.etag != etag {
                return Err(wrong("the object was replaced while it was read"));
            }
            whole.unsplit(piece.bytes);
        }
        assert!(whole.len() == length, "BUG: pieces of another length than the range");
        Ok(whole.freeze())
    }

    /// Fetches a piece; every try goes on where the one before broke off.
    async fn piece(&self, key: &str, piece: Piece) -> Result<Piece, StoreError> {
        let range = piece.range.clone();
        let state = Mutex::new(Some(piece));
        let state = &state;
        let one = |progress: Progress| -> super::call::Try<'_, ()> {
            Box::pin(async move {
                // Taken out while this try runs; a try that is cut by the watch gives it back on drop.
                let mut held = Held::take(state);
                self.piece_once(key, &mut held.piece, &progress).await
            })
        };
        self.call("get", key, one).await?;
        let piece = state.lock().unwrap_or_else(PoisonError::into_inner).take();
        piece.ok_or_else(|| {
            StoreError::new(Kind::Other, "get", key, format!("piece {}..{} was lost", range.start, range.end))
        })
    }

    async fn piece_once(&self, key: &str, piece: &mut Piece, progress: &Progress) -> Result<(), Fault> {
        let want = piece.range.start + piece.bytes.len() as u64..piece.range.end;
        if want.is_empty() {
            return Ok(());
        }
        let request = self.client.get_object().bucket(&self.bucket).key(self.full(key));
        let request = request.range(format!("bytes={}-{}", want.start, want.end - 1));
        let reply = request.send().await.map_err(|error| self.fault(&error))?;
        progress.replied();
        check_range(&reply, &want)?;
        match (&piece.etag, reply.e_tag()) {
            (Some(before), Some(now)) if before != now => {
                return Err(Fault::last(Kind::Garbled, "the object was replaced while it was read"));
            }
            _ => piece.etag = reply.e_tag().map(str::to_owned),
        }
        let max = piece.range.end - piece.range.start;
        match fill(reply.body, &mut piece.bytes, max, progress).await {
            Filled::Whole if piece.bytes.len() as u64 == max => Ok(()),
            Filled::Whole => Err(cut(piece.bytes.len() as u64, max)),
            Filled::TooLong => {
                // Which of the bytes are the asked ones is unknown now.
                piece.bytes.clear();
                Err(Fault::new(Kind::Garbled, "the reply is longer than the range that it names"))
            }
            Filled::Broken(fault) => Err(fault),
        }
    }

    pub(super) async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, StoreError> {
        let one = |_progress: Progress| -> super::call::Try<'_, Option<ObjectInfo>> {
            let request = self.client.head_object().bucket(&self.bucket).key(self.full(key));
            Box::pin(async move {
                let reply = match request.send().await {
                    Ok(reply) => reply,
                    Err(error) => {
                        let fault = self.fault(&error);
                        return if fault.kind == Kind::NotFound { Ok(None) } else { Err(fault) };
                    }
                };
                let length = reply.content_length().and_then(|length| u64::try_from(length).ok());
                let length = length.ok_or_else(|| Fault::new(Kind::Garbled, "the reply names no length"))?;
                let modified = reply.last_modified().and_then(timestamp);
                Ok(Some(ObjectInfo { key: key.to_owned(), length, modified }))
            })
        };
        self.call("head", key, one).await
    }
}

/// Puts the piece back when a try ends, however it ends.
struct Held<'s> {
    home: &'s Mutex<Option<Piece>>,
    piece: Piece,
}

impl<'s> Held<'s> {
    fn take(home: &'s Mutex<Option<Piece>>) -> Self {
        let piece = home.lock().unwrap_or_else(PoisonError::into_inner).take();
        let empty = || Piece { range: 0..0, bytes: BytesMut::new(), etag: None };
        assert!(piece.is_some(), "BUG: two tries of one piece at once");
        Self { home, piece: piece.unwrap_or_else(empty) }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let empty = Piece { range: 0..0, bytes: BytesMut::new(), etag: None };
        let piece = std::mem::replace(&mut self.piece, empty);
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(piece);
    }
}

enum Filled {
    Whole,
    TooLong,
    Broken(Fault),
}

/// Appends the body, up to `max` bytes in all. What came before it broke stays.
async fn fill(mut body: ByteStream, bytes: &mut BytesMut, max: u64, progress: &Progress) -> Filled {
    loop {
        match body.next().await {
            None => return Filled::Whole,
            Some(Err(error)) => {
                return Filled::Broken(Fault::new(
                    Kind::Unavailable,
                    format!("the reply broke off: {error}"),
                ));
            }
            Some(Ok(chunk)) => {
                progress.moved(chunk.len());
                if bytes.len() as u64 + chunk.len() as u64 > max {
                    return Filled::TooLong;
                }
                bytes.extend_from_slice(&chunk);
            }
        }
    }
}

fn cut(came: u64, want: u64) -> Fault {
    Fault::new(Kind::Garbled, format!("{came} bytes came instead of {want}"))
}

/// Compares a ranged reply with what was asked.
fn check_range(reply: &GetObjectOutput, want: &Range<u64>) -> Result<(), Fault> {
    let length = reply.content_length().and_then(|length| u64::try_from(length).ok());
    let asked = want.end - want.start;
    let Some(said) = reply.content_range() else {
        // A whole object instead of a range is right only if it happens to be the same.
        return match want.start == 0 && length == Some(asked) {
            true => Ok(()),
            false => Err(Fault::new(Kind::Garbled, "the server ignored the range")),
        };
    };
    let Some((range, total)) = parse_content_range(said) else {
        return Err(Fault::new(Kind::Garbled, format!("`Content-Range: {}`", said.escape_debug())));
    };
    if total.is_some_and(|total| total < want.end) {
        let why = format!("bytes {}..{} of an object of {}", want.start, want.end, total.unwrap_or(0));
        return Err(Fault::last(Kind::Garbled, why));
    }
    if range != *want || length.is_some_and(|length| length != asked) {
        let why = format!("asked for bytes {}..{}, got {}..{}", want.start, want.end, range.start, range.end);
        return Err(Fault::new(Kind::Garbled, why));
    }
    Ok(())
}

/// `bytes 0-9/100` or `bytes 0-9/*`.
fn parse_content_range(said: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, total) = said.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let range = first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((range, total))
}

pub(super) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_s_range_is_what_was_asked_or_an_error() {
        let check = |content_range: Option<&str>, length: i64, want: Range<u64>| {
            let reply = GetObjectOutput::builder()
                .set_content_range(content_range.map(str::to_owned))
                .content_length(length)
                .build();
            check_range(&reply, &want).map_err(|fault| fault.again)
        };
        assert_eq!(check(Some("bytes 5-9/100"), 5, 5..10), Ok(()));
        assert_eq!(check(Some("bytes 5-9/*"), 5, 5..10), Ok(()));
        assert_eq!(check(None, 10, 0..10), Ok(()));
        assert_eq!(check(None, 100, 0..10), Err(true), "range ignored");
        assert_eq!(check(None, 10, 5..10), Err(true), "range ignored");
        assert_eq!(check(Some("bytes 0-4/100"), 5, 5..10), Err(true), "another range");
        assert_eq!(check(Some("bytes 5-9/100"), 100, 5..10), Err(true), "206 with the full body");
        assert_eq!(check(Some("bytes 5-7/8"), 3, 5..10), Err(false), "beyond the end");
        for said in ["bytes 5-9", "5-9/100", "bytes 9-x/1", "bytes 1-18446744073709551615/1"] {
            assert_eq!(check(Some(said), 5, 5..10), Err(true), "{said}");
        }
    }
}
