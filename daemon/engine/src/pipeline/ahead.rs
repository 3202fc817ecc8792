//! Pieces of frames in the order in which somebody wants them.
//!
//! Frames are fetched ahead, neighbours together, and kept while pieces near by may want them again: where content lies
//! in many packs, each of them goes on where it was left. Always true: no byte is given of a frame whose hash was not
//! checked; memory is bounded by the constants below, whatever is asked for and in whatever order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::frames::{FrameId, Request, join};
use super::reading::{ReadError, Reading};
use crate::format::manifest::PackRef;

/// Frames in memory, of 1 MiB each: more than packs are behind a snapshot.
const FRAMES_HELD: usize = 64;

/// Of these, frames that are under way or were not needed yet.
const FRAMES_AHEAD: usize = 24;

/// Frames that are asked for at once, so that neighbours come with one request.
const FRAMES_TOGETHER: usize = 8;

/// Parts that wait for them.
const PARTS_AHEAD: usize = 8192;

/// Something of a stream: checked bytes, or so many zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Bytes(Bytes),
    Zeros(u64),
}

enum Queued {
    Part(Part),
    Piece { frame: FrameId, from: usize, length: usize },
}

/// A frame that parts in the queue need, or did.
struct Held {
    /// Parts in the queue.
    parts: usize,
    /// The higher, the later it was needed last.
    needed: u64,
    frame: Frame,
}

enum Frame {
    /// Asked for with the next ones.
    Planned,
    Coming(oneshot::Receiver<Bytes>),
    There(Bytes),
}

/// The queue, and the frames for it.
pub(super) struct Ahead {
    reading: Arc<Reading>,
    queue: VecDeque<Queued>,
    frames: HashMap<FrameId, Held>,
    /// Frames that are planned.
    planned: Vec<FrameId>,
    /// The frame of each pack that was wanted last.
    last: HashMap<u64, u64>,
    needs: u64,
    /// Stop when this is dropped.
    fetches: JoinSet<Result<(), ReadError>>,
    failed: Option<ReadError>,
}

impl Ahead {
    pub(super) fn new(reading: &Arc<Reading>) -> Self {
        Self {
            reading: Arc::clone(reading),
            queue: VecDeque::new(),
            frames: HashMap::new(),
            planned: Vec::new(),
            last: HashMap::new(),
            needs: 0,
            fetches: JoinSet::new(),
            failed: None,
        }
    }

