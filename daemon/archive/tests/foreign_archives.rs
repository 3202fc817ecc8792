//! Archives of other software become the tree that they were made of.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/foreign.rs"]
mod foreign;
#[path = "support/planted.rs"]
mod planted;
#[path = "support/recorded.rs"]
mod recorded;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use archive::channel::{NoteKind, Notes, UntarJob, Untarred, Wrapping};
use archive::path::TreePath;
use proptest::prelude::*;
use rustix::fs::FileType;

use foreign::{Raw, ended, pax, record, untar, whole};
use planted::{chown_link, grow, node, set_time, set_xattr, sprouts, write};

/// What GNU tar makes of a folder.
fn gnu_tar(folder: &Path, options: &[&str]) -> Vec<u8> {
    let out =
        Command::new("tar").args(options).arg("-C").arg(folder).args(["-cf", "-", "."]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// What a program makes of bytes.
fn through(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new(program).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).unwrap());
        child.wait_with_output().unwrap().stdout
    })
}

/// Imports an archive of `folder`, and compares.
#[track_caller]
fn check(folder: &Path, options: &[&str]) -> Untarred {
    let want = recorded::record(folder);
    let archive = gnu_tar(folder, options);
    let into = tempfile::tempdir().unwrap();
    let untarred = untar(&archive, &whole(), into.path()).unwrap_or_else(|e| panic!("{options:?}: {e:?}"));
    recorded::assert_equal(&recorded::record(into.path()), &want);
    assert_eq!(untarred.totals.entries, want.len() as u64, "{options:?}");
    untarred
}

/// Every kind of entry, with times of whole seconds.
fn plant(root: &Path) {
    let at = |name: &str| root.join(name);
    fs::create_dir_all(at("b/sticky")).unwrap();
    write(&at("b/first"), b"one content");
    write(&at("empty"), b"");
    for (name, kind, device) in [
        ("fifo", FileType::Fifo, 0),
        ("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
        ("disk", FileType::BlockDevice, rustix::fs::makedev(259, 70_000)),
    ] {
        node(&at(name), kind, device);
    }
    symlink("/proc/1/cwd/../..", at("odd")).unwrap();
    symlink("t".repeat(4000), at("long")).unwrap();
    let deep = ["d".repeat(200), "e".repeat(200), "f".repeat(255)].join("/");
    fs::create_dir_all(at(&deep)).unwrap();
    write(&at(&format!("{deep}/{}", "g".repeat(255))), b"deep");
    write(&root.join(OsStr::from_bytes(b"\xff\xfe\nnot UTF-8")), b"odd name");
    write(&at("setuid"), b"setuid");
    chown(at("setuid"), Some(3_000_000_000), Some(2_097_152)).unwrap();
    fs::set_permissions(at("setuid"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(at("b/sticky"), fs::Permissions::from_mode(0o3777)).unwrap();
    fs::hard_link(at("b/first"), at("b/second")).unwrap();
    fs::hard_link(at("b/first"), at("c")).unwrap();
    chown_link(&at("odd"), 70, 71);
    let sparse = fs::File::create(at("sparse")).unwrap();
    sparse.set_len((20 << 20) + 5).unwrap();
    (0..60).for_each(|i| sparse.write_all_at(&[b'#'; 4096], i * (256 << 10)).unwrap());
    for name in
        ["b/sticky", "b/first", "b", "empty", "odd", "long", "sparse", "setuid", "fifo", "null", "disk"]
    {
        set_time(&at(name), 1_700_000_000, 0);
    }
    chown(root, Some(999), Some(998)).unwrap();
    whole_seconds(root);
    set_time(root, 1_600_000_000, 0);
}

/// Older dialects keep no more.
fn whole_seconds(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            whole_seconds(&entry.path());
        }
        set_time(&entry.path(), 1_500_000_000, 0);
    }
}

#[test]
fn every_dialect_of_gnu_tar_comes_back() {
    let root = tempfile::tempdir().unwrap();
    plant(root.path());
    for options in [
        &["--format=pax", "--sparse"][..],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
        &["--format=gnu", "--sparse"],
        &["--format=oldgnu", "--sparse"],
        &["--format=gnu", "--sparse", "--blocking-factor=1", "--label=a label"],
    ] {
        let untarred = check(root.path(), options);
        assert_eq!(untarred.notes, Notes::default(), "{options:?}");
    }
}

#[test]
fn nanoseconds_times_before_1970_and_attributes_come_back() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for (name, seconds, nanoseconds) in
        [("t1", -1, 0), ("t2", -1, 999_999_999), ("t3", -86_400, 1), ("t4", 9_000_000_000, 7)]
    {
        write(&at(name), b"");
        set_time(&at(name), seconds, nanoseconds);
    }
    set_xattr(&at("t1"), "user.text", b"value");
    set_xattr(&at("t1"), "user.empty", b"");
    set_xattr(&at("t2"), "trusted.overlay", b"odd\nname=\0");
    let capability: Vec<u8> =
        [0x0200_0001_u32, 1 << 10, 0, 0, 0].iter().flat_map(|n| n.to_le_bytes()).collect();
    set_xattr(&at("t4"), "security.capability", &capability);
    set_time(&at("t1"), -1, 0);
    check(root.path(), &["--format=pax", "--xattrs", "--xattrs-include=*"]);
}

