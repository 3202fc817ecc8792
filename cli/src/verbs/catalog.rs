//! `backupctl catalog`.

use engine::failure::{Class, Failure};
use engine::usecase::snapshots::{Checked, Rebuilt, catalog_check, catalog_rebuild};

use crate::screen::{fields, plain, units};
use crate::session::{Ending, Session};

/// Compare this host's index of the store with the store, or make it anew
///
/// Losing the catalog loses no snapshot: all that is needed to restore is in the store.
#[derive(Debug, clap::Args)]
#[command(subcommand_value_name = "WHAT", subcommand_help_heading = "What", disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Read every manifest of the store and write the index anew
    Rebuild,
    /// Say where index and store differ; exit code 1 when they do
    Check,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    match args.what {
        What::Rebuild => rebuild(session).await,
        What::Check => check(session).await,
    }
}

async fn rebuild(session: &Session) -> Result<Ending, Failure> {
    let host = session.open_to_write().await?;
    let telling = session.attend()?;
    let result = catalog_rebuild(&host, &telling).await;
    telling.end();
    let rebuilt = result?;
    if session.screen.is_json() {
        session.screen.event("done", fields(&rebuilt)?);
    } else {
        session.screen.result(&rebuilt_text(&rebuilt))?;
    }
    Ok(if rebuilt.unreadable.is_empty() { Ending::Done } else { Ending::With(Class::Partial) })
}

async fn check(session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    // What comes on stdout is one object, or one error.
    session.screen.give_stdout_away();
    let telling = session.attend()?;
    let checked = catalog_check(&host, &telling).await;
    telling.end();
    session.screen.take_stdout_back();
    let checked = checked?;
    if session.screen.is_json() {
        session.screen.value(&checked)?;
    } else {
        session.screen.result(&checked_text(&checked))?;
    }
    Ok(if checked.differences.is_empty() { Ending::Done } else { Ending::With(Class::Failed) })
}

fn rebuilt_text(rebuilt: &Rebuilt) -> String {
    let mut out = String::new();
    for object in &rebuilt.unreadable {
        out += &format!("unreadable: {}\n", plain::line(object));
    }
    out + &format!(
        "{} of {} of {}\n",
        units::counted(rebuilt.snapshots, "snapshot", "snapshots"),
        units::counted(rebuilt.lineages, "source", "sources"),
        units::counted(rebuilt.hosts, "host", "hosts"),
    )
}

fn checked_text(checked: &Checked) -> String {
    let mut out = String::new();
    for difference in &checked.differences {
        out += &format!("{}\n", plain::line(difference));
    }
    let snapshots = units::counted(checked.snapshots, "snapshot", "snapshots");
    match checked.differences.len() as u64 {
        0 => format!("{snapshots}: catalog and store agree\n"),
        n => {
            let differences = units::counted(n, "difference", "differences");
            format!("{out}{snapshots}: {differences}; `backupctl catalog rebuild` reads the store anew\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuild_names_what_it_could_not_read() {
        let rebuilt =
            Rebuilt { hosts: 1, lineages: 2, snapshots: 9, unreadable: vec!["vm/db/\x1b[2J".into()] };
        let want = "unreadable: vm/db/\\u{1b}[2J\n9 snapshots of 2 sources of 1 host\n";
        assert_eq!(rebuilt_text(&rebuilt), want);
    }

    #[test]
    fn a_check_says_what_to_do_about_differences() {
        let checked = |differences: &[&str]| Checked {
            snapshots: 9,
            differences: differences.iter().map(|d| (*d).to_owned()).collect(),
        };
        assert_eq!(checked_text(&checked(&[])), "9 snapshots: catalog and store agree\n");
        assert_eq!(
            checked_text(&checked(&["db@3 is in the store only"])),
            "db@3 is in the store only\n9 snapshots: 1 difference; `backupctl catalog rebuild` reads the store anew\n"
        );
    }
}
