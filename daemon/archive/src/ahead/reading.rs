//! Reading, and seeing whether the disk was waited for.

use std::io::{self, IoSliceMut};

use rustix::fd::BorrowedFd;
use rustix::io::{Errno, ReadWriteFlags};

/// Reads what is in memory, and nothing from the disk: then it is [`Errno::AGAIN`].
pub(super) fn read_at_once(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    rustix::io::preadv2(file, &mut [IoSliceMut::new(buffer)], at, ReadWriteFlags::NOWAIT)
}

/// Fills the buffer, or reads up to the file's end.
pub(crate) fn read(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pread(file, &mut *buffer, at) {
            Err(Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

/// The same, and whether not even its beginning was in memory. Where the kernel cannot tell, it was.
pub(crate) fn read_first(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> (io::Result<usize>, bool) {
    match read_at_once(file, buffer, at) {
        Ok(n) if n == buffer.len() => (Ok(n), false),
        // Less than asked for is the file's end or all that there is in memory, and some kernels say "nothing" where they
        // mean "not at once". Only a read that waits can tell.
        Ok(_) => (read(file, buffer, at), false),
        Err(why) => (read(file, buffer, at), why == Errno::AGAIN),
    }
}
