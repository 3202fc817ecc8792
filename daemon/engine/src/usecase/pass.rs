//! One pass over the source: a helper reads it, what is new becomes a pack in the store.
//!
//! Always true: a pass that is reported has its pack complete in the store, or has none because nothing was new;
//! one that failed has given its upload up. A snapshot before that turns out to be damaged costs the pass, not
//! the backup: the next one leans on nothing.

mod ended;
mod lost;
mod teller;

use std::sync::Arc;

use archive::base::Base;
use archive::channel::{Job, PackJob, Packed};
use archive::scope::Scope;
use jiff::Timestamp;
use policies::policy::{Mode, Reread};

pub(super) use self::ended::{Amid, Ended};
use self::teller::Teller;
use crate::failure::{Class, Failure};
use crate::format::manifest::PackRef;
use crate::format::names::Lineage;
use crate::pipeline::answers::Answers;
use crate::pipeline::pace::Pace;
use crate::pipeline::reading::Reading;
use crate::pipeline::receive::{Answering, Ends, ReceiveError, receive};
use crate::pipeline::streams::Streams;
use crate::port::docker::{Access, HelperSpec};
use crate::port::store::Upload;
use crate::usecase::backup::Deed;
use crate::usecase::base::{WhyFull, base};
use crate::usecase::begun::Begun;
use crate::usecase::blame;
use crate::usecase::freeze::Held;
use crate::usecase::job::{Session, spec};
use crate::usecase::scratch::clear_strays;
use crate::usecase::second::Waiter;
use crate::usecase::watch::Told;
use crate::words::Number;

/// What a pass brought.
#[derive(Clone)]
pub(super) struct Passed {
    /// Every pack that the snapshot needs after it.
    pub(super) packs: Vec<PackRef>,
    /// The helper's trailer.
    pub(super) packed: Packed,
    /// It leans on what was before.
    pub(super) incremental: bool,
    /// How writers were held, if they were.
    pub(super) held: Option<Held>,
}

/// A pass that is about to be made.
pub(super) struct Pass {
    id: u64,
    name: String,
    pub(super) key: String,
    job: Job,
    answers: Option<Answers>,
    /// The packs of what it leans on, if on anything.
    earlier: Option<Vec<PackRef>>,
    /// It may send no faster than its policy says. Nobody is held longer than need be for that.
    paced: bool,
    /// Who waits for a picture of the source, after which nobody need be held.
    pictured: Option<Waiter>,
}

impl Pass {
    /// As fast as can be.
    pub(super) fn at_once(self) -> Self {
        Self { paced: false, ..self }
    }

    /// Tells when a picture of the source was taken.
    pub(super) fn telling(self, pictured: Waiter) -> Self {
        Self { pictured: Some(pictured), ..self }
    }

    fn what(&self) -> String {
        format!("write pack `{}`", self.key)
    }
}

/// A pass whose pack is on its way.
pub(super) struct Received {
    pass: Pass,
    session: Session,
    upload: Box<dyn Upload>,
    packed: Packed,
}

