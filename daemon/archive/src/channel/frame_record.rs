//! The payload of a `Frame` record: a stored frame, and where in the tree its bytes go.

use crate::frame::{FRAME_BYTES, FrameRow, Hash};
use crate::varint::{Malformed, Reader, put};

/// Where a run of bytes of a decoded frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The file: its place in the sequence of all rows that were sent, from zero.
    pub entry: u64,
    /// Offset in the file.
    pub file_offset: u64,
    /// Offset in the decoded frame.
    pub frame_offset: u32,
    /// How many bytes.
    pub length: u32,
}

/// The payload of a `Frame` record. `row.offset` is not sent.
pub fn put_frame(row: &FrameRow, pieces: &[Piece], stored: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(stored.len() + 64 + pieces.len() * 12);
    put(&mut out, u64::from(row.raw));
    out.extend_from_slice(&row.hash);
    put(&mut out, pieces.len() as u64);
    for piece in pieces {
        put(&mut out, piece.entry);
        put(&mut out, piece.file_offset);
        put(&mut out, u64::from(piece.frame_offset));
        put(&mut out, u64::from(piece.length));
    }
    out.extend_from_slice(stored);
    out
}

/// A `Frame` record as it was received; its bytes are not decoded yet.
#[derive(Debug)]
pub struct FrameRecord<'a> {
    /// Raw length.
    pub raw: u32,
    /// BLAKE3 of the raw bytes.
    pub hash: Hash,
    /// Where they go.
    pub pieces: Vec<Piece>,
    /// The stored frame.
    pub stored: &'a [u8],
}

/// Reads the payload of a `Frame` record; pieces lie within the frame afterwards.
pub fn read_frame(payload: &[u8]) -> Result<FrameRecord<'_>, Malformed> {
    let r = &mut Reader::new(payload);
    let raw = r.number32()?;
    if raw == 0 || raw as usize > FRAME_BYTES {
        return Err(Malformed("frame length out of bounds"));
    }
    let hash = r.take(32)?.try_into().map_err(|_len| Malformed("short hash"))?;
    let n = r.count(4)?;
    let mut pieces = Vec::with_capacity(n);
    for _ in 0..n {
        let piece = Piece {
            entry: r.number()?,
            file_offset: r.number()?,
            frame_offset: r.number32()?,
            length: r.number32()?,
        };
        let end = piece.frame_offset.checked_add(piece.length);
        if piece.length == 0 || end.is_none_or(|end| end > raw) {
            return Err(Malformed("piece outside its frame"));
        }
        if piece.file_offset.checked_add(u64::from(piece.length)).is_none_or(|end| end > i64::MAX as u64) {
            return Err(Malformed("piece beyond 8 EiB"));
        }
        pieces.push(piece);
    }
    Ok(FrameRecord { raw, hash, pieces, stored: r.rest() })
}
