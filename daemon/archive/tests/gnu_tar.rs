//! A pack is a tarball for everybody: GNU tar and zstd give the tree back, attribute for attribute.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]

#[path = "support/packs.rs"]
mod packs;
#[path = "support/planted.rs"]
mod planted;
#[path = "support/recorded.rs"]
mod recorded;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use rustix::fs::FileType;

use planted::{ACL_RULES, acl, chown_link, grow, node, set_time, set_xattr, sprouts, write};

/// What `zstd -dc` prints.
fn zstd_dc(pack: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pack.tar.zst");
    fs::File::create(&file).unwrap().write_all(pack).unwrap();
    let out = Command::new("zstd").arg("-dc").arg(&file).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// Unpacks with GNU tar, which would wonder about odd times and must have nothing else to say.
fn untar(tarball: &[u8], into: &Path) {
    let mut tar = Command::new("tar")
        .args([
            "x",
            "--warning=no-timestamp",
            "-f",
            "-",
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "-p",
            "--same-owner",
            "-C",
        ])
        .arg(into)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(tarball).unwrap();
    let out = tar.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.is_empty(), "{said}");
}

/// Packs, reads the pack by its tables, unpacks with GNU tar, compares. Sockets are no part of tarballs.
#[track_caller]
fn check(root: &Path) -> archive::channel::Packed {
    let mut want = recorded::record(root);
    let (bytes, packed) = packs::pack_folder(root);
    assert!(recorded::record(root) == want, "a backup changes nothing");
    let tarball = zstd_dc(&bytes);
    assert!(packs::open(&bytes, &packed).raw == tarball, "frames hold what `zstd -dc` prints");
    let into = tempfile::tempdir().unwrap();
    untar(&tarball, into.path());
    want.retain(|_, node| node.kind != 's');
    recorded::assert_equal(&recorded::record(into.path()), &want);
    packed
}

#[test]
fn an_empty_folder_is_a_tarball_of_one_entry() {
    let root = tempfile::tempdir().unwrap();
    let packed = check(root.path());
    assert_eq!((packed.totals.entries, packed.totals.files), (1, 0));
}

#[test]
fn owners_modes_and_times_come_back() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for (name, mode, uid, gid) in [
        ("plain", 0o640, 70, 70),
        ("setuid", 0o4755, 0, 0),
        ("setgid", 0o2755, 1, 2),
        ("nothing", 0, 65534, 65534),
        ("large-ids", 0o600, 3_000_000_000, 2_097_152),
    ] {
        write(&at(name), name.as_bytes());
        chown(at(name), Some(uid), Some(gid)).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        set_time(&at(name), 1_700_000_000, 123_456_789);
    }
    fs::create_dir(at("sticky")).unwrap();
    fs::set_permissions(at("sticky"), fs::Permissions::from_mode(0o3777)).unwrap();
    for (name, seconds, nanoseconds) in
        [("t0", 0, 0), ("t1", -1, 0), ("t2", -1, 999_999_999), ("t3", -86_400, 1), ("t4", 9_000_000_000, 7)]
    {
        write(&at(name), b"");
        set_time(&at(name), seconds, nanoseconds);
    }
    symlink("/nowhere/at all", at("link")).unwrap();
    chown_link(&at("link"), 70, 71);
    set_time(&at("link"), 5, 6);
    fs::create_dir(at("empty")).unwrap();
    set_time(&at("empty"), 1, 2);
    chown(root.path(), Some(999), Some(998)).unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o2750)).unwrap();
    set_xattr(root.path(), "user.root", b"entry");
    set_time(root.path(), 1_600_000_000, 1);
    let packed = check(root.path());
    assert_eq!(packed.notes, archive::channel::Notes::default());
}

#[test]
fn attributes_acls_and_capabilities_come_back() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for name in ["file", "large", "capable"] {
        write(&at(name), name.as_bytes());
    }
    fs::create_dir(at("folder")).unwrap();
    set_xattr(&at("file"), "user.text", b"value");
    set_xattr(&at("file"), "user.empty", b"");
    set_xattr(&at("file"), "user.a=b%3D\n", b"odd\nname=\0");
    set_xattr(&at("file"), "trusted.overlay", b"root only");
    set_xattr(&at("file"), "system.posix_acl_access", &acl(&ACL_RULES));
    set_xattr(&at("folder"), "system.posix_acl_access", &acl(&ACL_RULES));
    set_xattr(&at("folder"), "system.posix_acl_default", &acl(&ACL_RULES));
    set_xattr(&at("large"), "user.large", &[7; 3000]);
    // Version 2, cap_net_bind_service permitted and effective.
    let capability: Vec<u8> =
        [0x0200_0001_u32, 1 << 10, 0, 0, 0].iter().flat_map(|n| n.to_le_bytes()).collect();
    set_xattr(&at("capable"), "security.capability", &capability);
    symlink("x", at("link")).unwrap();
    set_xattr(&at("link"), "trusted.link", b"on the link itself");
    check(root.path());
}

