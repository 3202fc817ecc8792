//! Rows that no honest walk gives, and records that are cut: each is refused.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]
#![allow(clippy::too_many_lines, reason = "tables of attacks")]

mod support;

use archive::channel::FailedCause::{Channel, Damaged, Hostile};
use archive::channel::{End, FailedCause};
use archive::entry::{Extent, Kind};
use support::attack::{Attack, TEN, check, frames, with};
use support::raw::{RawRow, numbers, rows};
use support::stream::{Record, entry, frame, piece};

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
    check("unknown flag", change(|r| r.flags = 4), Hostile, "flag");
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
