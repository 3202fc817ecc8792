//! The second pass of a backup, on top of the first: what changed while that one read.
//!
//! The first pass may take hours, and whoever writes goes on meanwhile; the second reads little, so writers can be held
//! for it. Its base is the first pass as a snapshot that was never committed, whose tables are fetched beforehand. Its
//! pack waits in a file: the source is free when its last byte was read, not when the store has it. On file systems that
//! clone files it is free as soon as a picture was taken (`archive` does that), and is read from that.
//!
//! Always true: what was written after the first pass had begun is read again, or the file's times would have shown it
//! (`archive` marks what is too young to tell); and without something new there is no second pack.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use archive::base::Base;
use archive::scope::Scope;
use futures_util::future::{BoxFuture, Either, select};
use jiff::Timestamp;
use policies::policy::Reread;
use tokio::sync::oneshot;

use crate::failure::Failure;
use crate::pipeline::reading::Reading;
use crate::pipeline::spool::{Hold, Spool};
use crate::usecase::backup::Deed;
use crate::usecase::blame;
use crate::usecase::freeze::Held;
use crate::usecase::index::Signed;
use crate::usecase::job::Session;
use crate::usecase::moments::Moments;
use crate::usecase::pass::{Amid, Ended, Pass, Passed, Received};
use crate::usecase::recipe::{Recipe, Second};
use crate::usecase::watch::Told;
use crate::words::Number;

/// How far a second pass is when those who are held for it may go on.
pub(super) enum Sofar<'a> {
    /// All was read.
    Read(Box<Received>),
    /// A picture was taken, which is being read.
    Pictured(BoxFuture<'a, Result<Received, Ended>>),
    /// Nothing of it is worth anything: somebody was held in the middle of an update. Another moment is another chance.
    Amid(Amid),
}

/// What a second pass stands on: the first one, as a snapshot that was never committed.
pub(super) struct Ground {
    number: Number,
    taken_at: Timestamp,
    base: Base,
    reading: Arc<Reading>,
    clones: bool,
}

/// Who is told that nobody need be held any more.
pub(super) struct Waiter {
    pub(super) tell: oneshot::Sender<()>,
    pub(super) hold: Arc<Hold>,
}

/// A second pass whose helper waits for its job.
pub(super) struct Waiting {
    pass: Pass,
    session: Session,
    spool: Spool,
    hold: Arc<Hold>,
}

impl Waiting {
    /// It is not wanted.
    pub(super) async fn give_up(self) {
        self.session.kill().await;
    }
}

