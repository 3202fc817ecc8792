//! `backupctl unpin`.

use engine::failure::Failure;
use engine::usecase::pins::unpin;
use engine::words::SnapshotName;
use serde_json::json;

use crate::screen::plain;
use crate::session::{Ending, Session};

/// Let a pinned snapshot go when the rule says so
///
/// `backupctl snapshots` lists what is pinned.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl unpin db-data@41")]
pub(crate) struct Args {
    /// `SOURCE@42` or `SOURCE@latest`
    #[arg(value_name = "SNAP")]
    name: SnapshotName,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open_to_write().await?;
    let host = session.having(&host, &args.name).await?;
    let snapshot = unpin(&host, &args.name).await?;
    if session.screen.is_json() {
        session.screen.event("done", json!({ "snapshot": snapshot }));
    } else {
        session.screen.result(&format!("{} is no longer pinned\n", plain::line(&snapshot)))?;
    }
    Ok(Ending::Done)
}
