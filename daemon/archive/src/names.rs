//! The names in one folder, sorted, in one piece of memory.
//!
//! A folder may hold millions of names, so each costs its bytes, a NUL and four bytes of index.
//!
//! Always true: no name comes twice. A file system may list one twice that is removed and made again while
//! the folder is read, and a table with two rows for one path could not be read back.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;

use rustix::fd::BorrowedFd;
use rustix::fs::RawDir;

/// Names are fetched from the kernel in portions of this size.
const PORTION_BYTES: usize = 64 << 10;

/// The names of a folder that are still to be visited.
#[derive(Debug, Default)]
pub(crate) struct Names {
    arena: Vec<u8>,
    /// Where names begin in the arena, last name first.
    starts: Vec<u32>,
}

impl Names {
    /// Reads all names but those that `leave_out` names.
    pub(crate) fn read(folder: BorrowedFd<'_>, leave_out: fn(&[u8]) -> bool) -> io::Result<Self> {
        let mut names = Self::default();
        let mut portion = [MaybeUninit::uninit(); PORTION_BYTES];
        let mut rows = RawDir::new(folder, &mut portion);
        while let Some(row) = rows.next() {
            let row = row?;
            let name = row.file_name().to_bytes();
            if name != b"." && name != b".." && !leave_out(name) {
                names.push(name)?;
            }
        }
        names.sort();
        Ok(names)
    }

    /// One name, whether it is there or not.
    pub(crate) fn one(name: &[u8]) -> Self {
        Self { arena: [name, b"\0"].concat(), starts: vec![0] }
    }

    fn push(&mut self, name: &[u8]) -> io::Result<()> {
        let start = u32::try_from(self.arena.len())
            .map_err(|_over| io::Error::other("folder has more than 4 GiB of names"))?;
        self.arena.extend_from_slice(name);
        self.arena.push(0);
        self.starts.push(start);
        Ok(())
    }

    /// Among siblings path order is byte order, and the NUL sorts a name before those that it begins.
    fn sort(&mut self) {
        let arena = &self.arena;
        self.starts.sort_unstable_by(|a, b| name_at(arena, *b).cmp(name_at(arena, *a)));
        self.starts.dedup_by(|a, b| name_at(arena, *a) == name_at(arena, *b));
        self.arena.shrink_to_fit();
    }

    /// The next name in order.
    pub(crate) fn next(&self) -> Option<&CStr> {
        self.starts.last().map(|start| name_at(&self.arena, *start))
    }

    /// Passes over the next name.
    pub(crate) fn pass(&mut self) {
        self.starts.pop();
    }

    /// How many are left.
    pub(crate) fn left(&self) -> usize {
        self.starts.len()
    }

    /// Names in order: from the one after which `from` are left, to the one after which `to` are.
    pub(crate) fn between(&self, from: usize, to: usize) -> impl Iterator<Item = &CStr> {
        let starts = self.starts.get(to..from).unwrap_or_default();
        starts.iter().rev().map(|start| name_at(&self.arena, *start))
    }

    /// Passes over all that is left.
    pub(crate) fn clear(&mut self) {
        self.starts.clear();
    }
}

fn name_at(arena: &[u8], start: u32) -> &CStr {
    CStr::from_bytes_until_nul(&arena[start as usize..]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_come_once_and_in_path_order(
            given in proptest::collection::vec(proptest::collection::vec(1..=255_u8, 1..3), 0..200),
        ) {
            let mut names = Names::default();
            given.iter().for_each(|name| names.push(name).unwrap());
            names.sort();
            let mut got = Vec::new();
            while let Some(name) = names.next() {
                got.push(name.to_bytes().to_vec());
                names.pass();
            }
            let want: std::collections::BTreeSet<_> = given.into_iter().collect();
            prop_assert_eq!(got, want.into_iter().collect::<Vec<_>>());
        }
    }
}
