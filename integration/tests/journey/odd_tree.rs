//! A volume with everything in it that a file system can hold and a copy can get wrong.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};

use crate::world::put;
use integration::noise::noise;

/// The top of the branch whose paths are longer than `PATH_MAX`, which most programs cannot walk.
pub(crate) const DEEP: &str = "deep";

/// Apparent bytes of the file that is nearly all hole.
pub(crate) const SPARSE_BYTES: u64 = 20 << 30;

/// A POSIX ACL as the kernel stores it: version 2, then tag, permissions and id of each rule.
const ACL_RULES: [(u16, u16, u32); 5] =
    [(1, 6, u32::MAX), (2, 4, 1234), (4, 4, u32::MAX), (16, 6, u32::MAX), (32, 0, u32::MAX)];

/// `cap_net_bind_service+ep`, as version 2 of the attribute.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Fills `root`, which is made odd itself.
pub(crate) fn grow(root: &Path) {
    files(root);
    links_and_devices(root);
    names(root);
    deep(root);
    chown(root, Some(3_000_000_000), Some(70)).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o3751)).unwrap();
    set_xattr(root, "user.of-the-root", b"kept");
    set_time(root, -1, 999_999_999);
}

fn files(root: &Path) {
    let at = |name: &str| root.join(name);
    for (name, mode, uid, gid) in [
        ("plain", 0o640, 70, 70),
        ("setuid", 0o4755, 0, 0),
        ("setgid", 0o2755, 1, 2),
        ("unreadable", 0, 65534, 65534),
        ("large-ids", 0o600, 3_000_000_000, 2_097_152),
    ] {
        put(&at(name), name.as_bytes());
        chown(at(name), Some(uid), Some(gid)).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(at("sticky")).unwrap();
    fs::set_permissions(at("sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir_all(at("empty/empty too")).unwrap();
    put(&at("nothing in it"), b"");
    put(&at("old"), b"from before 1970");
    set_time(&at("old"), -86_400 * 365 * 20, 123_456_789);
    put(&at("new"), b"from after 2038");
    set_time(&at("new"), 4_000_000_000, 1);

    put(&at("attributes"), b"x");
    set_xattr(&at("attributes"), "user.empty", b"");
    set_xattr(&at("attributes"), "user.bytes", &[0, b'\n', 0xff]);
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in ACL_RULES {
        acl.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        acl.extend(id.to_le_bytes());
    }
    put(&at("acl"), b"for some");
    set_xattr(&at("acl"), "system.posix_acl_access", &acl);
    set_xattr(&at("sticky"), "system.posix_acl_default", &acl);
    put(&at("capable"), b"#!");
    set_xattr(&at("capable"), "security.capability", &CAPABILITY);

    let sparse = fs::File::create(at("sparse")).unwrap();
    sparse.set_len(SPARSE_BYTES).unwrap();
    sparse.write_all_at(&noise(1, 100_000), 7 << 30).unwrap();
    sparse.write_all_at(b"the end", SPARSE_BYTES - 7).unwrap();
    put(&at("random"), &noise(2, (5 << 20) + 17));
}

fn links_and_devices(root: &Path) {
    let at = |name: &str| root.join(name);
    fs::hard_link(at("plain"), at("plain again")).unwrap();
    fs::hard_link(at("plain"), at("sticky/plain a third time")).unwrap();
    for (name, target) in [
        ("link", "plain"),
        ("dangling", "nowhere at all"),
        ("upwards", "../../../../../../etc/passwd"),
        ("absolute", "/etc/passwd"),
        ("link to itself", "link to itself"),
    ] {
        symlink(target, at(name)).unwrap();
        lchown(at(name), Some(12), Some(34)).unwrap();
        set_time(&at(name), 5, 6);
    }
    symlink("x".repeat(4095), at("longest link")).unwrap();
    for (name, kind, device) in [
        ("fifo", FileType::Fifo, 0),
        ("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
        ("block", FileType::BlockDevice, rustix::fs::makedev(259, 1_048_575)),
    ] {
        rustix::fs::mknodat(CWD, at(name), kind, Mode::from_raw_mode(0o620), device).unwrap();
    }
    drop(UnixListener::bind(at("socket")).unwrap());
}

fn names(root: &Path) {
    fs::create_dir(root.join("names")).unwrap();
    for name in [
        &b"\xff\xfe not UTF-8"[..],
        b"line\nfeed",
        b"\x1b[31mred",
        b"-rf",
        b" spaces ",
        b"..x",
        b"back\\slash",
        &[b'n'; 255],
        &[0xc3; 255],
    ] {
        put(&root.join("names").join(OsStr::from_bytes(name)), name);
    }
}

/// Each folder is made in the one before, because no path reaches the last ones.
fn deep(root: &Path) {
    fs::create_dir(root.join(DEEP)).unwrap();
    let mut folder =
        rustix::fs::open(root.join(DEEP), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let name = "d".repeat(250);
    for _ in 0..20 {
        rustix::fs::mkdirat(&folder, &*name, Mode::from_raw_mode(0o750)).unwrap();
        folder =
            rustix::fs::openat(&folder, &*name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let file =
        rustix::fs::openat(&folder, "bottom", OFlags::WRONLY | OFlags::CREATE, Mode::from_raw_mode(0o600));
    rustix::io::write(file.unwrap(), b"over 5,000 bytes down").unwrap();
}

/// Of the thing itself, also of a link.
pub(crate) fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let stamp = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: stamp, last_modification: stamp };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
        .unwrap_or_else(|e| panic!("volumes must be on a file system that takes `{name}`, and we root: {e}"));
}
