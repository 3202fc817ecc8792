//! An object on its way into a local store: one file that grows, written behind the caller's back.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;

use super::stage::Stage;
use super::{blocking, fault};
use crate::port::store::{OpenUpload, StoreError, StoreErrorKind, Upload};

/// One write is in flight while the caller makes the next bytes. After an error nothing more is written.
pub(super) struct LocalUpload {
    stage: Arc<Stage>,
    upload: OpenUpload,
    writing: Option<JoinHandle<io::Result<File>>>,
    /// Set once the upload's files are the object or are gone.
    over: bool,
}

impl LocalUpload {
    pub(super) async fn begin(stage: Arc<Stage>, key: &str) -> Result<Self, StoreError> {
        let (work, owned) = (stage.clone(), key.to_owned());
        let (upload, file) = blocking("begin", key, move || work.begin(&owned)).await?;
        let writing = Some(tokio::spawn(async move { Ok(file) }));
        Ok(Self { stage, upload, writing, over: false })
    }

    /// The file, when the write in flight has ended.
    async fn settle(&mut self) -> Result<File, StoreError> {
        let key = &self.upload.key;
        let Some(writing) = self.writing.take() else {
            return Err(StoreError::new(StoreErrorKind::Other, "write", key, "an earlier write failed"));
        };
        match writing.await {
            Ok(written) => written.map_err(|error| fault::of("write", key, error)),
            Err(broken) => Err(StoreError::new(StoreErrorKind::Other, "write", key, broken.to_string())),
        }
    }
}

#[async_trait]
impl Upload for LocalUpload {
    fn id(&self) -> Option<OpenUpload> {
        Some(self.upload.clone())
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let mut file = self.settle().await?;
        self.writing = Some(tokio::task::spawn_blocking(move || {
            file.write_all(&bytes)?;
            Ok(file)
        }));
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, StoreError> {
        let file = self.settle().await?;
        let (stage, upload) = (self.stage.clone(), self.upload.clone());
        let key = self.upload.key.clone();
        let length = blocking("finish", &key, move || stage.finish(&upload, &file)).await?;
        self.over = true;
        Ok(length)
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StoreError> {
        let (stage, id) = (self.stage.clone(), self.upload.id.clone());
        let key = self.upload.key.clone();
        self.over = true;
        blocking("abort", &key, move || stage.abort(&id)).await
    }
}

impl Drop for LocalUpload {
    fn drop(&mut self) {
        if !self.over {
            // What could not be removed is still listed as an open upload, for recovery to abort.
            drop(self.stage.abort(&self.upload.id));
        }
    }
}
