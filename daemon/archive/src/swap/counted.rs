//! How much it is that restores have kept, or had when they were cut off. Its memory does not grow with the tree.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::beneath;
use crate::channel::Kept;
use crate::names::Names;
use crate::open::Opener;
use crate::staging::{OLD, RunName, open_own};
use crate::stat::Stat;
use crate::swap::error::SwapError;
use crate::swap::kept::list;
use crate::walk::{Step, Walk};

/// What runs have kept, counted, oldest first.
pub fn counted(root: BorrowedFd<'_>) -> Result<Vec<Kept>, SwapError> {
    let mut found = list(root)?;
    for kept in &mut found {
        let name = RunName::parse(&kept.run)?.previous();
        let Some(folder) = open_own(root, &name)? else { continue };
        match beneath::open_folder(folder.as_fd(), OLD) {
            Ok(old) => {
                let counted = count(old).map_err(|e| SwapError::tree("count", &name, e))?;
                (kept.entries, kept.bytes) = (counted.entries, counted.bytes);
            }
            Err(e) if Errno::from_io_error(&e) == Some(Errno::NOENT) => {}
            Err(e) => return Err(SwapError::tree("open", &name, e)),
        }
    }
    Ok(found)
}

/// What is beneath a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counted {
    pub(super) entries: u64,
    /// On the disk.
    pub(super) bytes: u64,
}

/// What vanishes or cannot be opened meanwhile is counted as far as it was seen: nothing is decided by these numbers.
pub(super) fn count(old: OwnedFd) -> std::io::Result<Counted> {
    let mut counted = Counted::default();
    let top = Stat::of_open(old.as_fd())?;
    let opener = Opener::new();
    let mut walk = Walk::new(old, &top)?;
    while let Some(step) = walk.next() {
        let path = match step {
            Step::Name(path) => path,
            Step::TooLong(..) => {
                walk.pass();
                continue;
            }
            Step::Lost(..) => continue,
        };
        let Some((folder, name)) = walk.here() else { break };
        let inside = Stat::of_name(folder, name).ok().and_then(|seen| {
            counted.entries += 1;
            // A file with several names takes its space once.
            counted.bytes += if seen.kind.is_dir() {
                seen.allocated
            } else {
                seen.allocated / u64::from(seen.links.max(1))
            };
            if !seen.kind.is_dir() || seen.mount != top.mount {
                return None;
            }
            let (fd, now) = opener.open(folder, name, &seen).ok()?;
            let names = Names::read(fd.as_fd(), |_name| false).ok()?;
            Some((fd, now, names))
        });
        match inside {
            Some((fd, now, names)) => walk.enter(fd, &now, &path, names),
            None => walk.pass(),
        }
    }
    Ok(counted)
}
