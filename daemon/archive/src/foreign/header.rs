//! One header block of a tar archive: v7, ustar, and the GNU dialect.
//!
//! Always true of a [`Header`]: its checksum is right, and its numbers are numbers.

use super::error::ForeignError;
use crate::pax::BLOCK_BYTES;

/// One block.
pub(super) type Block = [u8; BLOCK_BYTES];

/// What a header block says, before records that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) tag: u8,
    pub(super) mode: u32,
    pub(super) uid: i64,
    pub(super) gid: i64,
    pub(super) size: u64,
    pub(super) seconds: i64,
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl Header {
    /// Reads a block that is not empty.
    pub(super) fn parse(block: &Block) -> Result<Self, ForeignError> {
        let name = text(&block[..100]);
        let refuse = |why: String| ForeignError::hostile(name, why);
        let sum = number(&block[148..156]);
        if sum != Some(i64::from(unsigned_sum(block))) && sum != Some(i64::from(signed_sum(block))) {
            return Err(ForeignError::NotWhole(
                "the archive is damaged, or no tar: a header's checksum is wrong".to_owned(),
            ));
        }
        let field = |what: &str, from: usize, to: usize| {
            number(&block[from..to]).ok_or_else(|| refuse(format!("its {what} is no number")))
        };
        let unsigned = |what: &str, from: usize, to: usize| {
            u64::try_from(field(what, from, to)?)
                .map_err(|_below| refuse(format!("its {what} is below zero")))
        };
        let small = |what: &str, from: usize, to: usize| {
            u32::try_from(field(what, from, to)?)
                .map_err(|_far| refuse(format!("its {what} is out of range")))
        };
        let posix = &block[257..265] == b"ustar\x0000";
        let prefix = if posix { text(&block[345..500]) } else { &[] };
        let full = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
        let known = &block[257..262] == b"ustar";
        let (major, minor) = if known && matches!(block[156], b'3' | b'4') {
            (small("device", 329, 337)?, small("device", 337, 345)?)
        } else {
            (0, 0)
        };
        Ok(Self {
            name: full,
            link: text(&block[157..257]).to_vec(),
            tag: block[156],
            // Some writers put the kind of file there as well.
            mode: small("mode", 100, 108)? & 0o7777,
            uid: field("owner", 108, 116)?,
            gid: field("group", 116, 124)?,
            size: unsigned("size", 124, 136)?,
            seconds: field("time", 136, 148)?,
            major,
            minor,
        })
    }
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits between spaces and NULs, or a number to the base of 256 as GNU writes it; nothing is zero.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => {
            // The second highest bit is the sign, which the highest repeats.
            let start = if first & 0x40 != 0 { -1_i128 } else { 0 };
            let low = i128::from(first & 0x3f) | (start & !0x3f);
            let value = field[1..]
                .iter()
                .try_fold(low, |value, byte| value.checked_mul(256).map(|value| value | i128::from(*byte)))?;
            i64::try_from(value).ok()
        }
        _ => {
            let is_space = |byte: &u8| matches!(byte, b' ' | 0);
            let start = field.iter().position(|byte| !is_space(byte)).unwrap_or(field.len());
            let digits = field[start..].split(is_space).next().unwrap_or_default();
            let after = &field[start + digits.len()..];
            if !after.iter().all(is_space) {
                return None;
            }
            digits.iter().try_fold(0_i64, |value, digit| match digit {
                b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
                _ => None,
            })
        }
    }
}

/// The sum of all bytes, the checksum's own counted as spaces.
fn unsigned_sum(block: &Block) -> u32 {
    block
        .iter()
        .enumerate()
        .map(|(i, byte)| if (148..156).contains(&i) { 32 } else { u32::from(*byte) })
        .sum()
}

/// As some old programs took it.
fn signed_sum(block: &Block) -> i32 {
    let signed = |byte: &u8| i32::from(i8::from_ne_bytes([*byte]));
    block.iter().enumerate().map(|(i, byte)| if (148..156).contains(&i) { 32 } else { signed(byte) }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_both_spellings() {
        for (field, want) in [
            (b"0000644\0".as_slice(), Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"        ", Some(0)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"77777777777", Some(0o77_777_777_777)),
            (b"0000648\0", None),
            (b"-000644\0", None),
            (b"64 4\0\0\0\0", None),
            (b"\x80\0\0\0\0\0\0\x01\0\0\0\0", Some(1 << 32)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\x00", Some(-256)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(number(field), want, "{field:?}");
        }
    }
}
