//! Values on their way into and out of rows.

use std::fmt::Display;

use jiff::Timestamp;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, ToSql};

use crate::catalog::CatalogError;

/// Nanoseconds since 1970, which sort as numbers; from the year 1677 to 2262.
pub(super) fn nanos(at: Timestamp) -> Result<i64, CatalogError> {
    i64::try_from(at.as_nanosecond()).map_err(|_range| CatalogError::Value(format!("time {at}")))
}

pub(super) fn from_nanos(nanos: i64) -> Result<Timestamp, CatalogError> {
    decode("time", Timestamp::from_nanosecond(i128::from(nanos)))
}

/// What we wrote ourselves and cannot read back was changed on disk.
pub(super) fn decode<T>(what: &str, read: Result<T, impl Display>) -> Result<T, CatalogError> {
    read.map_err(|why| CatalogError::Damaged(format!("{what}: {why}")))
}

/// A digest of a row's values, stored beside them: SQLite does not see a flipped bit inside a value.
///
/// NULLs at the end do not count, so that rows written before a column was added keep their digest.
///
/// The values are laid one behind the other and hashed at once: a list of thousands of rows is hashed each time that
/// somebody looks.
#[derive(Default)]
struct Digest {
    laid: Vec<u8>,
    nulls: u32,
}

impl Digest {
    fn add(&mut self, value: ValueRef<'_>) {
        let (kind, bytes): (u8, &[u8]) = match value {
            ValueRef::Null => {
                self.nulls += 1;
                return;
            }
            ValueRef::Integer(n) => (1, &n.to_le_bytes()),
            ValueRef::Real(x) => (2, &x.to_le_bytes()),
            ValueRef::Text(text) => (3, text),
            ValueRef::Blob(blob) => (4, blob),
        };
        // Kind and length before each value: no two rows can look the same.
        self.laid.extend_from_slice(&self.nulls.to_le_bytes());
        self.laid.push(kind);
        self.laid.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.laid.extend_from_slice(bytes);
        self.nulls = 0;
    }

    fn finish(&self) -> [u8; 16] {
        let mut digest = [0; 16];
        digest.copy_from_slice(&blake3::hash(&self.laid).as_bytes()[..16]);
        digest
    }
}

/// The digest of values on their way in.
pub(super) fn digest(values: &[&dyn ToSql]) -> Result<[u8; 16], CatalogError> {
    let mut digest = Digest::default();
    for value in values {
        match value.to_sql()? {
            ToSqlOutput::Borrowed(value) => digest.add(value),
            ToSqlOutput::Owned(value) => digest.add((&value).into()),
            // The other ways of SQLite's to pass a value are behind features that we do not use.
            other => return Err(CatalogError::Value(format!("{other:?}"))),
        }
    }
    Ok(digest.finish())
}

/// Compares the first `count` values of a row that was read with the digest that follows at `stored`.
pub(super) fn check_digest(row: &Row<'_>, count: usize, stored: usize) -> Result<(), CatalogError> {
    let mut digest = Digest::default();
    for i in 0..count {
        digest.add(row.get_ref(i)?);
    }
    if row.get::<_, Vec<u8>>(stored)? == digest.finish() {
        Ok(())
    } else {
        let first = (0..count)
            .map(|i| row.get_ref(i))
            .filter_map(|value| Some(value.ok()?.as_str().ok()?.to_owned()));
        let texts: Vec<_> = first.take(3).collect();
        Err(CatalogError::Damaged(format!("a row was changed on disk (`{}`)", texts.join("`, `"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_rows_have_different_digests() {
        let rows: [&[&dyn ToSql]; 11] = [
            &[],
            &[&1],
            &[&"1"],
            &[&"ab", &"c"],
            &[&"a", &"bc"],
            &[&"abc"],
            &[&b"abc"],
            &[&None::<i64>, &1],
            &[&1, &None::<i64>, &1],
            &[&1, &1],
            &[&""],
        ];
        let mut digests: Vec<_> = rows.iter().map(|row| digest(row).unwrap()).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), rows.len());
    }

    #[test]
    fn a_column_that_is_added_later_leaves_old_digests_alone() {
        assert_eq!(digest(&[&1, &"a"]).unwrap(), digest(&[&1, &"a", &None::<i64>]).unwrap());
    }

    #[test]
    fn times_come_back_to_the_nanosecond_or_are_refused() {
        for text in ["2026-11-21T02:00:00.123456789Z", "1970-01-01T00:00:00Z", "1901-01-01T00:00:00.5Z"] {
            let at: Timestamp = text.parse().unwrap();
            assert_eq!(from_nanos(nanos(at).unwrap()).unwrap(), at);
        }
        let far = "9000-01-01T00:00:00Z".parse().unwrap();
        assert!(matches!(nanos(far), Err(CatalogError::Value(_))));
    }
}
