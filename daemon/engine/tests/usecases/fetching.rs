//! How much is fetched of a snapshot that lies in many packs: each frame about once, neighbours together.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use archive::path::TreePath;
use engine::port::docker::Docker as _;
use engine::usecase::browse::cat;
use engine::usecase::export::{ExportAs, export};
use engine::usecase::watch::Silent;

use crate::support::tree::differences;
use crate::support::world::{World, back_up, restore_as, restore_request, snapshot};

/// A file of so many chunks of 1 MiB.
const CHUNKS: u64 = 24;

/// Packs behind the last snapshot, as many as there may be.
const PACKS: u64 = 40;

/// What each snapshot changes of a chunk.
const CHANGED_BYTES: u64 = 16 << 10;

fn noise(seed: u64, length: u64) -> Vec<u8> {
    let mut out = vec![0; usize::try_from(length).unwrap()];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// Twenty packs have something of each chunk, the other twenty of the next.
async fn chain() -> World {
    let world = World::new();
    world.volume("db", 1).await;
    let path = world.docker.volume_folder("db").join("large");
    fs::write(&path, noise(0, CHUNKS << 20)).unwrap();
    back_up(&world.host().await, "db").await.unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    for n in 1..PACKS {
        for chunk in (0..CHUNKS).filter(|chunk| chunk % 2 == n % 2) {
            let at = (chunk << 20) + n / 2 * CHANGED_BYTES;
            file.write_all_at(&noise(n * 100 + chunk, CHANGED_BYTES), at).unwrap();
        }
        let report = back_up(&world.host().await, "db").await.unwrap();
        assert!(report.sent_bytes < 3 * CHUNKS / 2 * CHANGED_BYTES / 2, "{n}: {}", report.sent_bytes);
    }
    world
}

/// Bytes asked for, those of them that are no repetition, and requests.
#[derive(Debug)]
struct Fetched {
    bytes: u64,
    distinct: u64,
    requests: usize,
}

/// Tables apart.
fn fetched(world: &World) -> Fetched {
    let mut by_pack: BTreeMap<String, Vec<Range<u64>>> = BTreeMap::new();
    let mut fetched = Fetched { bytes: 0, distinct: 0, requests: 0 };
    for (key, range) in world.store.take_ranges() {
        fetched.bytes += range.end - range.start;
        fetched.requests += 1;
        by_pack.entry(key).or_default().push(range);
    }
    for ranges in by_pack.values_mut() {
        ranges.sort_by_key(|range| range.start);
        let mut end = 0;
        for range in ranges {
            fetched.distinct += range.end.saturating_sub(end.max(range.start));
            end = end.max(range.end);
        }
    }
    fetched
}

#[track_caller]
fn check(name: &str, fetched: &Fetched) {
    assert!(fetched.distinct > CHUNKS << 20, "{name}: {fetched:?}");
    assert!(fetched.bytes * 10 <= fetched.distinct * 13, "{name}: {fetched:?}");
    // Each pack's frame list and footer, each pack's frames, the tables.
    assert!(fetched.requests < 4 * usize::try_from(PACKS).unwrap(), "{name}: {fetched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_frame_of_many_packs_is_fetched_about_once() {
    let world = chain().await;
    let host = world.host().await;
    let last = snapshot(&format!("db@{PACKS}"));
    let want = fs::read(world.docker.volume_folder("db").join("large")).unwrap();

    world.store.take_ranges();
    restore_as(&host, &restore_request("db", PACKS, Some("new"))).await.unwrap();
    check("restore", &fetched(&world));
    assert_eq!(differences(&world.tree("new"), &world.tree("db")), "");
    world.docker.remove_volume("new").await.unwrap();

    let large = TreePath::parse(b"large".to_vec()).unwrap();
    let mut out = Vec::new();
    world.store.take_ranges();
    cat(&host, &last, &large, &mut out).await.unwrap();
    check("cat", &fetched(&world));
    assert!(out == want, "cat gives other bytes");

    out.clear();
    world.store.take_ranges();
    export(&host, &last, ExportAs::Tar, &mut out, &Silent::default()).await.unwrap();
    check("export", &fetched(&world));
    assert!(
        out.windows(want.len()).step_by(512).any(|piece| piece == want),
        "the file is not in the tarball"
    );
}
