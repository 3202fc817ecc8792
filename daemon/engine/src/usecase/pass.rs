//! One pass over the source: a helper reads it, what is new becomes a pack in the store.
//!
//! Always true: a pass that is reported has its pack complete in the store, or has none because nothing was new;
//! one that failed has given its upload up. A snapshot before that turns out to be damaged costs the pass, not
//! the backup: the next one leans on nothing.

use std::sync::Arc;

use archive::base::Base;
use archive::channel::{Job, PackJob, Packed};
use jiff::Timestamp;

use crate::failure::{Class, Failure};
use crate::format::manifest::PackRef;
use crate::format::names::Lineage;
use crate::pipeline::answers::Answers;
use crate::pipeline::pace::Pace;
use crate::pipeline::reading::{ReadError, Reading};
use crate::pipeline::receive::{Ends, Listener, ReceiveError, receive};
use crate::port::docker::{Access, HelperSpec};
use crate::port::store::{OpenUpload, Upload};
use crate::usecase::backup::Deed;
use crate::usecase::base::{WhyFull, base};
use crate::usecase::blame;
use crate::usecase::index::Signed;
use crate::usecase::job::{Session, spec};
use crate::usecase::run::Run;
use crate::usecase::watch::{Progress, Told, Watch};
use crate::words::Number;

/// What a pass brought.
pub(super) struct Passed {
    /// The pack, if anything was new.
    pub(super) pack: Option<PackRef>,
    /// The helper's trailer.
    pub(super) packed: Packed,
    /// It leans on the snapshot before.
    pub(super) incremental: bool,
}

/// Why a pass came to nothing.
enum Ended {
    Failed(Failure),
    /// The snapshot before cannot be read.
    BaseLost(ReadError),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Deed<'_> {
    /// Reads the source, leaning on the snapshot before where that can be. Says why not, if that is news.
    pub(super) async fn read(
        &self,
        number: Number,
        taken_at: Timestamp,
        parent: Option<&Signed>,
    ) -> Result<(Passed, Option<WhyFull>), Failure> {
        let manifest = parent.map(|parent| &parent.manifest);
        let why = match (base(manifest, self.request.full, &self.request.terms, taken_at), manifest) {
            (Ok(base), Some(manifest)) => {
                let reading = self.host.reading().await?;
                let reading = Reading::new(reading, self.lineage.clone(), manifest.clone());
                match self.pass(number, taken_at, Some((base, Arc::new(reading)))).await {
                    Ok(passed) => return Ok((passed, None)),
                    Err(Ended::BaseLost(e)) if e.is_damage() => WhyFull::Lost(e.to_string()),
                    Err(Ended::BaseLost(e)) => {
                        return Err(blame::read(
                            format!("compare with `{}@{}`", self.lineage.source, manifest.number),
                            e,
                        ));
                    }
                    Err(Ended::Failed(failure)) => return Err(failure),
                }
            }
            (Ok(_), None) => WhyFull::First,
            (Err(why), _) => why,
        };
        self.watch.tell(Told::Step(format!("full backup of {}: {why}", self.request.source)));
        let lost = matches!(why, WhyFull::Lost(_)).then_some(why);
        match self.pass(number, taken_at, None).await {
            Ok(passed) => Ok((passed, lost)),
            Err(Ended::Failed(failure)) => Err(failure),
            Err(Ended::BaseLost(e)) => Err(blame::read("read the source".to_owned(), e)),
        }
    }

