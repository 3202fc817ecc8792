//! What a chain costs in which pages of a large file change at random, day after day.
//!
//! `CHURN_MIB=256 cargo test --locked -p archive --test churn -- --nocapture` prints the days of a larger file;
//! docs/performance.md has its figures.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that tells, and fails if it cannot go on"
)]
#![allow(clippy::disallowed_methods, reason = "how large the file is may be said from outside")]

#[path = "support/lineage.rs"]
mod lineage;
#[path = "support/model.rs"]
mod model;
#[path = "support/planted.rs"]
mod planted;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use archive::entry::Kind;
use lineage::{How, Lineage};
use planted::write;

const DAYS: u64 = 10;

/// A page of a database.
const PAGE: u64 = 8 << 10;

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn three_pages_of_a_hundred_at_random_each_day_cost_about_that() {
    let mib: u64 = std::env::var("CHURN_MIB").map_or(66, |mib| mib.parse().unwrap());
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = root.path().join("file");
    let size = mib << 20;
    write(&path, &noise(0, usize::try_from(size).unwrap()));
    let mut lineage = Lineage::default();
    lineage.snapshot(root.path(), &How::default());
    println!("{mib} MiB; day, stored, % of the file, of it tables, pieces of the file");
    let file = File::options().write(true).open(&path).unwrap();
    for day in 1..=DAYS {
        // Times go in steps.
        std::thread::sleep(Duration::from_millis(15));
        for n in 0..size / PAGE * 3 / 100 {
            let seed = day << 32 | n;
            let at = u64::from_le_bytes(*noise(seed, 8).first_chunk().unwrap()) % (size / PAGE);
            file.write_all_at(&noise(seed, usize::try_from(PAGE).unwrap()), at * PAGE).unwrap();
        }
        let packed = lineage.snapshot(root.path(), &How::default());
        let entry = lineage.entry(&packed, "file");
        let Kind::File { content, .. } = &entry.kind else { panic!("it is a file") };
        let percent = packed.length * 1000 / (size / 100);
        let (stored, tables) = (packed.length >> 10, (packed.length - packed.raw_bytes) >> 10);
        println!(
            "{day}, {stored} KiB, {}.{:03}, {tables} KiB, {}",
            percent / 1000,
            percent % 1000,
            content.len()
        );
        assert!(packed.length * 100 <= size * 4, "day {day}: {stored} KiB of {mib} MiB");
        assert!(lineage.content(&entry).0 == std::fs::read(&path).unwrap(), "day {day}");
    }
}
