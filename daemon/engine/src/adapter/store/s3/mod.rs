//! A store in an S3 bucket, Amazon's or another's.
//!
//! The SDK signs, sends and parses. Deadlines, retries, parts and what an error means are ours, because they
//! differ by server and are where backups are lost: `watch`, `retry`, `parts`, `fault`.

mod call;
mod client;
mod fault;
mod list;
mod multipart;
mod parts;
mod read;
mod retry;
mod upload;
mod watch;
mod write;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use bytes::Bytes;
use tokio::sync::OnceCell;

use self::parts::PartSizes;
use self::upload::S3Upload;
use super::Options;
use super::limits::Limits;
use super::url::{S3Url, StoreUrl};
use crate::port::clock::Clock;
use crate::port::store::{
    Conditions, ObjectInfo, OpenUpload, Put, ReadStore, Store, StoreError, StoreErrorKind, Upload, check_key,
};

/// The store port over a bucket.
#[derive(Debug)]
pub(super) struct S3Store(Arc<Shared>);

/// What every call and every part in flight needs.
struct Shared {
    client: Client,
    clock: Arc<dyn Clock>,
    limits: Limits,
    sizes: PartSizes,
    bucket: String,
    /// Empty, or with a slash at its end.
    prefix: String,
    name: String,
    /// Whether bodies are hashed for the signature: without TLS nothing else guards them on the way.
    sign_payload: bool,
    conditions: OnceCell<Conditions>,
}

/// The client's own `Debug` may print its configuration; ours prints the name.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3({})", self.name)
    }
}

impl S3Store {
    pub(super) async fn open(
        url: &S3Url,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self, StoreError> {
        let client = client::client(url, &clock, &options).await?;
        let plain = url.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        Ok(Self(Arc::new(Shared {
            client,
            clock,
            sizes: PartSizes::new(&options.limits, url.part_cap),
            limits: options.limits,
            bucket: url.bucket.clone(),
            prefix: if url.prefix.is_empty() { String::new() } else { format!("{}/", url.prefix) },
            name: StoreUrl::S3(url.clone()).name(),
            sign_payload: url.sign_payload.unwrap_or(plain),
            conditions: OnceCell::new(),
        })))
    }
}

impl Shared {
    /// A key of the port as a key of the bucket.
    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

fn legal(deed: &'static str, key: &str) -> Result<(), StoreError> {
    check_key(key).map_err(|why| StoreError::new(StoreErrorKind::Other, deed, key, why))
}

#[async_trait]
impl ReadStore for S3Store {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    async fn get(&self, key: &str, max: u64) -> Result<Bytes, StoreError> {
        legal("get", key)?;
        self.0.get(key, max).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        legal("get", key)?;
        self.0.get_range(key, range).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, StoreError> {
        legal("head", key)?;
        self.0.head(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.0.list(prefix).await
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.0.folders(prefix).await
    }
}

#[async_trait]
impl Store for S3Store {
    async fn put(&self, key: &str, body: Bytes, mode: Put) -> Result<(), StoreError> {
        legal("put", key)?;
        self.0.put(key, body, mode).await
    }

    async fn begin(&self, key: &str) -> Result<Box<dyn Upload>, StoreError> {
        legal("begin", key)?;
        Ok(Box::new(S3Upload::new(self.0.clone(), key)))
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        legal("delete", key)?;
        self.0.delete(key).await
    }

    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, StoreError> {
        self.0.open_uploads(prefix).await
    }

    async fn abort_upload(&self, upload: &OpenUpload) -> Result<(), StoreError> {
        self.0.abort(&upload.key, &upload.id).await
    }

    async fn conditions(&self) -> Result<Conditions, StoreError> {
        self.0.conditions().await
    }
}
