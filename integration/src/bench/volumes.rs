//! The volumes that benchmarks make, and how they go.
//!
//! ext4 passes over an inode that was deleted within the last minutes when it looks for a free one, so whoever creates many files
//! after many were deleted does so twenty times slower. What came back is therefore never deleted before all is
//! measured: it is emptied, for the room it takes, and stays until [`remove_all`].

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::measure::Cost;
use crate::docker::Docker;

/// Names of volumes that benchmarks make; nothing else is ever removed.
pub const VOLUME_PREFIX: &str = "bkd-bench-";

/// Removes all volumes of all benchmarks, also of those that were cut off.
pub fn remove_all(docker: &Docker) -> io::Result<()> {
    let mut ours = docker.volumes()?.into_iter().filter(|name| name.starts_with(VOLUME_PREFIX));
    ours.try_for_each(|name| docker.remove_volume(&name))
}

/// Cuts every file below a folder to nothing.
pub fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => empty(&entry.path())?,
            kind if kind.is_file() => File::options().write(true).open(entry.path())?.set_len(0)?,
            _ => {}
        }
    }
    Ok(())
}

/// Whether a file below a folder has anything in it. What comes and goes meanwhile has nothing.
pub(super) fn has_a_byte(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .any(|(path, meta)| meta.is_file() && meta.len() > 0 || meta.is_dir() && has_a_byte(&path))
}

/// A volume for what comes back, on the same file system as the source; emptied when it is dropped.
#[derive(Debug)]
pub(super) struct Target<'a> {
    docker: &'a Docker,
    /// Its name; there is no such volume yet.
    pub(super) name: String,
}

impl<'a> Target<'a> {
    pub(super) fn new(docker: &'a Docker) -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("{VOLUME_PREFIX}back-{}", MADE.fetch_add(1, Ordering::Relaxed));
        docker.remove_volume(&name)?;
        Ok(Self { docker, name })
    }

    /// For tools that do not make the volume themselves.
    pub(super) fn make(&self) -> io::Result<PathBuf> {
        self.docker.create_volume(&self.name)
    }

    /// A restore that a power cut would take back is not at its end: what it takes until the disk has everything
    /// counts, for tools that do not wait for that themselves too.
    pub(super) fn on_disk(&self, cost: Cost) -> io::Result<Cost> {
        on_disk(&self.place()?, cost)
    }

    /// Where its files will be, once the engine has made it as it made the volume whose files are here.
    pub(super) fn beside(&self, other: &Path) -> io::Result<PathBuf> {
        let parts = other.ancestors().nth(2).zip(other.file_name());
        let (volumes, inner) =
            parts.ok_or_else(|| io::Error::other("a volume without a folder of its own"))?;
        Ok(volumes.join(&self.name).join(inner))
    }

    fn place(&self) -> io::Result<PathBuf> {
        self.docker.volume(&self.name)?.ok_or_else(|| io::Error::other("nothing was restored"))
    }

    /// A tool that brought back less than it should has not been measured.
    pub(super) fn holds(&self, wanted: Contents) -> io::Result<()> {
        let found = Contents::of(&self.place()?)?;
        if found == wanted {
            return Ok(());
        }
        Err(io::Error::other(format!("{wanted:?} should have come back, and {found:?} did")))
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        // What stays full only takes room, until all are removed.
        if let Ok(Some(place)) = self.docker.volume(&self.name) {
            drop(empty(&place));
        }
    }
}

/// Waits until the disk has everything of this folder's file system.
pub(super) fn on_disk(folder: &Path, cost: Cost) -> io::Result<Cost> {
    let began = Instant::now();
    rustix::fs::syncfs(File::open(folder)?)?;
    Ok(Cost { wall: cost.wall + began.elapsed(), ..cost })
}

/// What lies in a folder, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents {
    /// Regular files.
    pub files: u64,
    /// Their lengths.
    pub bytes: u64,
}

impl Contents {
    /// Of a folder and all below it.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let mut sum = Self::default();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let about = entry.metadata()?;
            let inner = match about.is_dir() {
                true => Self::of(&entry.path())?,
                false => Self { files: 1, bytes: about.size() },
            };
            sum = Self { files: sum.files + inner.files, bytes: sum.bytes + inner.bytes };
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_emptied_stays_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        for name in ["a/b", "c"] {
            File::create(dir.path().join(name)).unwrap().write_all(b"12345").unwrap();
        }
        assert_eq!(Contents::of(dir.path()).unwrap(), Contents { files: 2, bytes: 10 });
        empty(dir.path()).unwrap();
        assert_eq!(Contents::of(dir.path()).unwrap(), Contents { files: 2, bytes: 0 });
    }
    #[test]
    fn a_byte_is_seen_however_deep_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let mut file = File::create(dir.path().join("a/b/c")).unwrap();
        assert!(!has_a_byte(dir.path()) && !has_a_byte(&dir.path().join("none")));
        file.write_all(b"1").unwrap();
        assert!(has_a_byte(dir.path()));
    }
}
