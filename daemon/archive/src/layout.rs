//! How a pack lies on the store: content frames, blocks in between, a tail.
//!
//! A **block** is a zstd skippable frame, which `zstd -d` passes over: magic, length, a four-byte tag that
//! says what it holds, then the body. Whoever points to a block says its offset, its whole length and the
//! BLAKE3 of the whole of it, so nothing in it is believed before it has been checked.
//!
//! * `BKSG` a segment of a table: one zstd frame of rows.
//! * `BKSD` the same as its difference from an earlier segment: the frame's prefix is the rows of that one.
//! * `BKRT` a root: the list of segments of a table, in path order.
//! * `BKFL` a frame list: one row for each of up to [`FRAMES_PER_LIST`] frames.
//! * `BKFT` the footer: where the frame lists are. One in a pack.
//! * `BKTL` the tail: where the footer is. The last [`TAIL_BYTES`] bytes of a pack.
//!
//! Frame lists and segments are written as they fill, between content frames, so that a writer needs no
//! memory for what it has written.

use serde::{Deserialize, Serialize};

use crate::frame::{FRAME_BYTES, FRAME_ROW_BYTES, FrameRow, Hash};
use crate::path::TreePath;
use crate::segment::{GROUND_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::varint::{Malformed, Reader, put, put_bytes};

/// The format that this code writes, and the only one that it reads.
pub const FORMAT: u32 = 1;

/// zstd passes over frames with this magic number.
pub const SKIPPABLE_MAGIC: u32 = 0x184D_2A5B;

/// Frames in a full frame list.
pub const FRAMES_PER_LIST: usize = 2048;

/// Segments in a full root.
pub const SEGMENTS_PER_ROOT: usize = 1024;

/// Magic, length, tag.
pub const BLOCK_HEADER_BYTES: usize = 12;

/// The tail, whole.
pub const TAIL_BYTES: usize = BLOCK_HEADER_BYTES + 4 + 8 + 4 + 32;

/// No block is larger; checked before it is fetched.
pub const BLOCK_BYTES_MAX: u32 = 32 << 20;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Rows of a table.
    Segment,
    /// Rows of a table, as their difference from others.
    Difference,
    /// Segments of a table.
    Root,
    /// Rows of frames.
    FrameList,
    /// Where the frame lists are.
    Footer,
    /// Where the footer is.
    Tail,
}

impl Tag {
    fn bytes(self) -> [u8; 4] {
        *match self {
            Self::Segment => b"BKSG",
            Self::Difference => b"BKSD",
            Self::Root => b"BKRT",
            Self::FrameList => b"BKFL",
            Self::Footer => b"BKFT",
            Self::Tail => b"BKTL",
        }
    }
}

/// Wraps a body into a block.
pub fn block(tag: Tag, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    assert!(length <= BLOCK_BYTES_MAX, "BUG: block over {BLOCK_BYTES_MAX} bytes");
    let mut out = Vec::with_capacity(body.len() + BLOCK_HEADER_BYTES);
    out.extend_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&tag.bytes());
    out.extend_from_slice(body);
    out
}

/// The body of a block, whose bytes must be the whole of it.
pub fn block_body(tag: Tag, bytes: &[u8]) -> Result<&[u8], Malformed> {
    let (header, body) = bytes.split_at_checked(BLOCK_HEADER_BYTES).ok_or(Malformed("short block"))?;
    let length = u32::try_from(bytes.len() - 8).map_err(|_over| Malformed("block too long"))?;
    if header[..4] != SKIPPABLE_MAGIC.to_le_bytes() || header[4..8] != length.to_le_bytes() {
        return Err(Malformed("not a block of this length"));
    }
    if header[8..] != tag.bytes() {
        return Err(Malformed("block of another kind"));
    }
    Ok(body)
}

/// Points to a block within one pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
    /// Where the block begins in the pack.
    pub offset: u64,
    /// All of its bytes.
    pub length: u32,
    /// BLAKE3 of all of its bytes.
    #[serde(with = "hex_hash")]
    pub hash: Hash,
}

impl BlockRef {
    /// Whether `bytes` are the block that is meant.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.length as usize && blake3::hash(bytes).as_bytes() == &self.hash
    }

    fn put(&self, out: &mut Vec<u8>) {
        put(out, self.offset);
        put(out, u64::from(self.length));
        out.extend_from_slice(&self.hash);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (offset, length) = (r.number()?, r.number32()?);
        let hash = r.take(32)?.try_into().map_err(|_len| Malformed("short hash"))?;
        if length > BLOCK_BYTES_MAX || offset.checked_add(u64::from(length)).is_none() {
            return Err(Malformed("block length out of bounds"));
        }
        Ok(Self { offset, length, hash })
    }
}

