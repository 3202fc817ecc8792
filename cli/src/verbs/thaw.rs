//! `backupctl thaw`.

use engine::failure::{Class, Failure};
use engine::usecase::thaw::thaw;
use serde_json::json;

use crate::session::{Ending, Session};

/// Make run again what a backup that died had paused or stopped
///
/// The hook `after` that it owed is run, and a server gets a changed setting back. Everything that changes something does
/// this first, and so does `backupd` when it starts and when it ends. Containers that a running backup holds are its
/// own, and what was down before stays down.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl thaw")]
pub(crate) struct Args {}

pub(crate) async fn run(_args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    let thawed = thaw(&host).await?;
    if session.screen.is_json() {
        session.screen.event("done", json!({ "thawed": thawed.said, "left": thawed.left }));
    } else {
        let said: String = thawed.said.iter().map(|line| format!("{line}\n")).collect();
        session.screen.result(&said)?;
        for left in &thawed.left {
            session.screen.warn(left);
        }
    }
    Ok(if thawed.left.is_empty() { Ending::Done } else { Ending::With(Class::Failed) })
}
