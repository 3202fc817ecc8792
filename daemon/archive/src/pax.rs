//! Headers of a pax tarball, as GNU tar, bsdtar and Python read them.
//!
//! Names are `./a/b`, the root is `./`, a folder ends in a slash. What a ustar header cannot hold stands in
//! a pax record before it: long or non-ASCII names, large numbers, nanoseconds, attributes. Owners are
//! numbers only. A file with holes is a GNU sparse file, version 1.0.
//!
//! Always true: headers and the padding after content keep the stream at multiples of [`BLOCK_BYTES`].

use tar::{EntryType, Header};

use crate::entry::{Entry, Kind, Stamp};

/// The unit of a tarball.
pub(crate) const BLOCK_BYTES: usize = 512;

/// Two blocks of zeros end a tarball.
pub(crate) const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// The name in the header that carries pax records; readers pass over it.
const RECORDS_NAME: &[u8] = b"./PaxHeaders/records";

/// The ustar name of a sparse file, for readers that do not know the records and unpack map and data.
const SPARSE_NAME: &[u8] = b"./GNUSparseFile.0/data";

/// Largest numbers of the octal fields.
const ID_MAX: u64 = 0o7_777_777;
const SIZE_MAX: u64 = 0o77_777_777_777;

/// How many zeros follow content of `length` bytes.
pub(crate) fn padding(length: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "below 512")]
    let over = (length % BLOCK_BYTES as u64) as usize;
    if over == 0 { 0 } else { BLOCK_BYTES - over }
}

/// What follows the headers of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// Nothing, or `size` bytes.
    Plain {
        /// Content bytes that follow.
        size: u64,
    },
    /// A map, padded, then the regions that it names.
    Sparse {
        /// Bytes of the padded map and all regions.
        stored: u64,
        /// The file's size.
        size: u64,
    },
}

/// Appends the headers of `entry`. A socket has none: tarballs know no sockets.
pub(crate) fn put_headers(out: &mut Vec<u8>, records: &mut Vec<u8>, entry: &Entry, body: Body) {
    let Some(entry_type) = entry_type(&entry.kind) else { return };
    let name = tar_name(entry.path.as_bytes(), entry.kind == Kind::Folder);
    let mut header = Header::new_ustar();
    header.set_entry_type(entry_type);
    records.clear();
    if let Some(fields) = header.as_ustar_mut() {
        octal(&mut fields.mode, u64::from(entry.mode));
        number(&mut fields.uid, u64::from(entry.uid), ID_MAX, "uid", records);
        number(&mut fields.gid, u64::from(entry.gid), ID_MAX, "gid", records);
        put_time(&mut fields.mtime, entry.modified, records);
        match body {
            Body::Plain { size } => {
                number(&mut fields.size, size, SIZE_MAX, "size", records);
                text(&mut fields.name, &name, "path", records);
            }
            Body::Sparse { stored, size } => {
                number(&mut fields.size, stored, SIZE_MAX, "size", records);
                fields.name[..SPARSE_NAME.len()].copy_from_slice(SPARSE_NAME);
                put_record(records, b"GNU.sparse.major", b"1");
                put_record(records, b"GNU.sparse.minor", b"0");
                put_record(records, b"GNU.sparse.name", &name);
                put_record(records, b"GNU.sparse.realsize", size.to_string().as_bytes());
            }
        }
        match &entry.kind {
            Kind::Symlink { target } => text(&mut fields.linkname, target, "linkpath", records),
            Kind::Hardlink { target } => {
                text(&mut fields.linkname, &tar_name(target.as_bytes(), false), "linkpath", records);
            }
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                octal(&mut fields.dev_major, u64::from(*major));
                octal(&mut fields.dev_minor, u64::from(*minor));
            }
            Kind::Folder | Kind::File { .. } | Kind::Fifo | Kind::Socket => {}
        }
    }
    for xattr in &entry.xattrs {
        put_record(records, &xattr_keyword(&xattr.name), &xattr.value);
    }
    header.set_cksum();
    if !records.is_empty() {
        put_records(out, records);
    }
    out.extend_from_slice(header.as_bytes());
}

