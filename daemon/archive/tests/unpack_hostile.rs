//! What no honest backup contains: each case is refused, and nothing outside the target is touched.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]
#![allow(clippy::too_many_lines, reason = "tables of attacks")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use archive::channel::{End, FailedCause, Target, UnpackJob, put_frame};
use archive::entry::{Entry, Extent, Kind};
use archive::frame::FrameRow;
use archive::varint::put_bytes;
use support::canary::Canary;
use support::raw::{RawRow, numbers, rows};
use support::stream::{Part, Record, Stream, entry, frame, piece, rows_record, xattr};
use support::{feed, job, tree};

use FailedCause::{Channel, Damaged, Hostile, Occupied};

/// One attack: what is sent into a folder in which something was planted before.
struct Attack {
    records: Vec<Record>,
    end: Option<End>,
    plant: fn(&Path),
    job: UnpackJob,
}

impl Attack {
    fn new(records: Vec<Record>, end: Option<End>) -> Self {
        Self { records, end, plant: |_root| (), job: job(Target::Staging, 2) }
    }

    /// A stream that is honest but for what it says.
    fn stream(stream: &Stream) -> Self {
        Self::new(stream.records(100, 4096), Some(stream.end()))
    }

    fn rows(payload: Record) -> Self {
        Self::new(vec![payload], Some(End { entries: 2, data_bytes: 0 }))
    }

    fn raw(row: RawRow) -> Self {
        Self::rows(rows(&[row]))
    }

    fn into_planted(mut self, plant: fn(&Path)) -> Self {
        self.plant = plant;
        self.job = job(Target::Empty, 2);
        self
    }

    fn run(mut self, run: &str) -> Self {
        self.job.run = run.to_owned();
        self
    }
}

#[track_caller]
fn check(name: &str, attack: Attack, want: FailedCause, says: &str) {
    let dir = tempfile::tempdir().unwrap();
    let canary = Canary::new(dir.path());
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    (attack.plant)(&root);
    let before = peak_bytes();
    match feed(&root, &attack.job, attack.records, attack.end.as_ref()) {
        Ok(done) => panic!("{name}: taken: {done:?}"),
        Err(e) => {
            assert!(e.to_string().contains(says), "{name}: says {e}");
            assert_eq!(e.cause(), want, "{name}: {e}");
            assert!(e.to_string().len() < 20_000, "{name}: the message is a bomb itself");
        }
    }
    canary.check(name);
    let grown = peak_bytes().saturating_sub(before);
    assert!(grown < 900 << 20, "{name}: took {} MiB", grown >> 20);
    // A tree that is not whole is never marked as one.
    assert!(!root.join(".backupd-restore-r1/journal").exists(), "{name}: marked as whole");
}

/// The most memory that this process ever had.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn with(change: impl FnOnce(&mut Stream)) -> Attack {
    let mut stream = Stream::new();
    change(&mut stream);
    Attack::stream(&stream)
}

/// One file of ten bytes, and these frames instead of its own.
fn frames(frames: Vec<Record>) -> Attack {
    let mut s = Stream::new();
    s.file(b"f", b"0123456789");
    let mut records = vec![rows_record(&s.entries)];
    records.extend(frames);
    Attack::new(records, Some(s.end()))
}

/// A frame for the ten bytes, stored otherwise.
fn stored(raw: u32, stored: &[u8], of: &[u8]) -> Record {
    let row = FrameRow { offset: 0, stored: 0, raw, hash: *blake3::hash(of).as_bytes() };
    Record::Frame(put_frame(&row, &[piece(1, 0, 0, 10)], stored))
}

fn raw_path(path: &[u8]) -> Attack {
    Attack::raw(RawRow::new(path, b'd', vec![]))
}

const TEN: &[u8] = b"0123456789";

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
        Attack::new(vec![raw_root(b'f', numbers(&[0, 0]))], None),
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

