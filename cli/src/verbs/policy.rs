//! `backupctl policy`: one question about policies a file.

mod check;
mod plan;
mod show;

use std::path::PathBuf;

use engine::failure::Failure;

use crate::session::{Ending, Session};

/// Judge, show and compare policies
///
/// Policies say which sources are backed up, when, how, and how long that is kept. A policy is a file `NAME.toml` in the folder of policies. `check` and `schema` need nothing but the files.
#[derive(Debug, clap::Args)]
#[command(subcommand_value_name = "WHAT", subcommand_help_heading = "What", disable_help_subcommand = true)]
#[command(after_help = "Examples:
  backupctl policy check ./policies
  backupctl policy show default
  backupctl policy plan ./policies
  backupctl policy schema >policy.schema.json")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say all that is wrong with a folder of policies; exit code 2 when anything is
    Check {
        /// The folder [default: this host's]
        dir: Option<PathBuf>,
    },
    /// Show this host's policies, or all that one of them says
    Show {
        /// Which
        name: Option<String>,
    },
    /// Say what would start and stop being backed up on this host, if DIR were its folder of policies
    Plan {
        /// The folder
        dir: PathBuf,
    },
    /// Print the JSON Schema of a policy, for editors
    Schema,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    match &args.what {
        What::Check { dir } => check::run(dir.as_deref(), session),
        What::Show { name } => show::run(name.as_deref(), session),
        What::Plan { dir } => plan::run(dir, session).await,
        What::Schema => {
            session.screen.value(&policies::schema::schema())?;
            Ok(Ending::Done)
        }
    }
}