impl Deed<'_> {
    /// Reads the source, leaning on the snapshot before where that can be. Says why not, if that is news.
    pub(super) async fn read(
        &self,
        begun: &Begun,
        scope: Option<&Scope>,
    ) -> Result<(Passed, Option<WhyFull>), Failure> {
        let (number, taken_at) = (begun.number, begun.taken_at);
        let manifest = begun.parent.as_ref().map(|parent| &parent.manifest);
        let base = match &begun.damaged {
            Some(key) if !self.request.full => Err(WhyFull::Lost(format!("`{key}` is damaged"))),
            Some(_) | None => base(manifest, self.request.full, &self.request.terms, taken_at),
        };
        let why = match (self.on_its_packs(base, manifest).await?, manifest) {
            (Ok(base), Some(manifest)) => {
                let base = Base { reread: self.request.consistency.reread == Reread::Always, ..base };
                let reading = self.host.reading().await?;
                let reading = Reading::new(reading, self.lineage.clone(), manifest.clone());
                let base = Some((base, Arc::new(reading)));
                match self.pass(number, taken_at, base, scope).await {
                    Ok(passed) => return Ok((passed, None)),
                    Err(Ended::BaseLost(e)) if e.is_damage() => WhyFull::Lost(e.to_string()),
                    Err(ended) => {
                        let leaning =
                            || format!("compare with `{}@{}`", self.lineage.source, manifest.number);
                        return Err(ended.failure(leaning).await);
                    }
                }
            }
            (Ok(_), None) => WhyFull::First,
            (Err(why), _) => why,
        };
        self.watch.tell(Told::Step(format!("full backup of {}: {why}", self.request.source)));
        let lost = matches!(why, WhyFull::Lost(_)).then_some(why);
        match self.pass(number, taken_at, None, scope).await {
            Ok(passed) => Ok((passed, lost)),
            Err(ended) => Err(ended.failure(|| "read the source".to_owned()).await),
        }
    }

    pub(super) async fn pass(
        &self,
        number: Number,
        taken_at: Timestamp,
        base: Option<(Base, Arc<Reading>)>,
        scope: Option<&Scope>,
    ) -> Result<Passed, Ended> {
        let pass = self.prepare(number, taken_at, 0, base, scope.cloned())?;
        self.make(pass, None).await
    }

    /// Makes a pass for which nobody is held; `streams` are what goes into it beside the source.
    pub(super) async fn make(
        &self,
        pass: Pass,
        streams: Option<Box<dyn Streams + '_>>,
    ) -> Result<Passed, Ended> {
        let session = self.helper(self.request.terms.nice).await?;
        let upload = match self.store.begin(&pass.key).await {
            Ok(upload) => upload,
            Err(e) => {
                session.kill().await;
                return Err(blame::store(pass.what(), e).into());
            }
        };
        let received = self.receive(pass, session, upload, streams).await?;
        Ok(self.complete(received).await?)
    }

    /// What a pass will be. The intent is written down: whatever happens from here on, recovery knows the key.
    pub(super) fn prepare(
        &self,
        number: Number,
        taken_at: Timestamp,
        pass: u8,
        base: Option<(Base, Arc<Reading>)>,
        scope: Option<Scope>,
    ) -> Result<Pass, Failure> {
        let id = number.pack_id(pass);
        let name = Lineage::pack_name(number, taken_at, self.run.id(), pass);
        let key = format!("{}{name}", self.lineage.prefix());
        let effort = self.host.settings().effort;
        let levels = self.request.terms.levels.unwrap_or(effort.levels);
        let earlier = base.as_ref().map(|(_, reading)| reading.manifest().packs.clone());
        let (base, answers) = base.map(|(base, reading)| (base, Answers::new(reading))).unzip();
        let job = Job::Pack(PackJob {
            pack: id,
            levels,
            workers: effort.workers(),
            base,
            scope: scope.map(Box::new),
            between_updates: pass > 0 && self.request.consistency.mode == Mode::Rrd,
        });
        self.run.uploading(&key, None)?;
        Ok(Pass { id, name, key, job, answers, earlier, paced: true, pictured: None })
    }

    /// A helper that waits for its job.
    pub(super) async fn helper(&self, nice: u8) -> Result<Session, Failure> {
        let spec = spec(self.host, self.run.id(), &self.source.mount, Access::Read);
        self.helper_like(HelperSpec { nice, ..spec }).await
    }

    /// A helper that can take a picture of the source; one that cannot, where the engine refuses such a one.
    pub(super) async fn photographer(&self) -> Result<Session, Failure> {
        clear_strays(self.host, self.docker).await;
        let spec = spec(self.host, self.run.id(), &self.source.mount, Access::Read);
        match self.helper_like(HelperSpec { scratch: true, ..spec }).await {
            Ok(session) => Ok(session),
            Err(failure) => {
                tracing::debug!("{failure}");
                self.helper(0).await
            }
        }
    }

    async fn helper_like(&self, spec: HelperSpec) -> Result<Session, Failure> {
        Session::ready(self.docker, &spec, format!("read source `{}`", self.request.source)).await
    }

    /// Has the helper make the pass. Once this is done the source has been read to its last byte, and the pack is in
    /// `upload`, which is not finished.
    pub(super) async fn receive(
        &self,
        mut pass: Pass,
        mut session: Session,
        mut upload: Box<dyn Upload>,
        streams: Option<Box<dyn Streams + '_>>,
    ) -> Result<Received, Ended> {
        if let Err(e) = session.give(&pass.job).await {
            abort(upload).await;
            return Err(session.broke(e).await.into());
        }
        let pictured = pass.pictured.take();
        let mut listener = Teller { run: self.run, watch: self.watch, pictured };
        let ends = Ends { from: &mut *session.helper.from, to: &mut *session.helper.to };
        let bytes_per_second = self.request.terms.bytes_per_second.filter(|_| pass.paced);
        let pace = Pace::new(self.host.clock(), bytes_per_second);
        let answering = Answering { base: pass.answers.take(), streams };
        let packed = match receive(ends, answering, &mut *upload, pace, &mut listener).await {
            Ok(packed) => packed,
            Err(ReceiveError::Source(why)) if why.is_amid_an_update() => {
                return Err(Ended::Amid(Amid { why, session, upload }));
            }
            Err(ReceiveError::Source(e)) => {
                abort(upload).await;
                return Err(session.broke(e).await.into());
            }
            Err(ReceiveError::Store(e)) => {
                session.kill().await;
                abort(upload).await;
                return Err(blame::store(pass.what(), e).into());
            }
            Err(ReceiveError::Base(e)) => {
                session.kill().await;
                abort(upload).await;
                return Err(Ended::BaseLost(e));
            }
            Err(ReceiveError::Stream(failure)) => {
                session.kill().await;
                abort(upload).await;
                return Err(failure.into());
            }
        };
        Ok(Received { pass, session, upload, packed })
    }

    /// Makes the pack appear in the store, if anything was new.
    pub(super) async fn complete(&self, received: Received) -> Result<Passed, Failure> {
        let Received { pass, session, upload, packed } = received;
        if let Err(failure) = session.close().await.and_then(|()| self.not_empty(&packed)) {
            abort(upload).await;
            return Err(failure);
        }
        if let Some(why) = &packed.unsynced {
            let source = &self.request.source;
            self.warn(format!(
                "the file system of `{source}` cannot write out what it has in memory ({why}): its files were all read, \
                 and will be again"
            ));
        }
        let incremental = pass.earlier.is_some();
        let own = if packed.length == 0 && incremental {
            abort(upload).await;
            None
        } else {
            let length = upload.finish().await.map_err(|e| blame::store(pass.what(), e))?;
            if length != packed.length {
                let why = format!("the store has {length} bytes of {}", packed.length);
                return Err(Failure::failed(pass.what()).because(why).hint("`backupctl doctor`"));
            }
            let own_bytes = packed.used.get(&pass.id).copied().unwrap_or_default();
            Some(PackRef {
                id: pass.id,
                name: pass.name,
                length,
                hash: packed.hash,
                raw_bytes: packed.raw_bytes,
                used: own_bytes,
                content_bytes: own_bytes,
                footer: packed.footer,
            })
        };
        let packs = self.packs(&packed, pass.earlier.unwrap_or_default(), own)?;
        Ok(Passed { packs, packed, incremental, held: None })
    }

    /// All packs that the snapshot needs: those before that it still uses, and its own.
    fn packs(
        &self,
        packed: &Packed,
        earlier: Vec<PackRef>,
        own: Option<PackRef>,
    ) -> Result<Vec<PackRef>, Failure> {
        let used = &packed.used;
        let needed = |pack: PackRef| used.get(&pack.id).map(|used| PackRef { used: *used, ..pack });
        let packs: Vec<PackRef> = earlier.into_iter().filter_map(needed).chain(own).collect();
        match used.keys().find(|id| !packs.iter().any(|pack| pack.id == **id)) {
            None => Ok(packs),
            Some(id) => Err(Failure::failed(format!("read source `{}`", self.request.source))
                .because(format!("the helper leans on pack {id}, which the snapshot before does not have"))
                .hint(format!("`backupctl backup {} --full`", self.request.source))),
        }
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

/// Gives up an upload. If even that fails, the run's row names it and recovery aborts it.
async fn abort(upload: Box<dyn Upload>) {
    if let Err(e) = upload.abort().await {
        tracing::debug!("abort upload: {e}");
    }
}
