//! `backupctl ls`.

use engine::archive::path::TreePath;
use engine::failure::Failure;
use engine::usecase::browse::ls;
use engine::words::SnapshotName;

use super::entry;
use super::values::tree_path;
use crate::screen::listing::Listing;
use crate::session::{Ending, Session};

/// List files in a snapshot
///
/// Mode, owner, size, time and path; names that could steer a terminal are escaped. `->` is a symbolic
/// link, `=` a further name of an earlier file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl ls db-data@latest
  backupctl ls db-data@42 base/1 -R")]
pub(crate) struct Args {
    /// `SOURCE@42` or `SOURCE@latest`, with `HOST/` in front for another host
    #[arg(value_name = "SNAP")]
    name: SnapshotName,

    /// A folder or file in it [default: its root]
    #[arg(value_parser = tree_path())]
    path: Option<TreePath>,

    /// With all that lies beneath
    #[arg(short = 'R', long)]
    recursive: bool,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    let host = session.having(&host, &args.name).await?;
    let zone = session.screen.zone();
    let at = args.path.clone().unwrap_or_default();
    let mut listing = Listing::new(&session.screen);
    ls(&host, &args.name, &at, args.recursive, &mut |found| {
        listing.item(|| entry::line(found, zone), || entry::json(found))
    })
    .await?;
    listing.end()?;
    Ok(Ending::Done)
}
