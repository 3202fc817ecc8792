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

/// Frames gathered before they are ordered and fetched. Only where their bytes go is held of them.
const FRAMES_GATHERED_MAX: usize = 1024;

/// The first time fewer are waited for, so that the first byte is there soon.
const FRAMES_GATHERED_FIRST: usize = 64;

/// Pieces gathered before they are sent on, of 32 bytes each. The more, the less often a frame is fetched again where
/// files lie in another order than their bytes.
const PIECES_GATHERED_MAX: usize = 65_536;

/// Memory that the helper may need for files that wait for what was gathered, a quarter of what it gives them:
/// a million small files must not wait.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// What a waiting file takes there beyond its path and its attributes, roughly.
const WAITING_FILE_BYTES: usize = 400;

/// Frames in store order, with where their bytes go.
pub type Gathered = Vec<(FrameId, Vec<Piece>)>;

/// Gathers where the bytes of frames go, in path order, and hands them out in store order.
#[derive(Debug, Default)]
pub struct Gathering {
    frames: BTreeMap<FrameId, Wanted>,
    /// The frame of each pack that was wanted last.
    last: BTreeMap<u64, u64>,
    sum: Sum,
    has_begun: bool,
}

#[derive(Debug, Default)]
struct Wanted {
    pieces: Vec<Piece>,
    waiting_bytes: usize,
}

/// What so many frames take.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    frames: usize,
    pieces: usize,
    waiting_bytes: usize,
}

impl Sum {
    fn add(&mut self, wanted: &Wanted) {
        self.frames += 1;
        self.pieces += wanted.pieces.len();
        self.waiting_bytes += wanted.waiting_bytes;
    }

    /// Whether it is more than one part in so many of what may be gathered.
    fn is_over(&self, part: usize) -> bool {
        self.frames > FRAMES_GATHERED_MAX / part
            || self.pieces > PIECES_GATHERED_MAX / part
            || self.waiting_bytes > WAITING_BYTES_MAX / part
    }
}

impl Gathering {
    /// Adds one piece of a file that takes `waiting_bytes` while it waits. Gives frames back whenever there are
    /// enough of them, so that one huge file needs no more memory than many small ones.
    pub fn push(&mut self, frame: FrameId, piece: Piece, waiting_bytes: usize) -> Option<Gathered> {
        self.last.insert(frame.0, frame.1);
        let wanted = self.frames.entry(frame).or_default();
        if wanted.pieces.last().is_none_or(|before| before.entry != piece.entry) {
            wanted.waiting_bytes += waiting_bytes;
            self.sum.waiting_bytes += waiting_bytes;
        }
        wanted.pieces.push(piece);
        self.sum.pieces += 1;
        self.sum.frames = self.frames.len();
        let is_enough = !self.has_begun && self.frames.len() > FRAMES_GATHERED_FIRST;
        let full = (is_enough || self.sum.is_over(1)).then(|| self.take(true));
        full.filter(|gathered| !gathered.is_empty())
    }

    /// What has been gathered. With `keep_last`, the frame of each pack that was wanted last stays: what comes next
    /// most likely needs it too, and it would be fetched twice. One that nobody wanted since goes.
    pub fn take(&mut self, keep_last: bool) -> Gathered {
        self.has_begun = true;
        let last = std::mem::take(&mut self.last);
        let is_last = |(pack, frame): &FrameId| keep_last && last.get(pack) == Some(frame);
        let all = std::mem::take(&mut self.frames);
        let (mut kept, mut taken): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(id, _)| is_last(id));
        let sum = kept.values().fold(Sum::default(), |mut sum, wanted| {
            sum.add(wanted);
            sum
        });
        // So that it is not full again at once.
        if sum.is_over(2) {
            taken.append(&mut kept);
            self.sum = Sum::default();
        } else {
            self.sum = sum;
        }
        self.frames = kept;
        taken.into_iter().map(|(id, wanted)| (id, wanted.pieces)).collect()
    }
}

/// What a file takes in the helper while it waits for its bytes, roughly.
pub fn waiting_bytes(entry: &Entry) -> usize {
    let xattrs: usize = entry.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum();
    WAITING_FILE_BYTES + entry.path.as_bytes().len() + xattrs
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

    /// How many frames are handed out for each one that there is, and the most pieces at once.
    fn handed_out(wanted: impl IntoIterator<Item = (FrameId, Piece)>, waiting_bytes: usize) -> (f64, usize) {
        let (mut gathering, mut handed, mut most) = (Gathering::default(), Vec::new(), 0);
        let mut put = |gathered: Gathered| {
            assert!(gathered.is_sorted_by(|a, b| a.0 < b.0));
            most = most.max(gathered.iter().map(|(_, pieces)| pieces.len()).sum());
            handed.extend(gathered.into_iter().map(|(id, _)| id));
        };
        let mut count = 0;
        for (id, piece) in wanted {
            count += 1;
            if let Some(full) = gathering.push(id, piece, waiting_bytes) {
                assert!(!full.is_empty());
                put(full);
            }
        }
        put(gathering.take(false));
        let all = handed.len();
        assert!(all > 0 && count > 0);
        handed.sort_unstable();
        handed.dedup();
        (all as f64 / handed.len() as f64, most)
    }

    fn piece(entry: u64) -> Piece {
        Piece { entry, file_offset: 0, frame_offset: 0, length: 1 }
    }

    /// Each MiB of a large file is in the frames of all packs, and each of these goes on for 40 MiB of it.
    #[test]
    fn packs_that_a_file_alternates_between_are_fetched_about_once() {
        for packs in [2, 40, 42] {
            let of_chunk = |chunk: u64| {
                let changed = (1..packs).map(move |pack| ((pack, chunk / 40), piece(1)));
                std::iter::once(((0, chunk), piece(1))).chain(changed)
            };
            let (times, _) = handed_out((0..4000).flat_map(of_chunk), 500);
            assert!(times < 1.05, "{packs} packs: {times}");
        }
    }

    #[test]
    fn small_files_in_another_order_than_their_bytes_are_not_fetched_over_and_over() {
        let files = |count: u64| {
            (0..count).map(move |n| ((7, n.wrapping_mul(2_654_435_761) % count / 250), piece(n)))
        };
        let (times, _) = handed_out(files(100_000), 450);
        assert!(times < 2.5, "{times}");
        // What waits in the helper is bounded nevertheless.
        let (_, most) = handed_out(files(100_000), 64 << 10);
        assert!(most * (64 << 10) <= WAITING_BYTES_MAX + (64 << 10), "{most}");
    }

    #[test]
    fn more_packs_than_may_wait_are_handed_out() {
        let (times, most) = handed_out((0..5000).map(|n| ((n, 0), piece(n))), 0);
        assert!((times - 1.0).abs() < 1e-9 && most <= FRAMES_GATHERED_MAX + 1, "{times} {most}");
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
