//! The flags that every verb takes, and their twins in the environment.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser};

use crate::verbs::Verb;

/// Back up and restore the data volumes of a Docker host.
///
/// A SOURCE is a named volume (`db-data`) or what a container has mounted at a path (`web:/var/lib/app`). A
/// SNAP is one recovery point of it: `db-data@42`, `db-data@latest`, `other-host/db-data@42`. Nothing but
/// Docker and the store is needed: no daemon has to run, and an empty host can restore.
///
/// Begin with `backupctl doctor`, or take the tour with `backupctl demo`.
#[derive(Debug, Parser)]
#[command(name = "backupctl", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(arg_required_else_help = true, subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 partial, 10 not found, 11 busy, \
    12 wrong key, 13 refused for safety, 130 interrupted.")]
pub(crate) struct Cli {
    /// For every verb.
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Cli {
    /// What the command line says, and whether it names the store itself.
    pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(words)?;
        let mut cli = Self::from_arg_matches(&matches).map_err(|e| e.format(&mut Self::command()))?;
        cli.globals.store_named = matches.value_source("store") == Some(ValueSource::CommandLine);
        Ok(cli)
    }
}

/// Flags come before the environment, that before the settings file, that before the defaults.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Where snapshots live: `file:///dir` or `s3://bucket/prefix?region=R`; as a flag, there and in no store that a policy
    /// names [default: file:///var/lib/backupd/store]
    #[arg(long, global = true, value_name = "URL", env = "BACKUPD_STORE", hide_env_values = true)]
    pub(crate) store: Option<String>,

    /// The flag says so, not the environment.
    #[arg(skip)]
    pub(crate) store_named: bool,

    /// This host's name in the store [default: the system's host name]
    #[arg(long, global = true, value_name = "NAME", env = "BACKUPD_HOST", hide_env_values = true)]
    pub(crate) host: Option<String>,

    /// The settings file [default: /etc/backupd/backupd.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "BACKUPD_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<std::path::PathBuf>,

    /// The folder of the catalog and the signing key [default: /var/lib/backupd]
    #[arg(long, global = true, value_name = "DIR", env = "BACKUPD_STATE", hide_env_values = true)]
    pub(crate) state: Option<std::path::PathBuf>,

    /// The Docker engine [default: unix:///var/run/docker.sock]
    #[arg(long, global = true, value_name = "URL", env = "DOCKER_HOST", hide_env_values = true)]
    pub(crate) docker: Option<String>,

    /// The folder of policies [default: /etc/backupd/policies, or none]
    #[arg(long, global = true, value_name = "DIR", env = "BACKUPD_POLICIES", hide_env_values = true)]
    pub(crate) policies: Option<std::path::PathBuf>,

    /// Print JSON: one array for lists, one event a line for what takes time
    #[arg(long, global = true, env = "BACKUPD_JSON", hide_env_values = true)]
    #[arg(value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) json: bool,

    /// Say nothing but results, warnings and errors
    #[arg(short, long, global = true, env = "BACKUPD_QUIET", hide_env_values = true)]
    #[arg(value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) quiet: bool,

    /// Log to stderr what is done; twice for details
    #[arg(short, long, global = true, action = clap::ArgAction::Count, env = "BACKUPD_VERBOSE")]
    #[arg(hide_env_values = true)]
    pub(crate) verbose: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_on_the_command_line_is_told_from_none_wherever_it_stands() {
        for (line, want) in [
            ("backupctl runs", false),
            ("backupctl runs --store s3://b/p", true),
            ("backupctl --store s3://b/p runs", true),
            ("backupctl policy --store s3://b/p schema", true),
        ] {
            let cli = Cli::read(line.split(' ').map(OsString::from)).unwrap();
            assert_eq!(cli.globals.store_named, want, "{line}");
        }
    }
}
