//! A host as the documents assume it: a volume `shop-data`, an empty store, and nothing else of ours. What befalls it
//! between the blocks of a document is done here and beside it, behind the back of our programs; only what is said to
//! be backed up is backed up by them.
//!
//! Always true: what is planted is the same on every machine and at every time, since documents show its sizes. Nobody
//! else's volumes and containers are touched: a name that is taken is refused.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use integration::docker::Docker;
use integration::noise::noise;
use integration::programs::built;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::installed::Installed;
use crate::meanwhile::Meanwhile;
use crate::servers::Running;
use crate::transcript::{Printed, printed, script};
use crate::tree::{Tree, tree};

/// The volumes that the documents speak of; none of them may be there before, none is there afterwards.
const VOLUMES: &[&str] = &[
    "shop-data",
    "shop-data-copy",
    "shop_db",
    "shop_uploads",
    "shop-db",
    "shop-db-copy",
    "shop-dump",
    "shop-dump-files",
    "db-data",
];

/// The containers, of which the same is true.
const CONTAINERS: &[&str] = &["db", "shop-db", "new-db", "look"];

/// No block takes longer, unless something hangs.
const BLOCK_SECONDS: &str = "600";

pub(crate) const TODAY: &[u8] = b"1,apple\n2,pear\n";

/// The archive holds so much that nothing compresses, and as much text.
const ARCHIVE_HALF_BYTES: usize = 16 << 20;

/// 2026-11-20, noon. Whole seconds, since not every archive carries more.
const PLANTED_AT: Timespec = Timespec { tv_sec: 1_795_176_000, tv_nsec: 0 };

type Labels = BTreeMap<String, String>;

/// Lives as long as the blocks of one document run.
pub(crate) struct Prepared {
    pub(crate) docker: Docker,
    pub(crate) folder: TempDir,
    program: PathBuf,
    /// What was planted: for each volume its labels, and what lay in it.
    planted: BTreeMap<&'static str, (Labels, Tree)>,
    /// Its name in the store, and of its state folder.
    pub(crate) host: &'static str,
    /// The folder of the store.
    pub(crate) store: &'static str,
    /// The number of a run of which a document speaks, as `$RUN`.
    pub(crate) number: String,
    /// Servers by the names of their containers.
    pub(crate) servers: BTreeMap<&'static str, Running>,
    /// Somebody presses Ctrl-C so long after a block began.
    pub(crate) interrupted_after: Option<Duration>,
    /// Whether blocks see the folder `srv` as `/srv`.
    pub(crate) serves_srv: bool,
    /// A machine of its own with a systemd, on which blocks run from then on.
    pub(crate) installed: Option<Installed>,
    /// Why blocks cannot be run on this machine.
    pub(crate) impossible: Option<&'static str>,
    /// A backup that is on.
    pub(crate) meanwhile: Option<Meanwhile>,
}

