//! A snapshot of a lineage given back by the product's own unpacker, whatever packs its content lies in.

#![allow(dead_code, reason = "each test file uses its part of this")]
#![allow(unreachable_pub, reason = "shared between test binaries by `mod`")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use archive::channel::{End, Packed, Piece, Target, UnpackJob, put_frame};
use archive::entry::{Entry, Extent, Kind};
use archive::frame::FRAME_BYTES;
use archive::row::put_row;
use archive::unpack::Unpacker;

use crate::lineage::Lineage;

/// Rows of one record.
const ROWS: usize = 100;

/// Restores a snapshot into an empty folder.
#[track_caller]
pub fn unpack(lineage: &Lineage, packed: &Packed, into: &Path) {
    let job = UnpackJob { run: "r1".to_owned(), workers: 2, into: Target::Empty, places: Vec::new() };
    let mut unpacker = Unpacker::new(File::open(into).unwrap().into(), &job).unwrap();
    let entries = lineage.entries(packed);
    for rows in entries.chunks(ROWS) {
        let (mut payload, mut before): (Vec<u8>, &[u8]) = (Vec::new(), &[]);
        for entry in rows {
            put_row(&mut payload, before, entry);
            before = entry.path.as_bytes();
        }
        unpacker.rows(&payload).unwrap();
    }
    for ((pack, number), pieces) in pieces(&entries) {
        let pack = &lineage.packs[&pack];
        let row = &pack.frames[usize::try_from(number).unwrap()];
        let start = usize::try_from(row.offset).unwrap();
        let stored = &pack.bytes[start..start + row.stored as usize];
        unpacker.frame(put_frame(row, &pieces, stored)).unwrap();
    }
    let end = End { entries: packed.totals.entries, data_bytes: packed.totals.data_bytes };
    let unpacked = unpacker.end(&end).unwrap();
    assert_eq!(unpacked.notes.named, []);
}

/// What goes where, by pack and frame.
fn pieces(entries: &[Entry]) -> BTreeMap<(u64, u64), Vec<Piece>> {
    let frame_bytes = FRAME_BYTES as u64;
    let mut frames: BTreeMap<(u64, u64), Vec<Piece>> = BTreeMap::new();
    for (entry, row) in (0..).zip(entries) {
        let Kind::File { content, .. } = &row.kind else { continue };
        let mut file_offset = 0;
        for extent in content {
            if let Extent::Stored { pack, position, length } = *extent {
                let mut done = 0;
                while done < length {
                    let (frame, within) = ((position + done) / frame_bytes, (position + done) % frame_bytes);
                    let now = (length - done).min(frame_bytes - within);
                    frames.entry((pack, frame)).or_default().push(Piece {
                        entry,
                        file_offset: file_offset + done,
                        frame_offset: u32::try_from(within).unwrap(),
                        length: u32::try_from(now).unwrap(),
                    });
                    done += now;
                }
            }
            file_offset += extent.length();
        }
    }
    frames
}
