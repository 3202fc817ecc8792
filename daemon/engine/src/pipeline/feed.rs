//! Feeds a helper that restores: rows, then the frames that fill them, in bounded memory.
//!
//! Three stages run at once. The planner reads the tables and says which rows to create and which frames
//! to fetch; requests are fetched several at a time; the sender passes them on in order. The helper decodes,
//! checks and writes. It is the helper's `Done`, after our `End`, that makes a restore whole.

mod differing;

use std::collections::HashMap;
use std::sync::Arc;

use archive::channel::{End, Piece, Progress, RecordKind, Unpacked, put_frame};
use archive::entry::{Entry, Kind};
use archive::frame::FrameRow;
use archive::path::TreePath;
use archive::row::put_row;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

pub use self::differing::{Heard, feed_differing};
use super::channel::{ChannelError, read_record, write_record};
use super::entries::Entries;
use super::frames::{Gathered, Gathering, Request, join, pieces_of, waiting_bytes};
use super::reading::{ReadError, Reading};

/// Requests in flight.
const FETCHES: usize = 4;

/// Instructions that wait between planner and fetcher.
const PLANNED: usize = 4;

/// Rows are sent when they take this much.
const ROWS_BYTES: usize = 256 << 10;

/// Why a restore stream broke off.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The store's side.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The helper's side.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A path that was asked for is not in the snapshot.
    #[error("`{0}` is not in the snapshot")]
    NoSuchPath(TreePath),
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fed {
    /// Rows.
    pub entries: u64,
    /// File bytes, holes apart.
    pub data_bytes: u64,
    /// Bytes of frames that came from the store.
    pub fetched_bytes: u64,
}

enum Instruction {
    Rows(Vec<u8>),
    Fetch { pack: u64, request: Request<Vec<Piece>> },
    End { entries: u64, data_bytes: u64 },
}

enum Ready {
    Rows(Vec<u8>),
    Frames { bytes: Bytes, request: Request<Vec<Piece>> },
    End { entries: u64, data_bytes: u64 },
}

/// Sends what `paths` name (all of it if there are none) and returns when the helper says that all is written.
pub async fn feed(
    reading: Arc<Reading>,
    paths: Vec<TreePath>,
    from: &mut (dyn AsyncRead + Send + Unpin),
    to: &mut (dyn AsyncWrite + Send + Unpin),
    mut progress: impl FnMut(Progress) + Send,
) -> Result<(Fed, Unpacked), FeedError> {
    let (instructions, planned) = mpsc::channel(PLANNED);
    let planner = Planner::new(Arc::clone(&reading), instructions);
    let plan = planner.run(paths);
    let send = send(reading, planned, to);
    let sent = async {
        let (planned, sent) = tokio::join!(plan, send);
        // A planner whose receiver has gone only knows that; the sender knows why.
        let fed = sent?;
        planned?;
        Ok(fed)
    };
    let heard = async {
        loop {
            let record = read_record(from).await?;
            if record.kind == RecordKind::Done {
                return record.json::<Unpacked>();
            }
            if record.kind != RecordKind::Progress {
                return Err(ChannelError::Protocol(format!("{:?} during a restore", record.kind)));
            }
            progress(record.json()?);
        }
    };
    tokio::pin!(sent, heard);
    let fed = tokio::select! {
        fed = &mut sent => match fed {
            Ok(fed) => fed,
            // The helper closed its end; what it said before is the cause.
            Err(FeedError::Channel(closed)) => return Err(heard.await.err().unwrap_or(closed).into()),
            Err(other) => return Err(other),
        },
        early = &mut heard => return Err(match early {
            Ok(_) => ChannelError::Protocol("done before the end".to_owned()).into(),
            Err(e) => e.into(),
        }),
    };
    Ok((fed, heard.await?))
}

