//! A pack that waits in a file until its last byte is there, so that whoever was held for it need not wait for the store.
//!
//! Always true: the store gets the bytes in the order in which they came, each once; what does not fit into the
//! file, for whatever reason, goes to the store at once if nobody is held any more, and else ends the pass: nobody is held
//! for as long as a store takes; and the file has lost its name before it has content, so
//! the kernel frees it when the process ends, however it ends.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use crate::port::store::{OpenUpload, Store, StoreError, StoreErrorKind, Upload};

/// So much of the file goes to the store at a time.
const PIECE_BYTES: u64 = 4 << 20;

/// Whether somebody is held for a pass, as its spool has to know.
#[derive(Debug, Default)]
pub struct Hold {
    over: AtomicBool,
    full: AtomicBool,
}

impl Hold {
    /// Nobody is held any more.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// What was to be kept did not fit, so the pass has failed.
    pub fn was_too_much(&self) -> bool {
        self.full.load(Ordering::SeqCst)
    }

    /// Whether what does not fit ends the pass.
    fn refuses(&self) -> bool {
        let refuses = !self.over.load(Ordering::SeqCst);
        self.full.fetch_or(refuses, Ordering::SeqCst);
        refuses
    }
}

/// An upload that begins late.
pub struct Spool {
    store: Arc<dyn Store>,
    key: String,
    /// `None` once nothing more goes into it.
    file: Option<Arc<File>>,
    bytes_max: u64,
    length: u64,
    upload: Option<Box<dyn Upload>>,
    hold: Arc<Hold>,
}

impl Spool {
    /// Of what will be `key`. Where no file can be made at `place`, nothing fits.
    pub fn begin(store: Arc<dyn Store>, key: &str, place: &Path, bytes_max: u64, hold: Arc<Hold>) -> Self {
        let made = nameless(place).inspect_err(|e| tracing::warn!("make `{}`: {e}", place.display()));
        let file = made.ok().map(Arc::new);
        Self { store, key: key.to_owned(), file, bytes_max, length: 0, upload: None, hold }
    }

    /// Removes what a process left that died between making the file and taking its name away.
    pub fn remove(place: &Path) -> io::Result<()> {
        match fs::remove_file(place) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Whether the bytes are in the file now.
    async fn keep(&mut self, bytes: &Bytes) -> bool {
        let end = self.length + bytes.len() as u64;
        let Some(file) = self.file.clone().filter(|_file| end <= self.bytes_max) else { return false };
        let (bytes, at) = (bytes.clone(), self.length);
        match tokio::task::spawn_blocking(move || file.write_all_at(&bytes, at)).await {
            Ok(Ok(())) => {
                self.length = end;
                true
            }
            // A disk that is full: what was kept before is whole.
            Ok(Err(e)) => {
                tracing::warn!("keep `{}` until its upload: {e}", self.key);
                false
            }
            Err(_stopped) => false,
        }
    }

    /// Begins the upload with all that was kept.
    async fn pour(&mut self) -> Result<(), StoreError> {
        let upload = self.upload.insert(self.store.begin(&self.key).await?);
        let Some(file) = self.file.take() else { return Ok(()) };
        let mut at = 0;
        while at < self.length {
            let piece = piece(&file, at, (self.length - at).min(PIECE_BYTES)).await.map_err(|e| {
                let why = format!("what was kept of it cannot be read: {e}");
                StoreError::new(StoreErrorKind::Other, "write", &self.key, why)
            })?;
            at += piece.len() as u64;
            upload.write(piece).await?;
        }
        Ok(())
    }
}

fn nameless(place: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(place)?;
    fs::remove_file(place)?;
    Ok(file)
}

async fn piece(file: &Arc<File>, at: u64, length: u64) -> io::Result<Bytes> {
    let (file, length) = (Arc::clone(file), usize::try_from(length).map_err(io::Error::other)?);
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at).map(|()| bytes.into())
    });
    read.await.map_err(io::Error::other)?
}

