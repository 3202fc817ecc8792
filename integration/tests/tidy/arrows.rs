//! Who may depend on whom, and which crates stay behind which wall.

use std::process::Command;

use serde_json::Value;

use crate::keep;
use crate::tree::{root, rust};

/// A crate of ours, and the crates of ours that it may use, in tests as well.
const ARROWS: &[(&str, &[&str])] = &[
    ("policies", &[]),
    ("archive", &[]),
    ("engine", &["archive", "policies"]),
    ("backupd-helper", &["archive"]),
    ("backupd", &["engine", "policies"]),
    ("backupctl", &["engine", "policies"]),
    ("integration", &["archive", "engine", "policies"]),
    ("confined", &[]),
    ("tenant", &[]),
];

/// A crate of others, as Rust spells it, and the only folder that may name it.
const WALLS: &[(&str, &str)] = &[
    ("bollard", "daemon/engine/src/adapter/"),
    ("aws_config", "daemon/engine/src/adapter/"),
    ("aws_credential_types", "daemon/engine/src/adapter/"),
    ("aws_sdk_s3", "daemon/engine/src/adapter/"),
    ("aws_smithy_http_client", "daemon/engine/src/adapter/"),
    ("aws_smithy_runtime_api", "daemon/engine/src/adapter/"),
    ("aws_smithy_types", "daemon/engine/src/adapter/"),
    ("rusqlite", "daemon/engine/src/catalog/"),
];

/// Packages in Cargo.lock. Each is code of strangers that runs as root on people's hosts. Four of them read gzip.
const PACKAGES_MAX: usize = 368;

/// What cargo says about the packages that this machine builds.
pub(crate) fn metadata() -> Value {
    let rustc = Command::new("rustc").arg("-vV").current_dir(root()).output().expect("run rustc");
    let rustc = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let target = rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let asked = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", target])
        .current_dir(root())
        .output()
        .expect("run cargo metadata");
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    serde_json::from_slice(&asked.stdout).expect("cargo metadata is JSON")
}

/// The packages of an answer.
pub(crate) fn packages(metadata: &Value) -> &[Value] {
    metadata["packages"].as_array().expect("metadata lists packages")
}

/// A field that is text; empty if it is not there.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let metadata = metadata();
    // Only what does not come from a registry is ours.
    let ours: Vec<_> = packages(&metadata).iter().filter(|package| package["source"].is_null()).collect();
    let mut broken = Vec::new();
    for package in &ours {
        let name = text(package, "name");
        let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
            broken.push(format!("{name} has no place in the table of arrows"));
            continue;
        };
        let used = package["dependencies"].as_array().into_iter().flatten();
        for used in used.map(|dependency| text(dependency, "name")) {
            let of_ours = ours.iter().any(|other| text(other, "name") == used) && used != name;
            if of_ours && !allowed.contains(&used) {
                broken.push(format!("{name} -> {used}"));
            }
        }
    }
    assert_eq!(ours.len(), ARROWS.len(), "the table of arrows names every crate of ours");
    keep(
        "cli -> engine <- daemon; engine -> archive, policies; helper -> archive",
        "turn the arrow round: let the one above pass in what the one below needs",
        &broken,
    );
}

#[test]
fn engine_and_database_libraries_stay_behind_their_walls() {
    let metadata = metadata();
    let mut broken = Vec::new();
    for package in packages(&metadata).iter().filter(|package| package["source"].is_null()) {
        let used = package["dependencies"].as_array().into_iter().flatten();
        for used in used.map(|dependency| text(dependency, "name").replace('-', "_")) {
            if WALLS.iter().any(|(name, _)| *name == used) && text(package, "name") != "engine" {
                broken.push(format!("{} depends on {used}", text(package, "name")));
            }
        }
    }
    for file in rust() {
        for (name, home) in WALLS.iter().filter(|(_, home)| !file.path.starts_with(home)) {
            let path = [name, "::"].concat();
            let named = file.code_lines().any(|line| line.contains(&path));
            if named && !file.path.starts_with("integration/tests/tidy/") {
                broken.push(format!("{} names {name}, whose place is {home}", file.path));
            }
        }
    }
    keep(
        "adapters alone know the libraries of others",
        "say what you need in a port, and do it in the adapter",
        &broken,
    );
}

#[test]
fn dependencies_do_not_pile_up() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let count = lock.lines().filter(|line| *line == "[[package]]").count();
    let broken =
        (count > PACKAGES_MAX).then(|| format!("Cargo.lock has {count} packages, at most {PACKAGES_MAX}"));
    keep(
        "few dependencies",
        "switch features off or do without; raise the number only with a reason",
        broken.as_slice(),
    );
}
