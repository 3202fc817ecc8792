//! Any bit of any object of a chain: verify finds that it flipped, and no snapshot is restored other than it was.
//!
//! `PROPTEST_CASES` says how many chains there are.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use engine::port::docker::Docker as _;
use engine::usecase::verify::{VerifyRequest, verify};
use engine::usecase::watch::Silent;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::tree::{Tree, clear, differences};
use crate::support::world::{World, back_up, restore_as, restore_request};

const SNAPSHOTS: u64 = 6;

const FILES: u64 = 300;

/// A bit of any object, or one of a table that is written as a difference.
#[derive(Debug, Clone)]
struct Flip {
    in_difference: bool,
    object: Index,
    byte: Index,
    bit: u8,
}

fn flips() -> impl Strategy<Value = Vec<Flip>> {
    let flip = (0..4_u8, any::<Index>(), any::<Index>(), 0..8_u8);
    let flip = flip.prop_map(|(n, object, byte, bit)| Flip { in_difference: n == 0, object, byte, bit });
    proptest::collection::vec(flip, 3)
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// Appends, rewrites pages and small files here and there, renames one, and once removes one.
fn live(world: &World, seed: u64, day: u64) {
    let folder = world.docker.volume_folder("db");
    let number = |n: u64| u64::from_le_bytes(*noise(seed ^ (day << 32 | n), 8).first_chunk().unwrap());
    let append = fs::File::options().append(true).create(true).open(folder.join("log"));
    append.unwrap().write_all(&noise(number(0), 900)).unwrap();
    let large =
        fs::File::options().write(true).create(true).truncate(false).open(folder.join("large")).unwrap();
    for n in 1..4 {
        let at = if day == 0 { 0 } else { number(n) % 75 * 4096 };
        large.write_all_at(&noise(number(n), if day == 0 { 300_000 } else { 4096 }), at).unwrap();
    }
    for n in (0..FILES).filter(|n| day == 0 || number(100 + n) % 40 == 0) {
        fs::write(folder.join(format!("{n:03}")), noise(number(n), 100 + usize::try_from(n).unwrap()))
            .unwrap();
    }
    match day {
        0 => {}
        3 => fs::remove_file(folder.join("012")).unwrap(),
        _ => fs::rename(folder.join(format!("{:03}", 20 + day)), folder.join(format!("was-{day}"))).unwrap(),
    }
}

/// A chain, and how the tree was at each of its snapshots.
async fn chain(seed: u64) -> (World, Vec<Tree>) {
    let world = World::new();
    world.volume("db", 1).await;
    clear(&world.docker.volume_folder("db"));
    let mut trees = Vec::new();
    for day in 0..SNAPSHOTS {
        live(&world, seed, day);
        trees.push(world.tree("db"));
        back_up(&world.host().await, "db").await.unwrap();
    }
    (world, trees)
}

/// Where blocks lie that are written as differences.
fn differences_of(object: &[u8]) -> Vec<std::ops::Range<usize>> {
    let begins = object
        .windows(12)
        .enumerate()
        .filter(|(_, head)| head[..4] == [0x5B, 0x2A, 0x4D, 0x18] && head[8..] == *b"BKSD");
    let ranges = begins.map(|(at, head)| {
        let length = u32::from_le_bytes(*head[4..].first_chunk().unwrap());
        at..at + 8 + usize::try_from(length).unwrap()
    });
    ranges.filter(|range| range.end <= object.len()).collect()
}

/// Which byte of which object.
fn place(objects: &BTreeMap<String, Bytes>, flip: &Flip) -> (String, usize) {
    if flip.in_difference {
        let blocks: Vec<_> = objects
            .iter()
            .flat_map(|(key, object)| differences_of(object).into_iter().map(move |range| (key, range)))
            .collect();
        assert!(!blocks.is_empty(), "no table is written as a difference");
        let (key, range) = flip.object.get(&blocks);
        return ((*key).clone(), range.start + flip.byte.index(range.len()));
    }
    let keys: Vec<_> = objects.keys().collect();
    let key = *flip.object.get(&keys);
    (key.clone(), flip.byte.index(objects[key].len()))
}

/// The one bit in the head of a zstd frame that means nothing, by its specification.
fn means_nothing(object: &[u8], at: usize, bit: u8) -> bool {
    bit == 4 && at >= 4 && object[at - 4..at] == [0x28, 0xB5, 0x2F, 0xFD]
}

async fn check(seed: u64, flips: Vec<Flip>) {
    let (world, trees) = chain(seed).await;
    let mut objects = world.store.snapshot();
    objects.retain(|key, _| key.ends_with(".manifest") || key.ends_with(".tar.zst"));
    assert!(objects.len() > 2 * trees.len() - 2, "{:?}", objects.keys());
    for flip in flips {
        let (key, at) = place(&objects, &flip);
        let what = format!("bit {} of byte {at} of `{key}`", flip.bit);
        let mut bad = objects[&key].to_vec();
        bad[at] ^= 1 << flip.bit;
        world.store.plant(&key, bad);
        let host = world.host().await;
        let report = verify(&host, &VerifyRequest::default(), &Silent::default()).await.unwrap();
        let is_harmless = means_nothing(&objects[&key], at, flip.bit);
        assert!(!report.damaged.is_empty() || is_harmless, "{what}: not found");
        let mut restored = 0;
        for (number, tree) in (1..).zip(&trees) {
            let into = format!("restored-{number}");
            if restore_as(&host, &restore_request("db", number, Some(&into))).await.is_ok() {
                assert_eq!(differences(&world.tree(&into), tree), "", "{what}: db@{number}");
                restored += 1;
            }
            // One that was refused leaves none.
            world.docker.remove_volume(&into).await.unwrap_or_default();
        }
        assert!(restored == trees.len() || !is_harmless, "{what}: refused");
        world.store.plant(&key, objects[&key].clone());
    }
    let report = verify(&world.host().await, &VerifyRequest::default(), &Silent::default()).await.unwrap();
    assert_eq!((report.damaged, report.snapshots), (vec![], SNAPSHOTS));
}

/// So many, unless the environment says otherwise.
fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().map(|cases| cases.parse().unwrap());
    let cases = asked.unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn no_flipped_bit_is_missed_or_restored(seed: u64, flips in flips()) {
        tokio::runtime::Runtime::new().unwrap().block_on(check(seed, flips));
    }
}