#[async_trait]
impl Upload for Spool {
    fn id(&self) -> Option<OpenUpload> {
        self.upload.as_ref().and_then(|upload| upload.id())
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        if self.upload.is_none() {
            if self.keep(&bytes).await {
                return Ok(());
            }
            if self.hold.refuses() {
                let why = "it does not fit into what is kept of it while writers are held";
                return Err(StoreError::new(StoreErrorKind::Other, "write", &self.key, why));
            }
            self.pour().await?;
        }
        match &mut self.upload {
            Some(upload) => upload.write(bytes).await,
            None => Ok(()),
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, StoreError> {
        if self.upload.is_none() {
            self.pour().await?;
        }
        match self.upload.take() {
            Some(upload) => upload.finish().await,
            None => Ok(0),
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StoreError> {
        match self.upload.take() {
            Some(upload) => upload.abort().await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::store::ReadStore as _;
    use crate::testing::memory_store::MemoryStore;

    const KEY: &str = "h/s/pack";

    fn pieces() -> Vec<Bytes> {
        (0..9_u8).map(|n| Bytes::from(vec![n; 1_500_000])).collect()
    }

    fn over() -> Arc<Hold> {
        let hold = Arc::new(Hold::default());
        hold.end();
        hold
    }

    /// Writes all pieces for which nobody is held, and gives the number of the one with which the upload began, if any.
    async fn check(place: &Path, bytes_max: u64) -> Option<usize> {
        let store = MemoryStore::new();
        let mut spool = Box::new(Spool::begin(Arc::new(store.clone()), KEY, place, bytes_max, over()));
        let mut began = None;
        for (n, piece) in pieces().into_iter().enumerate() {
            spool.write(piece).await.unwrap();
            let open = store.open_uploads("").await.unwrap().len();
            began = began.or((open == 1).then_some(n));
        }
        assert!(!place.exists());
        let length = spool.finish().await.unwrap();
        assert_eq!(store.head(KEY).await.unwrap().unwrap().length, length);
        assert!(store.snapshot()[KEY] == pieces().concat(), "with {bytes_max}");
        began
    }

    #[tokio::test]
    async fn what_fits_waits_and_the_rest_goes_on_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("x.spool");
        assert_eq!(check(&place, 1 << 30).await, None);
        assert_eq!(check(&place, 9 * 1_500_000).await, None);
        assert_eq!(check(&place, 5_000_000).await, Some(3));
        assert_eq!(check(&place, 0).await, Some(0));
        assert_eq!(check(&dir.path().join("no/such/folder"), 1 << 30).await, Some(0));
    }

    #[tokio::test]
    async fn nobody_is_held_for_an_upload() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("x.spool");
        for (bytes_max, fits) in [(9 * 1_500_000, 9), (5_000_000, 3), (0, 0)] {
            let (store, hold) = (MemoryStore::new(), Arc::new(Hold::default()));
            let begun = Spool::begin(Arc::new(store.clone()), KEY, &place, bytes_max, Arc::clone(&hold));
            let mut spool = Box::new(begun);
            let mut kept = 0;
            for piece in pieces() {
                if spool.write(piece).await.is_err() {
                    break;
                }
                kept += 1;
            }
            assert_eq!((kept, hold.was_too_much()), (fits, fits < 9), "with {bytes_max}");
            assert_eq!(store.open_uploads("").await.unwrap().len(), 0);
            match hold.was_too_much() {
                true => spool.abort().await.unwrap(),
                false => assert_eq!(spool.finish().await.unwrap(), 9 * 1_500_000),
            }
            assert_eq!(store.snapshot().len(), usize::from(fits == 9));
        }
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("x.spool");
        for bytes_max in [0, 1 << 30] {
            let store = MemoryStore::new();
            let mut spool = Box::new(Spool::begin(Arc::new(store.clone()), KEY, &place, bytes_max, over()));
            spool.write(Bytes::from_static(b"x")).await.unwrap();
            spool.abort().await.unwrap();
            assert_eq!((store.open_uploads("").await.unwrap().len(), store.snapshot().len()), (0, 0));
        }
        // A process that died in the middle of making it.
        File::create(&place).unwrap();
        for _ in 0..2 {
            Spool::remove(&place).unwrap();
        }
        assert!(!place.exists());
    }
}