    async fn pass(
        &self,
        number: Number,
        taken_at: Timestamp,
        base: Option<(Base, Arc<Reading>)>,
    ) -> Result<Passed, Ended> {
        let id = number.pack_id(0);
        let name = Lineage::pack_name(number, taken_at, self.run.id());
        let key = format!("{}{name}", self.lineage.prefix());
        let (effort, terms) = (self.host.settings().effort, &self.request.terms);
        let (base, answers) = base.map(|(base, reading)| (base, Answers::new(reading))).unzip();
        let incremental = base.is_some();
        let levels = terms.levels.unwrap_or(effort.levels);
        let job = Job::Pack(PackJob { pack: id, levels, workers: effort.workers(), base });
        let spec = spec(self.host, self.run.id(), &self.source.mount, Access::Read);
        let spec = HelperSpec { nice: terms.nice, ..spec };
        // The intent goes first: whatever happens from here on, recovery knows the key.
        self.run.uploading(&key, None)?;
        let what = format!("read source `{}`", self.request.source);
        let mut session = Session::open(self.docker, &spec, &job, what).await?;
        let store_what = || format!("write pack `{key}`");
        let mut upload = match self.store.begin(&key).await {
            Ok(upload) => upload,
            Err(e) => {
                session.kill().await;
                return Err(blame::store(store_what(), e).into());
            }
        };
        let mut listener = Teller { run: self.run, watch: self.watch };
        let ends = Ends { from: &mut *session.helper.from, to: &mut *session.helper.to };
        let pace = Pace::new(self.host.clock(), terms.bytes_per_second);
        let packed = match receive(ends, answers, &mut *upload, pace, &mut listener).await {
            Ok(packed) => packed,
            Err(ReceiveError::Source(e)) => {
                abort(upload).await;
                return Err(session.broke(e).await.into());
            }
            Err(ReceiveError::Store(e)) => {
                session.kill().await;
                abort(upload).await;
                return Err(blame::store(store_what(), e).into());
            }
            Err(ReceiveError::Base(e)) => {
                session.kill().await;
                abort(upload).await;
                return Err(Ended::BaseLost(e));
            }
        };
        if let Err(failure) = session.close().await.and_then(|()| self.not_empty(&packed)) {
            abort(upload).await;
            return Err(failure.into());
        }
        if packed.length == 0 && incremental {
            abort(upload).await;
            return Ok(Passed { pack: None, packed, incremental });
        }
        let length = upload.finish().await.map_err(|e| blame::store(store_what(), e))?;
        if length != packed.length {
            let why = format!("the store has {length} bytes of {}", packed.length);
            return Err(Failure::failed(store_what()).because(why).hint("`backupctl doctor`").into());
        }
        let pack = PackRef {
            id,
            name,
            length,
            hash: packed.hash,
            raw_bytes: packed.raw_bytes,
            used: packed.used.get(&id).copied().unwrap_or_default(),
            footer: packed.footer,
        };
        Ok(Passed { pack: Some(pack), packed, incremental })
    }

    /// An empty source is far more often a wrong mount than a wish.
    fn not_empty(&self, packed: &Packed) -> Result<(), Failure> {
        if packed.totals.entries > 1 || self.request.allow_empty {
            return Ok(());
        }
        Err(Failure::new(Class::Unsafe, format!("source `{}` is empty", self.request.source))
            .hint("if it is meant to be, add `--allow-empty`"))
    }
}

/// Passes on what comes by while a pack is received.
struct Teller<'a> {
    run: &'a Run<'a>,
    watch: &'a dyn Watch,
}

impl Listener for Teller<'_> {
    fn progress(&mut self, progress: archive::channel::Progress) {
        self.run.progress(progress.entries, progress.bytes, &progress.path);
        let archive::channel::Progress { entries, bytes, path } = progress;
        self.watch.tell(Told::Progress(Progress { entries, bytes, of_bytes: None, path }));
    }

    fn opened(&mut self, upload: OpenUpload) {
        // Without the id, recovery still finds the upload by its key.
        if let Err(failure) = self.run.uploading(&upload.key, Some(&upload.id)) {
            tracing::debug!("{failure}");
        }
    }
}

/// Gives up an upload. If even that fails, the run's row names it and recovery aborts it.
async fn abort(upload: Box<dyn Upload>) {
    if let Err(e) = upload.abort().await {
        tracing::debug!("abort upload: {e}");
    }
}