impl Prepared {
    /// Refuses to touch volumes and containers of these names that somebody else made.
    pub(crate) fn new() -> io::Result<Self> {
        let docker = Docker::of_environment()?;
        for name in VOLUMES {
            if docker.volume(name)?.is_some() {
                return Err(io::Error::other(format!("there is a volume `{name}` already; remove it first")));
            }
        }
        for name in CONTAINERS {
            match docker.ask("GET", &format!("/containers/{name}/json"), None) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
                Ok(_) => {
                    return Err(io::Error::other(format!("there is a container `{name}`; remove it first")));
                }
            }
        }
        let mut prepared = Self {
            docker,
            folder: tempfile::tempdir()?,
            program: built("backupctl")?,
            planted: BTreeMap::new(),
            host: "vm-1",
            store: "store",
            number: String::new(),
            servers: BTreeMap::new(),
            interrupted_after: None,
            serves_srv: false,
            installed: None,
            impossible: None,
            meanwhile: None,
        };
        plant_shop(&prepared.docker.create_volume("shop-data")?)?;
        prepared.remember("shop-data")?;
        Ok(prepared)
    }

    /// Runs a block with our program in reach and everything of ours in a folder of its own.
    pub(crate) fn run(&self, block: &str) -> io::Result<Printed> {
        if let Some(installed) = &self.installed {
            return installed.run(block);
        }
        let mut bash = Command::new("timeout");
        bash.args(["--kill-after=5", BLOCK_SECONDS]);
        if self.serves_srv {
            // Mounts of its own end with it.
            let enter = "mount --bind srv /srv && exec \"$@\"";
            bash.args(["unshare", "--mount", "sh", "-c", enter, "sh"]);
        }
        bash.args(["bash", "-euo", "pipefail", "-c", &script(block)])
            .envs(self.environment()?)
            .current_dir(self.folder.path());
        printed(bash, self.interrupted_after)
    }

    /// Whether a block ended as it should: by itself and well, or by the Ctrl-C that it waits for.
    pub(crate) fn is_good_end(&mut self, status: ExitStatus) -> bool {
        match self.interrupted_after.take() {
            Some(_) => status.signal() == Some(Signal::INT.as_raw()),
            None => status.success(),
        }
    }

    /// Starts one of our programs as a block would.
    pub(crate) fn program(&self, args: &[&str]) -> io::Result<Command> {
        let mut command = Command::new(&self.program);
        command.args(args).envs(self.environment()?).current_dir(self.folder.path());
        Ok(command)
    }

    /// What differs from the test's own.
    fn environment(&self) -> io::Result<Vec<(&'static str, OsString)>> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut reach = vec![self.program.parent().map(PathBuf::from).unwrap_or_default()];
        reach.extend(std::env::split_paths(&path));
        let at = |name: &str| self.folder.path().join(name).into_os_string();
        let store =
            |name: &str| OsString::from(format!("file://{}", self.folder.path().join(name).display()));
        let mut all = vec![
            ("LC_ALL", "C.UTF-8".into()),
            ("PATH", std::env::join_paths(reach).map_err(io::Error::other)?),
            ("BACKUPD_STORE", store(self.store)),
            ("BACKUPD_STATE", at(self.host)),
            ("BACKUPD_HOST", self.host.into()),
            ("COPY", store("copy")),
            ("NEW", store("new")),
            ("RUN", self.number.clone().into()),
            ("GNUPGHOME", at("gnupg")),
            ("RESTIC_REPOSITORY", at("restic")),
            ("RESTIC_PASSWORD", "of-restic".into()),
            ("RESTIC_CACHE_DIR", at("restic-cache")),
            ("BORG_REPO", at("borg")),
            ("BORG_BASE_DIR", at("borg-base")),
        ];
        if self.folder.path().join("policies").exists() {
            all.push(("BACKUPD_POLICIES", at("policies")));
        }
        Ok(all)
    }

    /// Runs commands that must end well.
    pub(crate) fn does(&self, commands: &str) -> io::Result<()> {
        let done = self.run(commands)?;
        if done.status.success() { Ok(()) } else { Err(io::Error::other(done.text)) }
    }

    /// Goes to another host, which has another store.
    pub(crate) fn move_to(&mut self, host: &'static str, store: &'static str) {
        (self.host, self.store) = (host, store);
    }

    /// Fails if what a document says behind a block is not so.
    pub(crate) fn is_true(&mut self, what: &str) -> io::Result<()> {
        if let Some(volume) = what.strip_suffix(" is as it was") {
            return self.is_as_it_was(volume);
        }
        if let Some(source) = what.strip_prefix("all snapshots are of what was in ") {
            return self.snapshots_are_as_it_was(source);
        }
        if let Some(server) = what.strip_prefix("every order is in ") {
            return self.has_every_order(server);
        }
        match (what, self.meanwhile.take()) {
            ("that run has ended", Some(meanwhile)) => meanwhile.was_interrupted(),
            _ => Err(io::Error::other("it says nothing that is known")),
        }
    }

    /// Restores each beside it.
    fn snapshots_are_as_it_was(&self, source: &str) -> io::Result<()> {
        let listed = self.program(&["--json", "snapshots", source])?.output()?;
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout)?;
        let snapshots = listed.as_array().map(Vec::len).unwrap_or_default();
        for number in 1..=snapshots {
            self.does(&format!(
                "backupctl restore {source} --snapshot {number} --into shop-data-copy --yes\n"
            ))?;
            self.is_as_it_was("shop-data-copy")?;
            self.docker.remove_volume("shop-data-copy")?;
        }
        if snapshots > 0 { Ok(()) } else { Err(io::Error::other("there is none")) }
    }

    /// A volume that was planted, with its labels; what is beside `shop-data` is like it.
    fn is_as_it_was(&self, volume: &str) -> io::Result<()> {
        let (labels, was) = match self.planted.get(volume) {
            Some((labels, was)) => (Some(labels), was),
            None => (None, &self.planted["shop-data"].1),
        };
        if labels.is_some_and(|labels| self.labels(volume).ok().as_ref() != Some(labels)) {
            return Err(io::Error::other(format!("it has other labels than {labels:?}")));
        }
        let is = self.tree(volume)?;
        if is == *was { Ok(()) } else { Err(io::Error::other(format!("it holds {is:#?}, not {was:#?}"))) }
    }

    /// Notes how a volume is now.
    pub(crate) fn remember(&mut self, volume: &'static str) -> io::Result<()> {
        let as_it_is = (self.labels(volume)?, self.tree(volume)?);
        self.planted.insert(volume, as_it_is);
        Ok(())
    }

    /// What lies in a volume, but for what was replaced and is kept where that was asked for.
    fn tree(&self, volume: &str) -> io::Result<Tree> {
        let mut tree = tree(&self.place(volume)?, &[]);
        tree.retain(|path, _| !path.starts_with(".backupd-previous-"));
        // A file that is put back into a folder changes the folder's time.
        let folders = tree.values_mut().filter(|told| told.starts_with("40"));
        folders.for_each(|told| *told = told.split(' ').take(2).collect::<Vec<_>>().join(" "));
        Ok(tree)
    }

    /// None at all and no labels are the same.
    fn labels(&self, volume: &str) -> io::Result<Labels> {
        let mut about = self.docker.ask("GET", &format!("/volumes/{volume}"), None)?;
        Ok(serde_json::from_value::<Option<Labels>>(about["Labels"].take())?.unwrap_or_default())
    }

    pub(crate) fn place(&self, volume: &str) -> io::Result<PathBuf> {
        self.docker.volume(volume)?.ok_or_else(|| io::Error::other(format!("there is no volume `{volume}`")))
    }
}

