//! Decoding frames and writing their bytes; what each worker does.
//!
//! Always true: no byte is written before the hash of its frame was checked. A file becomes what it is to be
//! only when its last byte is written; until then it is private to root.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::attributes::Subject;
use crate::beneath;
use crate::channel::{FrameRecord, Piece, read_frame};
use crate::frame::{Decoder, FrameError};
use crate::unpack::error::UnpackError;
use crate::unpack::files::{Claim, Link, Planned};
use crate::unpack::shared::{HELD_BYTES_MAX, Shared};

/// Takes frames from the queue until it closes. After a failure they are only taken, so nobody blocks.
pub(crate) fn work(shared: &Shared, queue: &Mutex<Receiver<Vec<u8>>>) {
    let mut decoder = Decoder::new().map_err(|e| UnpackError::tree("make decoder for", "frames", e));
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        // The queue closes when the sender is done with it; that is the usual end.
        let Ok(payload) = next else { return };
        let _leaving = Leaving(shared);
        if !shared.has_failed() {
            let done = match &mut decoder {
                Ok(decoder) => write_frame(shared, decoder, &payload),
                Err(e) => Err(UnpackError::hostile("frames", e.to_string())),
            };
            if let Err(e) = done {
                shared.fail(e);
            }
        }
    }
}

/// Counts a frame as gone also when its worker panics, so that nobody waits for it.
struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(UnpackError::Cut { why: "a worker panicked".to_owned() });
        }
        self.0.frame_done();
    }
}

fn write_frame(shared: &Shared, decoder: &mut Decoder, payload: &[u8]) -> Result<(), UnpackError> {
    let FrameRecord { raw, hash, pieces, stored } =
        read_frame(payload).map_err(|e| UnpackError::hostile("frame", e.to_string()))?;
    let Some(first) = pieces.first() else {
        return Err(UnpackError::hostile("frame", "fills nothing"));
    };
    let bytes = decoder.decode(stored, raw, &hash).map_err(|e| damaged(shared, first, &e))?;
    for piece in &pieces {
        let from = piece.frame_offset as usize;
        // `read_frame` checked that pieces lie within the frame.
        write_piece(shared, piece, &bytes[from..from + piece.length as usize])?;
    }
    Ok(())
}

fn damaged(shared: &Shared, first: &Piece, error: &FrameError) -> UnpackError {
    let state = shared.lock();
    let path = state.files.planned(first.entry).map_or_else(
        || format!("entry {}", first.entry),
        |planned| state.folders.path(planned.folder, &planned.name).to_string(),
    );
    UnpackError::Damaged { path, why: error.to_string() }
}

fn write_piece(shared: &Shared, piece: &Piece, bytes: &[u8]) -> Result<(), UnpackError> {
    let claim = {
        let state = &mut *shared.lock();
        let claim = state.files.claim(&mut state.folders, piece)?;
        if state.folders.bytes() + state.files.bytes() > HELD_BYTES_MAX {
            return Err(UnpackError::hostile("frame", "its file is filled in too many places at once"));
        }
        claim
    };
    match claim {
        Claim::Whole(planned, folder) => {
            let failed = |deed, e: Errno| shared.tree(deed, planned.folder, &planned.name, e);
            let fd = beneath::make_file(folder.as_fd(), &planned.name)
                .map_err(|e| shared.tree("create", planned.folder, &planned.name, e))?;
            // What ends in a hole is longer than what is written.
            if piece.file_offset + u64::from(piece.length) < planned.size {
                rustix::fs::ftruncate(&fd, planned.size).map_err(|e| failed("size", e))?;
            }
            write_at(fd.as_fd(), bytes, piece.file_offset).map_err(|e| failed("write", e))?;
            finish(shared, piece.entry, &planned, fd.as_fd(), folder.as_fd())?;
        }
        Claim::Part(planned, fd) => {
            write_at(fd.as_fd(), bytes, piece.file_offset)
                .map_err(|e| shared.tree("write", planned.folder, &planned.name, e))?;
            let last = shared.lock().files.landed(piece.entry);
            if last {
                let folder = shared.folder(planned.folder)?;
                finish(shared, piece.entry, &planned, fd.as_fd(), folder.as_fd())?;
            }
        }
    }
    shared.bytes.fetch_add(u64::from(piece.length), Ordering::Relaxed);
    Ok(())
}

/// All bytes are there: the file becomes what it is to be, and gets its further names.
fn finish(
    shared: &Shared,
    number: u64,
    planned: &Planned,
    fd: BorrowedFd<'_>,
    folder: BorrowedFd<'_>,
) -> Result<(), UnpackError> {
    shared.apply(Subject::Open(fd), &planned.attributes, planned.folder, &planned.name)?;
    let links = shared.lock().files.finished(number);
    if !links.is_empty() {
        let failed = |e| shared.tree("open", planned.folder, &planned.name, e);
        let target = beneath::open_itself(folder, &planned.name).map_err(failed)?;
        for link in links {
            make_link(shared, target.as_fd(), &link)?;
            shared.release(link.folder)?;
        }
    }
    shared.release(planned.folder)
}

/// Gives a regular file one more name.
pub(crate) fn make_link(shared: &Shared, target: BorrowedFd<'_>, link: &Link) -> Result<(), UnpackError> {
    let failed = |e: std::io::Error| shared.tree("link", link.folder, &link.name, e);
    let stat = rustix::fs::fstat(target).map_err(|e| failed(e.into()))?;
    if beneath::file_type(&stat) != FileType::RegularFile {
        let path = shared.lock().folders.path(link.folder, &link.name);
        return Err(UnpackError::hostile(path, "hard link to something that is no regular file"));
    }
    let folder = shared.folder(link.folder)?;
    beneath::link(target, folder.as_fd(), &link.name).map_err(failed)
}

/// Writes all of it.
pub(crate) fn write_at(fd: BorrowedFd<'_>, mut bytes: &[u8], mut offset: u64) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(fd, bytes, offset) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(n) => {
                bytes = &bytes[n..];
                offset += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
