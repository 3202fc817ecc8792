//! What goes into a pack comes out of it: every tree is the same after our own packing and unpacking.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]

#[path = "support/packs.rs"]
mod packs;
#[path = "support/planted.rs"]
mod planted;
#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/restored.rs"]
mod restored;
mod support;

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

use archive::channel::{Notes, Packed};
use archive::entry::{Entry, Extent, Kind};
use archive::frame::FRAME_BYTES;
use proptest::prelude::*;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use planted::{ACL_RULES, acl, chown_link, grow, node, set_time, set_xattr, sprouts, write};

/// Packs, unpacks, compares. Sockets are recorded, and not made again.
#[track_caller]
fn check(root: &Path) -> (Packed, Vec<Entry>) {
    let mut want = recorded::record(root);
    let (bytes, packed) = packs::pack_folder(root);
    // On the same file system: another one may keep other times, or less attributes.
    let into = tempfile::tempdir_in(root.parent().unwrap()).unwrap();
    let unpacked = restored::restore(&bytes, &packed, into.path(), 7);
    assert_eq!(unpacked.notes, Notes { sockets: packed.notes.sockets, ..unpacked.notes.clone() });
    assert_eq!(unpacked.notes.attributes, 0, "{:?}", unpacked.notes);
    want.retain(|_, node| node.kind != 's');
    recorded::assert_equal(&recorded::record(into.path()), &want);
    let entries = packs::open(&bytes, &packed).entries;
    assert_eq!(packed.totals.files, count(&entries, |kind| matches!(kind, Kind::File { .. })));
    assert_eq!(packed.totals.bytes, entries.iter().map(Entry::size).sum::<u64>());
    (packed, entries)
}

fn count(entries: &[Entry], what: impl Fn(&Kind) -> bool) -> u64 {
    entries.iter().filter(|entry| what(&entry.kind)).count() as u64
}

/// Whether looking ahead sets in is up to the disk; where it does, threads open what the walk comes to.
#[test]
fn a_tree_that_is_not_in_memory() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("root");
    for folder in 0..20 {
        let folder = root.join(format!("{folder:02}"));
        fs::create_dir_all(folder.join("empty")).unwrap();
        std::os::unix::fs::symlink("00/000", folder.join("link")).unwrap();
        node(&folder.join("fifo"), FileType::Fifo, 0);
        for file in 0..60 {
            write(&folder.join(format!("{file:03}")), &vec![file; usize::from(file) * 300]);
        }
    }
    rustix::fs::sync();
    for entry in walk(&root) {
        let file = fs::File::open(entry).unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
    let (packed, _) = check(&root);
    assert_eq!(packed.totals.files, 20 * 60);
}

/// All regular files below a folder.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for row in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = row.file_type().unwrap();
        if kind.is_dir() {
            files.extend(walk(&row.path()));
        } else if kind.is_file() {
            files.push(row.path());
        }
    }
    files
}

#[test]
fn an_empty_tree() {
    let root = tempfile::tempdir().unwrap();
    set_time(root.path(), -1, 1);
    let (packed, entries) = check(root.path());
    assert_eq!((packed.totals.entries, packed.totals.data_bytes), (1, 0));
    assert!(entries[0].path.is_root());
}

