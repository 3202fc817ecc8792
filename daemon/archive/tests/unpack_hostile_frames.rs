//! Frames, pieces and ends that lie: each is refused.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]
#![allow(clippy::too_many_lines, reason = "tables of attacks")]

mod support;

use archive::channel::End;
use archive::channel::FailedCause::{Channel, Damaged, Hostile};
use support::attack::{Attack, TEN, check, frames, stored};
use support::stream::{Part, Stream, frame, piece, rows_record};

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