async fn send(
    reading: Arc<Reading>,
    planned: mpsc::Receiver<Instruction>,
    to: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<Fed, FeedError> {
    let instructions =
        stream::unfold(planned, |mut planned| async { Some((planned.recv().await?, planned)) });
    let mut ready = std::pin::pin!(instructions.map(|i| fetch(Arc::clone(&reading), i)).buffered(FETCHES));
    let mut fetched_bytes = 0;
    while let Some(next) = ready.next().await {
        match next? {
            Ready::Rows(rows) => write_record(to, RecordKind::Rows, &rows, &[]).await?,
            Ready::Frames { bytes, request } => {
                fetched_bytes += bytes.len() as u64;
                for (row, pieces) in &request.frames {
                    let start = usize::try_from(row.offset - request.range.start).unwrap_or(usize::MAX);
                    let stored = bytes.slice(start..start + row.stored as usize);
                    write_record(to, RecordKind::Frame, &put_frame(row, pieces, &[]), &stored).await?;
                }
            }
            Ready::End { entries, data_bytes } => {
                let end = serde_json::to_vec(&End { entries, data_bytes })
                    .map_err(|e| ChannelError::Protocol(e.to_string()))?;
                write_record(to, RecordKind::End, &end, &[]).await?;
                to.flush().await.map_err(|_closed| ChannelError::Cut)?;
                return Ok(Fed { entries, data_bytes, fetched_bytes });
            }
        }
    }
    // The planner broke off, and says why itself.
    Ok(Fed::default())
}

async fn fetch(reading: Arc<Reading>, instruction: Instruction) -> Result<Ready, ReadError> {
    Ok(match instruction {
        Instruction::Rows(rows) => Ready::Rows(rows),
        Instruction::End { entries, data_bytes } => Ready::End { entries, data_bytes },
        Instruction::Fetch { pack, request } => {
            let pack = reading.pack(pack)?;
            Ready::Frames { bytes: reading.range(pack, request.range.clone()).await?, request }
        }
    })
}

/// Turns tables into instructions.
struct Planner {
    reading: Arc<Reading>,
    out: mpsc::Sender<Instruction>,
    gathering: Gathering,
    rows: Vec<u8>,
    before: Vec<u8>,
    entries: u64,
    data_bytes: u64,
    /// First name that was sent for a file whose real first name is not among what was asked for.
    adopted: HashMap<TreePath, TreePath>,
}

impl Planner {
    fn new(reading: Arc<Reading>, out: mpsc::Sender<Instruction>) -> Self {
        Self {
            reading,
            out,
            gathering: Gathering::default(),
            rows: Vec::new(),
            before: Vec::new(),
            entries: 0,
            data_bytes: 0,
            adopted: HashMap::new(),
        }
    }

    async fn run(mut self, paths: Vec<TreePath>) -> Result<(), FeedError> {
        if paths.is_empty() || paths.iter().any(TreePath::is_root) {
            self.everything().await?;
        } else {
            self.some(paths).await?;
        }
        self.flush_rows().await?;
        let last = self.gathering.take(false);
        self.fetch_gathered(last).await?;
        let end = Instruction::End { entries: self.entries, data_bytes: self.data_bytes };
        self.say(end).await?;
        Ok(())
    }

    async fn everything(&mut self) -> Result<(), FeedError> {
        let mut stream = Entries::new(Arc::clone(&self.reading), TreePath::root());
        while let Some(batch) = stream.next().await? {
            // The rows go out as they lie; only their content has to be planned.
            self.say(Instruction::Rows(batch.raw)).await?;
            for entry in &batch.entries {
                self.plan_content(entry).await?;
            }
        }
        Ok(())
    }

    /// What lies at or beneath `paths`, and the folders above.
    async fn some(&mut self, mut paths: Vec<TreePath>) -> Result<(), FeedError> {
        paths.sort();
        paths.dedup_by(|inner, outer| inner.is_within(outer));
        let mut above_sent = TreePath::root();
        let mut root_sent = false;
        for path in &paths {
            for above in folders_above(path) {
                let known = root_sent && (above.is_root() || above_sent.is_within(&above));
                if known {
                    continue;
                }
                let entry = Entries::one(Arc::clone(&self.reading), &above).await?;
                let entry = entry.ok_or_else(|| FeedError::NoSuchPath(path.clone()))?;
                self.send_row(&entry).await?;
                root_sent = true;
                above_sent = above;
            }
            let before = self.entries;
            let mut stream = Entries::new(Arc::clone(&self.reading), path.clone());
            while let Some(batch) = stream.next().await? {
                for entry in batch.entries.into_iter().filter(|entry| entry.path.is_within(path)) {
                    let entry = self.keep_links_inside(entry, &paths).await?;
                    self.send_row(&entry).await?;
                }
            }
            if self.entries == before {
                return Err(FeedError::NoSuchPath(path.clone()));
            }
        }
        Ok(())
    }

    /// A hard link whose first name was not asked for becomes that file; the next one links to it.
    async fn keep_links_inside(&mut self, entry: Entry, paths: &[TreePath]) -> Result<Entry, FeedError> {
        let Kind::Hardlink { target } = &entry.kind else { return Ok(entry) };
        if paths.iter().any(|path| target.is_within(path)) {
            return Ok(entry);
        }
        if let Some(first) = self.adopted.get(target) {
            let kind = Kind::Hardlink { target: first.clone() };
            return Ok(Entry { kind, ..entry });
        }
        let file = Entries::one(Arc::clone(&self.reading), target).await?;
        let file = file.ok_or_else(|| FeedError::NoSuchPath(target.clone()))?;
        self.adopted.insert(target.clone(), entry.path.clone());
        Ok(Entry { path: entry.path, ..file })
    }

    async fn send_row(&mut self, entry: &Entry) -> Result<(), FeedError> {
        put_row(&mut self.rows, &self.before, entry);
        self.before.clear();
        self.before.extend_from_slice(entry.path.as_bytes());
        if self.rows.len() >= ROWS_BYTES {
            self.flush_rows().await?;
        }
        self.plan_content(entry).await
    }

    async fn plan_content(&mut self, entry: &Entry) -> Result<(), FeedError> {
        let ordinal = self.entries;
        self.entries += 1;
        let waiting_bytes = waiting_bytes(entry);
        for (frame, piece) in pieces_of(ordinal, entry) {
            self.data_bytes += u64::from(piece.length);
            if let Some(full) = self.gathering.push(frame, piece, waiting_bytes) {
                self.flush_rows().await?;
                self.fetch_gathered(full).await?;
            }
        }
        Ok(())
    }

    /// Rows go before the frames that fill them.
    async fn flush_rows(&mut self) -> Result<(), FeedError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.before.clear();
        let rows = std::mem::take(&mut self.rows);
        self.say(Instruction::Rows(rows)).await
    }

    async fn fetch_gathered(&mut self, gathered: Gathered) -> Result<(), FeedError> {
        let mut frames: Vec<(FrameRow, Vec<Piece>)> = Vec::new();
        let mut of_pack = None;
        for ((pack, frame), pieces) in gathered {
            if of_pack.is_some_and(|before| before != pack) {
                self.request(of_pack, &mut frames).await?;
            }
            of_pack = Some(pack);
            let row = self.reading.frame(self.reading.pack(pack)?, frame).await?;
            frames.push((row, pieces));
        }
        self.request(of_pack, &mut frames).await
    }

    async fn request(
        &self,
        pack: Option<u64>,
        frames: &mut Vec<(FrameRow, Vec<Piece>)>,
    ) -> Result<(), FeedError> {
        let Some(pack) = pack else { return Ok(()) };
        for request in join(frames.drain(..)) {
            self.say(Instruction::Fetch { pack, request }).await?;
        }
        Ok(())
    }

    /// A receiver that has gone has failed; there is no point in planning on.
    async fn say(&self, instruction: Instruction) -> Result<(), FeedError> {
        self.out.send(instruction).await.map_err(|_gone| ChannelError::Cut.into())
    }
}

/// The folders above a path, outermost first, the root among them.
fn folders_above(path: &TreePath) -> Vec<TreePath> {
    let mut above = vec![TreePath::root()];
    let names: Vec<&[u8]> = path.components().collect();
    for name in &names[..names.len().saturating_sub(1)] {
        let next = above.last().and_then(|last| last.join(name).ok());
        above.extend(next);
    }
    above
}
