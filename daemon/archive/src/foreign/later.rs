//! What folders look like, put off to the end: whatever is made in a folder gives it a new time, and what it hands down
//! must not reach what is made in it.
//!
//! It waits in a file without a name in the tree itself, so memory does not grow with the number of folders.
//!
//! Always true: what was said last of a folder counts.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::entry::{Stamp, Xattr};
use crate::path::TreePath;

const NAME: &str = ".backupd-import-folders";

/// A folder and its attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Folder {
    pub(super) path: TreePath,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    seconds: i64,
    nanoseconds: u32,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Folder {
    pub(super) fn new(
        path: TreePath,
        mode: u32,
        (uid, gid): (u32, u32),
        modified: Stamp,
        xattrs: &[Xattr],
    ) -> Self {
        let Stamp { seconds, nanoseconds } = modified;
        let xattrs = xattrs.iter().map(|xattr| (xattr.name.clone(), xattr.value.clone())).collect();
        Self { path, mode, uid, gid, seconds, nanoseconds, xattrs }
    }

    pub(super) fn attributes(&self) -> crate::attributes::Attributes {
        let xattr = |(name, value): &(Vec<u8>, Vec<u8>)| Xattr { name: name.clone(), value: value.clone() };
        crate::attributes::Attributes {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            modified: Stamp { seconds: self.seconds, nanoseconds: self.nanoseconds },
            xattrs: self.xattrs.iter().map(xattr).collect(),
        }
    }
}

/// Folders that are still to be given their attributes.
pub(super) struct Later(BufWriter<File>);

impl Later {
    pub(super) fn new(root: BorrowedFd<'_>) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file: OwnedFd = rustix::fs::openat(root, NAME, flags, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::unlinkat(root.as_fd(), NAME, AtFlags::empty())?;
        Ok(Self(BufWriter::new(file.into())))
    }

    pub(super) fn add(&mut self, folder: &Folder) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, folder)?;
        self.0.write_all(b"\n")
    }

    /// Hands them all out, in the order in which they came.
    pub(super) fn each<E>(self, mut deed: impl FnMut(Folder) -> Result<(), E>) -> io::Result<Result<(), E>> {
        let mut file = self.0.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        for line in BufReader::new(file).lines() {
            if let Err(e) = deed(serde_json::from_str(&line?)?) {
                return Ok(Err(e));
            }
        }
        Ok(Ok(()))
    }
}
