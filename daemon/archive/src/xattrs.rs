//! Extended attributes, read.
//!
//! Carried are `user.*`, `trusted.*` where we may see them, file capabilities and POSIX ACLs. Labels of
//! the host's security modules (`security.selinux` and the like) belong to the host, not to the data.
//!
//! Always true: what cannot be read is told, and never costs more than itself.

use std::ffi::CStr;
use std::io;
use std::os::fd::AsRawFd;

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

use crate::entry::Xattr;

/// Most attributes fit; the kernel takes memory for whatever length it is offered.
const SMALL_BYTES: usize = 1 << 10;

/// No list and no value is longer on Linux.
const LARGE_BYTES: usize = 64 << 10;

/// All attributes of one entry together, so that its row stays readable.
const ENTRY_BYTES_MAX: usize = 4 << 20;

/// Where the attributes of an entry are asked for.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// An open file or folder.
    Open(BorrowedFd<'a>),
    /// A name that must not be opened: a link, a fifo, a device.
    Name(BorrowedFd<'a>, &'a CStr),
}

/// Attributes, and the reasons why some are missing.
pub(crate) type Found = (Vec<Xattr>, Vec<String>);

/// Reads attributes into buffers that it keeps.
pub(crate) struct XattrReader {
    buffer: Vec<u8>,
    path: Vec<u8>,
}

impl XattrReader {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; LARGE_BYTES], path: Vec::new() }
    }

    /// All attributes that we carry, sorted by name.
    pub(crate) fn read(&mut self, subject: Subject<'_>) -> Found {
        let Self { buffer, path } = self;
        if let Subject::Name(folder, name) = subject {
            path.clear();
            // The folder's magic link is resolved, the name after it is not: nothing is opened or followed.
            path.extend_from_slice(format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes());
            path.extend_from_slice(name.to_bytes());
        }
        let list = |buffer: &mut [u8]| match subject {
            Subject::Open(file) => rustix::fs::flistxattr(file, buffer),
            Subject::Name(..) => rustix::fs::llistxattr(path.as_slice(), buffer),
        };
        let names = match fetch(buffer, list) {
            // No attributes on this file system, or the entry is gone: whoever opens it will tell.
            Ok([]) | Err(Errno::NOTSUP) => return Found::default(),
            Ok(names) => names.to_vec(),
            Err(Errno::NOENT) if matches!(subject, Subject::Name(..)) && has_proc() => {
                return Found::default();
            }
            Err(why) => {
                return (Vec::new(), vec![format!("cannot list attributes: {}", io::Error::from(why))]);
            }
        };
        let get = |name: &[u8], buffer: &mut [u8]| match subject {
            Subject::Open(file) => rustix::fs::fgetxattr(file, name, buffer),
            Subject::Name(..) => rustix::fs::lgetxattr(path.as_slice(), name, buffer),
        };
        read_values(buffer, &names, get)
    }
}

fn read_values(
    buffer: &mut [u8],
    names: &[u8],
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Found {
    let (mut found, mut missing) = Found::default();
    let mut bytes = 0;
    for name in names.split(|b| *b == 0).filter(|name| is_carried(name)) {
        let shown = crate::path::printable(name);
        match fetch(buffer, |buffer| get(name, buffer)) {
            Ok(value) if bytes + name.len() + value.len() <= ENTRY_BYTES_MAX => {
                bytes += name.len() + value.len();
                found.push(Xattr { name: name.to_vec(), value: value.to_vec() });
            }
            Ok(_) => missing.push(format!("`{shown}` is left out: attributes exceed 4 MiB")),
            // Removed since it was listed.
            Err(Errno::NODATA) => {}
            Err(why) => missing.push(format!("cannot read `{shown}`: {}", io::Error::from(why))),
        }
    }
    found.sort();
    found.dedup_by(|a, b| a.name == b.name);
    (found, missing)
}

fn fetch(buffer: &mut [u8], call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<&[u8], Errno> {
    let length = match call(&mut buffer[..SMALL_BYTES]) {
        Err(Errno::RANGE) => call(buffer)?,
        other => other?,
    };
    buffer.get(..length).ok_or(Errno::RANGE)
}

pub(crate) fn is_carried(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || name == b"security.capability"
        || name.starts_with(b"system.posix_acl_")
}

fn has_proc() -> bool {
    rustix::fs::access(c"/proc/self/fd", rustix::fs::Access::EXISTS).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[u8], get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>, want: (&[&str], &[&str])) {
        let (found, missing) = read_values(&mut vec![0; LARGE_BYTES], names, get);
        let found: Vec<_> = found.iter().map(|x| String::from_utf8(x.name.clone()).unwrap()).collect();
        assert_eq!(
            (found, missing),
            (
                want.0.iter().map(ToString::to_string).collect(),
                want.1.iter().map(ToString::to_string).collect()
            )
        );
    }

    #[test]
    fn what_we_carry_is_sorted_and_what_fails_is_told() {
        let names = b"user.b\0security.selinux\0user.a\0trusted.t\0system.posix_acl_access\0";
        check(names, |_, _| Ok(0), (&["system.posix_acl_access", "trusted.t", "user.a", "user.b"], &[]));
        check(b"user.gone\0", |_, _| Err(Errno::NODATA), (&[], &[]));
        check(
            b"user.a\0user.b\0",
            |name, _| if name == b"user.a" { Err(Errno::IO) } else { Ok(1) },
            (&["user.b"], &["cannot read `user.a`: Input/output error (os error 5)"]),
        );
    }

    #[test]
    fn too_many_attributes_are_told_not_dropped() {
        let names: Vec<u8> = (0..70).flat_map(|i| format!("user.{i:02}\0").into_bytes()).collect();
        let (found, missing) = read_values(&mut vec![0; LARGE_BYTES], &names, |_, _| Ok(LARGE_BYTES));
        assert_eq!((found.len(), missing.len()), (63, 7));
    }
}
