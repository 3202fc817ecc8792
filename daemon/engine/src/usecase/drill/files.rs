//! Files of no known kind: each is read back from the scratch volume and compared with what the snapshot says of it.
//!
//! A helper reads the volume as for an incremental backup that leans on the snapshot. What was restored has other inodes
//! and change times, so every file is read, and hashed chunk by chunk; where a single page differs, something is new.
//! Nothing of it goes to a store.

use std::sync::Arc;

use archive::base::Base;
use archive::channel::{Job, PackJob, Packed, Progress as Seen, Totals};
use async_trait::async_trait;
use bytes::Bytes;

use super::stage::Found;
use crate::failure::Failure;
use crate::pipeline::answers::Answers;
use crate::pipeline::pace::Pace;
use crate::pipeline::receive::{Answering, Ends, Listener, ReceiveError, receive};
use crate::port::docker::{Access, Docker, HelperMount};
use crate::port::store::{OpenUpload, StoreError, Upload};
use crate::usecase::blame;
use crate::usecase::host::Host;
use crate::usecase::job::{Session, spec};
use crate::usecase::opened::Opened;
use crate::usecase::run::Run;
use crate::usecase::watch::{Progress, Told, Watch};

/// What is read back.
pub(super) struct ReadBack<'a> {
    pub(super) host: &'a Host,
    pub(super) docker: &'a dyn Docker,
    pub(super) run: &'a Run<'a>,
    pub(super) opened: &'a Opened,
    pub(super) mount: &'a HelperMount,
    pub(super) watch: &'a dyn Watch,
}

impl ReadBack<'_> {
    /// Judges the restored files.
    pub(super) async fn judge(&self) -> Result<Found, Failure> {
        let what = || format!("read `{}` back", self.opened.id(self.host));
        let manifest = &self.opened.signed.manifest;
        let (effort, reading) = (self.host.settings().effort, Arc::clone(&self.opened.reading));
        let base = Base {
            entries: manifest.entries.clone(),
            pages: manifest.pages.clone(),
            shun: std::collections::BTreeSet::new(),
            reread: true,
        };
        // An id that no pack of the lineage has yet: nothing of it is kept.
        let pack = manifest.packs.iter().map(|pack| pack.id).max().unwrap_or_default() + 4;
        let pack = PackJob {
            pack,
            levels: effort.levels,
            workers: effort.workers(),
            base: Some(base),
            scope: None,
            between_updates: false,
        };
        let spec = spec(self.host, self.run.id(), self.mount, Access::Read);
        let mut session = Session::open(self.docker, &spec, &Job::Pack(pack), what()).await?;
        let ends = Ends { from: &mut *session.helper.from, to: &mut *session.helper.to };
        let pace = Pace::new(self.host.clock(), None);
        let mut teller = Teller { run: self.run, watch: self.watch, of_bytes: manifest.totals.bytes };
        let answering = Answering { base: Some(Answers::new(reading)), streams: None };
        match receive(ends, answering, &mut Nowhere, pace, &mut teller).await {
            Ok(packed) => {
                session.close().await?;
                Ok(judge(&manifest.totals, manifest.notes.sockets, &packed))
            }
            Err(ReceiveError::Source(e)) => Err(session.broke(e).await),
            Err(ReceiveError::Base(e)) => {
                session.kill().await;
                Err(blame::read(what(), e))
            }
            Err(ReceiveError::Store(e)) => {
                session.kill().await;
                Err(blame::store(what(), e))
            }
            Err(ReceiveError::Stream(failure)) => {
                session.kill().await;
                Err(failure)
            }
        }
    }
}

/// As much as was backed up, but for sockets, which no restore makes; and not a byte of it new.
fn judge(want: &Totals, sockets: u64, packed: &Packed) -> Found {
    let (got, entries) = (&packed.totals, want.entries.saturating_sub(sockets));
    if (got.entries, got.files, got.bytes) != (entries, want.files, want.bytes) {
        return Found::Bad(format!(
            "there are {} entries, {} files and {} bytes, and should be {entries}, {} and {}",
            got.entries, got.files, got.bytes, want.files, want.bytes
        ));
    }
    if packed.raw_bytes > 0 {
        return Found::Bad(format!("{} bytes of its files are not what was backed up", packed.raw_bytes));
    }
    Found::Good(format!("{} files were read back, and each is what was backed up", got.files))
}

struct Teller<'a> {
    run: &'a Run<'a>,
    watch: &'a dyn Watch,
    of_bytes: u64,
}

impl Listener for Teller<'_> {
    fn progress(&mut self, progress: Seen) {
        self.run.progress(progress.entries, progress.bytes, &progress.path);
        let (of_bytes, Seen { entries, bytes, path }) = (Some(self.of_bytes), progress);
        self.watch.tell(Told::Progress(Progress { entries, bytes, of_bytes, path }));
    }

    fn pictured(&mut self) {}

    fn opened(&mut self, _upload: OpenUpload) {}
}

/// Where a pack goes that nobody wants.
struct Nowhere;

#[async_trait]
impl Upload for Nowhere {
    fn id(&self) -> Option<OpenUpload> {
        None
    }

    async fn write(&mut self, _bytes: Bytes) -> Result<(), StoreError> {
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use archive::layout::BlockRef;

    use super::*;

    #[test]
    fn one_new_byte_or_one_missing_entry_is_seen() {
        let totals = Totals { entries: 5, files: 3, bytes: 100, data_bytes: 90 };
        let packed = Packed {
            identity: None,
            totals,
            length: 700,
            hash: [0; 32],
            raw_bytes: 0,
            footer: BlockRef { offset: 0, length: 1, hash: [0; 32] },
            entries: Vec::new(),
            pages: Vec::new(),
            used: std::collections::BTreeMap::new(),
            notes: archive::channel::Notes::default(),
            writes: 0,
            clones: false,
            unsynced: None,
        };
        assert!(matches!(judge(&totals, 0, &packed), Found::Good(_)));
        assert!(matches!(judge(&totals, 0, &Packed { raw_bytes: 1, ..packed.clone() }), Found::Bad(_)));
        assert!(matches!(judge(&totals, 1, &packed), Found::Bad(_)));
        let fewer = Totals { entries: 4, ..totals };
        let fewer = Packed { totals: fewer, ..packed };
        assert!(matches!(judge(&totals, 0, &fewer), Found::Bad(_)));
        assert!(matches!(judge(&totals, 1, &fewer), Found::Good(_)));
    }
}
