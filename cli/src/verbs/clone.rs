//! `backupctl clone`: a copy of a source beside it, to look at or to try something on.
//!
//! Always true: it is a restore into a new volume, with the same plan, checks and report.

use engine::failure::Failure;
use engine::words::SourceName;

use super::restore;
use crate::session::{Ending, Session};

/// Make a test copy of a source: its newest snapshot in a new volume
///
/// The source is neither read nor stopped. To copy how it is now, back it up first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl clone db-data db-data-test
  backupctl clone db-data db-data-monday --at 3d --yes")]
pub(crate) struct Args {
    /// A volume, or `CONTAINER:/MOUNT/POINT`
    source: SourceName,

    /// The new volume; it must not exist
    new: String,

    /// The newest snapshot taken at or before T: `2026-11-20 14:00`, `2026-11-20`, `yesterday`, `14:00`, `2h ago`, `3d`
    #[arg(long, value_name = "T")]
    at: Option<String>,

    /// Print the plan and end
    #[arg(long)]
    dry_run: bool,

    /// Agree to the plan beforehand
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let Args { source, new, at, dry_run, yes } = args;
    let restore = restore::Args::into_new(source.clone(), new.clone(), at.clone());
    restore::run(&restore.agreed(*dry_run, *yes), session).await
}
