//! What an error of the file system means for a store.

use std::io;

use rustix::io::Errno;

use crate::port::store::{StoreError, StoreErrorKind};

/// The kind that decides what happens next. A failed `fsync` lands in `Other`: the kernel may have dropped the
/// pages, so asking again would be told a lie, and nothing here tries again.
fn kind_of(error: &io::Error) -> StoreErrorKind {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => StoreErrorKind::NotFound,
        Some(Errno::EXIST) => StoreErrorKind::Exists,
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => StoreErrorKind::Full,
        Some(Errno::ROFS) => StoreErrorKind::ReadOnly,
        // A symlink where a folder or an object should be was not made by us.
        Some(Errno::ACCESS | Errno::PERM | Errno::LOOP) => StoreErrorKind::Denied,
        Some(Errno::TIMEDOUT | Errno::STALE | Errno::INTR | Errno::MFILE | Errno::NFILE) => {
            StoreErrorKind::Unavailable
        }
        _ => StoreErrorKind::Other,
    }
}

/// Whether a disk, or a file system that knows its own sums, cannot give back what it has taken.
fn is_bad_block(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::IO | Errno::UCLEAN | Errno::BADMSG))
}

/// With the verb and the key. `error` is what the system call said.
pub(super) fn of(deed: &'static str, key: &str, error: impl Into<io::Error>) -> StoreError {
    let error = error.into();
    // The object is damaged then, and the store is not: others can be read.
    let kind = if deed == "get" && is_bad_block(&error) { StoreErrorKind::Garbled } else { kind_of(&error) };
    StoreError::new(kind, deed, key, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_cannot_be_read_is_damage() {
        for errno in [Errno::IO, Errno::UCLEAN, Errno::BADMSG] {
            assert_eq!(of("get", "a/b", errno).kind, StoreErrorKind::Garbled);
            assert_eq!(of("finish", "a/b", errno).kind, StoreErrorKind::Other);
        }
        assert_eq!(of("get", "a/b", Errno::ACCESS).kind, StoreErrorKind::Denied);
    }

    #[test]
    fn a_full_a_read_only_and_a_forbidden_disk_are_told_apart() {
        for (errno, kind) in [
            (Errno::NOSPC, StoreErrorKind::Full),
            (Errno::DQUOT, StoreErrorKind::Full),
            (Errno::ROFS, StoreErrorKind::ReadOnly),
            (Errno::ACCESS, StoreErrorKind::Denied),
            (Errno::IO, StoreErrorKind::Other),
            (Errno::NOENT, StoreErrorKind::NotFound),
        ] {
            let error = of("put", "a/b", errno);
            assert_eq!(error.kind, kind);
            assert!(error.to_string().starts_with("put `a/b`: "), "{error}");
        }
    }
}
