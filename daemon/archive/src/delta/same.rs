//! Whether what has a name already is what it is to be, its content apart.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::FileType;

use super::DeltaError;
use super::compare::{Comparing, Pair, may_change};
use crate::entry::{Entry, Kind};
use crate::names::Names;
use crate::pack::list;
use crate::stat::Stat;
use crate::unpack::UnpackError;
use crate::xattrs::Subject;

impl Comparing<'_> {
    pub(super) fn same_folder(&mut self, pair: &Pair<'_>) -> Result<(OwnedFd, Stat, Names), DeltaError> {
        let path = &pair.entry.path;
        let (folder, stat) = self.open(pair)?;
        let differs = !self.has_attributes(&pair.entry, &stat, Subject::Open(folder.as_fd()));
        if differs {
            may_change(path, &stat)?;
        }
        self.folders.push(&pair.entry, differs, stat.fixed);
        let names = list(folder.as_fd()).map_err(|e| UnpackError::tree("list", path, e))?;
        Ok((folder, stat, names))
    }

    /// Whether what is neither file nor folder is what it is to be.
    pub(super) fn is_same(&mut self, pair: &Pair<'_>) -> Result<bool, DeltaError> {
        let Pair { folder, name, stat, entry } = pair;
        let node = |major: &u32, minor: &u32| (*major, *minor) == stat.node;
        let same = match (&entry.kind, stat.kind) {
            (Kind::Symlink { target }, FileType::Symlink) => {
                let found = rustix::fs::readlinkat(folder, *name, Vec::new());
                found.map_err(|e| UnpackError::tree("read link", &entry.path, e))?.to_bytes() == target
            }
            (Kind::Fifo, FileType::Fifo) => true,
            (Kind::CharDevice { major, minor }, FileType::CharacterDevice)
            | (Kind::BlockDevice { major, minor }, FileType::BlockDevice) => node(major, minor),
            _ => false,
        };
        // Of several names each is made anew: rows of such say nothing of the others.
        Ok(same && stat.links == 1 && self.has_attributes(entry, stat, Subject::Name(*folder, name)))
    }

    /// Whether owner, mode, time and extended attributes are as they are to be.
    pub(super) fn has_attributes(&mut self, entry: &Entry, stat: &Stat, of: Subject<'_>) -> bool {
        let is_link = matches!(entry.kind, Kind::Symlink { .. });
        let same = (stat.uid, stat.gid, stat.modified) == (entry.uid, entry.gid, entry.modified)
            && (is_link || stat.mode == entry.mode);
        // What cannot be read is set again.
        same && self.xattrs.read(of) == (entry.xattrs.clone(), Vec::new())
    }
}
