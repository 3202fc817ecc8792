//! What other software has made of the volume.

use std::io;
use std::process::Command;

use crate::host::{Prepared, write};

const ARCHIVE: &str = "backup-2025-11-20T03-00-00.tar.gz";

impl Prepared {
    /// Whether that is known.
    pub(crate) fn other_software(&mut self, what: &str) -> io::Result<bool> {
        let done = match what {
            "there is an archive of docker-volume-backup" => {
                // Names from the top, each volume a folder, and nothing but what it writes.
                self.tar(ARCHIVE, &["-z", "-P", "--transform=s,^\\./*,/backup/shop-data/,"])
            }
            "there is one that is encrypted" => self.encrypt(),
            "there is a tarball" => self.tar("shop-data.tar", &[]),
            "there is a folder /srv/shop" => self.folder(),
            "on another host, restic and borg have backed up /srv/shop" => {
                self.move_to("new-1", "store-new");
                self.folder().and_then(|()| {
                    self.does(
                        "restic init\nrestic backup /srv/shop\nborg init --encryption none\nborg create ::monday /srv/shop\n",
                    )
                })
            }
            _ => return Ok(false),
        };
        done.map(|()| true)
    }

    /// An archive of the volume, with GNU tar.
    pub(crate) fn tar(&self, name: &str, options: &[&str]) -> io::Result<()> {
        let mut tar = Command::new("tar");
        tar.args(options).arg("-cf").arg(self.folder.path().join(name));
        let done = tar.arg("-C").arg(self.place("shop-data")?).arg(".").status()?;
        if done.success() { Ok(()) } else { Err(io::Error::other(format!("tar: {done}"))) }
    }

    /// With a passphrase, which nobody is asked for.
    fn encrypt(&self) -> io::Result<()> {
        let home = self.folder.path().join("gnupg");
        std::fs::create_dir(&home)?;
        write(&home.join("passphrase"), b"of-gnupg\n")?;
        let passphrase = home.join("passphrase");
        let settings = format!(
            "batch\ns2k-count 65536\npinentry-mode loopback\npassphrase-file {}\n",
            passphrase.display()
        );
        write(&home.join("gpg.conf"), settings.as_bytes())?;
        // The agent would outlive its home by a while.
        self.does(&format!("chmod 700 gnupg\ngpg --symmetric {ARCHIVE}\ngpgconf --kill gpg-agent\n"))
    }

    /// The volume's content, which blocks see as `/srv/shop`.
    fn folder(&mut self) -> io::Result<()> {
        let place = self.place("shop-data")?;
        let (from, to) = (place.display(), self.folder.path().display());
        self.does(&format!("mkdir -p {to}/srv\nrm -rf {to}/srv/shop\ncp -a {from} {to}/srv/shop\n"))?;
        self.serves_srv = true;
        Ok(())
    }
}
