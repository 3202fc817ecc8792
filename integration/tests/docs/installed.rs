//! A machine on which both programs are installed: a systemd of its own, over a view of this machine's files that forgets
//! what is written. Blocks run there as root, from a checkout.

use std::fs;
use std::io;
use std::path::Path;

use integration::docker::Docker;
use integration::private_systemd::PrivateSystemd;
use integration::programs::built;
use tempfile::TempDir;

use crate::host::write;
use crate::transcript::{Printed, script};

/// Ends with this.
pub(crate) struct Installed {
    // Before its folder.
    systemd: PrivateSystemd,
    folder: TempDir,
}

impl Installed {
    /// `None` where no systemd can be started.
    pub(crate) fn start(docker: &Docker) -> io::Result<Option<Self>> {
        // Not in /tmp, of which services have one of their own.
        let folder = tempfile::Builder::new().prefix("bkd-docs-").tempdir_in("/var/lib")?;
        let at = |name: &str| folder.path().join(name);
        for name in ["units", "etc", "bin", "checkout/daemon"] {
            fs::create_dir_all(at(name))?;
        }
        let target = b"[Unit]\nDescription=What a test wants\nWants=systemd-journald.service\n";
        write(&at("units/rig.target"), target)?;
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../daemon/backupd.service");
        fs::copy(unit, at("checkout/daemon/backupd.service"))?;
        for name in ["backupd", "backupctl"] {
            fs::copy(built(name)?, at("bin").join(name))?;
        }
        let socket = docker.host();
        let socket = socket.strip_prefix("unix://").unwrap_or(&socket);
        let Some(systemd) = PrivateSystemd::start(folder.path(), Path::new(socket))? else { return Ok(None) };
        let installed = Self { systemd, folder };
        let bin = installed.folder.path().join("bin");
        // As the packages of bash-completion and man-db have them.
        let done = installed.run(&format!(
            "ln -sf {0}/backupd {0}/backupctl /usr/local/bin/\nmkdir -p /usr/share/bash-completion/completions\n",
            bin.display()
        ))?;
        if done.status.success() { Ok(Some(installed)) } else { Err(io::Error::other(done.text)) }
    }

    /// Runs a block in its checkout.
    pub(crate) fn run(&self, block: &str) -> io::Result<Printed> {
        let script = format!("cd {}/checkout\n{}", self.folder.path().display(), script(block));
        let path = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
        let clean = ["env", "-i", path, "LC_ALL=C.UTF-8", "HOME=/root", "timeout", "--kill-after=5", "600"];
        let ran = self.systemd.run(&[&clean[..], &["bash", "-euo", "pipefail", "-c", &script]].concat())?;
        let text =
            [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Ok(Printed { status: ran.status, text })
    }
}
