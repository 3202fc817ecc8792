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
use jiff::Timestamp;
use policies::policy::Reread;

use crate::failure::Failure;
use crate::pipeline::reading::Reading;
use crate::pipeline::spool::Spool;
use crate::usecase::backup::Deed;
use crate::usecase::blame;
use crate::usecase::index::Signed;
use crate::usecase::pass::{Ended, Passed};
use crate::usecase::watch::Told;
use crate::words::Number;

impl Deed<'_> {
    /// Reads once more what changed since the first pass.
    pub(super) async fn read_again(
        &self,
        number: Number,
        taken_at: Timestamp,
        first: Passed,
        parent: Option<&Signed>,
    ) -> Result<Passed, Failure> {
        let incremental = first.incremental;
        let lost = |e| blame::read(format!("compare `{}` with its first pass", self.request.source), e);
        let base = Base {
            entries: first.packed.entries.clone(),
            pages: first.packed.pages.clone(),
            shun: BTreeSet::new(),
            reread: self.request.consistency.reread == Reread::Always,
        };
        let draft = self.draft(number, taken_at, first, parent);
        let reading = Reading::new(self.host.reading().await?, self.lineage.clone(), draft);
        reading.keep_tables().await.map_err(lost)?;
        let pass = self.prepare(number, taken_at, 1, Some((base, Arc::new(reading))))?;
        let place = self.host.spool(self.run.id());
        let spool_bytes = self.host.settings().effort.spool_bytes;
        let spool = Spool::begin(self.host.store().await?, &pass.key, &place, spool_bytes);
        let session = self.helper().await?;
        self.watch.tell(Told::Step(format!("reading what changed in {}", self.request.source)));
        let received = self.receive(pass, session, Box::new(spool)).await;
        let received = received.map_err(|ended| match ended {
            Ended::Failed(failure) => failure,
            Ended::BaseLost(e) => lost(e),
        })?;
        Ok(Passed { incremental, ..self.complete(received).await? })
    }
}
