//! Rows that lead out of the target, or through what stands in it: each is refused, and nothing outside is
//! touched.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]
#![allow(clippy::too_many_lines, reason = "tables of attacks")]

mod support;

use archive::channel::FailedCause::{Hostile, Occupied};
use archive::entry::Kind;
use archive::varint::put_bytes;
use std::fs;
use std::os::unix::fs::symlink;
use support::attack::{Attack, check, raw_path, raw_root, with};
use support::raw::{RawRow, numbers, rows};
use support::stream::{entry, rows_record};
use support::tree;

#[test]
fn paths_that_lead_out() {
    let bad = "path leaves its root";
    check("absolute", raw_path(b"/etc/passwd"), Hostile, bad);
    check("parent", raw_path(b".."), Hostile, bad);
    check("parent in front", raw_path(b"../x"), Hostile, bad);
    check("parent in between", raw_path(b"a/../../x"), Hostile, bad);
    check("here and parent", raw_path(b"./../x"), Hostile, bad);
    check("here", raw_path(b"."), Hostile, bad);
    check("here twice", raw_path(b"./."), Hostile, bad);
    check("NUL", raw_path(b"a\0b"), Hostile, bad);
    check("empty component", raw_path(b"a//b"), Hostile, bad);
    check("slash at the end", raw_path(b"a/"), Hostile, bad);
    check("slash alone", raw_path(b"/"), Hostile, bad);
    check("name of 256 bytes", raw_path(&[b'x'; 256]), Hostile, bad);
    check("path over 1 MiB", raw_path(&[b"d/".repeat(1 << 19), b"x".to_vec()].concat()), Hostile, bad);
    let mut shares = RawRow::new(b"x", b'd', vec![]);
    shares.shared = 9;
    check("shares more than there is", Attack::raw(shares), Hostile, "shares more");
    check("a name of ours", raw_path(b".backupd-restore-r2"), Hostile, "reserved");
    check(
        "another name of ours",
        with(|s| {
            s.symlink(b".backupd-previous-r1", b"/etc");
        }),
        Hostile,
        "reserved",
    );
}

#[test]
fn order_and_duplicates() {
    let order = "out of order";
    check(
        "twice the same",
        with(|s| {
            s.folder(b"a");
            s.folder(b"a");
        }),
        Hostile,
        order,
    );
    check(
        "file over folder",
        with(|s| {
            s.folder(b"a");
            s.file(b"a", b"");
        }),
        Hostile,
        order,
    );
    check(
        "folder over file",
        with(|s| {
            s.file(b"a", b"");
            s.folder(b"a");
        }),
        Hostile,
        order,
    );
    check(
        "folder over symlink",
        with(|s| {
            s.symlink(b"a", b"../canary");
            s.folder(b"a");
        }),
        Hostile,
        order,
    );
    check(
        "backwards",
        with(|s| {
            s.folder(b"b");
            s.folder(b"a");
        }),
        Hostile,
        order,
    );
    let one = |name: &[u8]| rows_record(&[entry(name, Kind::Folder)]);
    let over = vec![rows(&[]), one(b"b"), one(b"a")];
    check("backwards over records", Attack::new(over, None), Hostile, order);
    let twice = vec![rows(&[]), one(b"a"), one(b"a")];
    check("twice over records", Attack::new(twice, None), Hostile, order);
    check("two roots", Attack::new(vec![rows(&[]), rows(&[])], None), Hostile, "second root");
    check("no root", Attack::new(vec![one(b"a")], None), Hostile, "not the root");
    check(
        "root is a file",
        Attack::new(vec![raw_root(b'f', numbers(&[0, 0, 20, 0]))], None),
        Hostile,
        "root is no folder",
    );
    check(
        "root is a symlink",
        Attack::new(vec![raw_root(b'l', [1, b'x'].to_vec())], None),
        Hostile,
        "root is no folder",
    );
}

#[test]
fn through_links() {
    let no_folder = "its folder was not sent";
    check(
        "file through a symlink",
        with(|s| {
            s.symlink(b"a", b"../../canary");
            s.file(b"a/file", b"dead");
        }),
        Hostile,
        no_folder,
    );
    check(
        "folder through a symlink",
        with(|s| {
            s.symlink(b"a", b"/");
            s.folder(b"a/x");
        }),
        Hostile,
        no_folder,
    );
    check(
        "through a link to proc",
        with(|s| {
            s.symlink(b"a", b"/proc/self/root");
            s.file(b"a/x", b"d");
        }),
        Hostile,
        no_folder,
    );
    check(
        "through a chain",
        with(|s| {
            s.symlink(b"a", b"b");
            s.symlink(b"b", b"../../canary");
            s.file(b"b/file", b"d");
        }),
        Hostile,
        no_folder,
    );
    check(
        "through a file",
        with(|s| {
            s.file(b"a", b"x");
            s.file(b"a/b", b"x");
        }),
        Hostile,
        no_folder,
    );
    check(
        "through a hard link",
        with(|s| {
            s.file(b"a", b"x");
            s.hard_link(b"b", b"a");
            s.file(b"b/c", b"x");
        }),
        Hostile,
        no_folder,
    );
    check(
        "without its folder",
        with(|s| {
            s.file(b"a/b", b"x");
        }),
        Hostile,
        no_folder,
    );
    check(
        "without the folder between",
        with(|s| {
            s.folder(b"a");
            s.file(b"a/b/c", b"x");
        }),
        Hostile,
        no_folder,
    );
    check(
        "folder that is over",
        with(|s| {
            s.folder(b"a");
            s.folder(b"b");
            s.file(b"a/x", b"x");
        }),
        Hostile,
        "out of order",
    );
}

