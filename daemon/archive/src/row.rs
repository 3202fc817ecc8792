//! The rows of the entries table: one [`Entry`] each, compact, in path order.
//!
//! A row begins with its length, so a reader can pass over it. Its path is written as the number of bytes
//! that it shares with the row before in the same segment, then the rest. Reading checks everything that
//! a later step would trust: paths, order, sizes that add up, nanoseconds, mode bits.

use crate::entry::{Chunks, Entry, Extent, Kind, Stamp, Witness, Xattr};
use crate::pages;
use crate::path::{self, TreePath};
use crate::varint::{Malformed, Reader, put, put_bytes, put_signed};

/// The longest row: a file with a million extents, or xattrs up to what Linux allows, stays below.
pub const ROW_BYTES_MAX: usize = 16 << 20;

const UNSTEADY: u64 = 1;
const YOUNG: u64 = 2;

/// Appends the row of `entry`, which follows `before` in the same segment.
pub fn put_row(out: &mut Vec<u8>, before: &[u8], entry: &Entry) {
    let mut row = Vec::with_capacity(96);
    let path = entry.path.as_bytes();
    let shared = path.iter().zip(before).take_while(|(a, b)| a == b).count();
    put(&mut row, shared as u64);
    put_bytes(&mut row, &path[shared..]);
    row.push(tag(&entry.kind));
    put(&mut row, u64::from(entry.mode));
    put(&mut row, u64::from(entry.uid));
    put(&mut row, u64::from(entry.gid));
    put_stamp(&mut row, entry.modified);
    put(&mut row, entry.witness.inode);
    put_stamp(&mut row, entry.witness.changed);
    let flag = |set: bool, bit| if set { bit } else { 0 };
    put(&mut row, flag(entry.witness.unsteady, UNSTEADY) | flag(entry.witness.young, YOUNG));
    put(&mut row, entry.xattrs.len() as u64);
    for xattr in &entry.xattrs {
        put_bytes(&mut row, &xattr.name);
        put_bytes(&mut row, &xattr.value);
    }
    put_kind(&mut row, &entry.kind, &entry.witness.chunks);
    put_bytes(out, &row);
}

fn put_kind(row: &mut Vec<u8>, kind: &Kind, chunks: &Chunks) {
    match kind {
        Kind::Folder | Kind::Fifo | Kind::Socket => {}
        Kind::File { size, content } => {
            put(row, *size);
            put(row, content.len() as u64);
            for extent in content {
                match extent {
                    Extent::Hole { length } => {
                        put(row, 0);
                        put(row, *length);
                    }
                    Extent::Stored { pack, position, length } => {
                        put(row, *pack);
                        put(row, *length);
                        put(row, *position);
                    }
                }
            }
            put(row, u64::from(chunks.page_exponent));
            put(row, chunks.hashes.len() as u64);
            row.extend_from_slice(chunks.hashes.as_flattened());
        }
        Kind::Symlink { target } => put_bytes(row, target),
        Kind::Hardlink { target } => put_bytes(row, target.as_bytes()),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            put(row, u64::from(*major));
            put(row, u64::from(*minor));
        }
    }
}

/// The letter that `ls` would print, as the kind's tag.
pub fn tag(kind: &Kind) -> u8 {
    match kind {
        Kind::Folder => b'd',
        Kind::File { .. } => b'f',
        Kind::Symlink { .. } => b'l',
        Kind::Hardlink { .. } => b'h',
        Kind::Fifo => b'p',
        Kind::CharDevice { .. } => b'c',
        Kind::BlockDevice { .. } => b'b',
        Kind::Socket => b's',
    }
}

fn put_stamp(row: &mut Vec<u8>, stamp: Stamp) {
    put_signed(row, stamp.seconds);
    put(row, u64::from(stamp.nanoseconds));
}

/// Reads the rows of one segment, in order.
#[derive(Debug)]
pub struct Rows<'a> {
    reader: Reader<'a>,
    before: Option<Vec<u8>>,
}

impl<'a> Rows<'a> {
    /// Over the raw bytes of one segment.
    pub fn new(raw: &'a [u8]) -> Self {
        Self { reader: Reader::new(raw), before: None }
    }

    fn row(&mut self) -> Result<Entry, Malformed> {
        let row = self.reader.bytes()?;
        if row.len() > ROW_BYTES_MAX {
            return Err(Malformed("row over 16 MiB"));
        }
        let entry = read_row(row, self.before.as_deref().unwrap_or_default())?;
        if self.before.as_deref().is_some_and(|b| path::compare(b, entry.path.as_bytes()).is_ge()) {
            return Err(Malformed("paths out of order"));
        }
        self.before = Some(entry.path.as_bytes().to_vec());
        Ok(entry)
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Entry, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let row = self.row();
        if row.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(row)
    }
}

