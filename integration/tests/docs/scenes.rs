//! What befalls a host between the blocks of a document.

use std::fs;
use std::io;
use std::time::Duration;

use integration::noise::noise;
use serde_json::json;

use crate::host::{Prepared, TODAY, write};
use crate::installed::Installed;
use crate::meanwhile::Meanwhile;
use crate::tree::plant;

/// The volumes of a compose project, which a document may let come into being.
const OF_PROJECT: [&str; 2] = ["shop_db", "shop_uploads"];

/// `status --watch` says it again every 2 seconds.
const UNTIL_CTRL_C: Duration = Duration::from_secs(5);

impl Prepared {
    /// Lets happen what a document says in front of a block; `policy` is what it shows above that.
    pub(crate) fn happens(&mut self, what: &str, policy: &str) -> io::Result<()> {
        match what {
            "docker compose up" | "docker compose down -v" => self.project(what),
            "somebody presses Ctrl-C" => {
                self.interrupted_after = Some(UNTIL_CTRL_C);
                Ok(())
            }
            "both programs are in /usr/local/bin of a new machine" => {
                match Installed::start(&self.docker)? {
                    Some(installed) => self.installed = Some(installed),
                    None => self.impossible = Some("no systemd can be started on this machine"),
                }
                Ok(())
            }
            "shop-data is backed up" => self.back_up(),
            "a backup is on, whose run is $RUN" => self.slow_backup(),
            "two restores keep what they replace, the first is run $RUN" => self.keeps_twice(),
            "on a host with snapshots of last year, of some days and of some hours ago" => self.history(),
            "on the first host again" => {
                self.move_to("vm-1", "store");
                Ok(())
            }
            _ if self.befalls_files(what)? || self.befalls_servers(what, policy)? => Ok(()),
            _ if self.other_software(what)? => Ok(()),
            _ => Err(io::Error::other("nobody wrote down here how that happens")),
        }
    }

    fn back_up(&self) -> io::Result<()> {
        self.does("backupctl backup shop-data\n")
    }

    fn project(&mut self, what: &str) -> io::Result<()> {
        if what.ends_with("down -v") {
            return OF_PROJECT.into_iter().try_for_each(|name| self.docker.remove_volume(name));
        }
        for (name, seed) in OF_PROJECT.into_iter().zip(1..) {
            let labels = json!({ "com.docker.compose.project": "shop" });
            let volume = json!({ "Name": name, "Labels": labels });
            self.docker.ask("POST", "/volumes/create", Some(&volume))?;
            plant(&self.place(name)?, seed, 4);
            self.remember(name)?;
        }
        Ok(())
    }

    /// What becomes of volumes and stores; whether it is known.
    fn befalls_files(&mut self, what: &str) -> io::Result<bool> {
        let done = match what {
            "there are two snapshots" => {
                self.back_up()?;
                write(&self.place("shop-data")?.join("orders/new.csv"), TODAY)?;
                self.back_up()
            }
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
            "everything is encrypted, and backed up by night" => {
                let orders = self.place("shop-data")?.join("orders");
                for name in ["archive.bin", "today.csv"] {
                    write(&orders.join(format!("{name}.locked")), &noise(1, 1 << 20))?;
                    fs::remove_file(orders.join(name))?;
                }
                self.back_up()
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
            _ => return Ok(false),
        };
        done.map(|()| true)
    }

    /// Slow enough for somebody to end it.
    fn slow_backup(&mut self) -> io::Result<()> {
        let policies = self.folder.path().join("policies");
        fs::create_dir_all(&policies)?;
        let slow = "schedule = \"0 2 * * *\"\nselect.volumes = [\"shop-data\"]\n\
                    consistency.mode = \"live\"\nlimits.bandwidth = \"64KiB/s\"\n";
        write(&policies.join("slow.toml"), slow.as_bytes())?;
        write(&self.place("shop-data")?.join("orders/archive.bin"), &noise(3, 16 << 20))?;
        let (meanwhile, number) = Meanwhile::begin(self)?;
        self.meanwhile = Some(meanwhile);
        self.number = number;
        Ok(())
    }

    fn keeps_twice(&mut self) -> io::Result<()> {
        let before = self.kept()?;
        let restore = "backupctl restore shop-data --snapshot 1 --keep-previous --yes\n";
        self.does(restore)?;
        let first = self.kept()?.into_iter().find(|run| !before.contains(run));
        self.number = first.ok_or_else(|| io::Error::other("nothing is kept"))?;
        self.does(restore)
    }

    /// The runs of which something is kept in the volume.
    fn kept(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(self.place("shop-data")?)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(names
            .iter()
            .filter_map(|name| name.strip_prefix(".backupd-previous-"))
            .map(str::to_owned)
            .collect())
    }

    /// Snapshots of the past are those that were imported. Once made, it is only gone to.
    fn history(&mut self) -> io::Result<()> {
        self.move_to("history", "store-history");
        if self.folder.path().join(self.store).exists() {
            return Ok(());
        }
        self.tar("history.tar", &["--exclude=.backupd-previous-*"])?;
        for taken_at in ["2025-11-20 03:00", "2d", "3h"] {
            self.does(&format!("backupctl import history.tar --as shop-data --taken-at '{taken_at}'\n"))?;
        }
        Ok(())
    }
}
