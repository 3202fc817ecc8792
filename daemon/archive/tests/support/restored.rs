//! A restore from a pack alone: its rows, its frames, and where the extents say that these go.

#![allow(dead_code, reason = "each test file uses its part of this")]
#![allow(unreachable_pub, reason = "shared between test binaries by `mod`")]

use std::collections::BTreeMap;
use std::path::Path;

use archive::channel::{End, Packed, Piece, Target, Unpacked, put_frame};
use archive::entry::{Extent, Kind};
use archive::frame::FRAME_BYTES;

use crate::packs::{self, JOB, Opened};
use crate::support::stream::{Record, rows_record};
use crate::support::{feed, job};

/// Restores a whole pack into an empty folder, the rows `rows` at a time.
pub fn restore(bytes: &[u8], packed: &Packed, into: &Path, rows: usize) -> Unpacked {
    let opened = packs::open(bytes, packed);
    let (pieces, data_bytes) = pieces(&opened);
    assert_eq!(data_bytes, packed.totals.data_bytes, "extents hold what was counted");
    let mut records: Vec<_> = opened.entries.chunks(rows).map(rows_record).collect();
    for (number, pieces) in &pieces {
        let frame = &opened.frames[usize::try_from(*number).unwrap()];
        let start = usize::try_from(frame.offset).unwrap();
        let stored = &bytes[start..start + frame.stored as usize];
        records.push(Record::Frame(put_frame(frame, pieces, stored)));
    }
    let end = End { entries: packed.totals.entries, data_bytes };
    feed(into, &job(Target::Empty, 2), records, Some(&end)).unwrap()
}

/// What goes where, by frame; and all bytes of it.
fn pieces(opened: &Opened) -> (BTreeMap<u64, Vec<Piece>>, u64) {
    let mut frames: BTreeMap<u64, Vec<Piece>> = BTreeMap::new();
    let mut data_bytes = 0;
    for (number, entry) in opened.entries.iter().enumerate() {
        let Kind::File { content, .. } = &entry.kind else { continue };
        let mut file_offset = 0;
        for extent in content {
            if let Extent::Stored { pack, mut position, mut length } = *extent {
                assert_eq!(pack, JOB.pack);
                data_bytes += length;
                let mut at = file_offset;
                while length > 0 {
                    let within = position % FRAME_BYTES as u64;
                    let n = length.min(FRAME_BYTES as u64 - within);
                    frames.entry(position / FRAME_BYTES as u64).or_default().push(Piece {
                        entry: number as u64,
                        file_offset: at,
                        frame_offset: u32::try_from(within).unwrap(),
                        length: u32::try_from(n).unwrap(),
                    });
                    (position, at, length) = (position + n, at + n, length - n);
                }
            }
            file_offset += extent.length();
        }
    }
    (frames, data_bytes)
}