/// A segment that stands by itself, and whose rows another one is a difference from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    /// The pack it lies in, by its id within the lineage.
    pub pack: u64,
    /// Where.
    pub block: BlockRef,
    /// Length of its rows when decoded.
    pub raw: u32,
}

/// One segment of a table, as its root names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRef {
    /// The pack it lies in, by its id within the lineage.
    pub pack: u64,
    /// Where.
    pub block: BlockRef,
    /// Length of the rows when decoded.
    pub raw: u32,
    /// How many rows.
    pub rows: u32,
    /// What it is a difference from, unless it stands by itself.
    pub ground: Option<Ground>,
    /// Path of its last row. Several segments may end at one path only in the pages table, where a large file has
    /// more than one row.
    pub last: TreePath,
}

/// One root, as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRef {
    /// The pack it lies in, by its id within the lineage.
    pub pack: u64,
    /// Where.
    pub block: BlockRef,
    /// How many segments it lists.
    pub segments: u32,
    /// How many rows these hold.
    pub rows: u64,
}

/// The body of a root.
pub fn put_root(segments: &[SegmentRef]) -> Vec<u8> {
    let mut out = Vec::with_capacity(segments.len() * 80);
    put(&mut out, segments.len() as u64);
    for segment in segments {
        put(&mut out, segment.pack);
        segment.block.put(&mut out);
        put(&mut out, u64::from(segment.raw));
        put(&mut out, u64::from(segment.rows));
        put_ground(&mut out, segment.ground.as_ref());
        put_bytes(&mut out, segment.last.as_bytes());
    }
    out
}

/// Reads the body of a root.
pub fn read_root(body: &[u8]) -> Result<Vec<SegmentRef>, Malformed> {
    let r = &mut Reader::new(body);
    let n = r.count(39)?;
    let mut segments: Vec<SegmentRef> = Vec::with_capacity(n);
    for _ in 0..n {
        let segment = SegmentRef {
            pack: r.number()?,
            block: BlockRef::read(r)?,
            raw: r.number32()?,
            rows: r.number32()?,
            ground: read_ground(r)?,
            last: TreePath::parse(r.bytes()?.to_vec()).map_err(|_bad| Malformed("path leaves its root"))?,
        };
        let most = if segment.ground.is_some() { GROUND_BYTES_MAX } else { SEGMENT_BYTES_MAX };
        if segment.raw as usize > most || segment.rows == 0 {
            return Err(Malformed("segment length out of bounds"));
        }
        if segments.last().is_some_and(|before| before.last > segment.last) {
            return Err(Malformed("segments out of order"));
        }
        segments.push(segment);
    }
    if !r.is_empty() {
        return Err(Malformed("root longer than its segments"));
    }
    Ok(segments)
}

/// Packs have ids over zero, so a zero says that there is none.
fn put_ground(out: &mut Vec<u8>, ground: Option<&Ground>) {
    let Some(ground) = ground else { return put(out, 0) };
    put(out, ground.pack);
    ground.block.put(out);
    put(out, u64::from(ground.raw));
}

fn read_ground(r: &mut Reader<'_>) -> Result<Option<Ground>, Malformed> {
    let pack = r.number()?;
    if pack == 0 {
        return Ok(None);
    }
    let ground = Ground { pack, block: BlockRef::read(r)?, raw: r.number32()? };
    if ground.raw as usize > GROUND_BYTES_MAX {
        return Err(Malformed("segment length out of bounds"));
    }
    Ok(Some(ground))
}

/// The body of a frame list.
pub fn put_frame_list(frames: &[FrameRow]) -> Vec<u8> {
    let mut out = Vec::with_capacity(frames.len() * FRAME_ROW_BYTES);
    frames.iter().for_each(|frame| frame.put(&mut out));
    out
}

/// Reads the body of a frame list.
pub fn read_frame_list(body: &[u8]) -> Result<Vec<FrameRow>, Malformed> {
    let (rows, rest) = body.as_chunks::<FRAME_ROW_BYTES>();
    if !rest.is_empty() || rows.len() > FRAMES_PER_LIST {
        return Err(Malformed("frame list of a wrong length"));
    }
    rows.iter().map(FrameRow::read).collect()
}

/// Where the frames of a pack are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Footer {
    /// Length of the raw content stream.
    pub raw_bytes: u64,
    /// Frame lists in order; all but the last are full.
    pub lists: Vec<BlockRef>,
}

impl Footer {
    /// How many frames the pack has.
    pub fn frames(&self) -> u64 {
        self.raw_bytes.div_ceil(FRAME_BYTES as u64)
    }

