//! Trees to back up: entries with every attribute, set by hand or at random.

#![allow(dead_code, reason = "each test file uses its part of this")]
#![allow(unreachable_pub, reason = "shared between test binaries by `mod`")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, mknodat, utimensat};

pub fn write(path: &Path, content: &[u8]) {
    fs::File::create(path).unwrap().write_all(content).unwrap();
}

pub fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let stamp = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: stamp, last_modification: stamp };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
        .unwrap_or_else(|e| panic!("this test needs a file system that takes `{name}` (and root): {e}"));
}

pub fn chown_link(path: &Path, uid: u32, gid: u32) {
    let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A POSIX ACL as the kernel stores it: version 2, then tag, permissions and id of each rule.
pub fn acl(rules: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in rules {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

pub const ACL_RULES: [(u16, u16, u32); 5] =
    [(1, 7, u32::MAX), (2, 4, 70), (4, 5, u32::MAX), (16, 5, u32::MAX), (32, 0, u32::MAX)];

pub fn node(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), device).expect("this test needs root");
}

/// A file in which each fourth of the content follows a hole, and a hole the last.
fn holes(path: &Path, content: &[u8]) {
    let file = fs::File::create(path).unwrap();
    let mut at = 0;
    for piece in content.chunks(content.len() / 4 + 1) {
        at += 100_000;
        file.write_all_at(piece, at).unwrap();
    }
    file.set_len(at + 200_000).unwrap();
}

/// A random entry: where it hangs, its name, what it is, and its attributes.
pub type Sprout = (usize, Vec<u8>, u8, Vec<u8>, (u32, u32, i64, u32));

pub fn sprouts() -> impl Strategy<Value = Vec<Sprout>> {
    let name = proptest::collection::vec(prop_oneof![1..=46_u8, 48..=255_u8], 1..120);
    let attributes = (0..=0o7777_u32, any::<u32>(), -5_000_000_000..9_000_000_000_i64, 0..1_000_000_000_u32);
    let content = proptest::collection::vec(any::<u8>(), 0..2000);
    proptest::collection::vec((any::<usize>(), name, 0..12_u8, content, attributes), 0..40)
}

pub fn grow(root: &Path, sprouts: &[Sprout]) {
    let mut folders = vec![root.to_owned()];
    let mut files = Vec::new();
    let mut made = Vec::new();
    for (place, name, kind, content, attributes) in sprouts {
        let path = folders[place % folders.len()].join(OsStr::from_bytes(name));
        if matches!(name.as_slice(), b"." | b"..") || path.symlink_metadata().is_ok() {
            continue;
        }
        match kind {
            0..=2 => {
                fs::create_dir(&path).unwrap();
                folders.push(path.clone());
            }
            3..=5 => {
                write(&path, content);
                files.push(path.clone());
            }
            6 => symlink(OsStr::from_bytes(name), &path).unwrap(),
            7 => node(&path, FileType::Fifo, 0),
            8 => node(&path, FileType::CharacterDevice, rustix::fs::makedev(1, attributes.0)),
            9 => {
                holes(&path, content);
                files.push(path.clone());
            }
            10 => {
                write(&path, content);
                set_xattr(&path, "user.content", content);
                set_xattr(&path, "trusted.empty", b"");
            }
            _ if files.is_empty() => continue,
            _ => fs::hard_link(&files[place % files.len()], &path).unwrap(),
        }
        made.push((path, *attributes));
    }
    for (path, (mode, owner, seconds, nanoseconds)) in made.iter().rev() {
        let is_link = path.symlink_metadata().unwrap().is_symlink();
        chown_link(path, *owner & 0x7fff_ffff, owner >> 3);
        if !is_link {
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        set_time(path, *seconds, i64::from(*nanoseconds));
    }
}
