//! A second program, in another language and with no code of ours, reads what we write.
//!
//! The Python modules that it needs are pinned in `integration/setup/requirements.txt`; `make test` puts
//! them in place.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("integration lies in the workspace").to_path_buf()
}

/// The Python that has the reader's modules.
fn python() -> Command {
    let pinned = root().join("target/tools/venv/bin/python3");
    Command::new(if pinned.exists() { pinned } else { "python3".into() })
}

#[test]
fn the_reader_reads_what_is_whole_and_refuses_what_is_not() {
    let done = python().arg(root().join("integration/reader/selftest.py")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "`make tools` installs what it needs:\n{said}");
}
