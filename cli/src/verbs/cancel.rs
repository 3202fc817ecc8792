//! `backupctl cancel`.

use engine::failure::Failure;
use engine::usecase::runs::cancel;
use engine::words::RunId;
use serde_json::json;

use crate::session::{Ending, Session};

/// Ask a run to stop
///
/// It cleans up and ends as interrupted; `backupctl runs` shows when it has.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl cancel 00112233445566aa")]
pub(crate) struct Args {
    /// As `backupctl runs` prints it
    #[arg(value_name = "RUN")]
    run: RunId,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    cancel(&host, &args.run)?;
    if session.screen.is_json() {
        session.screen.event("done", json!({ "run": args.run }));
    } else {
        session.screen.result(&format!("asked run {} to stop\n", args.run))?;
    }
    Ok(Ending::Done)
}
