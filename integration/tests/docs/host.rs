//! A host as the documents assume it: a volume `shop-data`, an empty store, and nothing else of ours. What befalls it
//! between the blocks of a document is done here, behind the back of our programs.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use integration::docker::Docker;
use integration::noise::noise;
use integration::programs::built;
use tempfile::TempDir;

/// The volumes that the documents speak of; none of them may be there before, none is there afterwards.
const VOLUMES: &[&str] = &["shop-data", "shop-data-copy"];

const TODAY: &[u8] = b"1,apple\n2,pear\n";

/// Lives as long as the blocks of one document run.
pub(crate) struct Prepared {
    docker: Docker,
    folder: TempDir,
    program: PathBuf,
    /// Its name in the store, and of its state folder.
    host: &'static str,
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
        let prepared =
            Self { docker, folder: tempfile::tempdir()?, program: built("backupctl")?, host: "vm-1" };
        let place = prepared.docker.create_volume("shop-data")?;
        fs::create_dir(place.join("orders"))?;
        fs::copy(&prepared.program, place.join("orders/archive.bin"))?;
        write(&place.join("orders/today.csv"), TODAY)?;
        symlink("orders/today.csv", place.join("latest"))?;
        Ok(prepared)
    }

    /// Runs something with our program in reach and everything of ours in a folder of its own.
    pub(crate) fn run(&self, mut command: Command) -> io::Result<Output> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut reach = vec![self.program.parent().map(PathBuf::from).unwrap_or_default()];
        reach.extend(std::env::split_paths(&path));
        let folder = self.folder.path();
        let store = |name| format!("file://{}", folder.join(name).display());
        command
            .env("PATH", std::env::join_paths(reach).map_err(io::Error::other)?)
            .env("BACKUPD_STORE", store("store"))
            .env("BACKUPD_STATE", folder.join(self.host))
            .env("BACKUPD_HOST", self.host)
            .env("COPY", store("copy"))
            .env("NEW", store("new"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
    }

    /// Lets happen what a document says in front of a block.
    pub(crate) fn happens(&mut self, what: &str) -> io::Result<()> {
        match what {
            "somebody wipes the volume" => {
                let place = self.place("shop-data")?;
                fs::remove_dir_all(place.join("orders"))?;
                fs::remove_file(place.join("latest"))
            }
            "somebody spoils a file" => {
                let orders = self.place("shop-data")?.join("orders");
                write(&orders.join("today.csv"), b"undefined\n")
            }
            "the volume is removed" => self.docker.remove_volume("shop-data"),
            "a deploy writes nonsense" => {
                let place = self.place("shop-data")?;
                write(&place.join("orders/today.csv"), b"undefined\n")?;
                write(&place.join("orders/new.csv"), b"undefined\n")
            }
            "everything is encrypted" => {
                let orders = self.place("shop-data")?.join("orders");
                for name in ["archive.bin", "today.csv"] {
                    write(&orders.join(format!("{name}.locked")), &noise(1, 1 << 20))?;
                    fs::remove_file(orders.join(name))?;
                }
                Ok(())
            }
            "the host burns down" => {
                self.docker.remove_volume("shop-data")?;
                fs::remove_dir_all(self.folder.path().join(self.host))?;
                self.host = "vm-2";
                Ok(())
            }
            "the store is lost, and somebody has a copy" => {
                let folder = self.folder.path();
                #[expect(
                    clippy::disallowed_methods,
                    reason = "what becomes of a store is not our programs' doing"
                )]
                fs::rename(folder.join("store"), folder.join("copy"))?;
                Ok(())
            }
            "there is an archive of docker-volume-backup" => {
                // Names from the top, each volume a folder, and nothing but what it writes.
                self.tar(
                    "backup-2025-11-20T03-00-00.tar.gz",
                    &["-z", "-P", "--transform=s,^\\./*,/backup/shop-data/,"],
                )
            }
            "there is a tarball" => self.tar("shop-data.tar", &[]),
            _ => Err(io::Error::other("nobody wrote down here how that happens")),
        }
    }

    /// An archive of the volume, with GNU tar.
    fn tar(&self, name: &str, options: &[&str]) -> io::Result<()> {
        let mut tar = Command::new("tar");
        tar.args(options).arg("-cf").arg(self.folder.path().join(name));
        let done = tar.arg("-C").arg(self.place("shop-data")?).arg(".").status()?;
        if done.success() { Ok(()) } else { Err(io::Error::other(format!("tar: {done}"))) }
    }

    /// Fails if what a document says behind a block is not so: `VOLUME is as it was`.
    pub(crate) fn is_true(&self, what: &str) -> io::Result<()> {
        let volume = what
            .strip_suffix(" is as it was")
            .ok_or_else(|| io::Error::other("it says nothing that is known"))?;
        let place = self.place(volume)?;
        let mut names = Vec::new();
        for folder in [place.clone(), place.join("orders")] {
            for row in fs::read_dir(folder)? {
                names.push(row?.file_name().to_string_lossy().into_owned());
            }
        }
        // What was replaced is kept where that was asked for.
        names.retain(|name| !name.starts_with(".backupd-previous-"));
        names.sort();
        let same = names == ["archive.bin", "latest", "orders", "today.csv"]
            && fs::read_link(place.join("latest"))? == Path::new("orders/today.csv")
            && fs::read(place.join("orders/today.csv"))? == TODAY
            && fs::read(place.join("orders/archive.bin"))? == fs::read(&self.program)?;
        if same { Ok(()) } else { Err(io::Error::other(format!("it holds {names:?}, or other content"))) }
    }

    fn place(&self, volume: &str) -> io::Result<PathBuf> {
        self.docker.volume(volume)?.ok_or_else(|| io::Error::other(format!("there is no volume `{volume}`")))
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut fs::File::create(path)?, bytes)
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for name in VOLUMES {
            // What cannot be removed is found, and named, by the next run.
            drop(self.docker.remove_volume(name));
        }
    }
}
