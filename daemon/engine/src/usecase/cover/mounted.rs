//! Which of what is mounted are files, as `/etc/localtime` often is: a source is a folder.
//!
//! A folder may lie on a server that does not answer, and asking for it then ends never. Always true: nobody waits longer
//! than [`PATIENCE`] for all of them together, and one that still hangs is not asked for again, so that no more threads wait
//! than there are such folders. What does not answer counts as a folder: its source is there, and says so when it is read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::port::docker::{Container, MountOf};

/// How long disks may take to say what these are.
const PATIENCE: Duration = Duration::from_secs(2);

/// Paths that somebody asks for now, in this process.
static ASKED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The files among what containers have mounted from below `roots`.
pub(super) async fn files(containers: &[Container], roots: &[PathBuf]) -> BTreeSet<String> {
    let mounts = containers.iter().flat_map(|container| &container.mounts);
    let paths = mounts.filter_map(|mount| match &mount.of {
        MountOf::Bind { path } => Some(path.clone()),
        MountOf::Volume { .. } | MountOf::Other => None,
    });
    let below = paths.filter(|path| roots.iter().any(|root| Path::new(path).starts_with(root)));
    files_of(below.collect(), is_file, PATIENCE).await
}

/// What cannot be looked at is somebody else's host's.
fn is_file(path: &str) -> bool {
    std::fs::metadata(path).is_ok_and(|about| !about.is_dir())
}

async fn files_of(
    paths: BTreeSet<String>,
    is_file: impl Fn(&str) -> bool + Clone + Send + 'static,
    patience: Duration,
) -> BTreeSet<String> {
    let asked: Vec<_> = paths.into_iter().filter_map(|path| ask(path, is_file.clone())).collect();
    // Each has the same time, which is over for all of them at once.
    let answers = asked.into_iter().map(|answer| tokio::time::timeout(patience, answer));
    let known = join_all(answers).await.into_iter().filter_map(|in_time| in_time.ok()?.ok()?);
    known.collect()
}

/// Asks on a thread of its own, which may never end; gives the path back if it is a file's. Nothing if somebody asks already.
fn ask(
    path: String,
    is_file: impl Fn(&str) -> bool + Send + 'static,
) -> Option<oneshot::Receiver<Option<String>>> {
    let asked = || ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    if !asked().insert(path.clone()) {
        return None;
    }
    let (tell, answer) = oneshot::channel();
    let name = path.clone();
    let thread = std::thread::Builder::new().name("look at a mount".to_owned()).spawn(move || {
        let found = is_file(&path);
        asked().remove(&path);
        // Whoever asked may not wait any more.
        let _told = tell.send(found.then_some(path));
    });
    if let Err(e) = thread {
        tracing::debug!("look at `{name}`: {e}");
        asked().remove(&name);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_does_not_answer_is_not_waited_for_and_asked_for_once() {
        let (open, gate) = mpsc::channel::<()>();
        let (gate, calls) = (Arc::new(Mutex::new(gate)), Arc::new(AtomicUsize::new(0)));
        let look = {
            let calls = Arc::clone(&calls);
            move |path: &str| {
                if path == "/test/dead" {
                    calls.fetch_add(1, Ordering::SeqCst);
                    // Until the other end is dropped.
                    gate.lock().unwrap().recv().unwrap_err();
                }
                path != "/test/folder"
            }
        };
        let paths = BTreeSet::from(["/test/dead", "/test/file", "/test/folder"].map(str::to_owned));
        let ask = |patience| files_of(paths.clone(), look.clone(), Duration::from_millis(patience));
        for _ in 0..3 {
            assert_eq!(ask(1_000).await, BTreeSet::from(["/test/file".to_owned()]));
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        drop(open);
        while ASKED.lock().unwrap().contains("/test/dead") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let both = ["/test/dead", "/test/file"].map(str::to_owned);
        assert_eq!(ask(60_000).await, BTreeSet::from(both));
    }
}
