//! A multipart upload whose parts grow with the stream.
//!
//! Every part is held in memory until the server has it, so it can be sent again; parts, the one that is being filled
//! among them, are bounded by number and bytes. An object that never fills its first part goes up in a single PUT, and the server hears
//! nothing of it before.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::Shared;
use super::multipart::Part;
use super::parts::PartSizes;
use crate::port::store::{OpenUpload, StoreError, StoreErrorKind as Kind, Upload};

/// The most that is reserved for a part before its bytes are there.
const RESERVE_BYTES_MAX: usize = 8 << 20;

/// The upload port over S3.
pub(super) struct S3Upload {
    shared: Arc<Shared>,
    key: String,
    id: Option<String>,
    filling: BytesMut,
    next: u32,
    length: u64,
    flight: JoinSet<Result<Part, StoreError>>,
    done: Vec<Part>,
    /// Set once the object is there, or the upload was given up.
    over: bool,
}

impl S3Upload {
    pub(super) fn new(shared: Arc<Shared>, key: &str) -> Self {
        Self {
            shared,
            key: key.to_owned(),
            id: None,
            filling: BytesMut::new(),
            next: 1,
            length: 0,
            flight: JoinSet::new(),
            done: Vec::new(),
            over: false,
        }
    }

    fn error(&self, kind: Kind, why: &str) -> StoreError {
        StoreError::new(kind, "upload", &self.key, why)
    }

    /// The size of the part that is being filled.
    fn part_bytes(&self) -> Result<u64, StoreError> {
        let size = self.shared.sizes.size(self.next);
        size.ok_or_else(|| self.error(Kind::Full, "the object needs more parts than the store allows"))
    }

    async fn take(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            let size = usize::try_from(self.part_bytes()?).unwrap_or(usize::MAX);
            if self.filling.is_empty() {
                self.make_room(size as u64).await?;
            }
            if self.filling.is_empty() && bytes.len() >= size {
                let whole = bytes.split_to(size);
                self.send(whole).await?;
                continue;
            }
            if self.filling.capacity() == 0 {
                self.filling.reserve(size.min(RESERVE_BYTES_MAX));
            }
            let taken = bytes.split_to(bytes.len().min(size - self.filling.len()));
            self.filling.extend_from_slice(&taken);
            if self.filling.len() == size {
                let part = std::mem::take(&mut self.filling).freeze();
                self.send(part).await?;
            }
        }
        self.collect_ready()
    }

    /// Waits until there is memory for one more part of that size.
    async fn make_room(&mut self, size: u64) -> Result<(), StoreError> {
        let held = PartSizes::held(&self.shared.limits, size);
        while self.flight.len() >= held {
            self.collect_one().await?;
        }
        Ok(())
    }

    /// Sends a part for which there is room.
    async fn send(&mut self, body: Bytes) -> Result<(), StoreError> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => self.id.insert(self.shared.create(&self.key).await?).clone(),
        };
        let (shared, key, number) = (self.shared.clone(), self.key.clone(), self.next);
        self.next += 1;
        self.flight.spawn(async move { shared.part(&key, &id, number, body).await });
        Ok(())
    }

    async fn collect_one(&mut self) -> Result<(), StoreError> {
        match self.flight.join_next().await {
            None => Ok(()),
            Some(joined) => self.collect(joined),
        }
    }

    /// Looks at parts that have ended meanwhile, so that a failed one is told early.
    fn collect_ready(&mut self) -> Result<(), StoreError> {
        while let Some(joined) = self.flight.try_join_next() {
            self.collect(joined)?;
        }
        Ok(())
    }

    fn collect(
        &mut self,
        joined: Result<Result<Part, StoreError>, tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        match joined {
            Ok(part) => self.done.push(part?),
            Err(broken) => return Err(self.error(Kind::Other, &broken.to_string())),
        }
        Ok(())
    }

    /// The steps after the last byte.
    async fn close(&mut self) -> Result<(), StoreError> {
        let last = std::mem::take(&mut self.filling).freeze();
        if self.id.is_none() {
            let body = last;
            self.shared.put_object("upload", &self.key, body, false).await?;
        } else {
            if !last.is_empty() {
                self.send(last).await?;
            }
            while !self.flight.is_empty() {
                self.collect_one().await?;
            }
            let sent = self.next - 1;
            assert!(self.done.len() == sent as usize, "BUG: parts sent and parts stored differ");
            self.done.sort_by_key(|part| part.number);
            let id = self.id.clone().unwrap_or_default();
            self.shared.complete(&self.key, &id, &self.done, self.length).await?;
        }
        self.shared.check_length(&self.key, self.length).await
    }

    /// Parts first: one that lands after the abort would stay, and be paid for.
    async fn give_up(&mut self) -> Result<(), StoreError> {
        self.over = true;
        self.flight.shutdown().await;
        match self.id.take() {
            Some(id) => self.shared.abort(&self.key, &id).await,
            None => Ok(()),
        }
    }

    /// After a failure. The failure is what the caller hears; an upload that stays is listed as open.
    async fn fail<T>(&mut self, error: StoreError) -> Result<T, StoreError> {
        if let Err(left) = self.give_up().await {
            tracing::debug!(key = self.key, %left, "leave an open upload");
        }
        Err(error)
    }
}

#[async_trait]
impl Upload for S3Upload {
    fn id(&self) -> Option<OpenUpload> {
        self.id.as_ref().map(|id| OpenUpload { key: self.key.clone(), id: id.clone() })
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        if self.over {
            return Err(self.error(Kind::Other, "an earlier part failed"));
        }
        match self.take(bytes).await {
            Ok(()) => Ok(()),
            Err(error) => self.fail(error).await,
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, StoreError> {
        if self.over {
            return Err(self.error(Kind::Other, "an earlier part failed"));
        }
        match self.close().await {
            Ok(()) => {
                self.over = true;
                Ok(self.length)
            }
            Err(error) => self.fail(error).await,
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StoreError> {
        self.give_up().await
    }
}

impl Drop for S3Upload {
    fn drop(&mut self) {
        let (false, Some(id), Ok(runtime)) = (self.over, self.id.take(), Handle::try_current()) else {
            return;
        };
        let (shared, key) = (self.shared.clone(), std::mem::take(&mut self.key));
        let mut flight = std::mem::take(&mut self.flight);
        drop(runtime.spawn(async move {
            flight.shutdown().await;
            // What cannot be aborted now stays listed as open, for recovery.
            if let Err(left) = shared.abort(&key, &id).await {
                tracing::debug!(key, %left, "leave an open upload");
            }
        }));
    }
}