#[test]
fn what_it_is_wrapped_in_shows_by_itself() {
    let root = tempfile::tempdir().unwrap();
    plant(root.path());
    let want = recorded::record(root.path());
    let plain = gnu_tar(root.path(), &["--format=pax", "--sparse"]);
    // Compressors that work in parallel write several members.
    let joined = [through("gzip", &plain[..5000]), through("gzip", &plain[5000..])].concat();
    for (archive, wrapping) in [
        (&plain, Wrapping::None),
        (&through("gzip", &plain), Wrapping::Gzip),
        (&joined, Wrapping::Gzip),
        (&through("zstd", &plain), Wrapping::Zstd),
    ] {
        let into = tempfile::tempdir().unwrap();
        assert_eq!(untar(archive, &whole(), into.path()).unwrap().wrapping, wrapping);
        recorded::assert_equal(&recorded::record(into.path()), &want);
    }
}

/// As offen's docker-volume-backup writes it: names from the top, folders without a slash, each volume a folder.
fn two_volumes() -> Vec<u8> {
    let folder = |name: &str| Raw::new(name.as_bytes(), b'5', 0).block();
    let file = |name: &str, body: &[u8]| Raw::new(name.as_bytes(), b'0', body.len() as u64).with(body);
    ended(&[
        folder("/backup"),
        folder("/backup/db"),
        file("/backup/db/one", b"1"),
        folder("/backup/db/base"),
        file("/backup/db/base/two", b"22"),
        folder("/backup/web"),
        file("/backup/web/three", b"333"),
    ])
}

#[test]
fn one_volume_of_several_is_taken() {
    let beneath = |path: &str| TreePath::parse(path.as_bytes().to_vec()).unwrap();
    for (job, want) in [
        (UntarJob { beneath: beneath("backup/db"), strip: 0 }, &["", "base", "base/two", "one"][..]),
        (UntarJob { beneath: beneath("backup/web"), strip: 0 }, &["", "three"]),
        (UntarJob { beneath: TreePath::root(), strip: 2 }, &["", "base", "base/two", "one", "three"]),
    ] {
        let into = tempfile::tempdir().unwrap();
        let untarred = untar(&two_volumes(), &job, into.path()).unwrap();
        let names: Vec<_> = recorded::record(into.path()).into_keys().collect();
        assert_eq!(names, want.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>(), "{job:?}");
        assert_eq!((untarred.totals.entries, untarred.members), (want.len() as u64, 7), "{job:?}");
    }
}

