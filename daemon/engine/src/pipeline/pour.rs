//! Pours a foreign archive into a helper that makes a tree of it: its bytes as they are, in bounded memory.
//!
//! Always true: the end is sent only where whoever reads the archive came to its end; and it is the helper's `Done`,
//! after that, that says that the archive was whole.

use std::io::{self, Read};

use archive::channel::{End, Progress, RecordKind, Untarred};
use archive::frame::Hash;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::channel::{ChannelError, read_record, write_record};

/// Read and sent at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces that wait between who reads and who sends.
const WAITING: usize = 4;

/// Why there is no tree.
#[derive(Debug, thiserror::Error)]
pub enum PourError {
    /// The archive could not be read.
    #[error(transparent)]
    Archive(#[from] io::Error),
    /// The helper's side.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poured {
    /// All bytes of the archive.
    pub bytes: u64,
    /// BLAKE3 of them.
    pub hash: Hash,
}

/// Sends all of `archive` and returns when the helper says that the tree is there.
pub async fn pour(
    archive: Box<dyn Read + Send>,
    from: &mut (dyn AsyncRead + Send + Unpin),
    to: &mut (dyn AsyncWrite + Send + Unpin),
    mut progress: impl FnMut(Progress) + Send,
) -> Result<(Poured, Untarred), PourError> {
    let sent = send(archive, to);
    let heard = async {
        loop {
            let record = read_record(from).await?;
            if record.kind == RecordKind::Done {
                return record.json::<Untarred>();
            }
            if record.kind != RecordKind::Progress {
                return Err(ChannelError::Protocol(format!("{:?} during an import", record.kind)));
            }
            progress(record.json()?);
        }
    };
    tokio::pin!(sent, heard);
    let poured = tokio::select! {
        poured = &mut sent => match poured {
            Ok(poured) => poured,
            // The helper closed its end; what it said before is the cause.
            Err(PourError::Channel(closed)) => return Err(heard.await.err().unwrap_or(closed).into()),
            Err(other) => return Err(other),
        },
        early = &mut heard => return Err(match early {
            Ok(_) => ChannelError::Protocol("done before the end".to_owned()).into(),
            Err(e) => e.into(),
        }),
    };
    Ok((poured, heard.await?))
}

async fn send(
    archive: Box<dyn Read + Send>,
    to: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<Poured, PourError> {
    let (pieces, mut waiting) = mpsc::channel(WAITING);
    // Nobody waits for this thread: a pipe that says nothing would hold it, and with it the end of the program.
    let reader = std::thread::Builder::new().name("archive".to_owned());
    reader.spawn(move || read(archive, &pieces))?;
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    while let Some(piece) = waiting.recv().await {
        let piece: Vec<u8> = piece?;
        if piece.is_empty() {
            let end = serde_json::to_vec(&End { entries: 0, data_bytes: bytes }).map_err(io::Error::other)?;
            write_record(to, RecordKind::End, &end, &[]).await?;
            to.flush().await.map_err(|_closed| ChannelError::Cut)?;
            return Ok(Poured { bytes, hash: *hasher.finalize().as_bytes() });
        }
        hasher.update(&piece);
        bytes += piece.len() as u64;
        write_record(to, RecordKind::Bytes, &piece, &[]).await?;
    }
    Err(io::Error::other("whoever read it ended early").into())
}

/// Reads to the end, which an empty piece stands for.
fn read(mut archive: Box<dyn Read + Send>, pieces: &mpsc::Sender<io::Result<Vec<u8>>>) {
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut archive).take(PIECE_BYTES as u64).read_to_end(&mut piece);
        let is_last = !matches!(read, Ok(n) if n > 0);
        // Nobody listens any more: who does not, knows why.
        if pieces.blocking_send(read.map(|_| piece)).is_err() || is_last {
            return;
        }
    }
}
