//! `backupctl pin`.

use engine::failure::Failure;
use engine::usecase::pins::pin;
use engine::words::SnapshotName;
use serde_json::json;

use crate::screen::plain;
use crate::session::{Ending, Session};

/// Keep a snapshot, whatever the rule says
///
/// It stays until `backupctl unpin`. Pins are this host's: they are lost with its catalog, and a rebuild does not
/// bring them back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl pin db-data@41 --note 'before the upgrade'
  backupctl pin db-data@latest")]
pub(crate) struct Args {
    /// `SOURCE@42` or `SOURCE@latest`
    #[arg(value_name = "SNAP")]
    name: SnapshotName,

    /// Why, for those who wonder later
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open_to_write().await?;
    let host = session.having(&host, &args.name).await?;
    let snapshot = pin(&host, &args.name, &args.note).await?;
    if session.screen.is_json() {
        session.screen.event("done", json!({ "snapshot": snapshot }));
    } else {
        session.screen.result(&format!("{} is pinned\n", plain::line(&snapshot)))?;
    }
    Ok(Ending::Done)
}
