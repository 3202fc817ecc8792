//! Archives that nobody honest makes, and those that are not whole: refused, and nothing outside is touched.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/foreign.rs"]
mod foreign;
mod support;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use archive::channel::FailedCause;
use foreign::{Raw, ended, pax, record, send, untar, whole};
use support::canary::Canary;

/// The archive is refused for `want`, with these words.
#[track_caller]
fn check(archive: &[u8], want: FailedCause, says: &str) {
    let dir = tempfile::tempdir().unwrap();
    let canary = Canary::new(dir.path());
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    match untar(archive, &whole(), &root) {
        Ok(done) => panic!("{says}: taken: {done:?}"),
        Err(failed) => {
            assert!(failed.message.contains(says), "{says}: {}", failed.message);
            assert_eq!(failed.cause, want, "{says}: {}", failed.message);
        }
    }
    canary.check(says);
}

fn file(name: &[u8], body: &[u8]) -> Vec<u8> {
    Raw::new(name, b'0', body.len() as u64).with(body)
}

fn hostile(members: &[Vec<u8>], says: &str) {
    check(&ended(members), FailedCause::Hostile, says);
}

#[test]
fn no_name_and_no_link_leads_out() {
    let link = |name: &[u8], to: &[u8]| Raw::new(name, b'2', 0).link(to).block();
    hostile(&[file(b"../canary/file", b"dead")], "leads out");
    hostile(&[file(b"a/../../canary/file", b"dead")], "leads out");
    hostile(&[file(b"a", b""), Raw::new(b"b", b'1', 0).link(b"../canary/file").block()], "leads out");
    hostile(&[pax(b'x', &[record("path", b"../canary/file")]), file(b"a", b"dead")], "leads out");
    hostile(&[file(b"", b"dead")], "no name");
    hostile(&[link(b"out", b"../canary"), file(b"out/file", b"dead")], "through a link or a file");
    hostile(&[link(b"out", b"/proc/self/root"), file(b"out/tmp/x", b"dead")], "through a link or a file");
    hostile(
        &[link(b"a", b"b"), link(b"b", b"../canary"), file(b"a/file", b"dead")],
        "through a link or a file",
    );
    hostile(&[file(b"a", b""), file(b"a/b", b"dead")], "through a link or a file");
    let through = Raw::new(b"x", b'1', 0).link(b"out/file").block();
    hostile(&[link(b"out", b"../canary"), through], "open the other name of");
    // A link at the very end is replaced, and a link to a link is one more link.
    let dir = tempfile::tempdir().unwrap();
    let canary = Canary::new(dir.path());
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let fine = [
        link(b"out", b"../canary/file"),
        file(b"out", b"mine"),
        link(b"to", b"../canary"),
        Raw::new(b"two", b'1', 0).link(b"to").block(),
    ];
    untar(&ended(&fine), &whole(), &root).unwrap();
    canary.check("links");
    assert_eq!(fs::read(root.join("out")).unwrap(), b"mine");
    assert_eq!(fs::read_link(root.join("two")).unwrap().to_str(), Some("../canary"));
}

#[test]
fn what_readers_disagree_on_is_refused() {
    let inner = file(b"hidden", b"x");
    let size = record("size", inner.len().to_string().as_bytes());
    for tag in [b'1', b'2', b'3', b'4', b'5', b'6'] {
        hostile(&[Raw::new(b"a", tag, 512).link(b"x").with(&inner)], "readers disagree");
        hostile(
            &[pax(b'x', std::slice::from_ref(&size)), Raw::new(b"a", tag, 0).link(b"x").with(&inner)],
            "readers disagree",
        );
    }
    let path = |name: &str| pax(b'x', &[record("path", name.as_bytes())]);
    hostile(&[path("a"), path("b"), file(b"c", b"")], "two such headers");
    let long = |tag: u8| Raw::new(b"././@LongLink", tag, 4).with(b"abc\0");
    hostile(&[long(b'L'), long(b'L'), file(b"c", b"")], "two such headers");
    hostile(&[long(b'L'), path("a"), file(b"c", b"")], "two long names");
    hostile(&[pax(b'g', &[record("path", b"a")]), file(b"c", b"")], "names one member");
    hostile(&[pax(b'g', &[record("size", b"1024")]), file(b"c", b"")], "names one member");
    hostile(&[pax(b'x', &[b"12 path=abc\n6 =b\n".to_vec()]), file(b"c", b"")], "length is not its own");
    hostile(&[pax(b'x', &[record("path", b"a\0b")]), file(b"c", b"")], "NUL");
    hostile(&[Raw::new(b"././@LongLink", b'L', 6).with(b"a\0bcd\0"), file(b"c", b"")], "NUL");
    hostile(&[Raw::new(b"a", b'M', 0).block()], "join the volumes");
    hostile(&[Raw::new(b"a", b'X', 0).block()], "Solaris");
    // The size of the record counts, so what a careless reader takes for a member is content.
    let dir = tempfile::tempdir().unwrap();
    let members = [pax(b'x', &[size]), Raw::new(b"a", b'0', 0).with(&inner)];
    untar(&ended(&members), &whole(), dir.path()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), inner);
}

