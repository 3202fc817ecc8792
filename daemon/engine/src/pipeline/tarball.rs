//! A snapshot as one tarball, whatever packs its content lies in.
//!
//! Members come in path order. Their content is fetched ahead by frames, each frame once as long as members near
//! each other need it, in bounded memory; every frame is checked before a byte of it goes out.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use archive::entry::Extent;
use archive::path::TreePath;
use archive::tarball::{END, member};
use tokio::task::JoinHandle;

use super::entries::Entries;
use super::frames::{FrameId, pieces};
use super::reading::{ReadError, Reading};

/// Frames under way or waiting, of 1 MiB each.
const FRAMES_AHEAD: usize = 16;

/// Pieces that wait for them.
const PIECES_AHEAD: usize = 8192;

static ZEROS: [u8; 512] = [0; 512];

/// Why a tarball broke off.
#[derive(Debug, thiserror::Error)]
pub enum TarballError {
    /// From the store.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// To whoever wanted it.
    #[error(transparent)]
    Write(io::Error),
}

/// Takes the bytes of the tarball in order, and says whether to go on.
pub type Out<'a> = dyn FnMut(&[u8]) -> io::Result<()> + Send + 'a;

/// Writes the whole tarball.
pub async fn write(reading: &Arc<Reading>, out: &mut Out<'_>) -> Result<(), TarballError> {
    let mut entries = Entries::new(Arc::clone(reading), TreePath::root());
    let mut ahead = Ahead { reading, queue: VecDeque::new(), frames: HashMap::new() };
    while let Some(batch) = entries.next().await? {
        for entry in &batch.entries {
            let member = member(entry);
            ahead.queue.push_back(Part::Bytes(member.head));
            for extent in member.content {
                ahead.extent(extent, out).await?;
            }
            ahead.queue.push_back(Part::Bytes(ZEROS[..member.padding].to_vec()));
            ahead.drain_to(PIECES_AHEAD, out).await?;
        }
    }
    ahead.drain_to(0, out).await?;
    out(&END).map_err(TarballError::Write)
}

enum Part {
    Bytes(Vec<u8>),
    Piece { frame: FrameId, from: usize, length: usize },
}

/// A frame that parts in the queue need.
struct Held {
    parts: usize,
    frame: Frame,
}

enum Frame {
    Fetching(JoinHandle<Result<Vec<u8>, ReadError>>),
    There(Vec<u8>),
}

struct Ahead<'a> {
    reading: &'a Arc<Reading>,
    queue: VecDeque<Part>,
    frames: HashMap<FrameId, Held>,
}

impl Ahead<'_> {
    async fn extent(&mut self, extent: Extent, out: &mut Out<'_>) -> Result<(), TarballError> {
        let Extent::Stored { pack, position, length } = extent else { return Ok(()) };
        for (number, piece) in pieces(0, 0, position, length) {
            let frame = (pack, number);
            while self.frames.len() >= FRAMES_AHEAD && !self.frames.contains_key(&frame) {
                self.one(out).await?;
            }
            let reading = self.reading;
            let held = self
                .frames
                .entry(frame)
                .or_insert_with(|| Held { parts: 0, frame: Frame::Fetching(fetch(reading, frame)) });
            held.parts += 1;
            let (from, length) = (piece.frame_offset as usize, piece.length as usize);
            self.queue.push_back(Part::Piece { frame, from, length });
        }
        Ok(())
    }

    async fn drain_to(&mut self, parts: usize, out: &mut Out<'_>) -> Result<(), TarballError> {
        while self.queue.len() > parts {
            self.one(out).await?;
        }
        Ok(())
    }

    /// Writes the part in front.
    async fn one(&mut self, out: &mut Out<'_>) -> Result<(), TarballError> {
        let (id, from, length) = match self.queue.pop_front() {
            None => return Ok(()),
            Some(Part::Bytes(bytes)) => return out(&bytes).map_err(TarballError::Write),
            Some(Part::Piece { frame, from, length }) => (frame, from, length),
        };
        let Some(Held { parts, frame }) = self.frames.remove(&id) else {
            panic!("BUG: a part waits for a frame that nobody holds");
        };
        let raw = match frame {
            Frame::There(raw) => raw,
            Frame::Fetching(fetching) => match fetching.await {
                Ok(fetched) => fetched?,
                Err(stopped) => {
                    let pack = self.reading.pack(id.0)?;
                    let what = format!("decoding stopped: {stopped}");
                    return Err(self.reading.damaged(pack, Some(id.1), what).into());
                }
            },
        };
        let Some(bytes) = raw.get(from..from + length) else {
            let pack = self.reading.pack(id.0)?;
            return Err(self.reading.damaged(pack, Some(id.1), "an extent reaches beyond its frame").into());
        };
        out(bytes).map_err(TarballError::Write)?;
        if parts > 1 {
            self.frames.insert(id, Held { parts: parts - 1, frame: Frame::There(raw) });
        }
        Ok(())
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        for held in self.frames.values() {
            if let Frame::Fetching(fetching) = &held.frame {
                fetching.abort();
            }
        }
    }
}

fn fetch(reading: &Arc<Reading>, (pack, frame): FrameId) -> JoinHandle<Result<Vec<u8>, ReadError>> {
    let reading = Arc::clone(reading);
    tokio::spawn(async move {
        let of = reading.pack(pack)?;
        let row = reading.frame(of, frame).await?;
        let stored = reading.range(of, row.offset..row.offset + u64::from(row.stored)).await?;
        reading.decode(of, frame, row, stored).await
    })
}
