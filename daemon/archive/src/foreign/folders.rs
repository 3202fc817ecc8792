//! Folders of an archive: those that are members, and those that only stand in names of others.
//!
//! Always true: no folder is entered through a link, and none gets its attributes before all that lies in it is there.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::build::{At, Builder, Missing};
use super::error::ForeignError;
use super::later::Folder;
use crate::attributes::{self, Subject};
use crate::beneath;
use crate::channel::{NoteKind, Untarred, Wrapping};
use crate::entry::Stamp;
use crate::ours::is_ours;
use crate::path::TreePath;

/// Folders that no member describes.
const IMPLIED_MODE: u32 = 0o755;

impl Builder<'_> {
    /// A folder that is there already is the same one; what is said of it last counts.
    pub(super) fn folder(&mut self, folder: Folder) -> Result<(), Missing> {
        let path = folder.path.clone();
        if let Some((parent, name)) = path.split_last() {
            if parent.is_empty() && is_ours(name) {
                return Err(Missing::One("the name is reserved for folders of backupd itself".to_owned()));
            }
            let modified = folder.attributes().modified;
            let dir = self.parent(&path, parent, modified)?;
            let at = At { path: &path, dir: dir.as_fd(), name };
            if at.stat()?.is_none_or(|kind| kind != FileType::Directory) {
                self.make_way(&at)?;
                beneath::make_folder(at.dir, name).map_err(|e| at.failed("create folder", e))?;
                self.totals.entries += 1;
            }
        }
        self.later.add(&folder).map_err(|e| ForeignError::tree("note folder", &path, e).into())
    }

    /// The folder of a member, made if no member was it so far.
    pub(super) fn parent(
        &mut self,
        path: &TreePath,
        parent: &[u8],
        modified: Stamp,
    ) -> Result<OwnedFd, Missing> {
        let failed = |e: io::Error| through(path, e);
        let held = self.parent.take().filter(|(held, _)| held == parent);
        let fd = match held {
            Some((_, fd)) => fd,
            None => match self.open_folder(parent) {
                Err(e) if Errno::from_io_error(&e) == Some(Errno::NOENT) => {
                    self.implied(path, parent, modified)?
                }
                opened => opened.map_err(failed)?,
            },
        };
        let given = fd.try_clone().map_err(failed)?;
        self.parent = Some((parent.to_vec(), fd));
        Ok(given)
    }

    fn open_folder(&self, path: &[u8]) -> io::Result<OwnedFd> {
        if path.is_empty() { self.root.try_clone() } else { beneath::open_folder(self.root.as_fd(), path) }
    }

    /// Makes the folders on the way to a member.
    fn implied(&mut self, path: &TreePath, parent: &[u8], modified: Stamp) -> Result<OwnedFd, Missing> {
        let mut fd = self.root.try_clone().map_err(|e| through(path, e))?;
        let mut whole = TreePath::root();
        for name in parent.split(|byte| *byte == b'/') {
            whole = whole.join(name).map_err(|why| Missing::One(why.to_string()))?;
            fd = match beneath::make_folder(fd.as_fd(), name) {
                Ok(made) => {
                    self.totals.entries += 1;
                    let folder = Folder::new(whole.clone(), IMPLIED_MODE, (0, 0), modified, &[]);
                    self.later.add(&folder).map_err(|e| ForeignError::tree("note folder", &whole, e))?;
                    made
                }
                Err(e) if Errno::from_io_error(&e) == Some(Errno::EXIST) => {
                    beneath::open_folder(fd.as_fd(), name).map_err(|e| through(path, e))?
                }
                Err(e) => return Err(through(path, e)),
            };
        }
        Ok(fd)
    }

    /// Gives folders their attributes and says what was made.
    pub(super) fn finish(self, wrapping: Wrapping) -> Result<Untarred, ForeignError> {
        let Self { root, later, mut notes, totals, members, .. } = self;
        let failed = |path: &TreePath, e: io::Error| ForeignError::tree("set attributes of", path, e);
        let applied = later.each(|folder| {
            let opened = match folder.path.as_bytes() {
                [] => root.try_clone(),
                path => beneath::open_folder(root.as_fd(), path),
            };
            let fd = match opened {
                Ok(fd) => fd,
                // Something else has taken its place since.
                Err(e) if is_gone(&e) => return Ok(()),
                Err(e) => return Err(failed(&folder.path, e)),
            };
            let mut lost = |why: String| notes.add(&folder.path, NoteKind::Attribute, why);
            let done = attributes::apply(Subject::Open(fd.as_fd()), &folder.attributes(), &mut lost);
            done.map_err(|e| failed(&folder.path, e))
        });
        applied.map_err(|e| failed(&TreePath::root(), e))??;
        Ok(Untarred { totals, notes, members, wrapping })
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

/// The way to a member leads through something that is no folder, or the disk fails.
fn through(path: &TreePath, error: io::Error) -> Missing {
    match Errno::from_io_error(&error) {
        Some(Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => {
            ForeignError::hostile(path.as_bytes(), "it would be written through a link or a file").into()
        }
        Some(Errno::NAMETOOLONG) => Missing::One(error.to_string()),
        _ => ForeignError::tree("open the folder of", path, error).into(),
    }
}
