//! Things outside the target that no restore may touch.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::tree;

/// A folder with a file beside the target.
pub struct Canary {
    pub folder: PathBuf,
    before: String,
}

impl Canary {
    pub fn new(beside: &Path) -> Self {
        let folder = beside.join("canary");
        fs::create_dir(&folder).unwrap();
        tree::write(&folder.join("file"), b"alive");
        fs::set_permissions(folder.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
        let before = Self::look(&folder);
        Self { folder, before }
    }

    #[track_caller]
    pub fn check(&self, name: &str) {
        assert_eq!(Self::look(&self.folder), self.before, "{name}: the canary is dead");
    }

    fn look(folder: &Path) -> String {
        let mut out = String::new();
        for path in [folder.to_owned(), folder.join("file")] {
            let m = fs::symlink_metadata(&path).unwrap();
            // The time of change tells of every touch, even of one that was put back.
            out += &format!(
                "{:o} {}:{} {} links, changed {}.{:09}, modified {}.{:09}\n",
                m.mode(),
                m.uid(),
                m.gid(),
                m.nlink(),
                m.ctime(),
                m.ctime_nsec(),
                m.mtime(),
                m.mtime_nsec()
            );
        }
        out += &String::from_utf8(fs::read(folder.join("file")).unwrap()).unwrap();
        out += &fs::read_dir(folder).unwrap().count().to_string();
        out
    }
}
