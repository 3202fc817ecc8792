//! The unit for systemd: it can be loaded, and it confines the service as far as the documents say.
//!
//! Where there is no `systemd-analyze`, this says so and ends.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use integration::programs::built;

use crate::rig::put;

/// `None` where the tool does not exist.
fn analyze(args: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").args(args).env("LC_ALL", "C").output() {
        Ok(output) => Some(output),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => panic!("run systemd-analyze: {e}"),
    }
}

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap()
}

#[test]
fn the_unit_loads_and_is_as_closed_as_the_documents_say() {
    let dir = tempfile::tempdir().unwrap();
    let programs = built("backupd").unwrap();
    let here = format!("{}/", programs.parent().unwrap().display());
    let path = dir.path().join("backupd.service");
    put(&path, text("daemon/backupd.service").replace("/usr/local/bin/", &here).as_bytes());
    let path = path.to_str().unwrap();
    let Some(verified) = analyze(&["verify", "--recursive-errors=no", path]) else {
        eprintln!("skipped: there is no systemd-analyze here");
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.trim().is_empty(), "{said}");

    let security = analyze(&["security", "--offline=true", "--no-pager", path]).unwrap();
    let said = String::from_utf8_lossy(&security.stdout).into_owned();
    let level = said.lines().find_map(|line| line.split_once("Overall exposure level for backupd.service: "));
    let level = level.unwrap_or_else(|| panic!("{said}")).1.split(' ').next().unwrap().to_owned();
    let documented = format!("`systemd-analyze security` rates the unit {level}");
    assert!(text("docs/security.md").contains(&documented), "{documented}");
}
