//! A host as the documents assume it: a volume `shop-data`, an empty store, and nothing else of ours.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use integration::docker::Docker;
use integration::programs::built;
use tempfile::TempDir;

/// The volumes that the documents speak of; none of them may be there before, none is there afterwards.
const VOLUMES: &[&str] = &["shop-data", "shop-data-copy"];

/// Lives as long as the blocks of one document run.
pub(crate) struct Prepared {
    docker: Docker,
    folder: TempDir,
    programs: PathBuf,
}

impl Prepared {
    /// Refuses to touch volumes of these names that somebody else made.
    pub(crate) fn new() -> io::Result<Self> {
        let docker = Docker::of_environment()?;
        for name in VOLUMES {
            if docker.volume(name)?.is_some() {
                return Err(io::Error::other(format!("there is a volume `{name}` already; remove it first")));
            }
        }
        let program = built("backupctl")?;
        let programs = program.parent().map(PathBuf::from).unwrap_or_default();
        let prepared = Self { docker, folder: tempfile::tempdir()?, programs };
        let place = prepared.docker.create_volume("shop-data")?;
        fs::create_dir(place.join("orders"))?;
        fs::copy(program, place.join("orders/archive.bin"))?;
        io::Write::write_all(&mut fs::File::create(place.join("orders/today.csv"))?, b"1,apple\n2,pear\n")?;
        symlink("orders/today.csv", place.join("latest"))?;
        Ok(prepared)
    }

    /// Runs something with our program in reach and everything of ours in a folder of its own.
    pub(crate) fn run(&self, mut command: Command) -> io::Result<Output> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut reach = vec![self.programs.clone()];
        reach.extend(std::env::split_paths(&path));
        let folder = self.folder.path();
        command
            .env("PATH", std::env::join_paths(reach).map_err(io::Error::other)?)
            .env("BACKUPD_STORE", format!("file://{}", folder.join("store").display()))
            .env("BACKUPD_STATE", folder.join("state"))
            .env("BACKUPD_HOST", "vm-1")
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for name in VOLUMES {
            // What cannot be removed is found, and named, by the next run.
            drop(self.docker.remove_volume(name));
        }
    }
}
