//! The walk: every name of a tree, depth first, in path order, by descriptors.
//!
//! Always true:
//! * Whoever asks for the next name has an open descriptor of its folder, so no path is ever resolved.
//! * Of a deep branch only the lowest [`OPEN_MAX`] folders stay open. A folder above them is opened again
//!   as `..` of its child, and used only if it is the folder that it was.
//! * Memory holds the names of the folders on the current branch, and one path.

use std::ffi::CStr;
use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};

use crate::names::Names;
use crate::ours;
use crate::path::{PathError, TreePath};
use crate::stat::{Identity, Stat};

/// Folders of one branch that are open at a time.
const OPEN_MAX: usize = 128;

struct Level {
    folder: Option<OwnedFd>,
    identity: Identity,
    names: Names,
    /// Bytes of the walk's path that are this folder's.
    path_bytes: usize,
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
        let level = Level { folder: Some(root), identity: stat.identity, names, path_bytes: 0 };
        Ok(Self { levels: vec![level], path: Vec::new() })
    }

    /// Begins with one name in an open folder, and goes on with all below it.
    pub(crate) fn of_one(folder: OwnedFd, stat: &Stat, path: &[u8], name: &[u8]) -> Self {
        let (names, path_bytes) = (Names::one(name), path.len());
        let level = Level { folder: Some(folder), identity: stat.identity, names, path_bytes };
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
        let path_bytes = self.path.len();
        self.levels.push(Level { folder: Some(folder), identity: stat.identity, names, path_bytes });
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
                parent.folder = Some(folder);
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
