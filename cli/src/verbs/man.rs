//! `backupctl man`.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use engine::durable::replace;
use engine::failure::Failure;

use crate::args::Cli;
use crate::session::{Ending, Session};

/// Print the manual page, or write one page for each verb
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl man | man -l -
  backupctl man --dir /usr/local/share/man/man1")]
pub(crate) struct Args {
    /// Write `backupctl.1`, `backupctl-backup.1` and so on into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    match &args.dir {
        Some(dir) => write_pages(dir, session)?,
        None => session.screen.result(&page(&Cli::command())?)?,
    }
    Ok(Ending::Done)
}

fn write_pages(dir: &Path, session: &Session) -> Result<(), Failure> {
    let failed =
        |e: std::io::Error| Failure::failed(format!("write pages to `{}`", dir.display())).because(e);
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut whole = Cli::command();
    // Gives verbs their full names and the global flags.
    whole.build();
    let mut written = 0;
    let mut pages = vec![whole];
    while let Some(command) = pages.pop() {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        replace(&dir.join(format!("{name}.1")), page(&command)?.as_bytes(), 0o644).map_err(failed)?;
        written += 1;
        pages.extend(command.get_subcommands().cloned());
    }
    session.screen.say(&format!("{written} pages are in {}\n", dir.display()));
    Ok(())
}

fn page(command: &clap::Command) -> Result<String, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(|e| Failure::failed("make the manual page").because(e))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
