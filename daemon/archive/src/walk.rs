//! The walk: every name of a tree, depth first, in path order, by descriptors.
//!
//! Always true:
//! * Whoever asks for the next name has an open descriptor of its folder, so no path is ever resolved.
//! * Of a deep branch only the lowest [`OPEN_MAX`] folders stay open. A folder above them is opened again
//!   as `..` of its child, and used only if it is the folder that it was.
//! * Memory holds the names of the folders on the current branch, and one path.

use std::ffi::CStr;
use std::io;
use std::sync::Arc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};

use crate::ahead::Upcoming;
use crate::names::Names;
use crate::ours;
use crate::path::{PathError, TreePath};
use crate::stat::{Identity, Stat};

/// Folders of one branch that are open at a time.
const OPEN_MAX: usize = 128;

struct Level {
    folder: Option<Arc<OwnedFd>>,
    identity: Identity,
    names: Names,
    /// So many of the names were never given as upcoming ones.
    unannounced: usize,
    /// Bytes of the walk's path that are this folder's.
    path_bytes: usize,
}

impl Level {
    fn new(folder: OwnedFd, stat: &Stat, names: Names, path_bytes: usize) -> Self {
        let unannounced = names.left();
        Self { folder: Some(Arc::new(folder)), identity: stat.identity, names, unannounced, path_bytes }
    }
}

/// A walk under way.
pub(crate) struct Walk {
    levels: Vec<Level>,
    /// The current folder's path.
    path: Vec<u8>,
}

/// What comes next.
pub(crate) enum Step {
    /// A name; [`Walk::here`] says where. [`Walk::enter`] may follow if it is a folder.
    Name(TreePath),
    /// A name whose path is too long for us.
    TooLong(TreePath, PathError),
    /// A folder was moved while what it holds was read, so the rest of its names is lost.
    Lost(TreePath, usize, io::Error),
}

impl Walk {
    /// Begins below an open root, leaving our own folders out.
    pub(crate) fn new(root: OwnedFd, stat: &Stat) -> io::Result<Self> {
        let names = Names::read(root.as_fd(), ours::is_ours)?;
        Ok(Self { levels: vec![Level::new(root, stat, names, 0)], path: Vec::new() })
    }

    /// Begins with one name in an open folder, and goes on with all below it.
    pub(crate) fn of_one(folder: OwnedFd, stat: &Stat, path: &[u8], name: &[u8]) -> Self {
        let level = Level::new(folder, stat, Names::one(name), path.len());
        Self { levels: vec![level], path: path.to_vec() }
    }

    /// The next name, in path order. It stays the next until [`Self::pass`] or [`Self::enter`].
    pub(crate) fn next(&mut self) -> Option<Step> {
        loop {
            let level = self.levels.last()?;
            if let Some(name) = level.names.next() {
                return Some(self.step(name.to_bytes()));
            }
            if let Some(lost) = self.leave() {
                return Some(lost);
            }
        }
    }

    fn step(&self, name: &[u8]) -> Step {
        let mut bytes = Vec::with_capacity(self.path.len() + 1 + name.len());
        bytes.extend_from_slice(&self.path);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        match TreePath::parse(bytes) {
            Ok(path) => Step::Name(path),
            Err(why) => Step::TooLong(self.folder_path(), why),
        }
    }

    fn folder_path(&self) -> TreePath {
        TreePath::parse(self.path.clone()).unwrap_or_default()
    }

    /// The folder of the last name and the name. `None` after the end.
    pub(crate) fn here(&self) -> Option<(BorrowedFd<'_>, &CStr)> {
        let level = self.levels.last()?;
        Some((level.folder.as_ref()?.as_fd(), level.names.next()?))
    }

    /// Up to `most` names of this folder that come after the last one, each of them once; nothing until there are some
    /// more of them together, or they are the folder's last.
    pub(crate) fn upcoming(&mut self, most: usize) -> Option<Upcoming> {
        let level = self.levels.last_mut()?;
        let folder = Arc::clone(level.folder.as_ref()?);
        let after = level.names.left().checked_sub(1)?;
        let (from, to) = (after.min(level.unannounced), after.saturating_sub(most));
        if from <= to || (to > 0 && from - to < most / 4) {
            return None;
        }
        level.unannounced = to;
        let names = level.names.between(from, to).map(CStr::to_owned).collect();
        Some(Upcoming { folder, names, distance: after - from + 1 })
    }

    /// Passes over the last name.
    pub(crate) fn pass(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.names.pass();
        }
    }

    /// Passes over the last name, a folder, and goes on with what it holds.
    pub(crate) fn enter(&mut self, folder: OwnedFd, stat: &Stat, path: &TreePath, names: Names) {
        self.pass();
        self.path.clear();
        self.path.extend_from_slice(path.as_bytes());
        self.levels.push(Level::new(folder, stat, names, self.path.len()));
        if let Some(above) = self.levels.len().checked_sub(OPEN_MAX + 1) {
            self.levels[above].folder = None;
        }
    }

    /// Goes up one level; says so if the folder there cannot be found again.
    fn leave(&mut self) -> Option<Step> {
        let child = self.levels.pop()?;
        let parent = self.levels.last_mut()?;
        self.path.truncate(parent.path_bytes);
        // A parent without names is left in turn, and its own parent is found through it.
        if parent.folder.is_some() {
            return None;
        }
        match child.folder.ok_or_else(|| io::Error::other("moved")).and_then(|c| above(&c, parent.identity)) {
            Ok(folder) => {
                parent.folder = Some(Arc::new(folder));
                None
            }
            Err(why) => {
                let left = parent.names.left();
                parent.names.clear();
                (left > 0).then(|| Step::Lost(self.folder_path(), left, why))
            }
        }
    }
}

/// Opens the folder that `child` lies in, if it is the one that is meant.
fn above(child: &OwnedFd, meant: Identity) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(child, c"..", flags, Mode::empty())?;
    if Stat::of_open(folder.as_fd())?.identity != meant {
        return Err(io::Error::other("was moved while it was read"));
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    /// What a walk through a folder of so many names announces, asked before every name that it comes to.
    #[track_caller]
    fn check(count: usize, most: usize) {
        let folder = tempfile::tempdir().unwrap();
        (0..count).for_each(|i| drop(std::fs::File::create(folder.path().join(format!("{i:04}"))).unwrap()));
        let root: OwnedFd = std::fs::File::open(folder.path()).unwrap().into();
        let stat = Stat::of_open(root.as_fd()).unwrap();
        let mut walk = Walk::new(root, &stat).unwrap();
        let (mut at, mut announced) = (0, Vec::new());
        while let Some(Step::Name(_)) = walk.next() {
            if let Some(upcoming) = walk.upcoming(most) {
                assert_eq!(upcoming.distance, announced.len().max(at + 1) - at, "at {at}");
                announced.resize(announced.len().max(1), CString::default());
                announced.extend(upcoming.names);
                assert!(announced.len() <= at + 1 + most);
            }
            at += 1;
            walk.pass();
        }
        let names: Vec<_> = (1..count).map(|i| CString::new(format!("{i:04}")).unwrap()).collect();
        assert_eq!(announced.get(1..).unwrap_or_default(), names, "{count} names, {most} at most");
    }

    #[test]
    fn names_are_announced_once_and_in_order() {
        for (count, most) in [(0, 8), (1, 8), (2, 8), (8, 8), (9, 8), (100, 8), (100, 64), (100, 1000)] {
            check(count, most);
        }
    }
}
