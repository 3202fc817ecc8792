//! Looking at a tree on disk, exactly.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Writes a small file.
pub fn write(path: &Path, bytes: &[u8]) {
    fs::File::create(path).unwrap().write_all(bytes).unwrap();
}

/// A path whose last parts are bytes.
pub fn at(root: &Path, path: &[u8]) -> std::path::PathBuf {
    root.join(OsStr::from_bytes(path))
}

/// All xattrs of what `path` is itself, sorted.
pub fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 1 << 16];
    let n = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut out: Vec<_> = names[..n]
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty() && *name != b"security.selinux")
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let n = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            value.truncate(n);
            (String::from_utf8_lossy(name).into_owned(), value)
        })
        .collect();
    out.sort();
    out
}

/// One line for each entry, with all that a restore gives back; inodes as the first path that has them.
/// Files over 64 MiB are sparse ones here, and are not hashed.
pub fn describe(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut out = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    let mut queue = vec![Vec::new()];
    while let Some(path) = queue.pop() {
        let full = at(root, &path);
        let m = fs::symlink_metadata(&full).unwrap();
        let first = inodes.entry(m.ino()).or_insert_with(|| path.clone()).clone();
        let content = if m.is_symlink() {
            format!("{:?}", fs::read_link(&full).unwrap())
        } else if m.is_file() && m.len() <= 64 << 20 {
            blake3::hash(&fs::read(&full).unwrap()).to_hex().to_string()
        } else {
            String::new()
        };
        if m.is_dir() {
            let mut names: Vec<_> = fs::read_dir(&full).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort_by(|a, b| b.cmp(a));
            queue.extend(names.iter().map(|name| {
                let mut child = path.clone();
                if !child.is_empty() {
                    child.push(b'/');
                }
                child.extend_from_slice(name.as_bytes());
                child
            }));
        }
        let links = if m.is_dir() { 0 } else { m.nlink() };
        let size = if m.is_file() { m.len() } else { 0 };
        out.insert(
            path,
            format!(
                "{:o} {}:{} {}.{:09} rdev {} size {size} links {links} as {} {:?} {content}",
                m.mode(),
                m.uid(),
                m.gid(),
                m.mtime(),
                m.mtime_nsec(),
                m.rdev(),
                first.escape_ascii(),
                xattrs(&full)
            ),
        );
    }
    out
}
