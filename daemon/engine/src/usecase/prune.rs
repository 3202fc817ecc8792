//! Carries out a retention plan: what it deletes is deleted softly, what it purges goes for good.
//!
//! Always true: nothing happens that the printed plan does not say. Under the lock the plan is made again, and only
//! what both say is done; right before each delete it is asked once more, and right after it for a pin, so that one
//! that was set meanwhile holds; and before each purge the store lists whose packs are needed. A crash at any step
//! leaves what a deletion by hand leaves, and the next prune goes on.

use policies::retention::Decision;
use serde::Serialize;

use crate::catalog::Verb;
use crate::failure::{Class, Failure};
use crate::format::names::Lineage;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::index;
use crate::usecase::opened::snapshot_id;
use crate::usecase::removal::{Needs, Removal, Stuck};
use crate::usecase::retention::{Retention, look, plan_known};
use crate::usecase::run::Run;
use crate::usecase::watch::{Told, Watch};
use crate::words::{Number, SourceName};

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Of which source.
    pub source: SourceName,
    /// Deleted; can be undeleted.
    pub deleted: Vec<String>,
    /// Gone for good.
    pub purged: Vec<String>,
    /// Bytes that became free.
    pub freed_bytes: u64,
    /// Planned, and the store does not allow it now.
    pub pending: Vec<String>,
    /// Planned, and no longer right when its turn came.
    pub spared: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A step of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Delete(Number),
    Purge(Number),
}

/// What became of a step that was taken.
enum Taken {
    Deleted,
    /// It was pinned in the same moment, and is back.
    Back,
    /// With so many bytes.
    Freed(u64),
}

/// Does what `planned` says, and nothing else.
pub async fn prune(host: &Host, planned: &Retention, watch: &dyn Watch) -> Result<Pruned, Failure> {
    let lineage = Lineage { host: host.settings().host.clone(), source: planned.source.clone() };
    let run = Run::begin(host, Verb::Prune, &lineage)?;
    let deed = Deed { host, lineage: &lineage, planned, run: &run, watch };
    let done = deed.carry_out().await;
    run.end(done)
}

struct Deed<'a> {
    host: &'a Host,
    lineage: &'a Lineage,
    planned: &'a Retention,
    run: &'a Run<'a>,
    watch: &'a dyn Watch,
}

impl Deed<'_> {
    async fn carry_out(&self) -> Result<Pruned, Failure> {
        let (host, lineage) = (self.host, self.lineage);
        self.run.working(None)?;
        let store = host.store().await?;
        if let Some(owner) = index::owner(&*store, &lineage.host).await? {
            host.allowed_by(&owner)?;
        }
        let Retention { keep, zone, source, plan, .. } = self.planned;
        let warnings = look(host, lineage, keep, zone).await?.warnings;
        let mut pruned = Pruned {
            source: source.clone(),
            deleted: Vec::new(),
            purged: Vec::new(),
            freed_bytes: 0,
            pending: Vec::new(),
            spared: Vec::new(),
            warnings,
        };
        // The oldest first: whatever ends it early, what is newest stays longest.
        let steps = plan.all.iter().rev().filter_map(|decided| match decided.decision {
            Decision::Delete(_) => Number::new(decided.number).map(Step::Delete),
            Decision::Purge { .. } => Number::new(decided.number).map(Step::Purge),
            Decision::Keep(_) | Decision::Held(_) => None,
        });
        let removal = Removal { host, store: &*store, lineage };
        let mut needs = Needs::of(host, &*store, lineage).await?;
        for step in steps {
            self.still_wanted()?;
            self.step(&removal, &mut needs, step, &mut pruned).await?;
        }
        let (name, now) = (store.name(), host.clock().now());
        let noted = host.catalog().note_pruned(&name, lineage, now);
        noted.map_err(|e| catalog_failure(format!("note that `{source}` was pruned"), e))?;
        Ok(pruned)
    }

    async fn step(
        &self,
        removal: &Removal<'_>,
        needs: &mut Needs,
        step: Step,
        pruned: &mut Pruned,
    ) -> Result<(), Failure> {
        let (Step::Delete(number) | Step::Purge(number)) = step;
        let id = snapshot_id(self.host, self.lineage, number);
        let Retention { keep, zone, .. } = self.planned;
        let now = plan_known(self.host, self.lineage, keep, zone).await?;
        let still = match step {
            Step::Delete(number) => now.deletes().any(|still| still == number.get()),
            Step::Purge(number) => now.purges().any(|still| still == number.get()),
        };
        if !still {
            pruned.spared.push(id);
            return Ok(());
        }
        if !pruned.pending.is_empty() {
            // Who refuses one delete refuses the others, and each try would leave a tombstone.
            pruned.pending.push(id);
            return Ok(());
        }
        match self.one(removal, needs, step, &id).await {
            Ok(Taken::Deleted) => pruned.deleted.push(id),
            Ok(Taken::Back) => pruned.spared.push(id),
            Ok(Taken::Freed(freed)) => {
                pruned.freed_bytes += freed;
                pruned.purged.push(id);
            }
            Err(Stuck::Denied(failure)) => {
                pruned.pending.push(id);
                pruned.warnings.push(format!("the store allows no deletes now: {failure}"));
            }
            Err(Stuck::Failed(failure)) => return Err(failure),
        }
        Ok(())
    }

    async fn one(
        &self,
        removal: &Removal<'_>,
        needs: &mut Needs,
        step: Step,
        id: &str,
    ) -> Result<Taken, Stuck> {
        match step {
            Step::Delete(number) => {
                self.watch.tell(Told::Step(format!("deleting {id}")));
                let signed = needs.manifest(removal, number, false).await?;
                removal.soften(&signed).await?;
                // Whoever pinned it after it was asked for still saw it there, and was told that it stays.
                if !self.is_pinned(number).await? {
                    return Ok(Taken::Deleted);
                }
                removal.bring_back(&signed).await?;
                Ok(Taken::Back)
            }
            Step::Purge(number) => {
                self.watch.tell(Told::Step(format!("removing {id} for good")));
                let signed = needs.manifest(removal, number, true).await?;
                removal.purge(&signed, needs).await.map(Taken::Freed)
            }
        }
    }

    async fn is_pinned(&self, number: Number) -> Result<bool, Failure> {
        let key = self.host.snapshot_key(self.lineage, number).await?;
        let pins = self.host.catalog().pins(&key.store);
        let pins = pins.map_err(|e| catalog_failure(format!("look for a pin of `{key}`"), e))?;
        Ok(pins.iter().any(|pin| pin.key == key))
    }

    /// Between two deletes is the place to stop.
    fn still_wanted(&self) -> Result<(), Failure> {
        let asked = self.host.catalog().is_cancel_requested(self.run.id());
        // A catalog that is busy now is asked again before the next.
        if !self.watch.cancel().is_asked() && !matches!(asked, Ok(true)) {
            return Ok(());
        }
        let what = format!("prune of `{}` was interrupted", self.planned.source);
        Err(Failure::new(Class::Interrupted, what)
            .hint("what was deleted can be undeleted; prune again to go on"))
    }
}