#[test]
fn what_was_planted_in_the_target() {
    let file = || {
        with(|s| {
            s.folder(b"d");
            s.file(b"d/file", b"dead");
        })
    };
    check(
        "a symlink is there",
        file().into_planted(|root| symlink("../canary", root.join("d")).unwrap()),
        Occupied,
        "not empty",
    );
    check(
        "a file is there",
        file().into_planted(|root| tree::write(&root.join("x"), b"")),
        Occupied,
        "not empty",
    );
    let staged = |plant| {
        let mut attack = file();
        attack.plant = plant;
        attack
    };
    let in_the_way = "is in the way";
    check(
        "staging is a symlink",
        staged(|root| symlink("../canary", root.join(".backupd-restore-r1")).unwrap()),
        Occupied,
        in_the_way,
    );
    check(
        "staging is a dangling link",
        staged(|root| symlink("../canary/new", root.join(".backupd-restore-r1")).unwrap()),
        Occupied,
        in_the_way,
    );
    check(
        "staging is a file",
        staged(|root| tree::write(&root.join(".backupd-restore-r1"), b"")),
        Occupied,
        in_the_way,
    );
    check(
        "staging is a folder",
        staged(|root| fs::create_dir(root.join(".backupd-restore-r1")).unwrap()),
        Occupied,
        in_the_way,
    );
    let lost = || {
        with(|s| {
            s.folder(b"lost+found");
            s.file(b"lost+found/file", b"dead");
        })
    };
    check(
        "lost+found is a symlink",
        lost().into_planted(|root| symlink("../canary", root.join("lost+found")).unwrap()),
        Hostile,
        "lost+found",
    );
    check(
        "lost+found holds the name",
        lost().into_planted(|root| {
            fs::create_dir(root.join("lost+found")).unwrap();
            symlink("../../canary/file", root.join("lost+found/file")).unwrap();
        }),
        Occupied,
        "lost+found/file",
    );
    let linked = with(|s| {
        s.folder(b"lost+found");
        s.hard_link(b"x", b"lost+found/l");
    });
    check(
        "hard link to a planted symlink",
        linked.into_planted(|root| {
            fs::create_dir(root.join("lost+found")).unwrap();
            symlink("../../canary/file", root.join("lost+found/l")).unwrap();
        }),
        Hostile,
        "no regular file",
    );
    let linked = with(|s| {
        s.folder(b"lost+found");
        s.hard_link(b"x", b"lost+found/l/file");
    });
    check(
        "hard link through a planted symlink",
        linked.into_planted(|root| {
            fs::create_dir(root.join("lost+found")).unwrap();
            symlink("../../canary", root.join("lost+found/l")).unwrap();
        }),
        Hostile,
        "hard link",
    );
    check("a run that leads out", file().run("../canary"), Hostile, "run");
    check("a run without a name", file().run(""), Hostile, "run");
}

#[test]
fn hard_links() {
    let raw = |target: &[u8]| {
        let mut tail = vec![];
        put_bytes(&mut tail, target);
        Attack::raw(RawRow::new(b"z", b'h', tail))
    };
    check("to outside", raw(b"../canary/file"), Hostile, "leaves its root");
    check("to an absolute path", raw(b"/etc/passwd"), Hostile, "leaves its root");
    check("to the root", raw(b""), Hostile, "hard link to the root");
    check(
        "to nothing",
        with(|s| {
            s.hard_link(b"b", b"a");
        }),
        Hostile,
        "was not sent",
    );
    check(
        "to itself",
        with(|s| {
            s.hard_link(b"b", b"b");
        }),
        Hostile,
        "comes later",
    );
    check(
        "to what comes later",
        with(|s| {
            s.hard_link(b"a", b"b");
            s.file(b"b", b"x");
        }),
        Hostile,
        "comes later",
    );
    check(
        "to a folder",
        with(|s| {
            s.folder(b"a");
            s.hard_link(b"b", b"a");
        }),
        Hostile,
        "no regular file",
    );
    check(
        "to a symlink",
        with(|s| {
            s.symlink(b"a", b"../../canary/file");
            s.hard_link(b"b", b"a");
        }),
        Hostile,
        "no regular file",
    );
    check(
        "through a symlink",
        with(|s| {
            s.symlink(b"a", b"../../../canary");
            s.hard_link(b"b", b"a/file");
        }),
        Hostile,
        "hard link",
    );
    check(
        "to a fifo",
        with(|s| {
            s.push(entry(b"a", Kind::Fifo));
            s.hard_link(b"b", b"a");
        }),
        Hostile,
        "no regular file",
    );
    check(
        "to a device",
        with(|s| {
            s.push(entry(b"a", Kind::CharDevice { major: 1, minor: 3 }));
            s.hard_link(b"b", b"a");
        }),
        Hostile,
        "no regular file",
    );
    check(
        "to a socket",
        with(|s| {
            s.push(entry(b"a", Kind::Socket));
            s.hard_link(b"b", b"a");
        }),
        Hostile,
        "was not sent",
    );
    check(
        "out of the staging folder",
        with(|s| {
            s.hard_link(b"b", b".backupd-restore-r1/journal");
        }),
        Hostile,
        "was not sent",
    );
}
