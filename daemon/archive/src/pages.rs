//! What a file's content hashes to: pages, and chunks of pages.
//!
//! A chunk is 1 MiB of a file, a page a power of two of bytes within one; the last of each is what is left. A
//! page's hash is of its bytes; a chunk's is of its pages' hashes, or that of its only page. What lies
//! wholly in a hole has the hash zero, which says nothing of bytes: whoever compares looks at the holes too.
//!
//! Always true: hashes are of what is stored, so equal hashes mean that the stored bytes may stand for the file.

use crate::entry::ShortHash;

/// A chunk is so many bytes of a file.
pub const CHUNK_BYTES: usize = 1 << CHUNK_EXPONENT;

/// Pages of this size are whole chunks, and have no rows of their own.
pub const CHUNK_EXPONENT: u8 = 20;

/// Pages are never smaller. (None that we make is: hashing 1 KiB pages takes three times as long as 4 KiB ones.)
pub const PAGE_EXPONENT_MIN: u8 = 10;

/// A row of the pages table tells of so many bytes of a file.
pub const PART_BYTES: u64 = 64 << 20;

/// The hash of what lies in a hole.
pub const HOLE: ShortHash = [0; 16];

/// Extents and chunks of one row together are no more, so that it stays readable: at 16 bytes each they are 12 MiB.
pub(crate) const ROW_ITEMS_MAX: u64 = 800_000;

/// A page size stays while the file's own would be no further from it.
const STICKS: u8 = 2;

/// How many chunks a file of this size has.
pub fn chunks(size: u64) -> u64 {
    size.div_ceil(CHUNK_BYTES as u64)
}

/// Whether a file has so many chunks that their hashes would not fit into its row.
pub(crate) fn is_too_large(size: u64) -> bool {
    chunks(size) > ROW_ITEMS_MAX
}

/// The page size of a file, which had the page size `before` in the last snapshot.
pub(crate) fn exponent(size: u64, before: Option<u8>) -> u8 {
    let nominal = match size {
        0..=0x4000 => CHUNK_EXPONENT,
        0x4001..=0x400_0000 => 12,
        0x400_0001..=0x10_0000_0000 => 13,
        _ => 16,
    };
    match before {
        Some(before) if nominal != CHUNK_EXPONENT && before != CHUNK_EXPONENT => {
            if before.abs_diff(nominal) <= STICKS { before } else { nominal }
        }
        Some(_) | None => nominal,
    }
}

/// The hash of a page that is not a hole.
pub(crate) fn page_hash(bytes: &[u8]) -> ShortHash {
    shorten(&blake3::hash(bytes))
}

/// The hash of a chunk with these pages.
pub(crate) fn chunk_hash(pages: &[ShortHash]) -> ShortHash {
    match pages {
        [only] => *only,
        pages if pages.iter().all(|page| *page == HOLE) => HOLE,
        pages => page_hash(pages.as_flattened()),
    }
}

pub(crate) fn shorten(hash: &blake3::Hash) -> ShortHash {
    hash.as_bytes().first_chunk().copied().unwrap_or(HOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(size: u64, before: Option<u8>, want: u8) {
        assert_eq!(exponent(size, before), want, "{size} bytes after {before:?}");
    }

    #[test]
    fn page_sizes_grow_with_files_and_stick() {
        check(0, None, 20);
        check(16 << 10, None, 20);
        check((16 << 10) + 1, None, 12);
        check(64 << 20, None, 12);
        check((64 << 20) + 1, None, 13);
        check(64 << 30, None, 13);
        check((64 << 30) + 1, None, 16);
        check(2 << 20, Some(10), 10);
        check(65 << 20, Some(10), 13);
        check(65 << 20, Some(12), 12);
        check(1 << 20, Some(14), 14);
        check(1 << 20, Some(15), 12);
        check(65 << 30, Some(13), 16);
        check(10 << 10, Some(12), 20);
        check(20 << 10, Some(20), 12);
    }

    #[test]
    fn a_chunk_is_hashed_by_its_pages() {
        let (one, two) = (page_hash(b"1"), page_hash(b"2"));
        assert_eq!(chunk_hash(&[one]), one);
        assert_eq!(chunk_hash(&[HOLE, HOLE]), HOLE);
        assert_eq!(chunk_hash(&[one, two]), page_hash(&[one, two].concat()));
        assert_ne!(chunk_hash(&[one, HOLE]), chunk_hash(&[HOLE, one]));
        assert_eq!(one, blake3::hash(b"1").as_bytes()[..16]);
    }
}
