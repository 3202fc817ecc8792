//! Random histories of a tree: each snapshot gives back exactly what was there, from the packs that it names alone,
//! by a reader that trusts nothing, and now and then by the unpacker that restores.
//!
//! `PROPTEST_CASES` says how many histories there are.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "how many there are may be said from outside")]

#[path = "support/deeds.rs"]
mod deeds;
#[path = "support/lineage.rs"]
mod lineage;
#[path = "support/model.rs"]
mod model;
#[path = "support/planted.rs"]
mod planted;
#[path = "support/unpacked.rs"]
mod unpacked;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use archive::channel::Packed;
use deeds::{Deed, act, content};
use lineage::{How, Lineage};
use planted::write;
use proptest::prelude::*;

/// How the snapshot after the deeds is made.
type Manner = (u8, u8, u8);

fn history(snapshots: usize, deeds: usize) -> impl Strategy<Value = Vec<(Vec<Deed>, Manner)>> {
    proptest::collection::vec((deeds::deeds(deeds), any::<Manner>()), snapshots)
}

fn how((one, two, three): Manner, last: Option<&Packed>) -> How {
    let packs: Vec<u64> = last.map(|last| last.used.keys().copied().collect()).unwrap_or_default();
    let shunned = packs.get(usize::from(two) % packs.len().max(1)).filter(|_| one % 8 == 1);
    How {
        full: one % 20 == 0,
        reread: one % 8 == 2,
        shun: shunned.copied().into_iter().collect(),
        at_once: three % 4 == 0,
        slow: false,
        scope: None,
        streams: BTreeMap::new(),
        unsynced: None,
    }
}

fn live(root: &Path, steps: Vec<(Vec<Deed>, Manner)>) {
    let mut lineage = Lineage::default();
    let mut kept: Vec<(Packed, model::Tree)> = Vec::new();
    for (number, (mut deeds, manner)) in steps.into_iter().enumerate() {
        // Times go in steps: a change in the step of a snapshot could not be told by them.
        std::thread::sleep(Duration::from_millis(12));
        let how = how(manner, lineage.last.as_ref());
        let pictured = manner.2 % 3 == 0 && !how.full && lineage.last.is_some();
        let later = deeds.split_off(if pictured { deeds.len() / 2 } else { deeds.len() });
        deeds.into_iter().for_each(|deed| act(root, deed));
        let want = model::record(root);
        if pictured {
            let root = root.to_owned();
            lineage.meanwhile = Some(Box::new(move || later.into_iter().for_each(|deed| act(&root, deed))));
        }
        let packed = lineage.snapshot(root, &how);
        model::assert_same(&model::read(&lineage, &packed), &want);
        model::check_hashes(&lineage, &packed);
        assert_eq!(packed.used, lineage.count_used(&packed));
        assert!(how.full || how.shun.iter().all(|pack| !packed.used.contains_key(pack)));
        if !how.at_once && !pictured {
            if manner.2 % 2 == 0 {
                lineage.meanwhile = Some(Box::new(|| {}));
            }
            let again = lineage.snapshot(root, &How::default());
            assert_eq!((again.length, &again.used), (0, &packed.used));
            assert_eq!((&again.entries, &again.pages), (&packed.entries, &packed.pages));
        }
        kept.push((packed, want));
        if manner.1 % 3 == 0 && kept.len() > 1 {
            kept.remove(usize::from(manner.2) % (kept.len() - 1));
            lineage.prune(kept.iter().map(|(packed, _)| packed));
        }
        if number % 5 == 4 {
            for (packed, want) in &kept {
                model::assert_same(&model::read(&lineage, packed), want);
                let into = tempfile::tempdir_in("/dev/shm").unwrap();
                unpacked::unpack(&lineage, packed, into.path());
                model::assert_same(&model::record(into.path()), want);
            }
        }
    }
}

/// So many, unless the environment says otherwise.
fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().map(|cases| cases.parse().unwrap());
    let cases = asked.unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(4))]

    #[test]
    fn any_history(steps in history(30, 12)) {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        live(root.path(), steps);
    }
}

proptest! {
    #![proptest_config(cases(1))]

    /// Tables of several segments.
    #[test]
    fn any_history_of_many_files(steps in history(8, 30)) {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        for folder in 0..20 {
            fs::create_dir(root.path().join(format!("folder-{folder}"))).unwrap();
            for file in 0..100 {
                let path = root.path().join(format!("folder-{folder}/file-{file}"));
                write(&path, &content(file, 17_000 + file as usize * 50));
            }
        }
        live(root.path(), steps);
    }
}
