//! The content of files, read in this process: for printing and comparing, not for restoring.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use archive::entry::Extent;

use super::ahead::{Ahead, Part};
use super::frames::pieces;
use super::reading::{ReadError, Reading};

/// Holes are written in pieces of this.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Why content could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// From the store.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// To whoever wanted it.
    #[error(transparent)]
    Write(io::Error),
}

/// Reads the content of files of one snapshot, one after another; what it has of one may serve the next.
pub struct Contents(Ahead);

impl Contents {
    /// Of this snapshot.
    pub fn new(reading: &Arc<Reading>) -> Self {
        Self(Ahead::new(reading))
    }
}

/// The content of one file as a stream of parts.
struct Parts<'a> {
    ahead: &'a mut Ahead,
    waiting: VecDeque<Extent>,
}

impl<'a> Parts<'a> {
    fn new(contents: &'a mut Contents, content: &[Extent]) -> Self {
        let ahead = &mut contents.0;
        ahead.clear();
        Self { ahead, waiting: content.iter().copied().collect() }
    }

    async fn next(&mut self) -> Result<Option<Part>, ReadError> {
        while let Some(extent) = self.waiting.front().copied()
            && !self.ahead.is_full()
        {
            match extent {
                Extent::Hole { length } => self.ahead.push(Part::Zeros(length)),
                Extent::Stored { pack, position, length } => {
                    // One frame at a time; the rest of the extent waits its turn.
                    if let Some((frame, piece)) = pieces(0, 0, position, length).next() {
                        if !self.ahead.has_room((pack, frame)) {
                            break;
                        }
                        let (from, now) = (piece.frame_offset as usize, piece.length as usize);
                        self.ahead.push_piece((pack, frame), from, now);
                        let now = u64::from(piece.length);
                        if now < length {
                            let (position, length) = (position + now, length - now);
                            self.waiting[0] = Extent::Stored { pack, position, length };
                            continue;
                        }
                    }
                }
            }
            self.waiting.pop_front();
        }
        self.ahead.next().await
    }
}

/// Writes the content of a file.
pub async fn write(
    reading: &Arc<Reading>,
    content: &[Extent],
    out: &mut (dyn Write + Send),
) -> Result<(), ContentError> {
    let mut contents = Contents::new(reading);
    let mut parts = Parts::new(&mut contents, content);
    while let Some(part) = parts.next().await? {
        match part {
            Part::Bytes(bytes) => out.write_all(&bytes).map_err(ContentError::Write)?,
            Part::Zeros(mut length) => {
                while length > 0 {
                    let now = usize::try_from(length).unwrap_or(usize::MAX).min(ZEROS.len());
                    out.write_all(&ZEROS[..now]).map_err(ContentError::Write)?;
                    length -= now as u64;
                }
            }
        }
    }
    Ok(())
}

/// Whether two files of the same size hold the same bytes; a hole is the same as zeros.
pub async fn same(
    a: &mut Contents,
    content_a: &[Extent],
    b: &mut Contents,
    content_b: &[Extent],
) -> Result<bool, ReadError> {
    let (mut left, mut right) = (Parts::new(a, content_a), Parts::new(b, content_b));
    let (mut l, mut r) = (None, None);
    loop {
        if l.is_none() {
            l = left.next().await?;
        }
        if r.is_none() {
            r = right.next().await?;
        }
        (l, r) = match (l, r) {
            (None, None) => return Ok(true),
            (Some(x), Some(y)) => match meet(x, y) {
                Some(rest) => rest,
                None => return Ok(false),
            },
            (Some(_), None) | (None, Some(_)) => return Ok(false),
        };
    }
}

/// Compares two parts as far as both reach, and gives what is left of each.
fn meet(a: Part, b: Part) -> Option<(Option<Part>, Option<Part>)> {
    let common = length(&a).min(length(&b));
    let short = usize::try_from(common).unwrap_or(usize::MAX);
    let same = match (&a, &b) {
        (Part::Zeros(_), Part::Zeros(_)) => true,
        (Part::Bytes(x), Part::Bytes(y)) => x[..short] == y[..short],
        (Part::Bytes(x), Part::Zeros(_)) | (Part::Zeros(_), Part::Bytes(x)) => {
            x[..short].iter().all(|byte| *byte == 0)
        }
    };
    same.then(|| (rest(a, common), rest(b, common)))
}

fn length(part: &Part) -> u64 {
    match part {
        Part::Bytes(bytes) => bytes.len() as u64,
        Part::Zeros(n) => *n,
    }
}

fn rest(part: Part, from: u64) -> Option<Part> {
    if length(&part) == from {
        return None;
    }
    Some(match part {
        Part::Bytes(mut bytes) => Part::Bytes(bytes.split_off(usize::try_from(from).unwrap_or(usize::MAX))),
        Part::Zeros(n) => Part::Zeros(n - from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_the_same_as_zeros_and_nothing_else() {
        let bytes = |b: &[u8]| Part::Bytes(b.to_vec().into());
        assert_eq!(meet(bytes(&[0, 0, 1]), Part::Zeros(2)), Some((Some(bytes(&[1])), None)));
        assert_eq!(meet(bytes(&[0, 1]), Part::Zeros(2)), None);
        assert_eq!(meet(Part::Zeros(5), Part::Zeros(2)), Some((Some(Part::Zeros(3)), None)));
        assert_eq!(meet(bytes(b"ab"), bytes(b"abc")), Some((None, Some(bytes(b"c")))));
        assert_eq!(meet(bytes(b"ab"), bytes(b"ax")), None);
    }
}
