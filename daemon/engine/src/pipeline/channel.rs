//! The engine's side of the channel to a helper: records in, records out, with patience that ends.

use std::time::Duration;

use archive::channel::{
    Failed, FailedCause, Hello, Job, PROTOCOL, RECORD_HEADER_BYTES, RecordKind, parse_header, parse_json,
};
use bytes::{Bytes, BytesMut};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A helper that says nothing for so long is given up. It tells its progress several times a second, so
/// this only ends reads that hang, as on a dead network file system.
pub const SILENCE_MAX: Duration = Duration::from_secs(600);

/// What went wrong between engine and helper.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The helper said why it could not do its job.
    #[error("{}", .0.message)]
    Failed(Failed),
    /// The channel ended before the helper had said that it was done.
    #[error("the helper ended before it had said that it was done")]
    Cut,
    /// Nothing came for too long.
    #[error("the helper said nothing for {} minutes", SILENCE_MAX.as_secs() / 60)]
    Silent,
    /// Something that no helper of ours says.
    #[error("the helper broke the protocol: {0}")]
    Protocol(String),
    /// A helper of another version.
    #[error("the helper speaks protocol {0}, and this program speaks {PROTOCOL}")]
    Version(u32),
}

impl ChannelError {
    /// A file was to be read between two updates, and was in the middle of one.
    pub fn is_amid_an_update(&self) -> bool {
        matches!(self, Self::Failed(failed) if failed.cause == FailedCause::Updating)
    }
}

/// One record.
#[derive(Debug)]
pub struct Record {
    /// What it is.
    pub kind: RecordKind,
    /// Its payload.
    pub payload: Bytes,
}

impl Record {
    /// The payload as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ChannelError> {
        parse_json(&self.payload).map_err(|e| ChannelError::Protocol(e.to_string()))
    }
}

/// Reads the next record. A channel that is closed is [`ChannelError::Cut`], never an end.
pub async fn read_record(from: &mut (dyn AsyncRead + Send + Unpin)) -> Result<Record, ChannelError> {
    let read = async {
        let mut header = [0; RECORD_HEADER_BYTES];
        from.read_exact(&mut header).await.map_err(|_closed| ChannelError::Cut)?;
        let (kind, length) = parse_header(&header).map_err(|e| ChannelError::Protocol(e.to_string()))?;
        let mut payload = BytesMut::with_capacity(length);
        let mut rest = from.take(length as u64);
        while payload.len() < length {
            let n = rest.read_buf(&mut payload).await.map_err(|_closed| ChannelError::Cut)?;
            if n == 0 {
                return Err(ChannelError::Cut);
            }
        }
        Ok(Record { kind, payload: payload.freeze() })
    };
    let record = tokio::time::timeout(SILENCE_MAX, read).await.map_err(|_late| ChannelError::Silent)??;
    if record.kind == RecordKind::Failed {
        return Err(ChannelError::Failed(record.json()?));
    }
    Ok(record)
}

/// Writes one record whose payload is in two pieces, so that a large one need not be copied.
pub async fn write_record(
    to: &mut (dyn AsyncWrite + Send + Unpin),
    kind: RecordKind,
    first: &[u8],
    second: &[u8],
) -> Result<(), ChannelError> {
    let length = u32::try_from(first.len() + second.len())
        .map_err(|_over| ChannelError::Protocol("record over 4 GiB".to_owned()))?;
    let mut head = Vec::with_capacity(RECORD_HEADER_BYTES + first.len());
    head.push(kind as u8);
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(first);
    let write = async {
        to.write_all(&head).await?;
        to.write_all(second).await
    };
    // A helper that reads slowly is back-pressure; one that reads nothing for this long is dead.
    match tokio::time::timeout(SILENCE_MAX, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_closed)) => Err(ChannelError::Cut),
        Err(_late) => Err(ChannelError::Silent),
    }
}

/// Hears a helper's greeting: it lives, and is of our version.
pub async fn greet(from: &mut (dyn AsyncRead + Send + Unpin)) -> Result<(), ChannelError> {
    let hello = read_record(from).await?;
    if hello.kind != RecordKind::Hello {
        return Err(ChannelError::Protocol("no greeting".to_owned()));
    }
    let hello: Hello = hello.json()?;
    if hello.protocol != PROTOCOL {
        return Err(ChannelError::Version(hello.protocol));
    }
    Ok(())
}

/// Gives a helper that has greeted its job.
pub async fn give_job(to: &mut (dyn AsyncWrite + Send + Unpin), job: &Job) -> Result<(), ChannelError> {
    let job = serde_json::to_vec(job).map_err(|e| ChannelError::Protocol(e.to_string()))?;
    write_record(to, RecordKind::Job, &job, &[]).await?;
    to.flush().await.map_err(|_closed| ChannelError::Cut)
}
