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

/// With the verb and the key. `error` is what the system call said.
pub(super) fn of(deed: &'static str, key: &str, error: impl Into<io::Error>) -> StoreError {
    let error = error.into();
    StoreError::new(kind_of(&error), deed, key, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