    /// The body of the footer block.
    pub fn put(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.lists.len() * 48);
        put(&mut out, self.raw_bytes);
        put(&mut out, self.lists.len() as u64);
        self.lists.iter().for_each(|list| list.put(&mut out));
        out
    }

    /// Reads the body of a footer block.
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        let r = &mut Reader::new(body);
        let raw_bytes = r.number()?;
        let n = r.count(34)?;
        let lists = (0..n).map(|_| BlockRef::read(r)).collect::<Result<Vec<_>, _>>()?;
        let footer = Self { raw_bytes, lists };
        if !r.is_empty() || footer.frames().div_ceil(FRAMES_PER_LIST as u64) != n as u64 {
            return Err(Malformed("footer does not list its frames"));
        }
        Ok(footer)
    }
}

/// The tail block, whole.
pub fn put_tail(footer: &BlockRef) -> Vec<u8> {
    let mut body = Vec::with_capacity(48);
    body.extend_from_slice(&FORMAT.to_le_bytes());
    body.extend_from_slice(&footer.offset.to_le_bytes());
    body.extend_from_slice(&footer.length.to_le_bytes());
    body.extend_from_slice(&footer.hash);
    block(Tag::Tail, &body)
}

/// Reads the last [`TAIL_BYTES`] bytes of a pack.
pub fn read_tail(bytes: &[u8]) -> Result<BlockRef, Malformed> {
    let body = block_body(Tag::Tail, bytes)?;
    let (format, rest) = body.split_first_chunk::<4>().ok_or(Malformed("short tail"))?;
    if u32::from_le_bytes(*format) != FORMAT {
        return Err(Malformed("pack of another format version"));
    }
    let (offset, rest) = rest.split_first_chunk::<8>().ok_or(Malformed("short tail"))?;
    let (length, hash) = rest.split_first_chunk::<4>().ok_or(Malformed("short tail"))?;
    Ok(BlockRef {
        offset: u64::from_le_bytes(*offset),
        length: u32::from_le_bytes(*length),
        hash: hash.try_into().map_err(|_len| Malformed("short tail"))?,
    })
}

/// Hashes as lower-case hexadecimal in JSON.
pub mod hex_hash {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Hash;

    /// Sixty-four hexadecimal digits.
    pub fn to_hex(hash: &Hash) -> String {
        blake3::Hash::from_bytes(*hash).to_hex().to_string()
    }

    /// For serde.
    pub fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_hex(hash))
    }

    /// For serde.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        blake3::Hash::from_hex(&text).map(|hash| *hash.as_bytes()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn footers_come_back(raw_bytes in 0_u64..1 << 45) {
            let n = raw_bytes.div_ceil(FRAME_BYTES as u64).div_ceil(FRAMES_PER_LIST as u64);
            let lists = (0..n).map(|i| BlockRef { offset: i << 30, length: 7, hash: [9; 32] }).collect();
            let footer = Footer { raw_bytes, lists };
            prop_assert_eq!(Footer::read(&footer.put()), Ok(footer));
        }

        #[test]
        fn noise_is_refused_and_never_panics(noise: Vec<u8>) {
            prop_assert!(read_tail(&noise).is_err());
            prop_assert!(block_body(Tag::Root, &noise).is_err());
            let _either = (Footer::read(&noise), read_root(&noise), read_frame_list(&noise));
        }
    }

    #[test]
    fn roots_come_back_with_what_their_segments_are_differences_from() {
        let block = BlockRef { offset: 5, length: 6, hash: [7; 32] };
        let last = |path: &[u8]| TreePath::parse(path.to_vec()).unwrap();
        let whole = SegmentRef { pack: 4, block, raw: 100, rows: 2, ground: None, last: last(b"a") };
        let ground = Ground { pack: 8, block: BlockRef { offset: 9, ..block }, raw: 1 << 20 };
        let difference = SegmentRef { ground: Some(ground), last: last(b"b"), ..whole.clone() };
        let segments = [whole, difference];
        assert_eq!(read_root(&put_root(&segments)).as_deref(), Ok(&segments[..]));
        for (raw, of_ground) in [(1 << 20 | 1, 1), (1, 1 << 20 | 1)] {
            let ground = Some(Ground { raw: of_ground, ..ground });
            let large = SegmentRef { raw, ground, ..segments[1].clone() };
            assert_eq!(read_root(&put_root(&[large])), Err(Malformed("segment length out of bounds")));
        }
    }

    #[test]
    fn a_tail_points_to_the_footer_and_knows_its_version() {
        let footer = BlockRef { offset: 5, length: 6, hash: [7; 32] };
        let tail = put_tail(&footer);
        assert_eq!(tail.len(), TAIL_BYTES);
        assert_eq!(read_tail(&tail), Ok(footer));
        let mut newer = tail;
        newer[BLOCK_HEADER_BYTES] = 2;
        assert_eq!(read_tail(&newer), Err(Malformed("pack of another format version")));
    }
}
