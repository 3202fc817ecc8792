//! `backupctl cat`.

use std::io::{self, BufWriter, Write};

use engine::archive::path::TreePath;
use engine::failure::Failure;
use engine::usecase::browse::cat;
use engine::words::SnapshotName;

use super::values::tree_path;
use crate::screen::Screen;
use crate::session::{Ending, Session};

/// Print a file of a snapshot
///
/// Fetches just the parts of the file, and checks every one of them before it is printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl cat db-data@latest postgresql.conf
  backupctl cat db-data@42 dump.sql.gz > dump.sql.gz")]
pub(crate) struct Args {
    /// `SOURCE@42` or `SOURCE@latest`, with `HOST/` in front for another host
    #[arg(value_name = "SNAP")]
    name: SnapshotName,

    /// The file in it
    #[arg(value_parser = tree_path())]
    path: TreePath,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    let host = session.having(&host, &args.name).await?;
    session.screen.give_stdout_away();
    let mut out = BufWriter::with_capacity(256 << 10, Noting { out: io::stdout(), screen: &session.screen });
    cat(&host, &args.name, &args.path, &mut out).await?;
    out.flush().map_err(|e| Failure::failed("write to stdout").because(e))?;
    Ok(Ending::Done)
}

/// stdout that remembers when its reader went away.
struct Noting<'a> {
    out: io::Stdout,
    screen: &'a Screen,
}

impl Write for Noting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.screen.noted(self.out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.screen.noted(self.out.flush())
    }
}
