//! The images of servers: made once of Debian's packages by a script of `setup`, taken into the engine where it lacks them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::container::{bounded, run};
use crate::docker::Docker;

/// Where programs of Debian's packages are.
const PATH: &str = "ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// So long the script may take for one image; its own steps have bounds that say more.
const MAKE_SECONDS: u32 = 1800;
const IMPORT_SECONDS: u32 = 300;

/// Tarballs lie beside the other tools of tests, unless the environment names a folder.
fn folder() -> PathBuf {
    match std::env::var_os("BACKUPD_TEST_IMAGES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/images"),
    }
}

/// The name under which the engine has the image `name`; it has it afterwards.
pub fn image(docker: &Docker, name: &str) -> io::Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup/images.sh");
    let folder = folder();
    let mut make = Command::new("timeout");
    make.args(["--kill-after=5", &MAKE_SECONDS.to_string()]).arg(script).arg(&folder).arg(name);
    let tarball = run(make, "")?.good("make an image")?;
    let tarball = Path::new(tarball.trim());
    // NAME-HASH.tar
    let stem = tarball.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let hash = stem.rsplit('-').next().unwrap_or_default();
    let tag = format!("backupd-test-{name}:{hash}");
    // One at a time: an engine would import the same twice.
    let lock = File::options().create(true).append(true).open(folder.join("lock-import"))?;
    lock.lock()?;
    match docker.ask("GET", &format!("/images/{tag}/json"), None) {
        Ok(_there) => return Ok(tag),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mut import = bounded(docker, IMPORT_SECONDS);
    import.args(["import", "--change", PATH, "--change", "ENV LC_ALL=C.UTF-8"]);
    import.args(["--change", "ENTRYPOINT [\"/entrypoint\"]"]).arg(tarball).arg(&tag);
    run(import, "")?.good("import an image").map(|_id| tag)
}
