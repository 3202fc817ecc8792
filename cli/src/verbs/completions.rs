//! `backupctl completions`: a script for a shell, which comes back and asks for the names that only this host knows.

mod typed;

use clap::CommandFactory as _;
use clap_complete::Shell;
use engine::failure::Failure;
use engine::usecase::known::{known_snapshots, known_sources};

use self::typed::{Wanted, wanted};
use crate::args::Cli;
use crate::session::{Ending, Session};
use crate::settings;

/// Print completions for a shell
///
/// For bash they know this host's sources and snapshots too, from its catalog and Docker; the store is not asked.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl completions bash > /usr/share/bash-completion/completions/backupctl
  backupctl completions zsh > ~/.zfunc/_backupctl
  backupctl completions fish > ~/.config/fish/completions/backupctl.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,

    /// What was typed so far behind the program's name: names that fit are printed instead of a script
    #[arg(last = true, hide = true)]
    words: Vec<String>,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    if !args.words.is_empty() {
        // Whoever types wants an offer or none, and no error in the middle of the line.
        let names = known(&args.words, session).await.unwrap_or_default();
        let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
        session.screen.result(&lines)?;
        return Ok(Ending::Done);
    }
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "backupctl", &mut script);
    let more = if args.shell == Shell::Bash { include_str!("completions/known.bash") } else { "" };
    session.screen.result(&(String::from_utf8_lossy(&script) + more))?;
    Ok(Ending::Done)
}

/// Names that the last word may become.
async fn known(words: &[String], session: &Session) -> Result<Vec<String>, Failure> {
    let (wanted, typed) = (wanted(words), words.last().map_or("", String::as_str));
    // A key pressed on a host that knows nothing must not make its state folder.
    if wanted == Wanted::Nothing || !settings::settle(session.globals())?.state.exists() {
        return Ok(Vec::new());
    }
    let host = session.open().await?;
    let mut names = match wanted {
        Wanted::Nothing => Vec::new(),
        Wanted::Source => known_sources(&host, &session.places()?).await,
        Wanted::Snapshot { deleted } => known_snapshots(&host, typed, deleted)?,
    };
    // Bash would cut the others into words.
    names.retain(|name| name.starts_with(typed) && !name.contains(char::is_whitespace));
    Ok(names)
}
