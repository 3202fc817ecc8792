//! Replacing a small file so that a crash leaves the old one or the new one, whole.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::BorrowedFd;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::beneath;

/// A place where tests stop; called with the name of the step before and after it is taken.
pub(crate) type Step<'a> = &'a dyn Fn(&str) -> io::Result<()>;

/// Writes `bytes` as `name` in `dir`: a new file beside it, synced, renamed over it, the folder synced.
///
/// The file is synced before the rename, or a power cut could leave the name on an empty file; the folder
/// after it, or the next step could be on the disk before this one.
pub(crate) fn replace(dir: BorrowedFd<'_>, name: &[u8], bytes: &[u8], step: Step<'_>) -> io::Result<()> {
    let fresh = [name, b".tmp"].concat();
    match rustix::fs::unlinkat(dir, &fresh[..], AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let mut file = File::from(beneath::make_file(dir, &fresh)?);
    step("created")?;
    file.write_all(bytes)?;
    step("written")?;
    file.sync_all()?;
    step("synced")?;
    rustix::fs::renameat(dir, &fresh[..], dir, name)?;
    step("renamed")?;
    rustix::fs::fsync(dir)?;
    step("folder synced")
}
