//! A snapshot as one tarball, whatever packs its content lies in.
//!
//! Members come in path order. Their content is fetched ahead, in bounded memory; every frame is checked before a byte
//! of it goes out.

use std::io;
use std::sync::Arc;

use archive::entry::Extent;
use archive::path::TreePath;
use archive::tarball::{END, member};
use bytes::Bytes;

use super::ahead::{Ahead, Part};
use super::entries::Entries;
use super::frames::pieces;
use super::reading::{ReadError, Reading};

static ZEROS: [u8; 512] = [0; 512];

/// Why a tarball broke off.
#[derive(Debug, thiserror::Error)]
pub enum TarballError {
    /// From the store.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// To whoever wanted it.
    #[error(transparent)]
    Write(io::Error),
}

/// Takes the bytes of the tarball in order, and says whether to go on.
pub type Out<'a> = dyn FnMut(&[u8]) -> io::Result<()> + Send + 'a;

/// Writes the whole tarball.
pub async fn write(reading: &Arc<Reading>, out: &mut Out<'_>) -> Result<(), TarballError> {
    let mut entries = Entries::new(Arc::clone(reading), TreePath::root());
    let mut ahead = Ahead::new(reading);
    while let Some(batch) = entries.next().await? {
        for entry in &batch.entries {
            let member = member(entry);
            ahead.push(Part::Bytes(member.head.into()));
            for extent in member.content {
                queue(&mut ahead, extent, out).await?;
            }
            ahead.push(Part::Bytes(Bytes::from_static(&ZEROS[..member.padding])));
            while ahead.is_full() {
                one(&mut ahead, out).await?;
            }
        }
    }
    while one(&mut ahead, out).await? {}
    out(&END).map_err(TarballError::Write)
}

async fn queue(ahead: &mut Ahead, extent: Extent, out: &mut Out<'_>) -> Result<(), TarballError> {
    let Extent::Stored { pack, position, length } = extent else { return Ok(()) };
    for (number, piece) in pieces(0, 0, position, length) {
        let frame = (pack, number);
        while !ahead.has_room(frame) {
            one(ahead, out).await?;
        }
        ahead.push_piece(frame, piece.frame_offset as usize, piece.length as usize);
    }
    Ok(())
}

/// Writes the part in front, if there is one.
async fn one(ahead: &mut Ahead, out: &mut Out<'_>) -> Result<bool, TarballError> {
    match ahead.next().await? {
        None => return Ok(false),
        Some(Part::Bytes(bytes)) => out(&bytes).map_err(TarballError::Write)?,
        // Holes are no part of a member.
        Some(Part::Zeros(_)) => {}
    }
    Ok(true)
}
