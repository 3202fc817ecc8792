//! The records of a pax header: what a header block cannot hold.
//!
//! Always true: a record's length is its own, to the byte; what two readers could take for two different things is
//! refused. Of a record that comes twice the last one counts, as the standard says.

use super::error::ForeignError;
use super::map::{REGIONS_MAX, Region};
use crate::entry::{Stamp, Xattr};
use crate::path::printable;

/// Records of one member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) modified: Option<Stamp>,
    pub(super) xattrs: Vec<Xattr>,
    /// Keywords of what is not carried, of attributes alone.
    pub(super) lost: Vec<String>,
    pub(super) sparse: SparseRecords,
}

/// What GNU tar says of holes, in any of its three ways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SparseRecords {
    pub(super) version: Option<(u64, u64)>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// Of versions 0.0 and 0.1.
    pub(super) map: Vec<u64>,
    /// There are such records at all.
    pub(super) any: bool,
}

impl Records {
    /// Reads all records of one pax header, on top of those that hold for the whole archive.
    pub(super) fn parse(mut bytes: &[u8], global: &Self) -> Result<Self, ForeignError> {
        let mut records = global.clone();
        while !bytes.is_empty() {
            let record;
            (record, bytes) = split(bytes)?;
            let equals = record.iter().position(|byte| *byte == b'=').filter(|at| *at > 0);
            let equals = equals.ok_or_else(|| malformed("a record has no keyword".to_owned()))?;
            records.set(&record[..equals], &record[equals + 1..])?;
        }
        records.xattrs.sort();
        Ok(records)
    }

    fn set(&mut self, keyword: &[u8], value: &[u8]) -> Result<(), ForeignError> {
        let bad = || {
            malformed(format!("`{}` is `{}`", printable(keyword), printable(&value[..value.len().min(64)])))
        };
        // Nothing takes a record back that held for the whole archive.
        let gone = value.is_empty();
        match keyword {
            b"path" => self.path = some(gone, name(value)?),
            b"linkpath" => self.link = some(gone, name(value)?),
            b"size" => self.size = optional(gone, || decimal(value)).ok_or_else(bad)?,
            b"uid" => self.uid = optional(gone, || signed(value)).ok_or_else(bad)?,
            b"gid" => self.gid = optional(gone, || signed(value)).ok_or_else(bad)?,
            b"mtime" => self.modified = optional(gone, || stamp(value)).ok_or_else(bad)?,
            b"SCHILY.acl.access" | b"SCHILY.acl.default" | b"SCHILY.acl.ace" if !gone => {
                self.lost.push(printable(keyword));
            }
            _ => {
                if let Some(attribute) = keyword.strip_prefix(b"SCHILY.xattr.") {
                    self.xattr(attribute, value);
                } else if let Some(sparse) = keyword.strip_prefix(b"GNU.sparse.") {
                    self.sparse.any = true;
                    self.sparse.set(sparse, value).ok_or_else(bad)??;
                }
            }
        }
        Ok(())
    }

    fn xattr(&mut self, name: &[u8], value: &[u8]) {
        self.xattrs.retain(|xattr| xattr.name != name);
        if crate::xattrs::is_carried(name) {
            self.xattrs.push(Xattr { name: name.to_vec(), value: value.to_vec() });
        }
    }

    /// What no record of the whole archive may say, since it is about one member.
    pub(super) fn is_of_one(&self) -> bool {
        self.path.is_some() || self.link.is_some() || self.size.is_some() || self.sparse.any
    }
}

impl SparseRecords {
    /// `None`: it is no number where one should be.
    fn set(&mut self, keyword: &[u8], value: &[u8]) -> Option<Result<(), ForeignError>> {
        let push = |numbers: &mut Vec<u64>, number: u64| {
            let room = numbers.len() < 2 * REGIONS_MAX;
            numbers.extend(Some(number).filter(|_| room));
            if room { Ok(()) } else { Err(malformed("a file has too many holes".to_owned())) }
        };
        match keyword {
            b"major" => self.version = Some((decimal(value)?, self.version.unwrap_or_default().1)),
            b"minor" => self.version = Some((self.version.unwrap_or_default().0, decimal(value)?)),
            b"name" => match name(value) {
                Ok(value) => self.name = Some(value),
                Err(e) => return Some(Err(e)),
            },
            b"size" | b"realsize" => self.size = Some(decimal(value)?),
            b"offset" | b"numbytes" => {
                // They come in turn, or a length would stand for an offset.
                if self.map.len() % 2 != usize::from(keyword == b"numbytes") {
                    return None;
                }
                return Some(push(&mut self.map, decimal(value)?));
            }
            b"map" => {
                self.map.clear();
                for number in value.split(|byte| *byte == b',').filter(|_| !value.is_empty()) {
                    if let Err(e) = push(&mut self.map, decimal(number)?) {
                        return Some(Err(e));
                    }
                }
            }
            _ => {}
        }
        Some(Ok(()))
    }