/// Fills the volume that all documents begin with.
fn plant_shop(place: &Path) -> io::Result<()> {
    fs::create_dir(place.join("orders"))?;
    mode(&place.join("orders"), 0o755)?;
    write(&place.join("orders/archive.bin"), &archive())?;
    write(&place.join("orders/today.csv"), TODAY)?;
    symlink("orders/today.csv", place.join("latest"))?;
    let times = Timestamps { last_access: PLANTED_AT, last_modification: PLANTED_AT };
    for name in ["orders/archive.bin", "orders/today.csv", "orders", "latest", ""] {
        utimensat(CWD, place.join(name), &times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn archive() -> Vec<u8> {
    let mut bytes = noise(7, ARCHIVE_HALF_BYTES);
    bytes.extend(
        (0..)
            .flat_map(|number: u64| format!("{number},apple,{}\n", number % 97).into_bytes())
            .take(ARCHIVE_HALF_BYTES),
    );
    bytes
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut fs::File::create(path)?, bytes)?;
    mode(path, 0o644)
}

/// Whatever the test's own umask is.
pub(crate) fn mode(path: &Path, bits: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(bits))
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // What cannot be removed is found, and named, by the next run.
        drop(self.meanwhile.take());
        drop(self.installed.take());
        self.servers.clear();
        for name in CONTAINERS {
            drop(self.docker.remove_container(name));
        }
        for name in VOLUMES {
            drop(self.docker.remove_volume(name));
        }
    }
}
