//! All frames of a pack in order, fetched in large requests, decoded on all cores, every hash checked.

use std::sync::Arc;

use archive::frame::FrameRow;
use archive::layout::FRAMES_PER_LIST;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};

use super::frames::{Request, join};
use super::reading::{ReadError, Reading};
use crate::format::manifest::PackRef;

/// Requests in flight, of at most `REQUEST_BYTES_MAX` each.
const FETCHES: usize = 3;

/// Frames being decoded, about 1 MiB each.
const DECODES: usize = 6;

/// One frame of a pack, or why there is none.
pub struct Scanned {
    /// Its place in the pack.
    pub frame: u64,
    /// Its row, if its list could be read.
    pub row: Option<FrameRow>,
    /// The stored bytes and the raw ones.
    pub bytes: Result<(Bytes, Vec<u8>), ReadError>,
}

/// Scans a pack. A frame that is bad does not end the scan; a store that fails ends it by its error.
pub fn scan<'a>(reading: &'a Arc<Reading>, pack: &'a PackRef) -> impl Stream<Item = Scanned> + 'a {
    let lists = pack.raw_bytes.div_ceil((archive::frame::FRAME_BYTES * FRAMES_PER_LIST) as u64);
    stream::iter(0..lists)
        .then(move |list| requests(reading, pack, list))
        .flat_map(stream::iter)
        .map(move |request| fetch(reading, pack, request))
        .buffered(FETCHES)
        .flat_map(stream::iter)
        .map(move |(frame, row, stored)| decode(reading, pack, frame, row, stored))
        .buffered(DECODES)
}

type Asked = Result<Request<u64>, (u64, ReadError)>;
type Got = (u64, Option<FrameRow>, Result<Bytes, ReadError>);

async fn requests(reading: &Reading, pack: &PackRef, list: u64) -> Vec<Asked> {
    let first = list * FRAMES_PER_LIST as u64;
    match reading.frame_list(pack, usize::try_from(list).unwrap_or(usize::MAX)).await {
        Ok(rows) => join(rows.iter().copied().zip(first..)).into_iter().map(Ok).collect(),
        Err(e) => vec![Err((first, e))],
    }
}

async fn fetch(reading: &Reading, pack: &PackRef, asked: Asked) -> Vec<Got> {
    let request = match asked {
        Ok(request) => request,
        Err((frame, e)) => return vec![(frame, None, Err(e))],
    };
    match reading.range(pack, request.range.clone()).await {
        Ok(bytes) => request
            .frames
            .into_iter()
            .map(|(row, frame)| {
                let from = usize::try_from(row.offset - request.range.start).unwrap_or(usize::MAX);
                (frame, Some(row), Ok(bytes.slice(from..from + row.stored as usize)))
            })
            .collect(),
        Err(e) => {
            let frame = request.frames.first().map_or(0, |(_, frame)| *frame);
            vec![(frame, None, Err(e))]
        }
    }
}

async fn decode(
    reading: &Reading,
    pack: &PackRef,
    frame: u64,
    row: Option<FrameRow>,
    stored: Result<Bytes, ReadError>,
) -> Scanned {
    let bytes = match (row, stored) {
        (Some(known), Ok(stored)) => {
            reading.decode(pack, frame, known, stored.clone()).await.map(|raw| (stored, raw))
        }
        (None, Ok(_)) => Err(reading.damaged(pack, Some(frame), "has no row")),
        (_, Err(e)) => Err(e),
    };
    Scanned { frame, row, bytes }
}
