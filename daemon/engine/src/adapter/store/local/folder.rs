//! Folders beneath the root of the store, and the way down to them.
//!
//! Every step is taken from an open folder with `O_NOFOLLOW`, so that no symlink, wherever it was planted and
//! whenever, leads out of the store. Keys are checked before they come here: they hold no `..`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// An open folder of the store.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

const FOLDER_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Folder,
    Object,
}

impl Folder {
    /// The root itself may be reached through symlinks: the operator chose it.
    pub(super) fn root(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    pub(super) fn child(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Makes a folder if there is none, and opens it. The name survives a power cut afterwards, also when it was
    /// somebody else who made it a moment ago and has not synced it yet.
    pub(super) fn make(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.0, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.sync()?;
        self.child(name)
    }

    /// The folder that holds `key`, and the last component. `None` if a folder on the way is missing.
    pub(super) fn find<'k>(&self, key: &'k str) -> io::Result<Option<(Self, &'k str)>> {
        let (folders, name) = split(key);
        let mut here = self.again()?;
        for folder in folders.split('/').filter(|part| !part.is_empty()) {
            here = match here.child(folder) {
                Ok(next) => next,
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
        }
        Ok(Some((here, name)))
    }

    /// Like [`Self::find`], but makes what is missing on the way.
    pub(super) fn reach<'k>(&self, key: &'k str) -> io::Result<(Self, &'k str)> {
        let (folders, name) = split(key);
        let mut here = self.again()?;
        for folder in folders.split('/').filter(|part| !part.is_empty()) {
            here = here.make(folder)?;
        }
        Ok((here, name))
    }

    fn again(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Opens an object to read; a symlink, a folder or a device in its place is an error.
    pub(super) fn open(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.0, name, flags, Mode::empty())?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(Errno::NOENT.into()),
        }
    }

    /// Makes a new file; one that exists already is an error.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, FILE_MODE)?))
    }

    /// Removes a file; one that is gone is fine.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            // A read-only file system refuses before it looks; what is not there need not go.
            Err(Errno::ROFS) if self.open(name).is_err_and(|error| is_missing(&error)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes names that were added or removed survive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Every folder and plain file in it. Symlinks, devices and names that are no UTF-8 are nobody's objects.
    pub(super) fn entries(&self) -> io::Result<Vec<(String, Entry)>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                kind = match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                };
            }
            if kind == FileType::Directory {
                found.push((name.to_owned(), Entry::Folder));
            } else if kind == FileType::RegularFile {
                found.push((name.to_owned(), Entry::Object));
            }
        }
        Ok(found)
    }

    pub(super) fn as_fd(&self) -> impl AsFd {
        &self.0
    }
}

/// A component of a key may also be an object where a folder was looked for: then nothing is below it.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}
