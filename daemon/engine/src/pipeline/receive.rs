//! Receives a pack from a helper and passes it to the store as it comes.
//!
//! The helper's `Done` carries the length and the hash of everything before it. Only a stream that ends so,
//! and adds up, was a backup; a channel that merely closes never is.

use archive::channel::{Packed, Progress, RecordKind};
use tokio::io::AsyncRead;

use super::channel::{ChannelError, read_record};
use crate::port::store::{OpenUpload, StoreError, Upload};

/// Why a backup stream broke off. Trouble of the source and trouble of the store stay two things.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The helper's side: the source could not be read, or the helper died.
    #[error(transparent)]
    Source(ChannelError),
    /// The store's side.
    #[error(transparent)]
    Store(StoreError),
}

/// Whoever wants to know what comes by.
pub trait Listener: Send {
    /// How far the helper is.
    fn progress(&mut self, progress: Progress);

    /// The store has a name for the upload now; whoever cleans up after a crash needs it.
    fn opened(&mut self, upload: OpenUpload);
}

/// Passes a pack on and gives its trailer once everything adds up. The upload is not finished here.
pub async fn receive(
    from: &mut (dyn AsyncRead + Send + Unpin),
    upload: &mut dyn Upload,
    listener: &mut dyn Listener,
) -> Result<Packed, ReceiveError> {
    let mut hasher = blake3::Hasher::new();
    let mut length = 0;
    let mut opened = false;
    loop {
        let record = read_record(from).await.map_err(ReceiveError::Source)?;
        match record.kind {
            RecordKind::Bytes => {
                hasher.update(&record.payload);
                length += record.payload.len() as u64;
                upload.write(record.payload).await.map_err(ReceiveError::Store)?;
                if !opened && let Some(open) = upload.id() {
                    opened = true;
                    listener.opened(open);
                }
            }
            RecordKind::Progress => listener.progress(record.json().map_err(ReceiveError::Source)?),
            RecordKind::Done => {
                let packed: Packed = record.json().map_err(ReceiveError::Source)?;
                if packed.length != length || packed.hash != *hasher.finalize().as_bytes() {
                    let what = "the pack that arrived is not the one that was sent".to_owned();
                    return Err(ReceiveError::Source(ChannelError::Protocol(what)));
                }
                return Ok(packed);
            }
            RecordKind::Hello
            | RecordKind::Job
            | RecordKind::Failed
            | RecordKind::Rows
            | RecordKind::Frame
            | RecordKind::End
            | RecordKind::Ask
            | RecordKind::Answer => {
                let what = format!("{:?} during a backup", record.kind);
                return Err(ReceiveError::Source(ChannelError::Protocol(what)));
            }
        }
    }
}
