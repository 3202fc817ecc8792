//! What people can ask for, one verb a file: the arguments first, then what is done with them.

mod acknowledge;
mod backup;
mod cancel;
mod cat;
mod catalog;
mod clone;
mod completions;
mod delete;
mod demo;
mod diff;
mod doctor;
mod drill;
mod entry;
mod explain;
mod export;
mod find;
mod import;
mod ls;
mod man;
mod meant;
mod pin;
mod policy;
mod prune;
mod restore;
mod retention;
mod rule;
mod runs;
mod schedule;
mod show;
mod snapshots;
mod status;
mod thaw;
mod undelete;
mod undo_restore;
mod unpin;
mod values;
mod verify;
mod volumes;

use clap::Subcommand;
use engine::failure::Failure;

use crate::session::{Ending, Session};

/// The verbs, in the order in which people meet them.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Demo(demo::Args),
    Doctor(doctor::Args),
    Status(status::Args),
    Volumes(volumes::Args),
    Backup(backup::Args),
    Snapshots(snapshots::Args),
    Restore(restore::Args),
    UndoRestore(undo_restore::Args),
    Clone(clone::Args),
    Show(show::Args),
    Ls(ls::Args),
    Cat(cat::Args),
    Find(find::Args),
    Diff(diff::Args),
    Export(export::Args),
    Import(import::Args),
    Verify(verify::Args),
    Drill(drill::Args),
    Delete(delete::Args),
    Undelete(undelete::Args),
    Retention(retention::Args),
    Prune(prune::Args),
    Pin(pin::Args),
    Unpin(unpin::Args),
    Acknowledge(acknowledge::Args),
    Policy(policy::Args),
    Schedule(schedule::Args),
    Runs(runs::Args),
    Cancel(cancel::Args),
    Thaw(thaw::Args),
    Catalog(catalog::Args),
    Explain(explain::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Verb {
    /// Does it.
    pub(crate) async fn run(&self, session: &Session) -> Result<Ending, Failure> {
        match self {
            Self::Demo(args) => Box::pin(demo::run(args, session)).await,
            Self::Doctor(args) => Box::pin(doctor::run(args, session)).await,
            Self::Backup(args) => Box::pin(backup::run(args, session)).await,
            Self::Snapshots(args) => Box::pin(snapshots::run(args, session)).await,
            Self::Restore(args) => Box::pin(restore::run(args, session)).await,
            Self::UndoRestore(args) => Box::pin(undo_restore::run(args, session)).await,
            Self::Clone(args) => Box::pin(clone::run(args, session)).await,
            Self::Show(args) => Box::pin(show::run(args, session)).await,
            Self::Ls(args) => Box::pin(ls::run(args, session)).await,
            Self::Cat(args) => Box::pin(cat::run(args, session)).await,
            Self::Find(args) => Box::pin(find::run(args, session)).await,
            Self::Diff(args) => Box::pin(diff::run(args, session)).await,
            Self::Export(args) => Box::pin(export::run(args, session)).await,
            Self::Import(args) => Box::pin(import::run(args, session)).await,
            Self::Verify(args) => Box::pin(verify::run(args, session)).await,
            Self::Drill(args) => Box::pin(drill::run(args, session)).await,
            Self::Delete(args) => Box::pin(delete::run(args, session)).await,
            Self::Undelete(args) => Box::pin(undelete::run(args, session)).await,
            Self::Retention(args) => Box::pin(retention::run(args, session)).await,
            Self::Prune(args) => Box::pin(prune::run(args, session)).await,
            Self::Pin(args) => Box::pin(pin::run(args, session)).await,
            Self::Unpin(args) => Box::pin(unpin::run(args, session)).await,
            Self::Acknowledge(args) => Box::pin(acknowledge::run(args, session)).await,
            Self::Status(args) => Box::pin(status::run(args, session)).await,
            Self::Volumes(args) => Box::pin(volumes::run(args, session)).await,
            Self::Policy(args) => Box::pin(policy::run(args, session)).await,
            Self::Schedule(args) => schedule::run(args, session),
            Self::Runs(args) => Box::pin(runs::run(args, session)).await,
            Self::Cancel(args) => Box::pin(cancel::run(args, session)).await,
            Self::Thaw(args) => Box::pin(thaw::run(args, session)).await,
            Self::Catalog(args) => Box::pin(catalog::run(args, session)).await,
            Self::Explain(args) => explain::run(args, session),
            Self::Completions(args) => Box::pin(completions::run(args, session)).await,
            Self::Man(args) => man::run(args, session),
        }
    }
}
