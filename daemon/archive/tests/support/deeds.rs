//! Random deeds on a tree: what people and programs do to files, by numbers.

#![allow(dead_code, reason = "each test file uses its part of this")]
#![allow(unreachable_pub, reason = "shared between test binaries by `mod`")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::FallocateFlags;

use crate::planted::{set_time, set_xattr, write};

/// What to do, and three numbers to do it with.
pub type Deed = (u8, u16, u16, u32);

pub fn deeds(most: usize) -> impl Strategy<Value = Vec<Deed>> {
    proptest::collection::vec((0..20_u8, any::<u16>(), any::<u16>(), any::<u32>()), 0..most)
}

/// Few bytes of many kinds, so that pages and files come again.
pub fn content(seed: u32, length: usize) -> Vec<u8> {
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

pub fn all(root: &Path, wanted: impl Fn(&fs::Metadata) -> bool) -> Vec<PathBuf> {
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

pub fn pick(from: &[PathBuf], n: u16) -> Option<&PathBuf> {
    from.get(usize::from(n) % from.len().max(1))
}

pub fn act(root: &Path, (what, one, two, n): Deed) {
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