impl Deed<'_> {
    /// Reads once more what changed since the first pass, as the recipe says, and ends the recipe.
    pub(super) async fn read_again(
        &self,
        number: Number,
        taken_at: Timestamp,
        first: Passed,
        parent: Option<&Signed>,
        recipe: &mut dyn Recipe,
    ) -> Result<Passed, Failure> {
        let how = match recipe.second() {
            Second::Held(how) => how,
            Second::Not => {
                recipe.end(self).await?;
                self.nobody_else(std::slice::from_ref(self.source), &[]).await?;
                return Ok(Passed {
                    held: Some(Held { consistency: recipe.consistency(), millis: 0 }),
                    ..first
                });
            }
            Second::Part => return self.read_part(number, taken_at, first, parent, recipe).await,
        };
        if !self.is_written().await? {
            return Ok(first);
        }
        let incremental = first.incremental;
        let ground = self.ground(number, taken_at, first.clone(), parent).await?;
        let mut moments = Moments::default();
        let (sofar, held) = loop {
            let waiting = self.wait_to_read_again(&ground).await?;
            let Some(freeze) = self.freeze(how.clone(), recipe).await? else {
                // Nobody could be held, so a second look is worth no more than the first.
                waiting.give_up().await;
                return Ok(first);
            };
            let read = self.read_waiting(waiting);
            let (sofar, held) = self.frozen(freeze, recipe, Box::pin(read)).await?;
            moments.count(Duration::from_millis(held.millis));
            let Sofar::Amid(amid) = sofar else { break (sofar, held) };
            let why = amid.clear().await;
            let Some(alone) = moments.next(self.request.consistency.max_freeze) else {
                return Err(why.within(&format!("hold writers between two updates, {} times", moments.tried)));
            };
            self.watch.tell(Told::Step(format!("trying another moment: {why}")));
            self.host.clock().sleep(alone).await;
        };
        let held = Held { millis: u64::try_from(moments.held.as_millis()).unwrap_or(u64::MAX), ..held };
        let received = self.rest(sofar).await?;
        let passed = Passed { incremental, held: Some(held), ..self.complete(received).await? };
        recipe.end(self).await?;
        Ok(passed)
    }

    /// Makes everything ready for a second pass that reads while somebody is held.
    pub(super) async fn wait_to_read_again(&self, ground: &Ground) -> Result<Waiting, Failure> {
        let pass = self.prepare_second(ground, None)?.at_once();
        let place = self.host.spool(self.run.id());
        let spool_bytes = self.host.settings().effort.spool_bytes;
        let hold = Arc::new(Hold::default());
        let spool = Spool::begin(self.host.store().await?, &pass.key, &place, spool_bytes, Arc::clone(&hold));
        let session = if ground.clones { self.photographer().await? } else { self.helper(0).await? };
        Ok(Waiting { pass, session, spool, hold })
    }

    /// Has it read, until those who are held may go on. Its pack is not in the store yet.
    pub(super) async fn read_waiting(&self, waiting: Waiting) -> Result<Sofar<'_>, Failure> {
        let Waiting { pass, session, spool, hold } = waiting;
        let (tell, pictured) = oneshot::channel();
        let pass = pass.telling(Waiter { tell, hold: Arc::clone(&hold) });
        let read: BoxFuture<'_, _> =
            Box::pin(async move { self.receive(pass, session, Box::new(spool), None).await });
        let read = match select(read, pictured).await {
            Either::Left((read, _)) => read,
            Either::Right((Ok(()), reading)) => return Ok(Sofar::Pictured(reading)),
            // It ended without one.
            Either::Right((Err(_gone), reading)) => reading.await,
        };
        match read {
            Ok(received) => Ok(Sofar::Read(Box::new(received))),
            Err(Ended::Amid(amid)) => Ok(Sofar::Amid(amid)),
            Err(_full) if hold.was_too_much() => Err(self.too_much()),
            Err(ended) => Err(ended.failure(|| self.comparing()).await),
        }
    }

    /// More was read than may be kept, and nobody is held for as long as an upload takes.
    fn too_much(&self) -> Failure {
        let spool = self.host.settings().effort.spool_bytes;
        Failure::failed(format!("read `{}` while its writers are held", self.request.source))
            .because(format!(
                "what had changed since its first pass did not fit into the {} MiB of `spool`, or onto the disk that \
                 holds the state folder",
                spool >> 20
            ))
            .hint(
                "raise `spool` in backupd.toml, and make room for it (`df -h`); or back it up when less is written; \
                 nothing was committed",
            )
    }

    /// Reads what is left to be read when nobody is held any more.
    pub(super) async fn rest(&self, sofar: Sofar<'_>) -> Result<Received, Failure> {
        match sofar {
            Sofar::Read(received) => Ok(*received),
            Sofar::Pictured(reading) => {
                let source = &self.request.source;
                self.watch
                    .tell(Told::Step(format!("nobody is held any more; reading a picture of {source}")));
                match reading.await {
                    Ok(received) => Ok(received),
                    Err(ended) => Err(ended.failure(|| self.comparing()).await),
                }
            }
            Sofar::Amid(amid) => Err(amid.clear().await),
        }
    }

    /// All that can be had before anybody is held for it.
    pub(super) async fn ground(
        &self,
        number: Number,
        taken_at: Timestamp,
        first: Passed,
        parent: Option<&Signed>,
    ) -> Result<Ground, Failure> {
        let clones = first.packed.clones;
        let base = Base {
            entries: first.packed.entries.clone(),
            pages: first.packed.pages.clone(),
            shun: BTreeSet::new(),
            reread: self.request.consistency.reread == Reread::Always,
        };
        let draft = self.draft(number, taken_at, first, parent);
        let reading = Reading::new(self.host.reading().await?, self.lineage.clone(), draft);
        reading.keep_tables().await.map_err(|e| blame::read(self.comparing(), e))?;
        Ok(Ground { number, taken_at, base, reading: Arc::new(reading), clones })
    }

    /// A second pass over all of the source, or over a part of it.
    pub(super) fn prepare_second(&self, ground: &Ground, scope: Option<Scope>) -> Result<Pass, Failure> {
        let leaning = (ground.base.clone(), Arc::clone(&ground.reading));
        self.prepare(ground.number, ground.taken_at, 1, Some(leaning), scope)
    }

    pub(super) fn comparing(&self) -> String {
        format!("compare `{}` with its first pass", self.request.source)
    }
}