fn raw_root(tag: u8, tail: Vec<u8>) -> Record {
    let mut payload = Vec::new();
    RawRow::new(b"", tag, tail).put(&mut payload);
    Record::Rows(payload)
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

#[test]
fn attributes() {
    let change = |f: fn(&mut RawRow)| {
        let mut row = RawRow::new(b"x", b'd', vec![]);
        f(&mut row);
        Attack::raw(row)
    };
    check("mode over twelve bits", change(|r| r.mode = 0o10000), Hostile, "mode");
    check("mode with the kind", change(|r| r.mode = 0o120_777), Hostile, "mode");
    check("nanoseconds", change(|r| r.nanoseconds = 1_000_000_000), Hostile, "nanoseconds");
    check("owner over 32 bits", change(|r| r.uid = 1 << 32), Hostile, "32 bits");
    check("owner 0xFFFFFFFF", change(|r| r.uid = 0xffff_ffff), Hostile, "4294967295");
    check("group 0xFFFFFFFF", with(|s| s.file(b"f", b"x").gid = u32::MAX), Hostile, "4294967295");
    check("root's owner 0xFFFFFFFF", with(|s| s.entries[0].uid = u32::MAX), Hostile, "4294967295");
    check("unknown flag", change(|r| r.flags = 2), Hostile, "flag");
    check("xattr without a name", change(|r| r.xattrs = vec![(vec![], vec![])]), Hostile, "xattr");
    check(
        "xattr name of 256 bytes",
        change(|r| r.xattrs = vec![(vec![b'x'; 256], vec![])]),
        Hostile,
        "xattr",
    );
    check(
        "xattr name with NUL",
        change(|r| r.xattrs = vec![(b"user.\0".to_vec(), vec![])]),
        Hostile,
        "xattr",
    );
    check(
        "xattr value over 64 KiB",
        change(|r| r.xattrs = vec![(b"user.a".to_vec(), vec![0; 65_537])]),
        Hostile,
        "xattr",
    );
    check(
        "xattrs twice",
        change(|r| r.xattrs = vec![(b"user.a".to_vec(), vec![]); 2]),
        Hostile,
        "xattrs out of order",
    );
    check("symlink to nothing", Attack::raw(RawRow::new(b"x", b'l', vec![0])), Hostile, "symlink target");
    check("symlink with NUL", Attack::raw(RawRow::new(b"x", b'l', vec![1, 0])), Hostile, "symlink target");
    check(
        "device over twelve bits",
        with(|s| {
            s.push(entry(b"x", Kind::BlockDevice { major: 0x1000, minor: 0 }));
        }),
        Hostile,
        "device",
    );
    check(
        "device over 32 bits",
        Attack::raw(RawRow::new(b"x", b'c', numbers(&[1 << 32, 0]))),
        Hostile,
        "32 bits",
    );
    check("unknown kind", Attack::raw(RawRow::new(b"x", b'Q', vec![])), Hostile, "unknown kind");
    check(
        "more than its fields",
        Attack::raw(RawRow::new(b"x", b'd', vec![0])),
        Hostile,
        "longer than its fields",
    );
}

#[test]
fn sizes_and_extents() {
    let file = |n: &[u64]| Attack::raw(RawRow::new(b"x", b'f', numbers(n)));
    check("over 8 EiB", file(&[1 << 63, 0]), Hostile, "8 EiB");
    check("8 EiB less one, without extents", file(&[(1 << 63) - 1, 0]), Hostile, "add up");
    check("extents less than the size", file(&[10, 1, 1, 9, 0]), Hostile, "add up");
    check("extents more than the size", file(&[10, 1, 1, 11, 0]), Hostile, "add up");
    check("extents over 64 bits", file(&[10, 2, 0, u64::MAX, 0, 11]), Hostile, "64 bits");
    check("position over 64 bits", file(&[10, 1, 1, 10, u64::MAX]), Hostile, "64 bits");
    check("empty extent", file(&[0, 1, 0, 0]), Hostile, "empty extent");
    check("10 M extents claimed", file(&[10, 10_000_000]), Hostile, "count larger");
    check("2^64 extents claimed", file(&[10, u64::MAX]), Hostile, "count");
    // The file system decides what is too large, and says so before a byte is written.
    let hole = |size| Kind::File { size, content: vec![Extent::Hole { length: size }] };
    check(
        "a hole of 8 EiB",
        with(|s| {
            s.push(entry(b"x", hole(i64::MAX as u64)));
        }),
        FailedCause::Tree,
        "size `x`",
    );
    let mut many = vec![8_000_000, 8_000_000];
    many.extend((0..4_000_000).flat_map(|_| [0, 1, 1, 1, 0]));
    check("8 M extents in 16 MiB and more", file(&many), Hostile, "row over 16 MiB");
}

#[test]
fn records_that_are_cut_or_noise() {
    let Record::Rows(whole) = rows(&[RawRow::new(b"x", b'd', vec![])]) else { unreachable!() };
    for cut in [1, 7, whole.len() - 1] {
        let name = format!("rows cut at {cut}");
        check(
            &name,
            Attack::new(vec![Record::Rows(whole[..cut].to_vec())], Some(End { entries: 2, data_bytes: 0 })),
            Hostile,
            "",
        );
    }
    let between = Attack::new(
        vec![Record::Rows(whole[..whole.len() / 2].to_vec())],
        Some(End { entries: 2, data_bytes: 0 }),
    );
    check("rows cut between two", between, Channel, "entries came");
    check("noise as rows", Attack::new(vec![Record::Rows(vec![0xff; 1000])], None), Hostile, "");
    check("noise as a frame", frames(vec![Record::Frame(vec![0xff; 1000])]), Hostile, "");
    check("nothing as a frame", frames(vec![Record::Frame(vec![])]), Hostile, "ends early");
    let Record::Frame(whole) = frame(TEN, &[piece(1, 0, 0, 10)]) else { unreachable!() };
    check("frame cut in its pieces", frames(vec![Record::Frame(whole[..36].to_vec())]), Hostile, "");
    check(
        "frame cut in its bytes",
        frames(vec![Record::Frame(whole[..whole.len() - 2].to_vec())]),
        Damaged,
        "`f`",
    );
    check("frame without pieces", frames(vec![frame(TEN, &[])]), Hostile, "fills nothing");
    check("frame record of 5 MiB", frames(vec![Record::Frame(vec![1; 5 << 20])]), Hostile, "record over");
}

#[test]
fn pieces() {
    let put = |pieces: &[(u64, u64, usize, usize)]| {
        frames(vec![frame(TEN, &pieces.iter().map(|p| piece(p.0, p.1, p.2, p.3)).collect::<Vec<_>>())])
    };
    let once = "bytes twice, into a hole, or beyond the end";
    check("beyond the size", put(&[(1, 5, 0, 10)]), Hostile, once);
    check("far beyond the size", put(&[(1, 1 << 62, 0, 10)]), Hostile, once);
    check("beyond 8 EiB", put(&[(1, (1 << 63) - 5, 0, 10)]), Hostile, "8 EiB");
    check("beyond the frame", put(&[(1, 0, 5, 10)]), Hostile, "outside its frame");
    check("of no bytes", put(&[(1, 0, 0, 0)]), Hostile, "outside its frame");
    check("overlapping", put(&[(1, 0, 0, 6), (1, 5, 5, 5)]), Hostile, once);
    check("twice", put(&[(1, 0, 0, 10), (1, 0, 0, 10)]), Hostile, "waits for none");
    check("half twice", put(&[(1, 0, 0, 5), (1, 0, 0, 5)]), Hostile, once);
    check("for the root", put(&[(0, 0, 0, 10)]), Hostile, "waits for none");
    check("for an entry that never came", put(&[(99, 0, 0, 10)]), Hostile, "waits for none");
    check("for entry 2^64-1", put(&[(u64::MAX, 0, 0, 10)]), Hostile, "waits for none");
    check("missing", put(&[(1, 0, 0, 9)]), Channel, "1 bytes of `f` did not come");
    check("all missing", frames(vec![]), Channel, "10 bytes of `f` did not come");
    check(
        "again in a later frame",
        frames(vec![frame(TEN, &[piece(1, 0, 0, 10)]), frame(TEN, &[piece(1, 0, 0, 10)])]),
        Hostile,
        "waits for none",
    );
    let mut s = Stream::new();
    s.sparse(b"f", vec![Part::Bytes(vec![1; 5]), Part::Hole(5), Part::Bytes(vec![2; 5])]);
    let hole = vec![rows_record(&s.entries), frame(TEN, &[piece(1, 0, 0, 10)])];
    check("into a hole", Attack::new(hole, Some(s.end())), Hostile, once);
    let mut s = Stream::new();
    s.symlink(b"l", b"../../canary/file");
    let link = vec![rows_record(&s.entries), frame(TEN, &[piece(1, 0, 0, 10)])];
    check("for a symlink", Attack::new(link, Some(s.end())), Hostile, "waits for none");
    let early = vec![frame(TEN, &[piece(1, 0, 0, 10)]), rows_record(&s.entries)];
    check("before its row", Attack::new(early, Some(s.end())), Hostile, "waits for none");
}

#[test]
fn frames_that_lie() {
    let encode = |raw: &[u8]| zstd::bulk::compress(raw, 1).unwrap();
    let ten = encode(TEN);
    check("other hash", frames(vec![stored(10, &ten, b"other")]), Damaged, "content of `f` is damaged");
    let flip = {
        let mut b = ten.clone();
        let n = b.len();
        b[n - 3] ^= 1;
        b
    };
    check("a flipped bit", frames(vec![stored(10, &flip, TEN)]), Damaged, "`f`");
    check("bomb", frames(vec![stored(10, &encode(&vec![0; 256 << 20]), TEN)]), Damaged, "other lengths");
    check(
        "bomb that says so",
        frames(vec![stored(256 << 20, &encode(&vec![0; 256 << 20]), TEN)]),
        Hostile,
        "out of bounds",
    );
    check(
        "longer than promised",
        frames(vec![stored(10, &encode(b"0123456789A"), TEN)]),
        Damaged,
        "other lengths",
    );
    check(
        "trailing garbage",
        frames(vec![stored(10, &[&ten[..], b"x"].concat(), TEN)]),
        Damaged,
        "other lengths",
    );
    check(
        "two frames",
        frames(vec![stored(10, &[&ten[..], &ten[..]].concat(), TEN)]),
        Damaged,
        "other lengths",
    );
    check(
        "skippable",
        frames(vec![stored(10, &[0x50, 0x2a, 0x4d, 0x18, 10, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0], TEN)]),
        Damaged,
        "other lengths",
    );
    check("no frame at all", frames(vec![stored(10, TEN, TEN)]), Damaged, "other lengths");
    let mut c = zstd::bulk::Compressor::new(1).unwrap();
    c.include_contentsize(false).unwrap();
    check(
        "no content size",
        frames(vec![stored(10, &c.compress(TEN).unwrap(), TEN)]),
        Damaged,
        "other lengths",
    );
    let text = b"many words that a dictionary knows, many words that it knows".repeat(20);
    let mut c = zstd::bulk::Compressor::with_dictionary(1, &text).unwrap();
    check(
        "dictionary",
        frames(vec![stored(text.len() as u32, &c.compress(&text).unwrap(), &text)]),
        Damaged,
        "`f`",
    );
    // A header that asks for a window of 2 GiB: no single segment, window log 31, ten bytes promised.
    let wide =
        [&[0x28, 0xb5, 0x2f, 0xfd, 0x80, 21 << 3, 10, 0, 0, 0][..], &[(10 << 3) | 1, 0, 0], TEN].concat();
    check("wide window", frames(vec![stored(10, &wide, TEN)]), Damaged, "other lengths");
    check("zero length", frames(vec![stored(0, &ten, TEN)]), Hostile, "out of bounds");
}

#[test]
fn ends_that_lie() {
    let ended = |change: fn(&mut End)| {
        let mut s = Stream::new();
        s.file(b"f", TEN);
        let mut end = s.end();
        change(&mut end);
        Attack::new(s.records(10, 100), Some(end))
    };
    check("an entry more", ended(|e| e.entries += 1), Channel, "entries came");
    check("an entry less", ended(|e| e.entries -= 1), Channel, "entries came");
    check("a byte more", ended(|e| e.data_bytes += 1), Channel, "bytes came");
    check("no bytes", ended(|e| e.data_bytes = 0), Channel, "bytes came");
    check("no end", Attack { end: None, ..ended(|_| ()) }, Channel, "no end");
    check(
        "nothing at all",
        Attack::new(vec![], Some(End { entries: 0, data_bytes: 0 })),
        Channel,
        "not even the root",
    );
}

#[test]
fn senders_who_make_us_hold_too_much() {
    // Files that wait for bytes that never come, each with an xattr of 64 KiB.
    let value = vec![7; 65_536];
    let waiting = |i: u32| {
        let stored = Extent::Stored { pack: 1, position: 0, length: 1 };
        let mut file = entry(format!("{i:08}").as_bytes(), Kind::File { size: 1, content: vec![stored] });
        file.xattrs = vec![xattr("user.x", &value)];
        file
    };
    let mut records = vec![rows(&[])];
    records.extend(
        (0..40_u32).map(|n| rows_record(&(n * 64..n * 64 + 64).map(waiting).collect::<Vec<Entry>>())),
    );
    check("waiting files", Attack::new(records, None), Hostile, "too many entries wait");
    // One large file, filled at every other byte.
    let mut s = Stream::new();
    let stored = Extent::Stored { pack: 1, position: 0, length: 1 << 40 };
    s.push(entry(b"f", Kind::File { size: 1 << 40, content: vec![stored] }));
    let scattered = |n: u64| {
        let pieces: Vec<_> = (0..250_000_u64).map(|i| piece(1, (n * 250_000 + i) * 2, 0, 1)).collect();
        frame(b"x", &pieces)
    };
    let mut records = vec![rows_record(&s.entries)];
    records.extend((0..20).map(scattered));
    check("scattered pieces", Attack::new(records, Some(s.end())), Hostile, "too many places at once");
}

/// Somebody swaps a folder for a symlink, back and forth, while the restore runs. Whatever comes of the
/// restore, nothing is written through the link.
#[test]
fn a_race_with_symlinks_hits_nothing_outside() {
    let mut swaps = 0;
    for _round in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let canary = Canary::new(dir.path());
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        let mut s = Stream::new();
        s.folder(b"d").mode = 0o777;
        s.folder(b"d/e").mode = 0o777;
        for i in 0..300 {
            s.file(format!("d/e/{i:04}").as_bytes(), b"dead");
            s.folder(format!("d/e/{i:04}x").as_bytes()).mode = 0o777;
        }
        s.file(b"d/file", b"dead");
        s.hard_link(b"d/link", b"d/e/0000");
        let stop = Arc::new(AtomicBool::new(false));
        let racer = {
            let (stop, base) = (Arc::clone(&stop), root.join(".backupd-restore-r1/new"));
            std::thread::spawn(move || race(&base, &stop))
        };
        // Refused or done, as luck has it.
        let _outcome = feed(&root, &job(Target::Staging, 3), s.records(1, 64), Some(&s.end()));
        stop.store(true, Ordering::Relaxed);
        swaps += racer.join().unwrap();
        canary.check("race");
    }
    assert!(swaps > 0, "there was no race");
}

/// Swaps until it is stopped; tells how often a link stood where a folder had been.
fn race(base: &Path, stop: &AtomicBool) -> u32 {
    let mut swaps = 0;
    // Failing is what most of these do; the restore is not there yet, or is over.
    let luck = |done: std::io::Result<()>| done.unwrap_or_default();
    while !stop.load(Ordering::Relaxed) {
        for folder in ["d", "d/e"] {
            let (at, away) = (base.join(folder), base.join(format!("{folder}-away")));
            let (at, away) = (at.as_path(), away.as_path());
            let moved = rustix::fs::rename(at, away).is_ok();
            swaps += u32::from(symlink(base.join("../../../canary"), at).is_ok() && moved);
            luck(fs::set_permissions(base, fs::Permissions::from_mode(0o700)));
            luck(fs::remove_file(at));
            luck(rustix::fs::rename(away, at).map_err(Into::into));
        }
    }
    swaps
}
