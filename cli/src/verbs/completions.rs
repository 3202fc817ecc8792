//! `backupctl completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;
use engine::failure::Failure;

use crate::args::Cli;
use crate::session::{Ending, Session};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl completions bash > /usr/share/bash-completion/completions/backupctl
  backupctl completions zsh > ~/.zfunc/_backupctl
  backupctl completions fish > ~/.config/fish/completions/backupctl.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "backupctl", &mut script);
    session.screen.result(&String::from_utf8_lossy(&script))?;
    Ok(Ending::Done)
}
