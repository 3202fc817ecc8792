//! Values on their way into and out of rows.

use std::fmt::Display;

use jiff::Timestamp;
use serde::Serialize;

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

/// A digest of a row, stored beside it: SQLite does not see a flipped bit inside a value.
///
/// It is taken over the row as JSON. A field that a later version adds is skipped while it has its default, so
/// that rows written before keep their digest.
pub(super) fn digest(row: &impl Serialize) -> Result<[u8; 16], CatalogError> {
    let json = serde_json::to_vec(row).map_err(|e| CatalogError::Value(e.to_string()))?;
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(&json).as_bytes()[..16]);
    Ok(digest)
}

/// Compares a row that was read with the digest beside it.
pub(super) fn check_digest(what: &str, row: &impl Serialize, stored: &[u8]) -> Result<(), CatalogError> {
    if digest(row)? == stored {
        Ok(())
    } else {
        Err(CatalogError::Damaged(format!("{what} was changed on disk")))
    }
}
