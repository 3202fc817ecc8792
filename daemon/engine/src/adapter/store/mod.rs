//! The store port over S3 and over a local directory.

pub mod limits;
mod local;
mod s3;
pub mod url;

use std::fmt;
use std::sync::Arc;

use self::limits::Limits;
use self::local::LocalStore;
use self::s3::S3Store;
use self::url::StoreUrl;
use crate::port::clock::Clock;
use crate::port::store::{Store, StoreError};

/// What a store's URL does not say.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Deadlines, retries and sizes.
    pub limits: Limits,
    /// Instead of the AWS chain: environment, profile, process, SSO, container, instance.
    pub keys: Option<AccessKeys>,
    /// Whether a local directory that is not yet a store is made one.
    pub create: bool,
}

/// Credentials for S3. Their `Debug` does not show them.
#[derive(Clone)]
pub struct AccessKeys {
    /// The access key's id.
    pub id: String,
    /// The secret.
    pub secret: String,
}

impl fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKeys(..)")
    }
}

/// Opens a store that exists. A local directory without the marker is refused: where a disk is not mounted, an
/// empty folder takes its place. Whether a bucket exists is found out by the first call.
pub async fn open(url: &StoreUrl, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, StoreError> {
    open_with(url, clock, Options::default()).await
}

/// Opens a store; a local directory is created and marked if it is not there. Buckets are never created.
pub async fn open_or_create(url: &StoreUrl, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, StoreError> {
    open_with(url, clock, Options { create: true, ..Options::default() }).await
}

/// Opens a store with everything said.
pub async fn open_with(
    url: &StoreUrl,
    clock: Arc<dyn Clock>,
    options: Options,
) -> Result<Arc<dyn Store>, StoreError> {
    match url {
        StoreUrl::File(root) => Ok(Arc::new(LocalStore::open(root.clone(), options.create).await?)),
        StoreUrl::S3(url) => Ok(Arc::new(S3Store::open(url, clock, options).await?)),
    }
}
