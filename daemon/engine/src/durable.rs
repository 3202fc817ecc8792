//! Files that are whole or not there: tmp, fsync, rename, fsync the folder. The one place that may do it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Replaces `path` by `bytes` with mode `mode`. After `Ok` the new content survives a power cut; whenever it
/// is interrupted, readers see the old content or the new, never a mix.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = folder_of(path);
    let mut name = path.file_name().ok_or_else(|| io::Error::other("no file name"))?.to_os_string();
    name.push(format!(".tmp-{}", std::process::id()));
    let tmp = folder.join(name);
    let written = write_synced(&tmp, bytes, mode).and_then(|()| rename_synced(&tmp, path));
    if written.is_err() {
        // The old content is still in place; a leftover tmp file is no data and its name is never read.
        drop(fs::remove_file(&tmp));
    }
    written
}

fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Renames a file whose content is synced already, and makes the new name survive a power cut.
#[expect(clippy::disallowed_methods, reason = "this is the one durable-replace function")]
pub fn rename_synced(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(folder_of(to))
}

/// A bare name lies in this folder, for which `Path` has an empty one.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes names that were added to or removed from a folder survive a power cut.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn replacing_leaves_one_whole_file_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_bare_name_lies_in_this_folder() {
        for (path, want) in [("out.tar", "."), ("./out.tar", "."), ("a/out.tar", "a"), ("/out.tar", "/")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(want), "{path}");
        }
    }

    #[test]
    fn a_failed_replace_keeps_the_old_content_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder");
        fs::create_dir(&path).unwrap();
        fs::File::create(path.join("inside")).unwrap();
        assert!(replace(&path, b"x", 0o600).is_err());
        assert!(path.join("inside").exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
