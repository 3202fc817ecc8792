//! `backupctl undelete`.

use engine::failure::Failure;
use engine::usecase::delete::undelete;
use engine::usecase::stores::Standing;
use engine::words::SnapshotName;
use serde_json::json;

use crate::session::{Ending, Session};

/// Bring a deleted snapshot back
///
/// Works until its objects were purged. `backupctl snapshots --deleted` lists what can be brought back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl undelete db-data@41")]
pub(crate) struct Args {
    /// `SOURCE@42`, with `HOST/` in front for another host
    #[arg(value_name = "SNAP")]
    name: SnapshotName,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open_to_write().await?;
    let host = session.stores(&host)?.having(&args.name, Standing::Deleted).await?;
    undelete(&host, &args.name).await?;
    if session.screen.is_json() {
        session.screen.event("done", json!({ "snapshot": args.name.to_string() }));
    } else {
        session.screen.result(&format!("{} is back\n", args.name))?;
    }
    Ok(Ending::Done)
}
