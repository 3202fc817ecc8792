//! Our own programs, as cargo built them.
//!
//! Tests and benchmarks of the whole run the real binaries; cargo puts these into the folder in which, or
//! just above which, the running test or benchmark lies itself.

use std::io;
use std::path::PathBuf;

/// Where the binary `name` of this workspace is.
pub fn built(name: &str) -> io::Result<PathBuf> {
    let myself = std::env::current_exe()?;
    let folders = myself.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        io::Error::other(format!("`{name}` is not built beside {}: run `cargo build`", myself.display()))
    })
}
