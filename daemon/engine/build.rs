//! Builds the helper as a static binary, so that the engine can carry it inside.
//!
//! The binary is built by a cargo of its own, in a target folder of its own (so the two never wait for each
//! other's lock), which all profiles of the workspace share. `BACKUPD_HELPER` names a finished binary to be
//! used instead: for packagers who build it themselves, and for quick checks.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=BACKUPD_HELPER");
    if let Err(why) = embed() {
        let why = why.replace('\n', " ");
        println!("cargo::error={why}");
    }
}

fn embed() -> Result<(), String> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let binary = match env::var_os("BACKUPD_HELPER").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => build(&out)?,
    };
    println!("cargo::rerun-if-changed={}", binary.display());
    let target = out.join("backupd-helper");
    fs::copy(&binary, &target)
        .map_err(|e| format!("copy the helper from `{}`: {e}; see `BACKUPD_HELPER`", binary.display()))?;
    Ok(())
}

fn build(out: &Path) -> Result<PathBuf, String> {
    let triple = variable("TARGET")?;
    let triple = triple.to_string_lossy();
    if !triple.contains("-linux-") {
        return Err(format!(
            "the helper runs in Linux containers and cannot be built for `{triple}`; build it for Linux \
             (`cargo build -p backupd-helper --profile helper --target …-unknown-linux-gnu`, with \
             `RUSTFLAGS=-Ctarget-feature=+crt-static`) and name it in `BACKUPD_HELPER`"
        ));
    }
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../..");
    for watched in ["daemon/helper", "daemon/archive", "Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", workspace.join(watched).display());
    }
    let target = target_folder(out).join("helper");
    let built = Command::new(variable("CARGO")?)
        .current_dir(&workspace)
        .args([
            "build",
            "--locked",
            "--package",
            "backupd-helper",
            "--profile",
            "helper",
            "--target",
            &triple,
        ])
        // `--target` keeps the flags from build scripts, which cannot all be static.
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env("CARGO_TARGET_DIR", &target)
        // What the outer cargo says about its own build, and the drivers of clippy and coverage.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("CARGO_BUILD_BUILD_DIR")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC")
        .env_remove("RUSTDOC")
        .output()
        .map_err(|e| format!("run cargo for the helper: {e}"))?;
    if !built.status.success() {
        let words = String::from_utf8_lossy(&built.stderr);
        return Err(format!(
            "build the static helper: {} (to see it alone: `RUSTFLAGS=-Ctarget-feature=+crt-static cargo build \
             -p backupd-helper --profile helper --target {triple}`; to use a finished one, name it in \
             `BACKUPD_HELPER`): {words}",
            built.status,
        ));
    }
    Ok(target.join(&*triple).join("helper").join("backupd-helper"))
}

/// The workspace's target folder: cargo marks it, and everything of ours lies below.
fn target_folder(out: &Path) -> &Path {
    out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists()).unwrap_or(out)
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set `{name}`"))
}
