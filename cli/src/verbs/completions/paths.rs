//! What lies in a snapshot, for completing a path: of the folder that stands there already.
//!
//! Always true: a store that is slow is not waited for, since somebody holds a key.

use std::io;
use std::time::Duration;

use engine::archive::entry::{Entry, Kind};
use engine::archive::path::TreePath;
use engine::failure::Failure;
use engine::usecase::browse::ls;
use engine::usecase::host::Host;
use engine::words::SnapshotName;

use crate::session::Session;

/// Whoever types has forgotten what for by then.
const PATIENCE: Duration = Duration::from_secs(2);

/// Nobody chooses from more.
const PATHS_MAX: usize = 500;

/// Paths of `snapshot` that begin with what was typed, folders with a slash at the end.
pub(super) async fn known(
    snapshot: &str,
    typed: &str,
    host: &Host,
    session: &Session,
) -> Result<Vec<String>, Failure> {
    let Ok(name) = snapshot.parse::<SnapshotName>() else { return Ok(Vec::new()) };
    let folder = typed.rsplit_once('/').map_or("", |(folder, _)| folder);
    let Ok(at) = TreePath::parse(folder.as_bytes().to_vec()) else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    let mut each = |entry: &Entry| {
        names.extend(offer(entry).filter(|name| name.starts_with(typed)));
        // There is no other way to end a list.
        if names.len() < PATHS_MAX { Ok(()) } else { Err(io::Error::other("enough")) }
    };
    let listed = async {
        let host = session.having(host, &name).await?;
        ls(&host, &name, &at, false, &mut each).await
    };
    // What was found by then is offered, however the list ended.
    drop(tokio::time::timeout(PATIENCE, listed).await);
    Ok(names)
}

/// What can be typed: not a name that a terminal could act on.
fn offer(entry: &Entry) -> Option<String> {
    let path =
        std::str::from_utf8(entry.path.as_bytes()).ok().filter(|path| *path == entry.path.to_string())?;
    Some(if entry.kind == Kind::Folder { format!("{path}/") } else { path.to_owned() })
}
