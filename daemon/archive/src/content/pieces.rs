//! Into how many pieces a file may fall.
//!
//! Pieces cost room in the file's row, which whoever reads it holds, and they make restores read in shorter runs. Too few
//! of them and what changes here and there is stored by the chunk.
//!
//! Always true: a file that keeps to it has a row that can be read, with the hashes of its chunks.

use crate::pages::{ROW_ITEMS_MAX, chunks};

/// A chunk is not broken into more: as many as it has pages of 8 KiB.
const CHUNK_PIECES_MAX: u64 = 128;

/// Nor is a file: some tens of megabytes where it is read.
const FILE_PIECES_MAX: u64 = 400_000;

/// This part of them may be used up anywhere. The rest is for where the file has been read to, so that what one place does
/// not need others have, and the beginning does not take it all.
const ANYWHERE: u64 = 8;

/// Into how many pieces the chunk that ends at `end` may be broken, where the file lies in `before` before it, and in
/// `after` behind it if nothing changed there.
pub(super) fn pieces_left(size: u64, end: u64, before: usize, after: usize) -> usize {
    // Without room for hashes the next snapshot would have nothing to compare with.
    let most = FILE_PIECES_MAX.min(ROW_ITEMS_MAX.saturating_sub(chunks(size)));
    let anywhere = most / ANYWHERE;
    let so_far = anywhere + (most - anywhere) * chunks(end) / chunks(size).max(1);
    let left = so_far.min(most.saturating_sub(after as u64)).saturating_sub(before as u64);
    usize::try_from(left.min(CHUNK_PIECES_MAX)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::CHUNK_BYTES;

    const MIB: u64 = CHUNK_BYTES as u64;

    /// Pieces of a file after a day on which each `step`th chunk wants `wanted` of them, and how many were stored whole
    /// because of that. Before, the file was one piece; what was stored whole side by side is one, too.
    fn day(chunks: u64, step: u64, wanted: usize) -> (usize, usize) {
        let (mut pieces, mut whole, mut before) = (0, 0, None);
        for chunk in 0..chunks {
            let is_wanted = chunk % step == 0;
            let fits = wanted <= pieces_left(chunks * MIB, (chunk + 1) * MIB, pieces, 0);
            let is_broken = is_wanted && fits;
            pieces += if is_broken { wanted } else { usize::from(before != Some((is_wanted, fits))) };
            whole += usize::from(is_wanted && !fits);
            before = (!is_broken).then_some((is_wanted, fits));
        }
        (pieces, whole)
    }

    #[test]
    fn chunks_fall_into_pieces_while_the_file_has_few() {
        assert_eq!(day(1024, 1, 128), (1024 * 128, 0));
        assert_eq!(day(1024, 1, 129), (1, 1024), "more than a chunk may");
        // 64 GiB and 256 GiB, in which one chunk of a hundred changed.
        assert_eq!(day(64 << 10, 100, 128).1, 0);
        assert_eq!(day(256 << 10, 100, 100).1, 0);
    }

    #[test]
    fn a_file_is_never_in_too_many() {
        for gib in [1, 4, 16, 64, 256, 500, 700] {
            for wanted in [3, 8, 20, 128] {
                let (pieces, whole) = day(gib << 10, 1, wanted);
                let most = FILE_PIECES_MAX.min(ROW_ITEMS_MAX - (gib << 10));
                assert!(pieces as u64 <= most + 1, "{gib} GiB, {wanted}: {pieces}");
                // What there is is given away, and not to the beginning alone.
                assert!(whole == 0 || pieces as u64 > most * 9 / 10, "{gib} GiB, {wanted}: {pieces}");
            }
        }
    }

    #[test]
    fn what_lies_behind_in_many_pieces_may_stay() {
        assert_eq!(pieces_left(1024 * MIB, MIB, 0, 400_000), 0);
        assert_eq!(pieces_left(1024 * MIB, MIB, 0, 399_990), 10);
        assert_eq!(pieces_left(1024 * MIB, 1024 * MIB, 399_900, 0), 100);
        assert_eq!(pieces_left(800_000 * MIB, 800_000 * MIB, 0, 0), 0);
        assert_eq!(pieces_left(u64::MAX, u64::MAX, 0, 0), 0);
        assert_eq!(pieces_left(0, 0, 0, 0), 128);
    }
}
