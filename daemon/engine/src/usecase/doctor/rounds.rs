//! Whether somebody takes care of this host: policies that can be read, and drills that have proven something.

use std::collections::BTreeSet;

use super::Check;
use crate::catalog::{CatalogError, Outcome};
use crate::failure::Failure;
use crate::usecase::cover::{Places, policies as read};
use crate::usecase::host::Host;

pub(super) fn policies(places: &Places) -> Check {
    const WHAT: &str = "policies";
    match read(places) {
        Ok(found) if found.shipped => Check::good(
            WHAT,
            format!("no folder `{}`: labelled volumes follow the shipped one", places.policies.display()),
        ),
        Ok(found) => {
            let count = found.folder.policies().len();
            Check::good(WHAT, format!("{count} in `{}`, without errors", places.policies.display()))
        }
        Err(unread) => Check::bad(WHAT, &Failure::from(unread)),
    }
}

/// Of the sources that have snapshots, how many were restored for trial. `None` where there is none yet.
pub(super) fn drills(host: &Host) -> Option<Check> {
    const WHAT: &str = "drills";
    match drilled(host) {
        Ok((0, _, _)) => None,
        Ok((sources, drilled, failed)) if failed.is_empty() && drilled > 0 => Some(Check::good(
            WHAT,
            format!("of {sources} sources {drilled} were drilled, each well the last time"),
        )),
        Ok((_, 0, _)) => Some(Check::warning(
            WHAT,
            "no restore was ever rehearsed",
            "`backupctl drill SOURCE`, or `[drill]` in its policy",
        )),
        Ok((sources, drilled, failed)) => Some(Check::warning(
            WHAT,
            format!("of {sources} sources {drilled} were drilled, and not well: {}", failed.join(", ")),
            format!("`backupctl drill --last {}` tells why", failed[0]),
        )),
        Err(e) => Some(Check::bad(WHAT, &Failure::failed("look for drills").because(e))),
    }
}

fn drilled(host: &Host) -> Result<(usize, usize, Vec<String>), CatalogError> {
    let name = &host.settings().host;
    let sources: BTreeSet<_> = host.catalog().backed_up(name)?.into_iter().collect();
    let last = host.catalog().latest_drills(name, 1, None)?;
    let ended = last.iter().filter(|run| run.ended_at.is_some());
    let of_ours: Vec<_> = ended
        .filter_map(|run| Some((run.source.as_ref()?, run.outcome?)))
        .filter(|(source, _)| sources.contains(*source))
        .collect();
    let failed = of_ours.iter().filter(|(_, outcome)| *outcome != Outcome::Done);
    let failed = failed.map(|(source, _)| source.to_string()).collect();
    Ok((sources.len(), of_ours.len(), failed))
}
