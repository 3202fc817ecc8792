//! `backupctl catalog`.

use engine::failure::{Class, Failure};
use engine::usecase::reindex::{Checked, Rebuilt, catalog_check, catalog_rebuild};
use serde_json::json;

use super::backup::worst;
use crate::screen::{fields, plain, units};
use crate::session::{Ending, Session};

/// Compare this host's index of its stores with these, or make it anew
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
    /// Read every manifest of every store and write the index anew
    Rebuild,
    /// Say where index and stores differ; exit code 1 when they do
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
    let stores = session.stores(&host)?;
    let telling = session.attend()?;
    let (mut rebuilt, mut failed) = (Rebuilt::default(), Vec::new());
    for at in stores.in_use() {
        match catalog_rebuild(at, &telling).await {
            Ok(more) => {
                // One host that writes to two stores is counted in both.
                rebuilt.hosts += more.hosts;
                rebuilt.lineages += more.lineages;
                rebuilt.snapshots += more.snapshots;
                rebuilt.unreadable.extend(more.unreadable);
            }
            Err(failure) => failed.push((at.store_address(), failure)),
        }
    }
    telling.end();
    let failed = tell(failed, stores.in_use().len(), session)?;
    if session.screen.is_json() {
        session.screen.event("done", fields(&rebuilt)?);
    } else {
        session.screen.result(&rebuilt_text(&rebuilt))?;
    }
    let unreadable = (!rebuilt.unreadable.is_empty()).then_some(Class::Partial);
    let classes: Vec<Class> = failed.into_iter().chain(unreadable).collect();
    Ok(worst(&classes).map_or(Ending::Done, Ending::With))
}

/// Of several stores, one that cannot be asked does not undo what was done with the others: it is told, and its class
/// is given. A single one fails the command.
fn tell(failed: Vec<(String, Failure)>, of: usize, session: &Session) -> Result<Vec<Class>, Failure> {
    let mut classes = Vec::new();
    for (store, failure) in failed {
        if of == 1 || failure.class == Class::Interrupted {
            return Err(failure);
        }
        session.screen.failure(&failure, json!({ "store": store }));
        classes.push(failure.class);
    }
    Ok(classes)
}

async fn check(session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    let stores = session.stores(&host)?;
    // What comes on stdout is one object, or one error.
    session.screen.give_stdout_away();
    let telling = session.attend()?;
    let (mut checked, mut failed) = (Checked::default(), Vec::new());
    for at in stores.in_use() {
        match catalog_check(at, &telling).await {
            Ok(more) => {
                checked.snapshots += more.snapshots;
                checked.differences.extend(more.differences);
            }
            Err(failure) => failed.push((at.store_address(), failure)),
        }
    }
    telling.end();
    if failed.is_empty() {
        session.screen.take_stdout_back();
    }
    let failed = tell(failed, stores.in_use().len(), session)?;
    if session.screen.is_json() {
        session.screen.value(&checked)?;
    } else {
        session.screen.result(&checked_text(&checked))?;
    }
    let good = checked.differences.is_empty() && failed.is_empty();
    Ok(if good { Ending::Done } else { Ending::With(Class::Failed) })
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
