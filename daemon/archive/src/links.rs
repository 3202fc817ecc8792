//! Which files were met before under another name.
//!
//! Where trees are copied by hard links nearly every file has several names, so what is kept of one is small: its
//! identity as a hash, and its path as far as it differs from the one that was remembered before it.
//!
//! Always true: only files with several names are remembered, and each only until all of its names were met. A file
//! whose other names lie outside the source stays until the end. Memory is bounded, and what does not fit is refused
//! rather than told wrong.

use std::io;

use crate::pack::Halt;
use crate::path::TreePath;
use crate::stat::{Identity, Stat};
use crate::varint::{Reader, put};

/// More is not remembered: some 1.5 million files at once.
const BYTES_MAX: usize = 72 << 20;

/// Paths that are read one after another to get at one of them.
const PATHS_TOGETHER: usize = 16;

/// So many may be done with before room is made of them.
const DONE_MIN: usize = 4096;

/// Stands for an identity in half of its memory.
type Key = [u8; 16];

/// In the order in which they were remembered.
struct First {
    key: Key,
    /// Names that were not met yet. None when this is done with.
    left: u32,
}

/// More files with several names are waiting than can be remembered.
#[derive(Debug, PartialEq, Eq)]
struct TooMany(usize);

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} hard-linked files have names that were not met yet, and no more can be remembered",
            self.0
        )
    }
}

/// First names of files that have more of them.
pub(crate) struct Links {
    firsts: Vec<First>,
    /// Where the next first is to be found by its key: its place and one; zero where there is none.
    slots: Vec<u32>,
    /// The paths of all firsts: how much of the one before comes first, and the rest.
    paths: Vec<u8>,
    /// Where in it each `PATHS_TOGETHER`th begins, which shares nothing.
    starts: Vec<u32>,
    /// The one that was remembered last.
    before: Vec<u8>,
    done: usize,
    bytes_max: usize,
}

impl Default for Links {
    fn default() -> Self {
        Self::of(BYTES_MAX)
    }
}

impl Links {
    fn of(bytes_max: usize) -> Self {
        Self {
            firsts: Vec::new(),
            slots: Vec::new(),
            paths: Vec::new(),
            starts: Vec::new(),
            before: Vec::new(),
            done: 0,
            bytes_max,
        }
    }

    /// The first name of the file that was met now under a further one.
    pub(crate) fn further(&mut self, stat: &Stat) -> Option<TreePath> {
        if stat.links < 2 {
            return None;
        }
        self.next_name(&key(&stat.identity))
    }

    /// Remembers a file that is in the snapshot now, under its first name.
    pub(crate) fn remember(&mut self, stat: &Stat, path: &TreePath) -> Result<(), Halt> {
        if stat.links < 2 {
            return Ok(());
        }
        self.add(key(&stat.identity), stat.links - 1, path.as_bytes()).map_err(|why| Halt::Source {
            path: path.clone(),
            action: "remember the names of",
            source: io::Error::other(why.to_string()),
        })
    }

    fn next_name(&mut self, key: &Key) -> Option<TreePath> {
        let at = self.find(key)?;
        let path = TreePath::parse(self.path(at)).ok()?;
        let first = &mut self.firsts[at];
        first.left -= 1;
        if first.left == 0 {
            self.done += 1;
        }
        Some(path)
    }

    fn add(&mut self, key: Key, left: u32, path: &[u8]) -> Result<(), TooMany> {
        if self.done > DONE_MIN && self.done > self.firsts.len() / 2 {
            self.make_room();
        }
        if self.bytes() + path.len() > self.bytes_max {
            return Err(TooMany(self.firsts.len() - self.done));
        }
        self.push(key, left, path);
        Ok(())
    }

    fn push(&mut self, key: Key, left: u32, path: &[u8]) {
        let mut shared = 0;
        if self.firsts.len().is_multiple_of(PATHS_TOGETHER) {
            // Memory is bounded far below what 32 bits can tell.
            self.starts.push(u32::try_from(self.paths.len()).unwrap_or(u32::MAX));
        } else {
            shared = self.before.iter().zip(path).take_while(|(a, b)| a == b).count();
        }
        put(&mut self.paths, shared as u64);
        put(&mut self.paths, (path.len() - shared) as u64);
        self.paths.extend_from_slice(&path[shared..]);
        self.before.clear();
        self.before.extend_from_slice(path);
        self.firsts.push(First { key, left });
        if self.firsts.len() * 4 > self.slots.len() * 3 {
            self.slots = vec![0; (self.slots.len() * 2).max(64)];
            (0..self.firsts.len()).for_each(|at| self.enter(at));
        } else {
            self.enter(self.firsts.len() - 1);
        }
    }

    /// Makes a first to be found. There are always free slots.
    fn enter(&mut self, at: usize) {
        let mut slot = self.slot(&self.firsts[at].key);
        while self.slots[slot] != 0 {
            slot = (slot + 1) % self.slots.len();
        }
        self.slots[slot] = u32::try_from(at + 1).unwrap_or(u32::MAX);
    }