    /// Whether no more parts should wait.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= PARTS_AHEAD
    }

    /// Whether a piece of that frame may be added now; before that, parts have to be taken.
    pub(super) fn has_room(&mut self, frame: FrameId) -> bool {
        if self.is_full() {
            return false;
        }
        if self.frames.contains_key(&frame) {
            return true;
        }
        let ahead = self.frames.values().filter(|held| !matches!(held.frame, Frame::There(_))).count();
        ahead < FRAMES_AHEAD && (self.frames.len() < FRAMES_HELD || self.let_go())
    }

    /// Adds what needs no frame.
    pub(super) fn push(&mut self, part: Part) {
        self.queue.push_back(Queued::Part(part));
    }

    /// Adds a piece of a frame for which there is room.
    pub(super) fn push_piece(&mut self, frame: FrameId, from: usize, length: usize) {
        let planned = &mut self.planned;
        let held = self.frames.entry(frame).or_insert_with(|| {
            planned.push(frame);
            Held { parts: 0, needed: 0, frame: Frame::Planned }
        });
        held.parts += 1;
        self.last.insert(frame.0, frame.1);
        self.queue.push_back(Queued::Piece { frame, from, length });
        if self.planned.len() >= FRAMES_TOGETHER {
            self.fetch();
        }
    }

    /// Takes the part in front.
    pub(super) async fn next(&mut self) -> Result<Option<Part>, ReadError> {
        let (id, from, length) = match self.queue.pop_front() {
            None => return Ok(None),
            Some(Queued::Part(part)) => return Ok(Some(part)),
            Some(Queued::Piece { frame, from, length }) => (frame, from, length),
        };
        let raw = self.frame(id).await?;
        if from + length > raw.len() {
            let pack = self.reading.pack(id.0)?;
            return Err(self.reading.damaged(pack, Some(id.1), "an extent reaches beyond its frame"));
        }
        Ok(Some(Part::Bytes(raw.slice(from..from + length))))
    }

    /// Forgets what was added. Frames that are there stay for what comes.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.planned.clear();
        self.frames.retain(|_, held| matches!(held.frame, Frame::There(_)));
        self.frames.values_mut().for_each(|held| held.parts = 0);
    }

    /// The bytes of a frame that a part needs, which counts as one part less.
    async fn frame(&mut self, id: FrameId) -> Result<Bytes, ReadError> {
        if self.frames.get(&id).is_some_and(|held| matches!(held.frame, Frame::Planned)) {
            self.fetch();
        }
        self.needs += 1;
        let Some(held) = self.frames.get_mut(&id) else {
            panic!("BUG: a part waits for a frame that nobody holds");
        };
        held.parts -= 1;
        held.needed = self.needs;
        let raw = match &mut held.frame {
            Frame::There(raw) => return Ok(raw.clone()),
            Frame::Coming(coming) => coming.await.ok(),
            Frame::Planned => None,
        };
        let Some(raw) = raw else { return Err(self.why_not(id).await) };
        held.frame = Frame::There(raw.clone());
        Ok(raw)
    }

    /// Asks for all that is planned, by packs.
    fn fetch(&mut self) {
        while let Some(ended) = self.fetches.try_join_next() {
            self.failed = self.failed.take().or(failure(ended));
        }
        let mut by_pack: BTreeMap<u64, BTreeMap<u64, oneshot::Sender<Bytes>>> = BTreeMap::new();
        for (pack, frame) in self.planned.drain(..) {
            let (to, coming) = oneshot::channel();
            if let Some(held) = self.frames.get_mut(&(pack, frame)) {
                held.frame = Frame::Coming(coming);
                by_pack.entry(pack).or_default().insert(frame, to);
            }
        }
        for (pack, frames) in by_pack {
            self.fetches.spawn(fetch(Arc::clone(&self.reading), pack, frames));
        }
    }

    /// Why a frame did not come: whoever was to bring it ended with an error.
    async fn why_not(&mut self, id: FrameId) -> ReadError {
        while self.failed.is_none()
            && let Some(ended) = self.fetches.join_next().await
        {
            self.failed = failure(ended);
        }
        match (self.failed.take(), self.reading.pack(id.0)) {
            (Some(why), _) | (None, Err(why)) => why,
            (None, Ok(pack)) => self.reading.damaged(pack, Some(id.1), "decoding stopped"),
        }
    }

    /// Lets go of a frame that no part needs; whether there was one. A pack goes on where it was left, so the
    /// frame of it that was wanted last goes after all others, and else the one that was needed least lately.
    fn let_go(&mut self) -> bool {
        let idle = self.frames.iter().filter(|(_, held)| held.parts == 0);
        let first =
            idle.min_by_key(|((pack, frame), held)| (self.last.get(pack) == Some(frame), held.needed));
        let first = first.map(|(id, _)| *id);
        first.is_some_and(|id| self.frames.remove(&id).is_some())
    }
}

/// Of a fetch that panicked nothing is known but that its frames did not come.
fn failure(ended: Result<Result<(), ReadError>, tokio::task::JoinError>) -> Option<ReadError> {
    ended.ok().and_then(Result::err)
}

type Awaited = (u64, oneshot::Sender<Bytes>);

async fn fetch(
    reading: Arc<Reading>,
    pack: u64,
    frames: BTreeMap<u64, oneshot::Sender<Bytes>>,
) -> Result<(), ReadError> {
    let pack = reading.pack(pack)?;
    let mut rows = Vec::with_capacity(frames.len());
    for awaited in frames {
        rows.push((reading.frame(pack, awaited.0).await?, awaited));
    }
    let requests = stream::iter(join(rows)).map(Ok);
    requests.try_for_each_concurrent(None, |request| ask(&reading, pack, request)).await
}

async fn ask(reading: &Reading, pack: &PackRef, request: Request<Awaited>) -> Result<(), ReadError> {
    let bytes = reading.range(pack, request.range.clone()).await?;
    for (row, (frame, to)) in request.frames {
        let start = usize::try_from(row.offset - request.range.start).unwrap_or(usize::MAX);
        let stored = bytes.slice(start..start + row.stored as usize);
        let raw = reading.decode(pack, frame, row, stored).await?;
        // Whoever wanted it may have got all that it needs by now.
        to.send(raw.into()).unwrap_or_default();
    }
    Ok(())
}
