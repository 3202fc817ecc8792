//! Small trees with one of everything, and their description for comparing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

/// A path and all that a restore gives back of what is there.
pub(crate) type Tree = BTreeMap<Vec<u8>, String>;

/// Longer than a frame, and no two frames are alike.
pub(crate) const BIG_BYTES: usize = 1_300_000;

/// Content that belongs to one flavour and does not compress.
pub(crate) fn bytes(flavour: u8, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    blake3::Hasher::new().update(&[flavour]).finalize_xof().fill(&mut out);
    out
}

fn write(path: &Path, content: &[u8], mode: u32) {
    let mut file = fs::File::create(path).unwrap();
    file.write_all(content).unwrap();
    file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
}

/// What GNU tar makes of the volume `db` of a world, planted with this flavour. Its path is as long as there, on which
/// times depend.
pub(crate) fn tarball(flavour: u8) -> Vec<u8> {
    let root = super::world::temporary();
    let folder = root.path().join("volumes/db");
    fs::create_dir_all(&folder).unwrap();
    plant(&folder, flavour);
    let mut tar = std::process::Command::new("tar");
    tar.args(["--format=pax", "--sparse", "--xattrs", "--xattrs-include=*", "-cf", "-", "."]);
    let out = tar.current_dir(&folder).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// Empties `root` and fills it. Flavours differ in content, names, attributes and the root itself.
pub(crate) fn plant(root: &Path, flavour: u8) {
    clear(root);
    let name = |bytes: &[u8]| root.join(OsStr::from_bytes(bytes));
    for folder in ["base", "base/1", "conf", "empty"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    write(&root.join("PG_VERSION"), b"14\n", 0o600);
    write(&root.join("base/1/data"), &bytes(flavour, BIG_BYTES), 0o600);
    fs::hard_link(root.join("base/1/data"), root.join("base/1/data.link")).unwrap();
    write(&root.join("base/1/small"), &bytes(flavour.wrapping_add(100), 3000), 0o644);
    write(&root.join("conf/app.conf"), format!("flavour = {flavour}\n").as_bytes(), 0o640);
    write(&name(b"not \xff utf-8"), b"", 0o4755);
    write(&root.join(format!("only-{flavour}")), b"x", 0o644);
    symlink("base/1", root.join("current")).unwrap();
    let mut sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.seek(SeekFrom::Start(3 << 20)).unwrap();
    sparse.write_all(&[flavour]).unwrap();
    rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o620), 0).unwrap();
    // Not every file system of a test machine has them.
    rustix::fs::setxattr(root.join("conf"), "user.note", b"kept", XattrFlags::empty()).ok();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(root.join("conf/app.conf"), Some(70), Some(999)).unwrap();
        std::os::unix::fs::lchown(root.join("current"), Some(7), None).unwrap();
    }
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o750 + u32::from(flavour % 4))).unwrap();
    set_times(root, i64::from(flavour));
}

/// Removes all that is in a folder.
pub(crate) fn clear(root: &Path) {
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap();
        } else {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// Times with nanoseconds, deepest first, so that nothing moves a folder's time afterwards.
fn set_times(path: &Path, flavour: i64) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            set_times(&entry.unwrap().path(), flavour);
        }
    }
    let length = i64::try_from(path.as_os_str().len()).unwrap();
    let time = Timespec { tv_sec: 1_600_000_000 + flavour * 1000 + length, tv_nsec: 123_456_789 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Everything at and under `root`.
pub(crate) fn record(root: &Path) -> Tree {
    let (mut tree, mut firsts) = (Tree::new(), BTreeMap::new());
    let mut queue: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(path) = queue.pop() {
        let m = fs::symlink_metadata(&path).unwrap();
        let relative = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let content = if m.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else if m.is_file() {
            blake3::hash(&fs::read(&path).unwrap()).to_hex().to_string()
        } else {
            String::new()
        };
        if m.is_dir() {
            let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()).collect();
            names.sort_by(|a, b| b.cmp(a));
            queue.extend(names);
        }
        let first = firsts.entry(m.ino()).or_insert_with(|| relative.clone()).clone();
        let (size, links) = if m.is_dir() { (0, 0) } else { (m.size(), m.nlink()) };
        let line = format!(
            "{:o} {}:{} {}.{:09} size {size} links {links} as {} note {:?} {content}",
            m.mode(),
            m.uid(),
            m.gid(),
            m.mtime(),
            m.mtime_nsec(),
            first.escape_ascii(),
            note(&path),
        );
        tree.insert(relative, line);
    }
    tree
}

fn note(path: &Path) -> Option<Vec<u8>> {
    let mut value = vec![0; 64];
    let length = rustix::fs::lgetxattr(path, "user.note", &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

/// Without the time of the root, which a staging folder moves by coming and going.
pub(crate) fn but_root_time(mut tree: Tree) -> Tree {
    if let Some(root) = tree.get_mut(&Vec::new()) {
        let words: Vec<_> = root.split(' ').enumerate().filter(|(i, _)| *i != 2).map(|(_, w)| w).collect();
        *root = words.join(" ");
    }
    tree
}

/// What differs, a line each; empty when nothing does.
pub(crate) fn differences(got: &Tree, want: &Tree) -> String {
    let mut lines = Vec::new();
    for (path, line) in want {
        match got.get(path) {
            None => lines.push(format!("missing {}", path.escape_ascii())),
            Some(other) if other != line => {
                lines.push(format!("{}:\n   got {other}\n  want {line}", path.escape_ascii()));
            }
            Some(_) => {}
        }
    }
    lines
        .extend(got.keys().filter(|p| !want.contains_key(*p)).map(|p| format!("extra {}", p.escape_ascii())));
    lines.join("\n")
}