#[test]
fn links_and_special_files_come_back() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("b")).unwrap();
    write(&at("b/first"), b"one content");
    fs::hard_link(at("b/first"), at("b/second")).unwrap();
    fs::hard_link(at("b/first"), at("c")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    write(&at("lonely"), b"its other name lies outside");
    fs::hard_link(at("lonely"), outside.path().join("x")).unwrap();
    symlink("b/first", at("relative")).unwrap();
    symlink("/proc/1/cwd/../..", at("odd")).unwrap();
    symlink("t".repeat(4000), at("long")).unwrap();
    for (name, kind, device) in [
        ("fifo", FileType::Fifo, 0),
        ("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
        ("disk", FileType::BlockDevice, rustix::fs::makedev(259, 70_000)),
    ] {
        node(&at(name), kind, device);
    }
    let _socket = UnixListener::bind(at("socket")).unwrap();
    let packed = check(root.path());
    assert_eq!((packed.totals.files, packed.notes.sockets), (2, 1));
    assert_eq!(packed.totals.bytes, 11 + 27);
}

#[test]
fn every_name_comes_back() {
    let root = tempfile::tempdir().unwrap();
    for name in [
        &b"plain"[..],
        b"\xff\xfe not UTF-8",
        "é\u{202e}".as_bytes(),
        b"line\nfeed",
        b"\x1b[31mred",
        b"-rf",
        b" trailing ",
        b"..x",
        b"...",
        b"a.txt",
        b"back\\slash",
        &[b'n'; 255],
        &[0xc3; 255],
    ] {
        write(&root.path().join(OsStr::from_bytes(name)), name);
    }
    let mut deep = root.path().join("a");
    while deep.as_os_str().len() < 3500 {
        fs::create_dir(&deep).unwrap();
        deep.push("d".repeat(200));
    }
    check(root.path());
}

#[test]
fn holes_come_back_and_cost_nothing() {
    let root = tempfile::tempdir().unwrap();
    let make = |name: &str, size: u64, data: &[(u64, usize)]| {
        let file = fs::File::create(root.path().join(name)).unwrap();
        file.set_len(size).unwrap();
        data.iter().for_each(|(at, length)| file.write_all_at(&vec![b'#'; *length], *at).unwrap());
    };
    make("all hole", 1 << 30, &[]);
    make("tiny hole", 100, &[]);
    make("hole at the end", 10 << 20, &[(0, 5000)]);
    make("hole at the start", (10 << 20) + 77, &[((10 << 20) - 5, 82)]);
    make("both", 20 << 20, &[(4 << 20, 3 << 20), (12 << 20, 1)]);
    make("many", 40 << 20, &(0..600).map(|i| (i * 65_536, 4096)).collect::<Vec<_>>());
    make(
        "file with more than 100 bytes in its name so that a record is needed to carry all of its very long name",
        1 << 20,
        &[],
    );
    let packed = check(root.path());
    assert!(packed.raw_bytes < 8 << 20, "{}", packed.raw_bytes);
    assert!(packed.totals.bytes - packed.totals.data_bytes > 1 << 30);
}

#[test]
fn frames_may_end_anywhere_in_a_file() {
    const FRAME: usize = archive::frame::FRAME_BYTES;
    for size in [0, 1, 511, 512, 513, FRAME - 3072, FRAME - 2048, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME + 17]
    {
        let root = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..size).map(|i| (i * i / 7) as u8).collect();
        write(&root.path().join("file"), &content);
        write(&root.path().join("next"), b"next");
        let packed = check(root.path());
        assert_eq!(packed.totals.bytes, size as u64 + 4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back(sprouts in sprouts()) {
        let root = tempfile::tempdir().unwrap();
        grow(root.path(), &sprouts);
        check(root.path());
    }
}
