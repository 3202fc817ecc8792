//! A disk in a file: a file system of a kind that this machine has elsewhere, or of a size that fills up.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;

/// Mounted for as long as this lives.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
    _folder: TempDir,
}

impl Disk {
    /// With a file system of this kind: `xfs`, `btrfs`. `None` where none can be made or mounted.
    pub fn mount(kind: &str, bytes: u64) -> io::Result<Option<Self>> {
        // Not in memory, and short: sockets may lie beneath.
        let folder = tempfile::Builder::new().prefix("bkd").tempdir_in("/var/tmp")?;
        let (image, at) = (folder.path().join("disk"), folder.path().join("m"));
        File::create(&image)?.set_len(bytes)?;
        fs::create_dir(&at)?;
        let done = |program: &str, args: &[&str], paths: &[&Path]| {
            let ran = Command::new(program).args(args).args(paths).output();
            ran.is_ok_and(|ran| ran.status.success())
        };
        let made = done(&format!("mkfs.{kind}"), &["-q"], &[&image]);
        let mounted = made && done("mount", &["-o", "loop"], &[&image, &at]);
        Ok(mounted.then_some(Self { at, _folder: folder }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The loop device goes with the last that holds it.
        match unmount(&self.at, UnmountFlags::DETACH) {
            Ok(()) | Err(_) => {}
        }
    }
}