#[test]
fn limits_come_before_memory() {
    let huge = |tag: u8| {
        let mut raw = Raw::new(b"a", tag, 0);
        raw.put(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
        raw
    };
    for tag in [b'x', b'g', b'L', b'K'] {
        hostile(&[huge(tag).block()], "a header of 9223372036854775807 bytes");
    }
    let mut below = huge(b'0');
    below.put(124, &[0xff; 12]);
    hostile(&[below.block()], "below zero");
    check(&ended(&[huge(b'0').block()]), FailedCause::Damaged, "cut short");
    let sparse = |records: &[(&str, &[u8])], size: u64, body: &[u8]| {
        let records: Vec<_> = records.iter().map(|(keyword, value)| record(keyword, value)).collect();
        let mut raw = Raw::new(b"a", b'0', 0);
        raw.put(124, format!("{size:011o}\0").as_bytes());
        [pax(b'x', &records), raw.with(body)].concat()
    };
    let one = |size: &'static str| {
        [
            ("GNU.sparse.major", b"1".as_slice()),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"a"),
            ("GNU.sparse.realsize", size.as_bytes()),
        ]
    };
    hostile(&[sparse(&one("9"), 512, b"99999999999\n")], "too many holes");
    hostile(&[sparse(&one("9"), 512, b"2\n0\n5\n3\n5\n")], "overlaps itself");
    hostile(&[sparse(&one("9"), 512, b"1\n0\n500\n")], "leaves it");
    hostile(&[sparse(&one("900"), 512, b"1\n0\n500\n")], "does not add up");
    hostile(&[sparse(&one("99999999999999999999"), 512, b"0\n")], "GNU.sparse.realsize");
    hostile(&[sparse(&one("9"), 1024, &[b'1'; 1024])], "no list of numbers");
    let old =
        [("GNU.sparse.size", b"9".as_slice()), ("GNU.sparse.numblocks", b"1"), ("GNU.sparse.map", b"0,4,3")];
    hostile(&[sparse(&old, 4, b"abcd")], "no map");
    let mut gnu = Raw::new(b"a", b'S', 512);
    gnu.put(257, b"ustar  \0")
        .put(386, b"00000000000\0")
        .put(398, b"77777777777\0")
        .put(483, b"00000001000\0");
    hostile(&[gnu.with(&[b'x'; 512])], "leaves it");
    let mut endless = Raw::new(b"a", b'S', 0);
    endless.put(257, b"ustar  \0").put(482, b"\x01").put(483, b"00000001000\0");
    let piece = b"00000000000\x0000000000000\0".repeat(21);
    let block = [piece, vec![1; 8]].concat();
    let blocks = block.repeat(13_000);
    hostile(&[[endless.block(), blocks].concat()], "too long");
}

fn through(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new(program).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn an_archive_that_was_cut_anywhere_is_refused() {
    let archive = ended(&[
        Raw::new(b"folder", b'5', 0).block(),
        pax(b'x', &[record("path", b"folder/a file with a long name")]),
        file(b"short", &[7; 1300]),
        file(b"empty", b""),
    ]);
    let dir = tempfile::tempdir().unwrap();
    for (program, step) in [("cat", 61), ("gzip", 1), ("zstd", 1)] {
        let whole_archive = if program == "cat" { archive.clone() } else { through(program, &archive) };
        for cut in (0..whole_archive.len()).step_by(step) {
            let root = dir.path().join(format!("{program}-{cut}"));
            fs::create_dir(&root).unwrap();
            let failed =
                untar(&whole_archive[..cut], &whole(), &root).expect_err(&format!("{program} cut at {cut}"));
            assert_eq!(failed.cause, FailedCause::Damaged, "{program} cut at {cut}: {}", failed.message);
        }
    }
}

#[test]
fn what_follows_the_end_is_refused_unless_it_is_nothing() {
    let archive = ended(&[file(b"a", b"a")]);
    let taken = |bytes: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        untar(bytes, &whole(), dir.path()).map(|_| ()).map_err(|failed| failed.message)
    };
    assert_eq!(taken(&[archive.clone(), vec![0; 9216]].concat()), Ok(()));
    assert_eq!(taken(&through("gzip", &archive)), Ok(()));
    let twice = [archive.clone(), archive.clone()].concat();
    for bytes in [twice.clone(), through("gzip", &twice), [archive.clone(), b"x".to_vec()].concat()] {
        assert!(taken(&bytes).unwrap_err().contains("something follows"), "{}", bytes.len());
    }
    let spoilt = [through("gzip", &archive), b"garbage of some length".to_vec()].concat();
    assert!(taken(&spoilt).unwrap_err().contains("damaged: gzip"));
    let mut flipped = through("gzip", &archive);
    let trailer = flipped.len() - 6;
    flipped[trailer] ^= 1;
    assert!(taken(&flipped).unwrap_err().contains("damaged: gzip"));
}

#[test]
fn other_wrappings_are_named_with_the_way_out() {
    let says = |bytes: &[u8], says: &str| check(bytes, FailedCause::Damaged, says);
    says(b"\xfd7zXZ\0 and so on", "`xz -dc FILE | backupctl import - --as SOURCE`");
    says(b"BZh91AY", "bzip2 -dc");
    says(b"age-encryption.org/v1\n", "age -d");
    says(b"PK\x03\x04 a zip archive".repeat(40).as_slice(), "no tar");
    says(b"", "the archive is empty");
    // A window that no memory of a helper holds.
    says(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0, 0, 0, 0, 0, 0, 0, 0], "damaged: zstd");
}

#[test]
fn a_sender_that_breaks_off_is_no_end() {
    let archive = ended(&[file(b"a", b"a")]);
    let length = archive.len() as u64;
    for end in [None, Some(length + 1), Some(0)] {
        let dir = tempfile::tempdir().unwrap();
        let failed = send(&archive, &whole(), dir.path(), 700, end).unwrap_err();
        assert_eq!(failed.cause, FailedCause::Channel, "{end:?}: {}", failed.message);
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("there")).unwrap();
    let failed = send(&archive, &whole(), dir.path(), 700, Some(length)).unwrap_err();
    assert_eq!(failed.cause, FailedCause::Occupied, "{}", failed.message);
}
