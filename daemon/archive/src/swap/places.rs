//! Swapping in some places of a folder alone: a file, or a folder with what is in it. All else stays as it is.
//!
//! ```text
//! places_staged   the old content is in place                             discard, or begin
//! places_out      each place → old/<its number in `moves`>                finish, or undo if the system refuses
//! places_in       new/…      → each place                                 finish, or go back if the system refuses
//! places_back     each place → new/…, then on as from `places_out`
//! ```
//!
//! As with all of a folder, in between a mix may be visible and containers are down; and each phase can be run again from
//! its start: while old content goes out nothing new is in a place, and while new content comes in nothing old is.
//!
//! What is moved is decided when the swap begins, and noted before the journal names the first phase. It is the place
//! itself; or, where folders above it are missing, the outermost of these, which the unpack made with the attributes that
//! the snapshot has. Folders above a place that are there are neither replaced nor changed, but for their time.

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::FileType;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{Swap, fixed, sync};
use crate::beneath;
use crate::durable;
use crate::path::{TreePath, printable};
use crate::staging::{MOVES, NEW, PLACES, Staging, StagingError, read_whole};
use crate::swap::error::SwapError;
use crate::swap::journal::{Journal, Phase};

/// Paths come from one command line.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Which places are to be swapped, and how `new` has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Places {
    /// In path order, none within another.
    paths: Vec<TreePath>,
    /// `new` has each under its number here, and not the folders above it; a place that it does not have becomes empty.
    numbered: bool,
}

/// One that is moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Move {
    /// Where in the folder.
    pub(crate) path: TreePath,
    /// Where in `new`.
    new: TreePath,
}

impl Places {
    /// These, each in `new` where it is in the folder.
    pub(crate) fn of(paths: &[TreePath]) -> Result<Self, &'static str> {
        if paths.iter().any(TreePath::is_root) {
            return Err("all of the folder is no place in it");
        }
        let mut paths = paths.to_vec();
        paths.sort();
        paths.dedup_by(|later, earlier| later.is_within(earlier));
        Ok(Self { paths, numbered: false })
    }

    /// What was moved once, to be moved back.
    pub(super) fn numbered(moves: Vec<Move>) -> Self {
        Self { paths: moves.into_iter().map(|one| one.path).collect(), numbered: true }
    }

    /// Keeps them for the swap.
    pub(crate) fn write(&self, staging: &Staging) -> Result<(), StagingError> {
        write(staging, PLACES, self)
    }

    fn read(staging: &Staging) -> Result<Self, SwapError> {
        read(staging.fd(), PLACES, staging.name())
    }

    /// What is to be moved for them, as the folder is now.
    fn moves(&self, root: BorrowedFd<'_>) -> Result<Vec<Move>, SwapError> {
        let mut moves: Vec<Move> = Vec::with_capacity(self.paths.len());
        for (number, path) in self.paths.iter().enumerate() {
            let found = match self.numbered {
                true => Move { path: path.clone(), new: numbered(number)? },
                false => {
                    let outermost = outermost_missing(root, path)?;
                    Move { path: outermost.clone(), new: outermost }
                }
            };
            // Several places may need one folder that is missing.
            if moves.last().is_none_or(|last| last.path != found.path) {
                moves.push(found);
            }
        }
        Ok(moves)
    }
}

/// What a swap of places has moved, as it lies in a folder of ours.
pub(super) fn read_moves(dir: BorrowedFd<'_>, name: &str) -> Result<Vec<Move>, SwapError> {
    read(dir, MOVES, name)
}

/// Looks whether all of it can be moved, and notes what will be.
pub(super) fn begin(root: BorrowedFd<'_>, staging: &Staging) -> Result<(), SwapError> {
    let moves = Places::read(staging)?.moves(root)?;
    for one in &moves {
        fixed::check_place(root, &one.path)?;
    }
    Ok(write(staging, MOVES, &moves)?)
}

fn numbered(number: usize) -> Result<TreePath, SwapError> {
    TreePath::parse(number.to_string().into_bytes())
        .map_err(|e| SwapError::tree("name", number, io::Error::other(e)))
}

/// The outermost folder above a path that is missing; the path itself if they are all there.
fn outermost_missing(root: BorrowedFd<'_>, path: &TreePath) -> Result<TreePath, SwapError> {
    let bytes = path.as_bytes();
    for slash in (0..bytes.len()).filter(|at| bytes[*at] == b'/') {
        let above = &bytes[..slash];
        let fixed = |why| SwapError::Fixed { path: printable(above), why };
        match beneath::open_itself(root, above) {
            Ok(fd) => {
                let stat =
                    rustix::fs::fstat(&fd).map_err(|e| SwapError::tree("look at", printable(above), e))?;
                if beneath::file_type(&stat) != FileType::Directory {
                    return Err(fixed("it is no folder, and what is to be restored lies beneath it"));
                }
            }
            Err(e) => match Errno::from_io_error(&e) {
                Some(Errno::NOENT) => {
                    return TreePath::parse(above.to_vec())
                        .map_err(|e| SwapError::tree("name", printable(above), io::Error::other(e)));
                }
                Some(Errno::XDEV) => return Err(fixed("something is mounted there")),
                _ => return Err(SwapError::tree("look at", printable(above), e)),
            },
        }
    }
    Ok(path.clone())
}

fn write(staging: &Staging, name: &[u8], what: &impl Serialize) -> Result<(), StagingError> {
    let failed = |e: io::Error| staging.failed("write places of", e);
    let bytes = serde_json::to_vec(what).map_err(|e| failed(e.into()))?;
    durable::replace(staging.fd(), name, &bytes, &|_step| Ok(())).map_err(failed)
}

