//! Senders who want too much memory, and processes that race with the restore.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]
#![allow(clippy::too_many_lines, reason = "tables of attacks")]

mod support;

use archive::channel::FailedCause::Hostile;
use archive::channel::Target;
use archive::entry::{Entry, Extent, Kind};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::attack::{Attack, check};
use support::canary::Canary;
use support::raw::rows;
use support::stream::{Stream, entry, frame, piece, rows_record, xattr};
use support::{feed, job};

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