#[test]
fn what_comes_later_replaces_what_came_before() {
    let file = |name: &[u8], body: &[u8]| Raw::new(name, b'0', body.len() as u64).with(body);
    let link = |name: &[u8], to: &[u8]| Raw::new(name, b'2', 0).link(to).block();
    let folder = |name: &[u8]| Raw::new(name, b'5', 0).block();
    let into = tempfile::tempdir().unwrap();
    let archive = ended(&[
        file(b"a", b"old"),
        file(b"a", b"new"),
        link(b"b", b"/etc"),
        folder(b"b/"),
        file(b"b/c", b"inside"),
        folder(b"d"),
        file(b"d", b"a file by now"),
        link(b"e", b"a"),
        file(b"e", b"not through the link"),
        folder(b"b"),
    ]);
    let untarred = untar(&archive, &whole(), into.path()).unwrap();
    let content = |name: &str| fs::read(into.path().join(name)).unwrap();
    assert_eq!(content("a"), b"new");
    assert_eq!(content("b/c"), b"inside");
    assert_eq!(content("d"), b"a file by now");
    assert_eq!(content("e"), b"not through the link");
    assert_eq!((untarred.totals.entries, untarred.notes), (6, Notes::default()));
}

#[test]
fn what_cannot_be_carried_is_named() {
    let owner = record("uid", b"4294967295");
    let into = tempfile::tempdir().unwrap();
    let archive = ended(&[
        Raw::new(b"contiguous", b'7', 3).with(b"all"),
        Raw::new(b"strange", b'Z', 700).with(&[b'x'; 700]),
        Raw::new(b"early", b'1', 0).link(b"late").block(),
        Raw::new(b"late", b'0', 1).with(b"l"),
        pax(b'x', &[owner]),
        Raw::new(b"nobody", b'0', 1).with(b"n"),
        pax(
            b'x',
            &[record("SCHILY.acl.access", b"user::rwx"), record("SCHILY.xattr.security.selinux", b"x")],
        ),
        Raw::new(b"acl", b'0', 1).with(b"a"),
        Raw::new(b"folder/in", b'0', 1).with(b"i"),
        Raw::new(b"folder", b'0', 1).with(b"f"),
        pax(b'x', &[record("path", &[b'n'; 300])]),
        Raw::new(b"short", b'0', 1).with(b"s"),
        Raw::new(b".backupd-restore-1", b'5', 0).block(),
    ]);
    let untarred = untar(&archive, &whole(), into.path()).unwrap();
    let of = |kind| untarred.notes.named.iter().filter(move |note| note.what == kind);
    let missing: Vec<_> = of(NoteKind::Unreadable).map(|note| note.path.as_str()).collect();
    assert_eq!(missing, ["strange", "early", "nobody", "folder", ".", ".backupd-restore-1"]);
    assert_eq!(of(NoteKind::Attribute).map(|note| note.path.as_str()).collect::<Vec<_>>(), ["acl"]);
    let names: Vec<_> = recorded::record(into.path()).into_keys().collect();
    let want = ["", "acl", "contiguous", "folder", "folder/in", "late"];
    assert_eq!(names, want.map(|name| name.as_bytes().to_vec()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back(sprouts in sprouts()) {
        let root = tempfile::tempdir().unwrap();
        grow(root.path(), &sprouts);
        let want = {
            let mut want = recorded::record(root.path());
            want.retain(|_, node| node.kind != 's');
            want
        };
        let archive = gnu_tar(root.path(), &["--format=pax", "--sparse", "--xattrs", "--xattrs-include=*", "--warning=no-file-ignored"]);
        let into = tempfile::tempdir().unwrap();
        untar(&archive, &whole(), into.path()).unwrap();
        recorded::assert_equal(&recorded::record(into.path()), &want);
    }
}
