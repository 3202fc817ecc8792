//! What the tests of unpacking share: streams made by hand, a canary, and a look at what came out.

#![allow(dead_code, reason = "each test binary uses another part")]
#![allow(unreachable_pub, reason = "shared between test binaries by `mod`")]

pub mod attack;
pub mod canary;
pub mod raw;
pub mod stream;
pub mod tree;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use archive::channel::{End, Target, UnpackJob, Unpacked};
use archive::unpack::{UnpackError, Unpacker};

use stream::Record;

/// Opens a folder as the helper does.
pub fn open(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

/// The job that tests run.
pub fn job(into: Target, workers: u32) -> UnpackJob {
    UnpackJob { run: "r1".to_owned(), workers, into, places: Vec::new() }
}

/// Feeds records; without an end the unpacker is dropped, and that is an error here.
pub fn feed(
    root: &Path,
    job: &UnpackJob,
    records: Vec<Record>,
    end: Option<&End>,
) -> Result<Unpacked, UnpackError> {
    let mut unpacker = Unpacker::new(open(root), job)?;
    for record in records {
        match record {
            Record::Rows(payload) => unpacker.rows(&payload)?,
            Record::Frame(payload) => unpacker.frame(payload)?,
        }
    }
    match end {
        Some(end) => unpacker.end(end),
        None => Err(UnpackError::Cut { why: "no end".to_owned() }),
    }
}