fn read<T: for<'a> Deserialize<'a>>(dir: BorrowedFd<'_>, name: &[u8], of: &str) -> Result<T, SwapError> {
    let bytes =
        read_whole(dir, name, FILE_BYTES_MAX).map_err(|e| SwapError::tree("read places of", of, e))?;
    serde_json::from_slice(&bytes).map_err(|e| SwapError::tree("read places of", of, e))
}

/// A folder, and a name in it.
struct At<'a> {
    folder: OwnedFd,
    name: &'a [u8],
}

impl<'a> At<'a> {
    fn open(dir: BorrowedFd<'_>, path: &'a TreePath) -> Result<Self, SwapError> {
        // A move never is of the root.
        let (parent, name) = path.split_last().unwrap_or_default();
        let opened = if parent.is_empty() {
            rustix::io::fcntl_dupfd_cloexec(dir, 0).map_err(io::Error::from)
        } else {
            beneath::open_folder(dir, parent)
        };
        Ok(Self { folder: opened.map_err(|e| SwapError::tree("open", printable(parent), e))?, name })
    }

    fn sync(&self) -> Result<(), SwapError> {
        sync(self.folder.as_fd(), &printable(self.name))
    }
}

impl Swap<'_> {
    /// The old content leaves its places.
    pub(super) fn places_out(&self) -> Result<(), SwapError> {
        let (moves, old) = (read_moves(self.staging.fd(), self.staging.name())?, self.old()?);
        match self.out(&moves, &old) {
            Ok(()) => self.steps.at("after sync of moves"),
            Err(stopped @ SwapError::Stopped(_)) => Err(stopped),
            // Nothing new is in any place yet, so all can go back to where it was.
            Err(why) => self.undo_places(&moves, &old, why),
        }
    }

    fn out(&self, moves: &[Move], old: &OwnedFd) -> Result<(), SwapError> {
        for (number, one) in moves.iter().enumerate() {
            let at = At::open(self.root, &one.path)?;
            self.rename(at.folder.as_fd(), at.name, old.as_fd(), number.to_string().as_bytes(), &one.path)?;
        }
        self.steps.at("before sync of moves")?;
        // Target before source: a power cut in between may show an entry in both, never in neither.
        sync(old.as_fd(), self.staging.name())?;
        moves.iter().try_for_each(|one| At::open(self.root, &one.path)?.sync())
    }

    fn undo_places(&self, moves: &[Move], old: &OwnedFd, why: SwapError) -> Result<(), SwapError> {
        self.steps.at("before undo")?;
        for (number, one) in moves.iter().enumerate() {
            if !super::exists(old.as_fd(), number.to_string().as_bytes())? {
                continue;
            }
            let at = At::open(self.root, &one.path)?;
            self.rename(old.as_fd(), number.to_string().as_bytes(), at.folder.as_fd(), at.name, &one.path)?;
            at.sync()?;
        }
        sync(old.as_fd(), self.staging.name())?;
        self.write(Journal { phase: Phase::PlacesStaged, keep_previous: false })?;
        Err(SwapError::Undone(Box::new(why)))
    }

    /// The new content enters the places. Where the system refuses that of one, all of it leaves again, and the old
    /// content comes back.
    pub(super) fn places_in(&self, journal: Journal) -> Result<(), SwapError> {
        let moves = read_moves(self.staging.fd(), self.staging.name())?;
        match self.bring(&moves) {
            Ok(()) => self.steps.at("after sync of moves"),
            Err(stopped @ SwapError::Stopped(_)) => Err(stopped),
            Err(why) => {
                let journal = self.write(Journal { phase: Phase::PlacesBack, ..journal })?;
                self.places_back()?;
                self.write(Journal { phase: Phase::PlacesOut, ..journal })?;
                self.undo_places(&moves, &self.old()?, why)
            }
        }
    }

    fn bring(&self, moves: &[Move]) -> Result<(), SwapError> {
        let new = self.folder(NEW)?;
        let mut from = Vec::with_capacity(moves.len());
        for one in moves {
            let (source, at) = (At::open(new.as_fd(), &one.new)?, At::open(self.root, &one.path)?);
            self.rename(source.folder.as_fd(), source.name, at.folder.as_fd(), at.name, &one.path)?;
            from.push(source);
        }
        self.steps.at("before sync of moves")?;
        moves.iter().try_for_each(|one| At::open(self.root, &one.path)?.sync())?;
        from.iter().try_for_each(At::sync)
    }

    /// What came in goes out again.
    pub(super) fn places_back(&self) -> Result<(), SwapError> {
        let (moves, new) = (read_moves(self.staging.fd(), self.staging.name())?, self.folder(NEW)?);
        for one in &moves {
            let (back, at) = (At::open(new.as_fd(), &one.new)?, At::open(self.root, &one.path)?);
            // What did not come in is still there, and what stands at its place is somebody's who was not expected.
            if !super::exists(back.folder.as_fd(), back.name)? {
                self.rename(at.folder.as_fd(), at.name, back.folder.as_fd(), back.name, &one.path)?;
            }
            back.sync()?;
            at.sync()?;
        }
        Ok(())
    }

    /// Moves what is there; what is not was moved by an earlier run of the phase, or never was.
    fn rename(
        &self,
        from: BorrowedFd<'_>,
        name: &[u8],
        to: BorrowedFd<'_>,
        fresh: &[u8],
        path: &TreePath,
    ) -> Result<(), SwapError> {
        self.steps.at("before move")?;
        // Nothing is ever moved over something else: what stands there is not ours.
        match beneath::rename_new(from, name, to, fresh) {
            Ok(()) => {}
            Err(Errno::NOENT) if !super::exists(from, name)? => {}
            Err(e) => return Err(SwapError::tree("move", printable(path.as_bytes()), e)),
        }
        self.steps.at("after move")
    }
}
