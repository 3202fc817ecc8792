//! Receives a pack from a helper and passes it to the store as it comes.
//!
//! The helper's `Done` carries the length and the hash of everything before it. Only a stream that ends so,
//! and adds up, was a backup; a channel that merely closes never is.

use archive::base::Ask;
use archive::channel::{Packed, Progress, RecordKind};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::answers::Answers;
use super::channel::{ChannelError, read_record, write_record};
use super::pace::Pace;
use super::reading::ReadError;
use super::streams::Streams;
use crate::failure::Failure;
use crate::port::store::{OpenUpload, StoreError, Upload};

/// Why a backup stream broke off. Trouble of the source and trouble of the store stay two things.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The helper's side: the source could not be read, or the helper died.
    #[error(transparent)]
    Source(ChannelError),
    /// The store's side, where the pack goes.
    #[error(transparent)]
    Store(StoreError),
    /// The store's side, where the snapshot before lies.
    #[error(transparent)]
    Base(ReadError),
    /// A stream that was to go into the snapshot.
    #[error(transparent)]
    Stream(Failure),
}

/// Both ends of the channel to a helper.
pub struct Ends<'a> {
    /// What it says.
    pub from: &'a mut (dyn AsyncRead + Send + Unpin),
    /// What it is told.
    pub to: &'a mut (dyn AsyncWrite + Send + Unpin),
}

/// What is answered to a helper that asks.
#[derive(Default)]
pub struct Answering<'a> {
    /// Of the snapshot before, if it leans on one.
    pub base: Option<Answers>,
    /// Of streams, if any go into the snapshot.
    pub streams: Option<Box<dyn Streams + 'a>>,
}

impl Answering<'_> {
    async fn answer(&mut self, ask: &Ask) -> Result<Vec<u8>, ReceiveError> {
        let nothing = |what: &str| {
            let what = format!("it asked for {what}, and there is none");
            ReceiveError::Source(ChannelError::Protocol(what))
        };
        match ask {
            Ask::Stream(path) => {
                let streams = self.streams.as_mut().ok_or_else(|| nothing("a stream"))?;
                streams.next(path).await.map_err(ReceiveError::Stream)
            }
            Ask::Root(root) => {
                let base = self.base.as_mut().ok_or_else(|| nothing("the snapshot before"))?;
                base.root(root).await.map_err(ReceiveError::Base)
            }
            Ask::Segment { pack, block, raw, ground } => {
                let base = self.base.as_mut().ok_or_else(|| nothing("the snapshot before"))?;
                base.segment(*pack, block, *raw, ground.as_ref()).await.map_err(ReceiveError::Base)
            }
        }
    }
}

/// Whoever wants to know what comes by.
pub trait Listener: Send {
    /// How far the helper is.
    fn progress(&mut self, progress: Progress);

    /// Whatever becomes of the source makes no difference any more.
    fn pictured(&mut self);

    /// The store has a name for the upload now; whoever cleans up after a crash needs it.
    fn opened(&mut self, upload: OpenUpload);
}

/// Passes a pack on and gives its trailer once everything adds up. The upload is not finished here.
pub async fn receive(
    ends: Ends<'_>,
    mut answering: Answering<'_>,
    upload: &mut dyn Upload,
    mut pace: Pace<'_>,
    listener: &mut dyn Listener,
) -> Result<Packed, ReceiveError> {
    let mut hasher = blake3::Hasher::new();
    let mut length = 0;
    let mut opened = false;
    loop {
        let record = read_record(ends.from).await.map_err(ReceiveError::Source)?;
        match record.kind {
            RecordKind::Bytes => {
                hasher.update(&record.payload);
                length += record.payload.len() as u64;
                pace.wait(record.payload.len()).await;
                upload.write(record.payload).await.map_err(ReceiveError::Store)?;
                if !opened && let Some(open) = upload.id() {
                    opened = true;
                    listener.opened(open);
                }
            }
            RecordKind::Pictured => listener.pictured(),
            RecordKind::Progress => listener.progress(record.json().map_err(ReceiveError::Source)?),
            RecordKind::Done => {
                let packed: Packed = record.json().map_err(ReceiveError::Source)?;
                if packed.length != length || packed.hash != *hasher.finalize().as_bytes() {
                    let what = "the pack that arrived is not the one that was sent".to_owned();
                    return Err(ReceiveError::Source(ChannelError::Protocol(what)));
                }
                return Ok(packed);
            }
            RecordKind::Ask => {
                let ask: Ask = record.json().map_err(ReceiveError::Source)?;
                let answer = answering.answer(&ask).await?;
                let written = write_record(ends.to, RecordKind::Answer, &answer, &[]).await;
                written.map_err(ReceiveError::Source)?;
                let flushed = ends.to.flush().await;
                flushed.map_err(|_closed| ReceiveError::Source(ChannelError::Cut))?;
            }
            RecordKind::Hello
            | RecordKind::Job
            | RecordKind::Failed
            | RecordKind::Rows
            | RecordKind::Frame
            | RecordKind::End
            | RecordKind::Answer
            | RecordKind::Differing => {
                let what = format!("{:?} during a backup", record.kind);
                return Err(ReceiveError::Source(ChannelError::Protocol(what)));
            }
        }
    }
}