fn entry_type(kind: &Kind) -> Option<EntryType> {
    Some(match kind {
        Kind::Folder => EntryType::Directory,
        Kind::File { .. } => EntryType::Regular,
        Kind::Symlink { .. } => EntryType::Symlink,
        Kind::Hardlink { .. } => EntryType::Link,
        Kind::Fifo => EntryType::Fifo,
        Kind::CharDevice { .. } => EntryType::Char,
        Kind::BlockDevice { .. } => EntryType::Block,
        Kind::Socket => return None,
    })
}

fn tar_name(path: &[u8], is_folder: bool) -> Vec<u8> {
    let mut name = Vec::with_capacity(path.len() + 3);
    name.extend_from_slice(b"./");
    name.extend_from_slice(path);
    if is_folder && !path.is_empty() {
        name.push(b'/');
    }
    name
}

/// The extended header and its records, padded.
fn put_records(out: &mut Vec<u8>, records: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    if let Some(fields) = header.as_ustar_mut() {
        fields.name[..RECORDS_NAME.len()].copy_from_slice(RECORDS_NAME);
        octal(&mut fields.mode, 0o644);
        octal(&mut fields.uid, 0);
        octal(&mut fields.gid, 0);
        octal(&mut fields.size, records.len() as u64);
    }
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(records);
    out.resize(out.len() + padding(records.len() as u64), 0);
}

/// One record: its own length in decimal, a space, the keyword, `=`, the value, a line feed.
fn put_record(records: &mut Vec<u8>, keyword: &[u8], value: &[u8]) {
    let rest = keyword.len() + value.len() + 3;
    let mut length = rest + digits(rest);
    if rest + digits(length) != length {
        length += 1;
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(keyword);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn digits(n: usize) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// A number in its field, or in a record where the field is too narrow; zero stands in the field then.
fn number(field: &mut [u8], value: u64, max: u64, keyword: &str, records: &mut Vec<u8>) {
    if value <= max {
        octal(field, value);
    } else {
        octal(field, 0);
        put_record(records, keyword.as_bytes(), value.to_string().as_bytes());
    }
}

/// Octal digits to the last byte of the field, which stays NUL.
fn octal(field: &mut [u8], mut value: u64) {
    let Some((last, digits)) = field.split_last_mut() else { return };
    *last = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

/// A name in its field, or in a record if it is too long or not plain ASCII; its beginning then stands in
/// the field.
fn text(field: &mut [u8], value: &[u8], keyword: &str, records: &mut Vec<u8>) {
    if value.len() > field.len() || !value.is_ascii() {
        put_record(records, keyword.as_bytes(), value);
    }
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value[..length]);
}

/// The whole second in the field where it fits, all of it in a record where it does not.
fn put_time(field: &mut [u8], stamp: Stamp, records: &mut Vec<u8>) {
    match u64::try_from(stamp.seconds) {
        Ok(seconds) if seconds <= SIZE_MAX => octal(field, seconds),
        Ok(_) | Err(_) => octal(field, 0),
    }
    if stamp.nanoseconds != 0 || !(0..=SIZE_MAX.cast_signed()).contains(&stamp.seconds) {
        put_record(records, b"mtime", decimal(stamp).as_bytes());
    }
}

/// Seconds with a decimal fraction. A stamp rounds towards the past, a decimal towards zero.
fn decimal(stamp: Stamp) -> String {
    match (stamp.seconds, stamp.nanoseconds) {
        (seconds, 0) => seconds.to_string(),
        (seconds @ 0.., nanoseconds) => format!("{seconds}.{nanoseconds:09}"),
        (seconds, nanoseconds) => {
            format!("-{}.{:09}", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds)
        }
    }
}

/// GNU tar writes `=` and `%` in a keyword as `%3D` and `%25`, because `=` ends it.
fn xattr_keyword(name: &[u8]) -> Vec<u8> {
    let mut keyword = b"SCHILY.xattr.".to_vec();
    for byte in name {
        match byte {
            b'=' => keyword.extend_from_slice(b"%3D"),
            b'%' => keyword.extend_from_slice(b"%25"),
            other => keyword.push(*other),
        }
    }
    keyword
}

#[cfg(test)]
mod tests;