#[test]
fn one_of_everything() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("b")).unwrap();
    write(&at("b/first"), b"one content");
    fs::hard_link(at("b/first"), at("b/second")).unwrap();
    fs::hard_link(at("b/first"), at("c")).unwrap();
    set_xattr(&at("c"), "user.shared", b"by all names");
    std::os::unix::fs::symlink("b/first", at("link")).unwrap();
    set_xattr(&at("link"), "trusted.link", b"on the link itself");
    chown_link(&at("link"), 7, 8);
    node(&at("fifo"), FileType::Fifo, 0);
    node(&at("null"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node(&at("disk"), FileType::BlockDevice, rustix::fs::makedev(259, 70_000));
    let _socket = UnixListener::bind(at("socket")).unwrap();
    // Further names of what is no file: each is an entry of its own, and never a hard link in the table.
    for name in ["link", "fifo", "null", "disk", "socket"] {
        rustix::fs::linkat(
            rustix::fs::CWD,
            at(name),
            rustix::fs::CWD,
            at(&format!("{name}-too")),
            rustix::fs::AtFlags::empty(),
        )
        .unwrap();
    }
    let (packed, entries) = check(root.path());
    assert_eq!((packed.totals.files, packed.totals.bytes, packed.notes.sockets), (1, 11, 2));
    assert_eq!(count(&entries, |kind| matches!(kind, Kind::Hardlink { .. })), 2);
    assert_eq!(count(&entries, |kind| matches!(kind, Kind::Symlink { .. })), 2);
    assert_eq!(count(&entries, |kind| *kind == Kind::Fifo), 2);
    assert_eq!(packed.totals.entries, entries.len() as u64);
}

#[test]
fn attributes() {
    // ext4 has no room for the largest value that Linux knows; a file system in memory has.
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let at = |name: &str| root.path().join(name);
    for name in ["file", "large", "capable"] {
        write(&at(name), name.as_bytes());
    }
    fs::create_dir(at("folder")).unwrap();
    set_xattr(&at("file"), "system.posix_acl_access", &acl(&ACL_RULES));
    set_xattr(&at("folder"), "system.posix_acl_access", &acl(&ACL_RULES));
    set_xattr(&at("folder"), "system.posix_acl_default", &acl(&ACL_RULES));
    set_xattr(root.path(), "trusted.root", b"entry");
    // Version 2, cap_net_bind_service permitted and effective.
    let capability: Vec<u8> =
        [0x0200_0001_u32, 1 << 10, 0, 0, 0].iter().flat_map(|n| n.to_le_bytes()).collect();
    set_xattr(&at("capable"), "security.capability", &capability);
    let value: Vec<u8> = (0..64_u32 << 10).map(|n| ((n * n) >> 7) as u8).collect();
    set_xattr(&at("large"), "trusted.large", &value);
    set_xattr(&at("large"), "trusted.too", &value);
    let (_, entries) = check(root.path());
    let large = entries.iter().find(|entry| entry.path.as_bytes() == b"large").unwrap();
    assert!(large.xattrs.iter().all(|xattr| xattr.value == value) && large.xattrs.len() == 2);
}

#[test]
fn frames_end_anywhere() {
    // The first file's content stands after two headers and what they promise in records: 2560 bytes in.
    for size in [0, 1, 511, 512, 513, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES + 17] {
        for before in [0, FRAME_BYTES - 6144, FRAME_BYTES - 4096, FRAME_BYTES - 3584, FRAME_BYTES - 512] {
            let root = tempfile::tempdir_in("/dev/shm").unwrap();
            write(&root.path().join("a"), &vec![1; before]);
            write(&root.path().join("b"), &(0..size).map(|i| (i * i / 7) as u8).collect::<Vec<_>>());
            write(&root.path().join("c"), b"next");
            let (packed, entries) = check(root.path());
            assert_eq!(packed.totals.bytes, (before + size + 4) as u64);
            assert!(entries.iter().all(|entry| extents(entry) <= 1), "frames do not cut extents");
        }
    }
}

fn extents(entry: &Entry) -> usize {
    if let Kind::File { content, .. } = &entry.kind { content.len() } else { 0 }
}

#[test]
fn a_hole_of_20_gib_costs_nothing() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let size = 20_u64 << 30;
    let file = fs::File::create(root.path().join("sparse")).unwrap();
    file.set_len(size).unwrap();
    for at in [1 << 20, 10 << 30, size - 7] {
        file.write_all_at(b"content", at).unwrap();
    }
    let (bytes, packed) = packs::pack_folder(root.path());
    assert!(packed.raw_bytes < 32 << 10 && bytes.len() < 16 << 10, "{packed:?}");
    assert_eq!((packed.totals.bytes, packed.totals.data_bytes), (size, 2 * 4096 + 4096));
    let into = tempfile::tempdir_in("/dev/shm").unwrap();
    restored::restore(&bytes, &packed, into.path(), 1);
    let back = fs::File::open(into.path().join("sparse")).unwrap();
    let stat = back.metadata().unwrap();
    assert!(stat.len() == size && stat.blocks() * 512 <= 64 << 10, "{} blocks", stat.blocks());
    for at in [1 << 20, 10 << 30, size - 7] {
        let mut got = [0; 7];
        back.read_exact_at(&mut got, at).unwrap();
        assert_eq!(&got, b"content");
    }
    let entries = packs::open(&bytes, &packed).entries;
    let Kind::File { content, .. } = &entries[1].kind else { panic!("{:?}", entries[1]) };
    assert_eq!(content.iter().filter(|extent| matches!(extent, Extent::Hole { .. })).count(), 3);
}

/// 3,000 folders deep, with names that make a path of 30 kB, so that no call takes it as a whole.
#[test]
fn deeper_and_longer_than_any_path() {
    let root = tempfile::tempdir().unwrap();
    let name = "n".repeat(9);
    let down = |from: &OwnedFd| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        rustix::fs::openat2(from, name.as_str(), flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).unwrap()
    };
    let mut at = support::open(root.path());
    for _ in 0..3000 {
        rustix::fs::mkdirat(&at, name.as_str(), Mode::from_raw_mode(0o750)).unwrap();
        at = down(&at);
        // Something to come back to after the whole branch below was walked.
        rustix::fs::mkdirat(&at, "zz", Mode::from_raw_mode(0o700)).unwrap();
    }
    let flags = OFlags::CREATE | OFlags::WRONLY;
    let file = rustix::fs::openat(&at, "file", flags, Mode::from_raw_mode(0o600)).unwrap();
    rustix::io::write(&file, b"at the bottom").unwrap();

    let (bytes, packed) = packs::pack_folder(root.path());
    assert_eq!(packed.notes, Notes::default());
    assert_eq!((packed.totals.entries, packed.totals.bytes), (6002, 13));
    let entries = packs::open(&bytes, &packed).entries;
    assert!(entries.iter().any(|e| e.size() == 13 && e.path.as_bytes().len() == 3000 * 10 + 4));

    let into = tempfile::tempdir().unwrap();
    restored::restore(&bytes, &packed, into.path(), 50);
    let mut at = support::open(into.path());
    for _ in 0..3000 {
        at = down(&at);
        let stat = rustix::fs::statat(&at, "zz", rustix::fs::AtFlags::empty()).unwrap();
        assert_eq!(stat.st_mode & 0o7777, 0o700);
    }
    let stat = rustix::fs::statat(&at, "file", rustix::fs::AtFlags::empty()).unwrap();
    assert_eq!((stat.st_size, stat.st_mode & 0o7777), (13, 0o600));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree(sprouts in sprouts()) {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        grow(root.path(), &sprouts);
        check(root.path());
    }
}