    /// The regions that versions 0.0 and 0.1 name.
    pub(super) fn regions(&self) -> Option<Vec<Region>> {
        let (pairs, rest) = self.map.as_chunks();
        rest.is_empty().then(|| pairs.iter().map(|&[start, length]| Region { start, length }).collect())
    }
}

/// The first record, as `KEYWORD=VALUE`, and what follows it.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), ForeignError> {
    let bad = || malformed("a record's length is not its own".to_owned());
    let space = bytes.iter().take(20).position(|byte| *byte == b' ').ok_or_else(bad)?;
    let length = decimal(&bytes[..space]).and_then(|length| usize::try_from(length).ok()).ok_or_else(bad)?;
    if length > bytes.len() || length < space + 3 || bytes[length - 1] != b'\n' {
        return Err(bad());
    }
    Ok((&bytes[space + 1..length - 1], &bytes[length..]))
}

fn malformed(why: String) -> ForeignError {
    ForeignError::hostile(b"pax header", why)
}

/// A name in a record ends where the record does; a NUL inside is a name that others would cut.
fn name(value: &[u8]) -> Result<Vec<u8>, ForeignError> {
    if value.contains(&0) {
        return Err(malformed(format!("a name holds a NUL byte: `{}`", printable(value))));
    }
    Ok(value.to_vec())
}

fn some<T>(gone: bool, value: T) -> Option<T> {
    (!gone).then_some(value)
}

/// `Some(None)` takes a record back; `None` is one that cannot be read.
fn optional<T>(gone: bool, parse: impl FnOnce() -> Option<T>) -> Option<Option<T>> {
    if gone { Some(None) } else { parse().map(Some) }
}

/// Digits and nothing else.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn signed(value: &[u8]) -> Option<i64> {
    match value.strip_prefix(b"-") {
        Some(digits) => i64::try_from(decimal(digits)?).ok()?.checked_neg(),
        None => i64::try_from(decimal(value)?).ok(),
    }
}

/// Seconds, perhaps with a fraction, of which nanoseconds are kept, rounded towards the past.
fn stamp(value: &[u8]) -> Option<Stamp> {
    let below = value.first() == Some(&b'-');
    let value = if below { &value[1..] } else { value };
    let (whole, fraction) = match value.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &[][..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| fraction.get(at).map_or(0, |digit| u32::from(digit - b'0'));
    let mut nanoseconds = (0..9).fold(0, |sum, at| sum * 10 + digit(at));
    let mut seconds = i64::try_from(decimal(whole)?).ok()?;
    if below {
        seconds = -seconds;
        let rest = fraction.iter().skip(9).any(|digit| *digit != b'0');
        nanoseconds += u32::from(rest);
        if nanoseconds > 0 {
            seconds -= 1;
            nanoseconds = 1_000_000_000 - nanoseconds;
        }
    }
    Some(Stamp { seconds, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(keyword: &str, value: &[u8]) -> Vec<u8> {
        let body = keyword.len() + value.len() + 3;
        let length = (body..body + 8).find(|length| length.to_string().len() + body == *length).unwrap();
        [format!("{length} {keyword}=").as_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn times_keep_their_nanoseconds_on_both_sides_of_1970() {
        for (text, want) in [
            ("5", Some((5, 0))),
            ("5.25", Some((5, 250_000_000))),
            ("5.1234567899", Some((5, 123_456_789))),
            ("-1", Some((-1, 0))),
            ("-1.25", Some((-2, 750_000_000))),
            ("-0.0000000001", Some((-1, 999_999_999))),
            ("5.", Some((5, 0))),
            ("5e3", None),
            (".5", None),
            ("nan", None),
            ("99999999999999999999", None),
        ] {
            let want = want.map(|(seconds, nanoseconds)| Stamp { seconds, nanoseconds });
            assert_eq!(stamp(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn the_last_of_two_counts_and_nothing_takes_back() {
        let global = Records { uid: Some(7), ..Records::default() };
        let bytes =
            [record("path", b"a"), record("path", b"b"), record("uid", b""), record("comment", b"x=\n")];
        let records = Records::parse(&bytes.concat(), &global).unwrap();
        assert_eq!((records.path.as_deref(), records.uid), (Some(b"b".as_slice()), None));
    }

    #[test]
    fn what_readers_would_disagree_on_is_refused() {
        let refused: [&[u8]; 9] = [
            b"12 path=ab\n",
            b"8 path=a\n",
            b"99 path=a\n",
            b"path=a\n",
            b"10 path=ab",
            b"6 =ab\n",
            b"11 size=-1\n",
            b"13 path=a\0/b\n",
            b"25 GNU.sparse.numbytes=1\n",
        ];
        for bytes in refused {
            assert!(Records::parse(bytes, &Records::default()).is_err(), "{}", printable(bytes));
        }
        assert!(Records::parse(b"10 path=a\n", &Records::default()).is_ok());
    }
}
