//! Rows with fields that no honest writer can write.

use archive::varint::{put, put_bytes, put_signed};

use super::stream::Record;

/// A row, field by field.
#[derive(Clone)]
pub struct RawRow {
    pub shared: u64,
    pub path: Vec<u8>,
    pub tag: u8,
    pub mode: u64,
    pub uid: u64,
    pub seconds: i64,
    pub nanoseconds: u64,
    pub flags: u64,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What only this kind has.
    pub tail: Vec<u8>,
}

impl RawRow {
    pub fn new(path: &[u8], tag: u8, tail: Vec<u8>) -> Self {
        Self {
            shared: 0,
            path: path.to_vec(),
            tag,
            mode: 0o700,
            uid: 0,
            seconds: 0,
            nanoseconds: 0,
            flags: 0,
            xattrs: vec![],
            tail,
        }
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        let mut row = Vec::new();
        put(&mut row, self.shared);
        put_bytes(&mut row, &self.path);
        row.push(self.tag);
        put(&mut row, self.mode);
        put(&mut row, self.uid);
        put(&mut row, 0);
        put_signed(&mut row, self.seconds);
        put(&mut row, self.nanoseconds);
        put(&mut row, 0);
        put_signed(&mut row, 0);
        put(&mut row, 0);
        put(&mut row, self.flags);
        put(&mut row, self.xattrs.len() as u64);
        for (name, value) in &self.xattrs {
            put_bytes(&mut row, name);
            put_bytes(&mut row, value);
        }
        row.extend_from_slice(&self.tail);
        put_bytes(out, &row);
    }
}

/// A root, then these.
pub fn rows(rows: &[RawRow]) -> Record {
    let mut payload = Vec::new();
    RawRow::new(b"", b'd', vec![]).put(&mut payload);
    rows.iter().for_each(|row| row.put(&mut payload));
    Record::Rows(payload)
}

/// Numbers one after the other.
pub fn numbers(numbers: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    numbers.iter().for_each(|n| put(&mut out, *n));
    out
}
