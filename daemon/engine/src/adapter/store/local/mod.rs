//! A store in a local directory: every object is a file under its key, whole and synced or not there.
//!
//! The root holds a marker file. Where a disk is not mounted there is a folder all the same, but no marker, and a
//! store without one is refused: backups must not fill the disk below the mount point.

mod fault;
mod folder;
mod stage;
mod upload;
mod walk;

use std::fs::DirBuilder;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use self::folder::{Folder, is_missing};
use self::stage::Stage;
use self::upload::LocalUpload;
use crate::absent::is_dangling;
use crate::durable;
use crate::port::store::{
    Conditions, ObjectInfo, OpenUpload, Put, ReadStore, Store, StoreError, StoreErrorKind, Upload, check_key,
};

const MARKER: &str = ".backupd-store";
const MARKER_TEXT: &[u8] = b"backupd store, format 1\n";

/// The store port over a directory.
#[derive(Debug)]
pub(super) struct LocalStore {
    path: PathBuf,
    stage: Arc<Stage>,
}

impl LocalStore {
    pub(super) async fn open(path: PathBuf, create: bool) -> Result<Self, StoreError> {
        let name = path.to_string_lossy().into_owned();
        let root = path.clone();
        let found = blocking("open", &name, move || {
            if create {
                make_root(&root)?;
            }
            let folder = Folder::root(&root)?;
            folder.open(MARKER)?;
            Stage::open(folder)
        });
        let stage = found.await.map_err(|mut error| {
            if error.kind == StoreErrorKind::NotFound {
                error.kind = StoreErrorKind::NoBucket;
                error.why = format!("no store there (no `{MARKER}` file); is the disk mounted?");
            }
            error
        })?;
        Ok(Self { path, stage })
    }

    async fn with<T: Send + 'static>(
        &self,
        deed: &'static str,
        key: &str,
        work: impl FnOnce(&Stage, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (stage, owned) = (self.stage.clone(), key.to_owned());
        blocking(deed, key, move || work(&stage, &owned)).await
    }

    /// Reads what `range` makes of the object's length.
    async fn read(
        &self,
        key: &str,
        range: impl FnOnce(u64) -> Result<Range<u64>, StoreError> + Send + 'static,
    ) -> Result<Bytes, StoreError> {
        legal("get", key)?;
        let missing = StoreError::new(StoreErrorKind::NotFound, "get", key, "no such object");
        let read = self.with("get", key, move |stage, key| {
            let Some((folder, name)) = stage.root.find(key)? else { return Ok(Err(missing)) };
            let file = folder.open(name)?;
            let range = match range(file.metadata()?.len()) {
                Ok(range) => range,
                Err(error) => return Ok(Err(error)),
            };
            let Ok(length) = usize::try_from(range.end - range.start) else {
                return Err(io::Error::other("the range is larger than this machine's memory"));
            };
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(Ok(Bytes::from(bytes)))
        });
        read.await?
    }
}

/// Creates the directory and marks it as a store. The marker comes last.
fn make_root(root: &Path) -> io::Result<()> {
    if root.join(MARKER).try_exists()? {
        return Ok(());
    }
    if is_dangling(root) {
        // Behind a link whose disk is not mounted.
        return Err(rustix::io::Errno::NOENT.into());
    }
    let mut missing = Vec::new();
    let mut above = Some(root);
    while let Some(folder) = above.filter(|folder| !folder.exists()) {
        missing.push(folder);
        above = folder.parent();
    }
    DirBuilder::new().recursive(true).mode(0o700).create(root)?;
    for folder in missing {
        durable::sync_folder(folder.parent().unwrap_or(Path::new("/")))?;
    }
    durable::replace(&root.join(MARKER), MARKER_TEXT, 0o600)
}

/// Runs blocking file work off the async threads.
async fn blocking<T: Send + 'static>(
    deed: &'static str,
    key: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| fault::of(deed, key, error)),
        Err(broken) => Err(StoreError::new(StoreErrorKind::Other, deed, key, broken.to_string())),
    }
}

fn legal(deed: &'static str, key: &str) -> Result<(), StoreError> {
    check_key(key).map_err(|why| StoreError::new(StoreErrorKind::Other, deed, key, why))
}

#[async_trait]
impl ReadStore for LocalStore {
    fn name(&self) -> String {
        super::url::StoreUrl::File(self.path.clone()).to_string()
    }

    async fn get(&self, key: &str, max: u64) -> Result<Bytes, StoreError> {
        let owned = key.to_owned();
        let whole = move |length| match length <= max {
            true => Ok(0..length),
            false => {
                let why = format!("the object has {length} bytes, more than the {max} that make sense");
                Err(StoreError::new(StoreErrorKind::Other, "get", &owned, why))
            }
        };
        self.read(key, whole).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let owned = key.to_owned();
        let checked = move |length| match range.start < range.end && range.end <= length {
            true => Ok(range),
            false => {
                let why = format!("bytes {}..{} of an object of {length}", range.start, range.end);
                Err(StoreError::new(StoreErrorKind::Garbled, "get", &owned, why))
            }
        };
        self.read(key, checked).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, StoreError> {
        legal("head", key)?;
        let head = |stage: &Stage, key: &str| {
            let Some((folder, name)) = stage.root.find(key)? else { return Ok(None) };
            match folder.open(name) {
                Ok(file) => {
                    let meta = file.metadata()?;
                    let modified = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
                    Ok(Some(ObjectInfo { key: key.to_owned(), length: meta.len(), modified }))
                }
                Err(error) if is_missing(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.with("head", key, head).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.with("list", prefix, |stage, prefix| walk::list(&stage.root, prefix)).await
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.with("list", prefix, |stage, prefix| walk::folders(&stage.root, prefix)).await
    }
}

#[async_trait]
impl Store for LocalStore {
    async fn put(&self, key: &str, body: Bytes, mode: Put) -> Result<(), StoreError> {
        legal("put", key)?;
        self.with("put", key, move |stage, key| stage.put(key, &body, mode)).await
    }

    async fn begin(&self, key: &str) -> Result<Box<dyn Upload>, StoreError> {
        legal("begin", key)?;
        Ok(Box::new(LocalUpload::begin(self.stage.clone(), key).await?))
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        legal("delete", key)?;
        let delete = |stage: &Stage, key: &str| match stage.root.find(key)? {
            Some((folder, name)) => folder.remove(name).and_then(|()| folder.sync()),
            None => Ok(()),
        };
        self.with("delete", key, delete).await
    }

    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, StoreError> {
        let mut found = self.with("list uploads", prefix, |stage, _| stage.uploads()).await?;
        found.retain(|upload| upload.key.starts_with(prefix));
        found.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        Ok(found)
    }

    async fn abort_upload(&self, upload: &OpenUpload) -> Result<(), StoreError> {
        let id = upload.id.clone();
        self.with("abort", &upload.key, move |stage, _| stage.abort(&id)).await
    }

    /// The kernel enforces them.
    async fn conditions(&self) -> Result<Conditions, StoreError> {
        Ok(Conditions::Enforced)
    }
}

#[cfg(test)]
mod tests;
