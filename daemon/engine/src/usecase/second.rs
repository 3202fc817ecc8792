//! The second pass of a backup, on top of the first: what changed while that one read.
//!
//! The first pass may take hours, and whoever writes goes on meanwhile; the second reads little, so writers can be held
//! for it. Its base is the first pass as a snapshot that was never committed, whose tables are fetched beforehand. Its
//! pack waits in a file: the source is free when its last byte was read, not when the store has it.
//!
//! Always true: what was written after the first pass had begun is read again, or the file's times would have shown it
//! (`archive` marks what is too young to tell); and without something new there is no second pack.

use std::collections::BTreeSet;
use std::sync::Arc;

use archive::base::Base;
use archive::scope::Scope;
use jiff::Timestamp;
use policies::policy::Reread;

use crate::failure::Failure;
use crate::pipeline::reading::Reading;
use crate::pipeline::spool::Spool;
use crate::usecase::backup::Deed;
use crate::usecase::blame;
use crate::usecase::freeze::Held;
use crate::usecase::index::Signed;
use crate::usecase::job::Session;
use crate::usecase::pass::{Ended, Pass, Passed, Received};
use crate::usecase::recipe::{Recipe, Second};
use crate::words::Number;

/// A second pass whose helper waits for its job.
pub(super) struct Waiting {
    pass: Pass,
    session: Session,
    spool: Spool,
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
        let waiting = self.wait_to_read_again(number, taken_at, first.clone(), parent).await?;
        let Some(freeze) = self.freeze(how, recipe).await? else {
            // Nobody could be held, so a second look is worth no more than the first.
            waiting.give_up().await;
            return Ok(first);
        };
        let read = self.read_waiting(waiting);
        let (received, held) = self.frozen(freeze, recipe, Box::pin(read)).await?;
        let passed = Passed { incremental, held: Some(held), ..self.complete(received).await? };
        recipe.end(self).await?;
        Ok(passed)
    }

    /// Makes everything ready for a second pass that reads while somebody is held.
    pub(super) async fn wait_to_read_again(
        &self,
        number: Number,
        taken_at: Timestamp,
        first: Passed,
        parent: Option<&Signed>,
    ) -> Result<Waiting, Failure> {
        let pass = self.prepare_second(number, taken_at, first, parent, None).await?.at_once();
        let place = self.host.spool(self.run.id());
        let spool_bytes = self.host.settings().effort.spool_bytes;
        let spool = Spool::begin(self.host.store().await?, &pass.key, &place, spool_bytes);
        Ok(Waiting { pass, session: self.helper(0).await?, spool })
    }

    /// Has it read. Its pack is not in the store yet.
    pub(super) async fn read_waiting(&self, waiting: Waiting) -> Result<Received, Failure> {
        let Waiting { pass, session, spool } = waiting;
        self.receive(pass, session, Box::new(spool), None).await.map_err(|ended| match ended {
            Ended::Failed(failure) => failure,
            Ended::BaseLost(e) => blame::read(self.comparing(), e),
        })
    }

    /// All that can be had before anybody is held for it.
    pub(super) async fn prepare_second(
        &self,
        number: Number,
        taken_at: Timestamp,
        first: Passed,
        parent: Option<&Signed>,
        scope: Option<Scope>,
    ) -> Result<Pass, Failure> {
        let base = Base {
            entries: first.packed.entries.clone(),
            pages: first.packed.pages.clone(),
            shun: BTreeSet::new(),
            reread: self.request.consistency.reread == Reread::Always,
        };
        let draft = self.draft(number, taken_at, first, parent);
        let reading = Reading::new(self.host.reading().await?, self.lineage.clone(), draft);
        reading.keep_tables().await.map_err(|e| blame::read(self.comparing(), e))?;
        self.prepare(number, taken_at, 1, Some((base, Arc::new(reading))), scope)
    }

    pub(super) fn comparing(&self) -> String {
        format!("compare `{}` with its first pass", self.request.source)
    }
}
