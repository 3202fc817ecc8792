//! `backupctl find`.

use engine::failure::{Class, Failure};
use engine::usecase::browse::{Found, Searched, find};
use engine::words::HostName;
use serde_json::json;

use super::entry;
use super::values::{Lineage, wanted};
use crate::screen::listing::Listing;
use crate::screen::plain;
use crate::session::{Ending, Session};

/// Find files in snapshots
///
/// Prints every snapshot that has a path which matches, so that you see since when and until when a file was
/// there. Quote the pattern, or the shell takes it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl find '*.conf'
  backupctl find 'etc/**/app.conf' web-data
  backupctl find '*.conf' --all-hosts --json")]
pub(crate) struct Args {
    /// A pattern of paths
    glob: String,

    /// Only in this source; `HOST/SOURCE` for another host's
    source: Option<Lineage>,

    /// Of every host that writes to the store
    #[arg(long, conflicts_with = "from_host")]
    all_hosts: bool,

    /// Of HOST instead of this one
    #[arg(long, value_name = "HOST")]
    from_host: Option<HostName>,

    /// Also in deleted snapshots that can be undeleted
    #[arg(long)]
    deleted: bool,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    let zone = session.screen.zone();
    let wanted = wanted(args.source.as_ref(), args.from_host.as_ref(), args.all_hosts, args.deleted);
    let mut listing = Listing::new(&session.screen);
    let mut each = |found: &Found| {
        let text = || format!("{}  {}", plain::line(&found.snapshot), entry::line(&found.entry, zone));
        listing.item(text, || {
            let mut value = entry::json(&found.entry);
            value["snapshot"] = json!(found.snapshot);
            value
        })
    };
    let mut searched = Searched::default();
    for at in session.stores(&host)?.in_use() {
        let Searched { found, unread } = find(at, &args.glob, &wanted, &mut each).await?;
        searched.found += found;
        searched.unread.extend(unread);
    }
    listing.end()?;
    for (snapshot, failure) in &searched.unread {
        // What comes on stdout is one array.
        session.screen.give_stdout_away();
        session.screen.failure(failure, json!({ "snapshot": snapshot }));
    }
    if !searched.unread.is_empty() {
        return Ok(Ending::With(Class::Partial));
    }
    if searched.found == 0 {
        session.screen.say("nothing matches\n");
    }
    Ok(Ending::Done)
}
