//! Memory stays the same however large the source is. One test, so that the process is its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::{self, File};
use std::time::SystemTime;

use archive::channel::PackJob;
use archive::clones::Scratch;
use archive::levels::Levels;
use archive::pack::{Still, System};
use rustix::fd::AsFd as _;

/// Peak and present resident memory, in KiB.
fn resident() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (field("VmHWM:"), field("VmRSS:"))
}

/// The tarball of this folder has more than 100 MiB of headers, and its table more than 10 MiB.
#[test]
fn a_folder_of_200_000_files_is_packed_in_little_memory() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    for i in 0..200_000 {
        File::create(root.path().join(format!("file-{i:06}"))).unwrap();
    }
    let folder = File::open(root.path()).unwrap();
    let mut length = 0;
    let job = PackJob {
        pack: 4,
        levels: Levels::Fixed(1),
        workers: 2,
        base: None,
        scope: None,
        between_updates: false,
    };
    let (_, before) = resident();
    let mut sink = |piece: &[u8]| {
        length += piece.len() as u64;
        Ok(())
    };
    let packed = {
        let mut ask = |_: &_| Err(std::io::Error::other("a full pack asks"));
        let still = Still { scratch: &Scratch::NONE, taken: &mut || unreachable!("nowhere to take it") };
        archive::pack::pack(
            folder.as_fd(),
            &job,
            &mut sink,
            &mut ask,
            &mut |_| {},
            System { now: &|| SystemTime::UNIX_EPOCH, ..System::KERNEL },
            still,
        )
        .unwrap()
    };
    let (peak, _) = resident();
    assert_eq!((packed.totals.entries, packed.length), (200_001, length));
    assert!(packed.raw_bytes > 100 << 20, "{}", packed.raw_bytes);
    assert!(peak - before < 40 << 10, "{} KiB", peak - before);
}
