//! The second program, in another language, that reads a store in a folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ran::Ran;
use crate::world::{HOST, World, ran};

/// Asks it about the newest snapshot of a source.
#[must_use = "nothing of it counts before its code and alarms were looked at"]
pub(crate) fn read(world: &World, source: &str, asked: &[&str]) -> Ran {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pinned = root.join("../target/tools/venv/bin/python3");
    let python = if pinned.exists() { pinned } else { PathBuf::from("python3") };
    let mut command = Command::new(python);
    command.arg(root.join("reader/read_store.py")).arg("--store").arg(world.at("store"));
    command.args(["--host", HOST, "--source", source]).args(asked);
    ran(&mut command)
}