fn read_row(row: &[u8], before: &[u8]) -> Result<Entry, Malformed> {
    let r = &mut Reader::new(row);
    let shared = usize::try_from(r.number()?).map_err(|_over| Malformed("shared path too long"))?;
    let mut bytes = before.get(..shared).ok_or(Malformed("shares more than there is"))?.to_vec();
    bytes.extend_from_slice(r.bytes()?);
    let path = TreePath::parse(bytes).map_err(|_bad| Malformed("path leaves its root"))?;
    let tag = r.byte()?;
    let mode = r.number32()?;
    if mode > 0o7777 {
        return Err(Malformed("mode over twelve bits"));
    }
    let (uid, gid) = (r.number32()?, r.number32()?);
    let modified = read_stamp(r)?;
    let inode = r.number()?;
    let changed = read_stamp(r)?;
    let flags = r.number()?;
    if flags & !(UNSTEADY | YOUNG) != 0 {
        return Err(Malformed("unknown flag"));
    }
    let (unsteady, young) = (flags & UNSTEADY != 0, flags & YOUNG != 0);
    let xattrs = read_xattrs(r)?;
    let kind = read_kind(r, tag)?;
    let chunks = if let Kind::File { size, .. } = &kind { read_chunks(r, *size)? } else { Chunks::default() };
    if !r.is_empty() {
        return Err(Malformed("row longer than its fields"));
    }
    if path.is_root() && kind != Kind::Folder {
        return Err(Malformed("root is no folder"));
    }
    let witness = Witness { inode, changed, unsteady, young, chunks };
    Ok(Entry { path, kind, mode, uid, gid, modified, xattrs, witness })
}

fn read_chunks(r: &mut Reader<'_>, size: u64) -> Result<Chunks, Malformed> {
    let page_exponent = u8::try_from(r.number()?).map_err(|_over| Malformed("page size out of bounds"))?;
    if !(pages::PAGE_EXPONENT_MIN..=pages::CHUNK_EXPONENT).contains(&page_exponent) {
        return Err(Malformed("page size out of bounds"));
    }
    let n = r.count(16)?;
    if n != 0 && n as u64 != pages::chunks(size) {
        return Err(Malformed("chunks do not add up to the size"));
    }
    let (hashes, _none) = r.take(n * 16)?.as_chunks();
    Ok(Chunks { page_exponent, hashes: hashes.to_vec() })
}

fn read_stamp(r: &mut Reader<'_>) -> Result<Stamp, Malformed> {
    let (seconds, nanoseconds) = (r.signed()?, r.number32()?);
    if nanoseconds >= 1_000_000_000 {
        return Err(Malformed("nanoseconds over a second"));
    }
    Ok(Stamp { seconds, nanoseconds })
}

fn read_xattrs(r: &mut Reader<'_>) -> Result<Vec<Xattr>, Malformed> {
    let n = r.count(2)?;
    let mut xattrs: Vec<Xattr> = Vec::with_capacity(n.min(64));
    for _ in 0..n {
        let (name, value) = (r.bytes()?.to_vec(), r.bytes()?.to_vec());
        if name.is_empty() || name.len() > 255 || name.contains(&0) || value.len() > 1 << 16 {
            return Err(Malformed("xattr out of bounds"));
        }
        if xattrs.last().is_some_and(|last| last.name >= name) {
            return Err(Malformed("xattrs out of order"));
        }
        xattrs.push(Xattr { name, value });
    }
    Ok(xattrs)
}

fn read_kind(r: &mut Reader<'_>, tag: u8) -> Result<Kind, Malformed> {
    Ok(match tag {
        b'd' => Kind::Folder,
        b'p' => Kind::Fifo,
        b's' => Kind::Socket,
        b'f' => read_file(r)?,
        b'l' => {
            let target = r.bytes()?.to_vec();
            if target.is_empty() || target.len() > 4095 || target.contains(&0) {
                return Err(Malformed("symlink target out of bounds"));
            }
            Kind::Symlink { target }
        }
        b'h' => {
            let target = TreePath::parse(r.bytes()?.to_vec())
                .map_err(|_bad| Malformed("hard link leaves its root"))?;
            if target.is_root() {
                return Err(Malformed("hard link to the root"));
            }
            Kind::Hardlink { target }
        }
        b'c' => Kind::CharDevice { major: r.number32()?, minor: r.number32()? },
        b'b' => Kind::BlockDevice { major: r.number32()?, minor: r.number32()? },
        _ => return Err(Malformed("unknown kind")),
    })
}

