//! Recipes: what a mode does around the passes of a backup, so that the files of a snapshot are of one moment.
//!
//! ```text
//! choose → begin → first pass ─┬─ second pass while containers are held: claim → quiesce → hold → pass → let go → release
//!                              ├─ second pass over the part that the first one left, while everybody goes on; or over
//!                              │  nothing but what programs say meanwhile
//!                              └─ no second pass: what began before the first one held all the time
//!        → end → commit
//! ```
//!
//! Always true: a recipe that cannot be carried out is refused before anything is read; one that is dropped undoes itself,
//! because its sessions end with it, and what outlives a session was noted in the catalog before it was done, from
//! where whoever comes next undoes it (`usecase/thaw.rs`). So an error, an interruption and a SIGKILL need nothing here.
//! A recipe for a database never becomes a plain copy of its live files.

mod client;
mod dump;
mod held;
pub(in crate::usecase) mod hooks;
mod mysql;
mod place;
mod postgres;
pub(in crate::usecase) mod redis;
mod rrd;

use archive::scope::Scope;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use policies::policy::Mode;

use crate::catalog::How;
use crate::failure::Failure;
use crate::format::manifest::Consistency;
use crate::pipeline::streams::Streams;
use crate::port::docker::Container;
use crate::usecase::backup::Deed;
use crate::usecase::freeze::writers;
use crate::usecase::guest::Guest;
use crate::usecase::pass::Passed;
use crate::usecase::source::User;

/// How the second pass is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::usecase) enum Second {
    /// There is none: files were fit to be read from the first pass on.
    Not,
    /// While containers are held in this way.
    Held(How),
    /// Over a part of the source, while everybody goes on: [`Recipe::part`] says which.
    Part,
}

/// What a mode does around the passes of one backup. It lives as long as the backup reads.
#[async_trait]
pub(in crate::usecase) trait Recipe: Send {
    /// Before anything is read: whether it can be done at all, and what must last through all passes.
    async fn begin(&mut self, deed: &Deed<'_>) -> Result<(), Failure>;

    /// Which part of the source the first pass is about; all of it if `None`.
    fn first(&self) -> Option<Scope> {
        None
    }

    /// How the second pass is made; asked after the first.
    fn second(&self) -> Second;

    /// The part of the source that a second pass is about for which nobody is held.
    async fn part(&mut self, _deed: &Deed<'_>) -> Result<Scope, Failure> {
        Ok(Scope::default())
    }

    /// What goes into that second pass beside the source, if its scope plants streams.
    fn streams<'a>(&self, _deed: &'a Deed<'_>) -> Option<Box<dyn Streams + 'a>> {
        None
    }

    /// Has a pass read for which nobody is held, and looks after what must last meanwhile.
    async fn beside(
        &mut self,
        _deed: &Deed<'_>,
        read: BoxFuture<'_, Result<Passed, Failure>>,
    ) -> Result<Passed, Failure> {
        read.await
    }

    /// Whether a container that is up is among those that are held. All who may write, if nothing else is said.
    fn holds(&self, user: &User) -> bool {
        user.writable
    }

    /// Right before these containers are held. They were claimed, so no other backup holds them, and the time that this
    /// takes counts as held. Not asked where there is nobody to hold.
    async fn quiesce(&mut self, _deed: &Deed<'_>, _held: &[Container]) -> Result<(), Failure> {
        Ok(())
    }

    /// Once they run again: undoes [`Recipe::quiesce`]. Fails if what that did has not lasted, which voids what was read.
    async fn release(&mut self, _deed: &Deed<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// After the last pass: undoes [`Recipe::begin`]. Fails if what that did has not lasted, which voids what was read.
    async fn end(&mut self, _deed: &Deed<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// What the snapshot may be called, if all of it went well.
    fn consistency(&self) -> Consistency;

    /// Where containers cannot be held, a policy may be content with a live copy.
    fn may_be_live(&self) -> bool {
        false
    }
}

impl Deed<'_> {
    /// The recipe of the run, begun; `None` if there is nothing to do around its one pass. Refuses what cannot be had.
    pub(in crate::usecase) async fn recipe(&self) -> Result<Option<Box<dyn Recipe>>, Failure> {
        let consistency = &self.request.consistency;
        let mode = consistency.mode;
        let mut recipe: Box<dyn Recipe> = match mode {
            Mode::Live => return Ok(None),
            // Somebody may begin to write until the second pass, so these look again.
            Mode::Pause => Box::new(held::Held::by(How::Pause)),
            Mode::Stop => Box::new(held::Held::by(How::Stop)),
            // A program is asked, whoever writes to the source.
            Mode::Dump => Box::new(dump::Dumps::new(self)?),
            // Files that nobody writes are of one moment in any mode.
            Mode::Hooks | Mode::Postgres | Mode::Mysql | Mode::Redis | Mode::Rrd
                if writers(self.source).is_empty() =>
            {
                return Ok(None);
            }
            Mode::Hooks => Box::new(hooks::Hooks::new(self.place()?, consistency)),
            Mode::Mysql => Box::new(mysql::Mysql::new(self.place()?)),
            Mode::Redis => Box::new(redis::Redis::new(self.place()?)),
            Mode::Rrd => Box::new(rrd::Rrd),
            Mode::Postgres => Box::<postgres::Postgres>::default(),
        };
        match recipe.begin(self).await {
            Ok(()) => Ok(Some(recipe)),
            Err(failure) if recipe.may_be_live() => self.or_live(&failure.to_string()).map(|()| None),
            Err(failure) => Err(failure),
        }
    }

    /// A container whose programs can be asked.
    pub(in crate::usecase) fn guest(&self, container: &Container) -> Guest<'_> {
        Guest::new(self.docker, self.host.clock(), container)
    }

    fn place(&self) -> Result<place::Place, Failure> {
        place::find(self.source, &self.request.source, self.request.consistency.mode)
    }
}
