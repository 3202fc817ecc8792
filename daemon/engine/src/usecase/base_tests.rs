//! Which packs the next snapshot does without.

use archive::layout::BlockRef;

use super::*;

fn pack(id: u64, content_bytes: u64, used: u64) -> PackRef {
    PackRef {
        id,
        name: String::new(),
        length: 1,
        hash: [0; 32],
        raw_bytes: content_bytes.saturating_mul(5),
        used,
        content_bytes,
        footer: BlockRef { offset: 0, length: 1, hash: [0; 32] },
    }
}

#[track_caller]
fn check(name: &str, packs: &[PackRef], want: &[u64]) {
    assert_eq!(shun(packs), want.iter().copied().collect(), "{name}");
}

#[test]
fn packs_that_are_mostly_waste_are_not_leaned_on() {
    check("whole", &[pack(4, 300, 300)], &[]);
    check("a third is enough", &[pack(4, 300, 100)], &[]);
    check("less is not", &[pack(4, 300, 99), pack(8, 10, 10)], &[4]);
    check("tables alone are no waste", &[pack(4, 0, 0)], &[]);
    check("numbers without end", &[pack(4, u64::MAX, u64::MAX)], &[]);
}

#[test]
fn too_many_packs_lose_the_least_wanted_at_once() {
    let packs: Vec<_> = (1..=PACKS_MAX as u64 + 1).map(|n| pack(n * 4, n, n)).collect();
    let want: Vec<u64> = (1..=(PACKS_MAX + 1 - PACKS_KEPT) as u64).map(|n| n * 4).collect();
    check("one too many", &packs, &want);
    check("just enough", &packs[1..], &[]);
}
