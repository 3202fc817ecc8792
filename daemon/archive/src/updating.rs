//! RRD files in the middle of an update.
//!
//! An update writes a file in several places and leaves no checksum, so what was read in between cannot be told from what is
//! whole. But whoever updates one by RRDtool's library has it locked from before the first byte until after the last, and a
//! program that is held in between holds the lock.
//!
//! Always true: nothing is locked here, so no update fails because a backup is made.

use std::io;

use rustix::fd::AsFd;
use rustix::process::{Flock, FlockType, fcntl_getlk};

/// How each of them begins.
const MAGIC: &[u8; 4] = b"RRD\0";

/// Whether somebody has the lock of an RRD file. Of no other file: a lock may be held for as long as a program runs.
pub(crate) fn is_being_updated(file: impl AsFd) -> io::Result<bool> {
    // Of all of it; whoever only reads is not meant.
    if fcntl_getlk(&file, &Flock::from(FlockType::ReadLock))?.is_none() {
        return Ok(false);
    }
    let mut begins = [0; MAGIC.len()];
    let n = rustix::io::pread(&file, &mut begins, 0)?;
    Ok(n == MAGIC.len() && begins == *MAGIC)
}
