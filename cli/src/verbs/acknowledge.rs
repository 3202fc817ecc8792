//! `backupctl acknowledge`.

use engine::failure::Failure;
use engine::usecase::guarding::{Acknowledged, acknowledge};
use engine::usecase::vanished::let_go;
use engine::words::SourceName;
use serde_json::json;

use crate::screen::plain;
use crate::session::{Ending, Session};

/// Say that what the guard flagged is right, or that a source is gone for good
///
/// A snapshot is flagged when its source has lost most of its bytes or files since the one before. Until somebody has
/// looked, nothing of that source is pruned, so that the last good snapshots stay. Look first: `backupctl diff`
/// shows what is gone. A source that has vanished is an alarm until it is back or acknowledged; its snapshots stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl diff db-data@41 db-data@42
  backupctl acknowledge db-data")]
pub(crate) struct Args {
    /// A volume, or `CONTAINER:/MOUNT/POINT`
    #[arg(value_name = "SOURCE")]
    source: SourceName,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open_to_write().await?;
    let gone = let_go(&host, &args.source)?;
    let mut seen = Vec::new();
    for at in session.stores(&host)?.in_use() {
        seen.extend(acknowledge(at, &args.source).await?);
    }
    if session.screen.is_json() {
        session
            .screen
            .event("done", json!({ "source": args.source, "acknowledged": seen, "vanished": gone }));
    } else {
        session.screen.result(&text(&args.source, &seen, gone))?;
    }
    Ok(Ending::Done)
}

fn text(source: &SourceName, seen: &[Acknowledged], gone: bool) -> String {
    let source = source.to_string();
    if gone {
        let kept = "what it has in the store stays";
        return format!("acknowledged; {} is not missed any more, and {kept}\n", plain::line(&source));
    }
    if seen.is_empty() {
        return format!("nothing of {} is flagged\n", plain::line(&source));
    }
    let told = |seen: &Acknowledged| format!("{} {}\n", plain::line(&seen.snapshot), plain::line(&seen.flag));
    let told: String = seen.iter().map(told).collect();
    format!("{told}acknowledged; {} can be pruned again\n", plain::line(&source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_is_told() {
        let source = "db-data".parse().unwrap();
        let flag = "has 1 files after 8, 87 % fewer, and 50 % are allowed";
        let seen = [Acknowledged { snapshot: "db-data@4".into(), flag: flag.into() }];
        let want = format!("db-data@4 {flag}\nacknowledged; db-data can be pruned again\n");
        assert_eq!(text(&source, &seen, false), want);
        assert_eq!(text(&source, &[], false), "nothing of db-data is flagged\n");
        let want = "acknowledged; db-data is not missed any more, and what it has in the store stays\n";
        assert_eq!(text(&source, &[], true), want);
    }
}
