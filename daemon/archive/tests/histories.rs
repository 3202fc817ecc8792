//! Random histories of a tree: each snapshot gives back exactly what was there, from the packs that it names alone.
//!
//! `PROPTEST_CASES` says how many histories there are.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]

#[path = "support/lineage.rs"]
mod lineage;
#[path = "support/model.rs"]
mod model;
#[path = "support/planted.rs"]
mod planted;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use archive::channel::Packed;
use lineage::{How, Lineage};
use planted::{set_time, set_xattr, write};
use proptest::prelude::*;
use rustix::fs::FallocateFlags;

/// What to do, and three numbers to do it with.
type Deed = (u8, u16, u16, u32);

/// How the snapshot after the deeds is made.
type Manner = (u8, u8, u8);

fn history(snapshots: usize, deeds: usize) -> impl Strategy<Value = Vec<(Vec<Deed>, Manner)>> {
    let deed = (0..20_u8, any::<u16>(), any::<u16>(), any::<u32>());
    let step = (proptest::collection::vec(deed, 0..deeds), any::<Manner>());
    proptest::collection::vec(step, snapshots)
}

/// Few bytes of many kinds, so that pages and files come again.
fn content(seed: u32, length: usize) -> Vec<u8> {
    let pages = (0..length.div_ceil(512)).map(|n| {
        let mut page = [0; 512];
        let seed = (seed % 7).wrapping_mul(n as u32 % 61);
        if seed != 0 {
            blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut page);
        }
        page
    });
    let mut bytes = pages.collect::<Vec<_>>().concat();
    bytes.truncate(length);
    bytes
}

/// Mostly small, now and then of more than a chunk.
fn length(n: u32) -> usize {
    let n = n as usize;
    match n % 16 {
        0..=5 => n % 600,
        6..=9 => n % (40 << 10),
        10..=14 => n % (300 << 10),
        _ => n % (5 << 19),
    }
}

fn all(root: &Path, wanted: impl Fn(&fs::Metadata) -> bool) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for path in names {
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                folders.push(path.clone());
            }
            if wanted(&meta) {
                found.push(path);
            }
        }
    }
    found
}

fn pick(from: &[PathBuf], n: u16) -> Option<&PathBuf> {
    from.get(usize::from(n) % from.len().max(1))
}

fn act(root: &Path, (what, one, two, n): Deed) {
    let mut folders = all(root, fs::Metadata::is_dir);
    folders.push(root.to_owned());
    let new = pick(&folders, two).unwrap().join(format!("{}", n % 40));
    let is_free = new.symlink_metadata().is_err();
    let files = all(root, fs::Metadata::is_file);
    let Some(file) = pick(&files, one) else {
        if is_free {
            write(&new, &content(n, length(n)));
        }
        return;
    };
    let meta = file.metadata().unwrap();
    let (size, open) = (meta.len(), || File::options().write(true).open(file).unwrap());
    let at = u64::from(n) % size.max(1);
    match what {
        0..=2 if is_free => write(&new, &content(n, length(n))),
        3 if is_free => fs::create_dir(&new).unwrap(),
        4 if is_free => rustix::fs::rename(file, new).unwrap(),
        5 if is_free => fs::hard_link(file, new).unwrap(),
        6 if is_free => drop(fs::copy(file, new).unwrap()),
        7 if is_free => symlink(format!("{n}"), new).unwrap(),
        8 if is_free && folders.len() > 1 => {
            let folder = pick(&folders[..folders.len() - 1], one).unwrap();
            if !new.starts_with(folder) {
                rustix::fs::rename(folder, new).unwrap();
            }
        }
        9 => fs::remove_file(file).unwrap(),
        10 => open().write_all_at(&content(n, 12), at).unwrap(),
        11 => (0..9).for_each(|k| open().write_all_at(&content(n, 600), at * k % size.max(1)).unwrap()),
        12 => open().write_all_at(&content(n, length(n >> 4)), size).unwrap(),
        13 => open().set_len(at).unwrap(),
        14 => open().set_len((size + u64::from(n % 400_000)).min(3 << 20)).unwrap(),
        15 => {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(open(), flags, at, u64::from(n % 100_000 + 1)).unwrap();
        }
        16 => open().write_all_at(&vec![0; length(n).min(9000)], at).unwrap(),
        17 => fs::set_permissions(file, Permissions::from_mode(n & 0o777)).unwrap(),
        18 => set_xattr(file, "user.n", &n.to_le_bytes()),
        19 => {
            open().write_all_at(&n.to_le_bytes(), at / 2).unwrap();
            set_time(file, meta.mtime(), meta.mtime_nsec());
        }
        _ => {}
    }
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
    }
}

fn live(root: &Path, steps: Vec<(Vec<Deed>, Manner)>) {
    let mut lineage = Lineage::default();
    let mut kept: Vec<(Packed, model::Tree)> = Vec::new();
    for (number, (deeds, manner)) in steps.into_iter().enumerate() {
        // Times go in steps: a change in the step of a snapshot could not be told by them.
        std::thread::sleep(Duration::from_millis(12));
        deeds.into_iter().for_each(|deed| act(root, deed));
        let want = model::record(root);
        let how = how(manner, lineage.last.as_ref());
        let packed = lineage.snapshot(root, &how);
        model::assert_same(&model::read(&lineage, &packed), &want);
        model::check_hashes(&lineage, &packed);
        assert_eq!(packed.used, lineage.count_used(&packed));
        assert!(how.full || how.shun.iter().all(|pack| !packed.used.contains_key(pack)));
        if !how.at_once {
            let again = lineage.snapshot(root, &How::default());
            assert_eq!((again.length, &again.used), (0, &packed.used));
            assert_eq!((&again.entries, &again.pages), (&packed.entries, &packed.pages));
        }
        kept.push((packed, want));
        if manner.1 % 3 == 0 && kept.len() > 1 {
            kept.remove(usize::from(manner.2) % (kept.len() - 1));
            lineage.prune(kept.iter().map(|(packed, _)| packed));
        }
        if number % 10 == 9 {
            for (packed, want) in &kept {
                model::assert_same(&model::read(&lineage, packed), want);
            }
        }
    }
}

/// So many, unless the environment says otherwise.
fn cases(usual: u32) -> ProptestConfig {
    let config =
        ProptestConfig { failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() };
    let cases = if config.cases == 256 { usual } else { config.cases };
    ProptestConfig { cases, ..config }
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
