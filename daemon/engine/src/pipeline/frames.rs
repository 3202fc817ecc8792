//! Which frames a set of extents needs, in few and large requests.

use std::collections::BTreeMap;
use std::ops::Range;

use archive::channel::Piece;
use archive::entry::{Entry, Extent, Kind};
use archive::frame::{FRAME_BYTES, FrameRow};

/// A frame, by the pack's id and its place in it.
pub type FrameId = (u64, u64);

/// A request is not grown over a gap larger than this: fetching it would cost more than asking again.
const GAP_BYTES_MAX: u64 = 256 << 10;

/// A request is not grown beyond this. Times the requests in flight, it bounds memory.
pub const REQUEST_BYTES_MAX: u64 = 8 << 20;

/// Frames gathered before they are ordered and fetched; more would join more, and hold more pieces.
const FRAMES_GATHERED_MAX: usize = 64;

/// Pieces gathered before they are sent on: a million small files must not wait in memory.
const PIECES_GATHERED_MAX: usize = 16_384;

/// Frames in store order, with where their bytes go.
pub type Gathered = Vec<(FrameId, Vec<Piece>)>;

/// Gathers where the bytes of frames go, in path order, and hands them out in store order.
#[derive(Debug, Default)]
pub struct Gathering {
    frames: BTreeMap<FrameId, Vec<Piece>>,
    pieces: usize,
}

impl Gathering {
    /// Adds one piece. Gives frames back whenever there are enough of them, so that one huge file needs no
    /// more memory than many small ones.
    pub fn push(&mut self, frame: FrameId, piece: Piece) -> Option<Gathered> {
        self.frames.entry(frame).or_default().push(piece);
        self.pieces += 1;
        let full = self.frames.len() > FRAMES_GATHERED_MAX || self.pieces > PIECES_GATHERED_MAX;
        full.then(|| self.take(true))
    }

    /// What has been gathered. With `keep_last`, the last frame stays: the next file most likely needs it
    /// too, and it would be fetched twice.
    pub fn take(&mut self, keep_last: bool) -> Gathered {
        let last = if keep_last && self.frames.len() > 1 { self.frames.pop_last() } else { None };
        let taken = std::mem::take(&mut self.frames).into_iter().collect();
        self.pieces = last.as_ref().map_or(0, |(_, pieces)| pieces.len());
        self.frames.extend(last);
        taken
    }
}

/// The pieces of an entry's content, each with its frame; none for what is no file.
pub fn pieces_of(ordinal: u64, entry: &Entry) -> impl Iterator<Item = (FrameId, Piece)> {
    let content: &[Extent] = match &entry.kind {
        Kind::File { content, .. } => content,
        Kind::Folder
        | Kind::Symlink { .. }
        | Kind::Hardlink { .. }
        | Kind::Fifo
        | Kind::CharDevice { .. }
        | Kind::BlockDevice { .. }
        | Kind::Socket => &[],
    };
    let mut file_offset = 0;
    content.iter().flat_map(move |extent| {
        let at = file_offset;
        file_offset += extent.length();
        let (pack, position, length) = match extent {
            Extent::Hole { .. } => (0, 0, 0),
            Extent::Stored { pack, position, length } => (*pack, *position, *length),
        };
        pieces(ordinal, at, position, length).map(move |(frame, piece)| ((pack, frame), piece))
    })
}

/// Cuts a run of the raw stream at frame boundaries.
pub fn pieces(
    entry: u64,
    file_offset: u64,
    position: u64,
    length: u64,
) -> impl Iterator<Item = (u64, Piece)> {
    let frame_bytes = FRAME_BYTES as u64;
    let end = position + length;
    (position / frame_bytes..end.div_ceil(frame_bytes)).map(move |frame| {
        let from = position.max(frame * frame_bytes);
        let to = end.min((frame + 1) * frame_bytes);
        let piece = Piece {
            entry,
            file_offset: file_offset + (from - position),
            frame_offset: small(from % frame_bytes),
            length: small(to - from),
        };
        (frame, piece)
    })
}

/// A number that is at most [`FRAME_BYTES`].
fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Frames of one pack that are fetched in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<T> {
    /// The bytes to ask for.
    pub range: Range<u64>,
    /// The frames within, and what the caller wants with each.
    pub frames: Vec<(FrameRow, T)>,
}

/// Joins frames of one pack, in store order, into requests.
pub fn join<T>(frames: impl IntoIterator<Item = (FrameRow, T)>) -> Vec<Request<T>> {
    let mut requests: Vec<Request<T>> = Vec::new();
    for (row, wanted) in frames {
        let end = row.offset + u64::from(row.stored);
        if let Some(last) = requests.last_mut() {
            let near = row.offset >= last.range.end && row.offset - last.range.end <= GAP_BYTES_MAX;
            if near && end - last.range.start <= REQUEST_BYTES_MAX {
                last.range.end = end;
                last.frames.push((row, wanted));
                continue;
            }
        }
        requests.push(Request { range: row.offset..end, frames: vec![(row, wanted)] });
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(offset: u64, stored: u32) -> FrameRow {
        FrameRow { offset, stored, raw: 1, hash: [0; 32] }
    }

    #[track_caller]
    fn check(name: &str, frames: &[(u64, u32)], want: &[(u64, u64)]) {
        let joined = join(frames.iter().map(|(o, s)| (row(*o, *s), ())));
        let got: Vec<_> = joined.into_iter().map(|r| (r.range.start, r.range.end)).collect();
        assert_eq!(got, want, "{name}");
    }

    #[test]
    fn near_frames_are_asked_for_together() {
        check("touching", &[(0, 10), (10, 10)], &[(0, 20)]);
        check("a small gap", &[(0, 10), (1000, 10)], &[(0, 1010)]);
        check("a large gap", &[(0, 10), (300 << 10, 10)], &[(0, 10), (300 << 10, (300 << 10) + 10)]);
        check("too much for one", &[(0, 8 << 20), (8 << 20, 1)], &[(0, 8 << 20), (8 << 20, (8 << 20) + 1)]);
        check("rows that overlap are never joined", &[(0, 10), (5, 10)], &[(0, 10), (5, 15)]);
        check("nothing", &[], &[]);
    }

    proptest! {
        #[test]
        fn pieces_tile_the_run(position in 0_u64..1 << 40, length in 1_u64..20 << 20, file_offset in 0_u64..1 << 40) {
            let mut at = 0;
            for (frame, piece) in pieces(7, file_offset, position, length) {
                prop_assert_eq!(piece.file_offset, file_offset + at);
                prop_assert_eq!(frame * FRAME_BYTES as u64 + u64::from(piece.frame_offset), position + at);
                prop_assert!((piece.frame_offset + piece.length) as usize <= FRAME_BYTES);
                prop_assert!(piece.length > 0);
                at += u64::from(piece.length);
            }
            prop_assert_eq!(at, length);
        }
    }
}