    /// The place of a first that is not done with.
    fn find(&self, key: &Key) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut slot = self.slot(key);
        loop {
            let at = (self.slots[slot] as usize).checked_sub(1)?;
            if self.firsts[at].key == *key && self.firsts[at].left > 0 {
                return Some(at);
            }
            slot = (slot + 1) % self.slots.len();
        }
    }

    /// Where to look first. Keys are hashes, so any of their bytes will do.
    fn slot(&self, key: &Key) -> usize {
        let some = key.first_chunk().map_or(0, |some| u32::from_le_bytes(*some));
        some as usize % self.slots.len()
    }

    fn path(&self, at: usize) -> Vec<u8> {
        let mut paths = Reader::new(&self.paths[self.starts[at / PATHS_TOGETHER] as usize..]);
        let mut path = Vec::new();
        for _ in 0..=at % PATHS_TOGETHER {
            step(&mut paths, &mut path);
        }
        path
    }

    /// Forgets those that are done with.
    fn make_room(&mut self) {
        let all = std::mem::replace(self, Self::of(self.bytes_max));
        let (mut paths, mut path) = (Reader::new(&all.paths), Vec::new());
        for First { key, left } in all.firsts {
            step(&mut paths, &mut path);
            if left > 0 {
                self.push(key, left, &path);
            }
        }
    }

    /// Memory, as far as it is used.
    fn bytes(&self) -> usize {
        self.firsts.len() * size_of::<First>()
            + (self.slots.len() + self.starts.len()) * size_of::<u32>()
            + self.paths.len()
            + self.before.len()
    }
}

/// Reads the next path after `path`. They were written here.
fn step(paths: &mut Reader<'_>, path: &mut Vec<u8>) {
    let (Ok(shared), Ok(rest)) = (paths.number(), paths.bytes()) else {
        panic!("BUG: a path of a hard-linked file was written so that it cannot be read");
    };
    path.truncate(usize::try_from(shared).unwrap_or(usize::MAX));
    path.extend_from_slice(rest);
}

fn key(identity: &Identity) -> Key {
    let Identity { device: (major, minor), inode, born } = identity;
    let mut hasher = blake3::Hasher::new();
    for bytes in [major.to_le_bytes(), minor.to_le_bytes(), born.nanoseconds.to_le_bytes()] {
        hasher.update(&bytes);
    }
    hasher.update(&inode.to_le_bytes()).update(&born.seconds.to_le_bytes());
    *hasher.finalize().as_bytes().first_chunk().unwrap_or(&[0; 16])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::entry::Stamp;

    fn key_of(n: u64) -> Key {
        key(&Identity { device: (8, 1), inode: n, born: Stamp::default() })
    }

    /// As `cp -al` and rsnapshot make them.
    fn path_of(n: u64) -> Vec<u8> {
        format!("daily.0/srv/www/shop-{:03}/uploads/{:02}/image-{n:07}.jpeg", n / 5000, n / 100 % 50).into()
    }

    #[test]
    fn a_million_files_that_wait_for_their_names_take_little() {
        let mut links = Links::default();
        let count = 1_000_000;
        for n in 0..count {
            links.add(key_of(n), 6, &path_of(n)).unwrap();
        }
        let each = links.bytes() / usize::try_from(count).unwrap();
        assert!(each < 48, "{each} bytes each");
        for n in (0..count).step_by(997) {
            assert_eq!(links.next_name(&key_of(n)).unwrap().as_bytes(), path_of(n));
        }
        assert_eq!(links.next_name(&key_of(count)), None);
    }

    #[test]
    fn what_does_not_fit_is_refused_until_there_is_room_again() {
        let mut links = Links::of(1 << 20);
        let fits = (0..).find(|n| links.add(key_of(*n), 1, &path_of(*n)).is_err()).unwrap();
        assert!(fits > 2 * DONE_MIN as u64, "{fits}");
        let why = links.add(key_of(fits), 1, &path_of(fits)).unwrap_err();
        assert_eq!(why, TooMany(usize::try_from(fits).unwrap()));
        assert!(why.to_string().starts_with(&format!("{fits} hard-linked files")), "{why}");
        (0..fits).step_by(3).for_each(|n| assert!(links.next_name(&key_of(n)).is_some()));
        (1..fits).step_by(3).for_each(|n| assert!(links.next_name(&key_of(n)).is_some()));
        links.add(key_of(fits), 1, &path_of(fits)).unwrap();
        assert_eq!(links.next_name(&key_of(fits)).unwrap().as_bytes(), path_of(fits));
        assert_eq!(links.next_name(&key_of(2)).unwrap().as_bytes(), path_of(2));
        assert_eq!(links.next_name(&key_of(0)), None, "all of its names were met");
    }

    /// Pairs that lie side by side: none waits for long.
    #[test]
    fn pairs_leave_nothing_behind() {
        let mut links = Links::of(1 << 20);
        for n in 0..200_000 {
            links.add(key_of(n), 1, &path_of(n)).unwrap();
            assert_eq!(links.next_name(&key_of(n)).unwrap().as_bytes(), path_of(n));
        }
    }

    proptest! {
        /// Against a map of all that is to be known.
        #[test]
        fn any_order_of_names(
            names in proptest::collection::vec((0..60_u64, 1..4_u32, "[ab/]{0,3}c"), 0..400),
            makes_room in 1..50_usize,
        ) {
            let (mut links, mut model) = (Links::default(), HashMap::<u64, (Vec<u8>, u32)>::new());
            for (step, (file, left, path)) in names.into_iter().enumerate() {
                let path = path.trim_start_matches('/').replace("//", "/").replace("//", "/").into_bytes();
                if let Some((first, left)) = model.get_mut(&file) {
                    let found = links.next_name(&key_of(file));
                    prop_assert_eq!(found.as_ref().map(TreePath::as_bytes), Some(first.as_slice()));
                    *left -= 1;
                    if *left == 0 {
                        model.remove(&file);
                    }
                } else {
                    prop_assert_eq!(links.next_name(&key_of(file)), None);
                    links.add(key_of(file), left, &path).unwrap();
                    model.insert(file, (path, left));
                }
                if step % makes_room == 0 {
                    links.make_room();
                    prop_assert_eq!((links.done, links.firsts.len()), (0, model.len()));
                }
            }
        }
    }
}