fn read_file(r: &mut Reader<'_>) -> Result<Kind, Malformed> {
    let size = r.number()?;
    if size > i64::MAX as u64 {
        return Err(Malformed("file over 8 EiB"));
    }
    let n = r.count(2)?;
    let mut content = Vec::with_capacity(n.min(1024));
    let mut sum = 0_u64;
    for _ in 0..n {
        let (pack, length) = (r.number()?, r.number()?);
        if length == 0 {
            return Err(Malformed("empty extent"));
        }
        sum = sum.checked_add(length).ok_or(Malformed("extents over 64 bits"))?;
        content.push(if pack == 0 {
            Extent::Hole { length }
        } else {
            let position = r.number()?;
            position.checked_add(length).ok_or(Malformed("extent over 64 bits"))?;
            Extent::Stored { pack, position, length }
        });
    }
    if sum != size {
        return Err(Malformed("extents do not add up to the size"));
    }
    Ok(Kind::File { size, content })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp() -> impl Strategy<Value = Stamp> {
        (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanoseconds)| Stamp { seconds, nanoseconds })
    }

    fn kind() -> impl Strategy<Value = Kind> {
        let extent = prop_oneof![
            (1..1_u64 << 40).prop_map(|length| Extent::Hole { length }),
            (1..1_u64 << 30, 0..1_u64 << 50, 1..1_u64 << 40)
                .prop_map(|(pack, position, length)| Extent::Stored { pack, position, length }),
        ];
        prop_oneof![
            Just(Kind::Folder),
            Just(Kind::Fifo),
            Just(Kind::Socket),
            proptest::collection::vec(extent, 0..20)
                .prop_map(|content| Kind::File { size: content.iter().map(Extent::length).sum(), content }),
            proptest::collection::vec(1..=255_u8, 1..40).prop_map(|target| Kind::Symlink { target }),
            any::<(u32, u32)>().prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
        ]
    }

    /// Any entry, its path apart.
    pub(crate) fn entry() -> impl Strategy<Value = Entry> {
        let xattrs = proptest::collection::btree_map(
            proptest::collection::vec(1..=255_u8, 1..20),
            proptest::collection::vec(any::<u8>(), 0..50),
            0..4,
        );
        let name = proptest::collection::vec(prop_oneof![1..=46_u8, 48..=255_u8], 3..30);
        let ids = (0..=0o7777_u32, any::<u32>(), any::<u32>(), any::<u64>(), any::<[bool; 3]>());
        (name, kind(), ids, stamp(), stamp(), xattrs).prop_map(
            |(name, kind, (mode, uid, gid, inode, [unsteady, young, hashed]), modified, changed, xattrs)| {
                Entry {
                    path: TreePath::root().join(&name).unwrap(),
                    witness: Witness { inode, changed, unsteady, young, chunks: chunks(&kind, hashed) },
                    kind,
                    mode,
                    uid,
                    gid,
                    modified,
                    xattrs: xattrs.into_iter().map(|(name, value)| Xattr { name, value }).collect(),
                }
            },
        )
    }

    fn chunks(kind: &Kind, hashed: bool) -> Chunks {
        let Kind::File { size, .. } = kind else { return Chunks::default() };
        let hashes = (0..pages::chunks(*size)).map(|n| std::array::from_fn(|i| n.to_le_bytes()[i % 8]));
        if hashed && *size < 1 << 30 {
            Chunks { page_exponent: 13, hashes: hashes.collect() }
        } else {
            Chunks::default()
        }
    }

    proptest! {
        #[test]
        fn rows_come_back(mut entries in proptest::collection::vec(entry(), 1..20)) {
            entries.sort_by(|a, b| a.path.cmp(&b.path));
            entries.dedup_by(|a, b| a.path == b.path);
            let mut raw = Vec::new();
            let mut before: &[u8] = b"";
            for entry in &entries {
                put_row(&mut raw, before, entry);
                before = entry.path.as_bytes();
            }
            let got: Vec<_> = Rows::new(&raw).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(got, entries);
        }

        #[test]
        fn damaged_rows_never_panic(entry in entry(), at: usize, flip in 1..=255_u8) {
            let mut raw = Vec::new();
            put_row(&mut raw, b"", &entry);
            let at = at % raw.len();
            raw[at] ^= flip;
            for row in Rows::new(&raw) {
                if row.is_err() {
                    break;
                }
            }
        }
    }
}
