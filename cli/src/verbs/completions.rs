//! `backupctl completions`: a script for a shell, which comes back and asks for the names that only this host knows.

mod paths;
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
/// For bash, zsh and fish they know this host's sources and snapshots too, from its catalog and Docker, and what lies in a
/// snapshot, for which the store is asked.
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
        let names = known(args.shell, &args.words, session).await.unwrap_or_default();
        let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
        session.screen.result(&lines)?;
        return Ok(Ending::Done);
    }
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "backupctl", &mut script);
    session.screen.result(&knowing(args.shell, &String::from_utf8_lossy(&script)))?;
    Ok(Ending::Done)
}

/// The script that clap makes, and what makes it ask this program.
fn knowing(shell: Shell, script: &str) -> String {
    if shell == Shell::Bash {
        return format!("{script}{}", include_str!("completions/known.bash"));
    }
    if shell == Shell::Fish {
        return format!("{script}{}", include_str!("completions/known.fish"));
    }
    if shell == Shell::Zsh {
        // Under its own name zsh finds what this adds, which calls what clap made by another.
        let end = script.find("if [ \"$funcstack[1]\"").unwrap_or(script.len());
        let clap = script[..end].replace("_backupctl", "_backupctl_words");
        return format!("{clap}{}", include_str!("completions/known.zsh"));
    }
    script.to_owned()
}

/// Names that the last word may become.
async fn known(shell: Shell, words: &[String], session: &Session) -> Result<Vec<String>, Failure> {
    let (wanted, typed) = (wanted(words), words.last().map_or("", String::as_str));
    // A key pressed on a host that knows nothing must not make its state folder.
    if matches!(wanted, Wanted::Nothing) || !settings::settle(session.globals())?.state.exists() {
        return Ok(Vec::new());
    }
    let host = session.open().await?;
    let mut names = match wanted {
        Wanted::Nothing => Vec::new(),
        Wanted::Source => known_sources(&host, &session.places()?).await,
        Wanted::Snapshot { deleted } => known_snapshots(&host, typed, deleted)?,
        Wanted::Path { snapshot } => paths::known(&snapshot, typed, &host, session).await?,
    };
    // Bash would cut the others into words, or act on what is in them.
    let fits = |name: &str| {
        shell != Shell::Bash || name.chars().all(|c| c.is_alphanumeric() || "._/@:+,=%-".contains(c))
    };
    names.retain(|name| name.starts_with(typed) && fits(name));
    Ok(names)
}
