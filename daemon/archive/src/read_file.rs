//! The content of one file, into the raw stream.
//!
//! A header promises a length before the content is read, so exactly that many bytes follow, whatever
//! happens to the file meanwhile: what was appended is left for the next snapshot, what was cut off reads as
//! zeros, and the file counts as changed. What the disk cannot give also leaves zeros in the stream, to keep
//! the tarball in step, but the caller then leaves the entry out of the table: such zeros are never restored.

use std::io;

use crate::content::FileHashes;
use crate::entry::{Extent, ShortHash};
use crate::pack::Halt;
use crate::pax::{BLOCK_BYTES, padding};
use crate::raw_stream::RawStream;
use crate::sparse::{ReadAt, Region, map_text};

/// How the reading of a file went.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All bytes were there.
    Whole,
    /// It was shorter than promised.
    Short,
    /// It could not be read to the end.
    Failed(io::Error),
}

/// A file's content in the stream.
pub(crate) struct Content {
    pub(crate) extents: Vec<Extent>,
    pub(crate) data_bytes: u64,
    pub(crate) outcome: Outcome,
}

/// What is to be read of a file.
pub(crate) struct Plan {
    size: u64,
    /// `None` if all of it is data.
    regions: Option<Vec<Region>>,
    map: Vec<u8>,
}

impl Plan {
    pub(crate) fn new(size: u64, regions: Option<Vec<Region>>) -> Self {
        let map = regions.as_ref().map(|regions| map_text(regions, size)).unwrap_or_default();
        Self { size, regions, map }
    }

    /// What the header has to promise.
    pub(crate) fn body(&self) -> crate::pax::Body {
        match &self.regions {
            None => crate::pax::Body::Plain { size: self.size },
            Some(regions) => crate::pax::Body::Sparse {
                stored: self.map.len() as u64 + regions.iter().map(|r| r.length).sum::<u64>(),
                size: self.size,
            },
        }
    }

    /// Reads it all. `pulse` is called with the bytes of the file so far.
    pub(crate) fn read(
        &self,
        pack: u64,
        into: &mut Target<'_>,
        read_at: ReadAt<'_>,
        pulse: &mut dyn FnMut(u64),
    ) -> Result<Content, Halt> {
        into.stream.write(&self.map)?;
        let all = [Region { start: 0, length: self.size }];
        let mut content = Content { extents: Vec::new(), data_bytes: 0, outcome: Outcome::Whole };
        let mut at = 0;
        for region in self.regions.as_deref().unwrap_or(&all).iter().filter(|region| region.length > 0) {
            if region.start > at {
                into.hole(region.start - at)?;
                content.extents.push(Extent::Hole { length: region.start - at });
            }
            let (position, length) = (into.stream.position(), region.length);
            content.extents.push(Extent::Stored { pack, position, length });
            content.data_bytes += length;
            copy(*region, into, read_at, &mut content.outcome, pulse)?;
            at = region.start + length;
        }
        if at < self.size {
            into.hole(self.size - at)?;
            content.extents.push(Extent::Hole { length: self.size - at });
        }
        into.stream.zeros(padding(content.data_bytes) as u64)?;
        Ok(content)
    }
}

/// Takes the page hashes of a part of a file.
type PutPart<'a> = dyn FnMut(u64, Vec<ShortHash>, &mut RawStream) -> Result<(), Halt> + 'a;

/// Where content goes: bytes into the stream, and hashes of them to the tables.
pub(crate) struct Target<'a> {
    pub(crate) stream: &'a mut RawStream,
    pub(crate) hashes: &'a mut FileHashes,
    pub(crate) put_part: &'a mut PutPart<'a>,
}

impl Target<'_> {
    /// Takes in the first `n` bytes of the stream's room, which were hashed.
    fn advance(&mut self, n: usize) -> Result<(), Halt> {
        self.stream.advance(n)?;
        self.end_part()
    }

    fn hole(&mut self, mut length: u64) -> Result<(), Halt> {
        while length > 0 {
            length -= self.hashes.hole(length);
            self.end_part()?;
        }
        Ok(())
    }

    fn zeros(&mut self, mut count: u64) -> Result<(), Halt> {
        while count > 0 {
            let room = self.stream.room()?;
            let n = usize::try_from(count).unwrap_or(usize::MAX).min(room.len());
            room[..n].fill(0);
            self.hashes.data(&room[..n]);
            count -= n as u64;
            self.advance(n)?;
        }
        Ok(())
    }

    fn end_part(&mut self) -> Result<(), Halt> {
        match self.hashes.take_part() {
            Some((part, pages)) => (self.put_part)(part, pages, self.stream),
            None => Ok(()),
        }
    }
}

/// Copies one region, exactly as long as it is said to be.
fn copy(
    region: Region,
    into: &mut Target<'_>,
    read_at: ReadAt<'_>,
    outcome: &mut Outcome,
    pulse: &mut dyn FnMut(u64),
) -> Result<(), Halt> {
    let (mut at, end) = (region.start, region.start + region.length);
    while at < end && !matches!(outcome, Outcome::Failed(_)) {
        let room = into.stream.room()?;
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(room.len());
        match read_at(&mut room[..wanted], at) {
            Ok(0) => {
                *outcome = Outcome::Short;
                break;
            }
            Ok(n) => {
                at += n as u64;
                into.hashes.data(&room[..n]);
                into.advance(n)?;
                pulse(at);
            }
            Err(why) => *outcome = Outcome::Failed(why),
        }
    }
    into.zeros(end - at)
}

const _: () = assert!(crate::frame::FRAME_BYTES.is_multiple_of(BLOCK_BYTES), "frames hold whole blocks");

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::levels::{Levels, Load};
    use crate::raw_stream::{Buffers, Work};

    /// Reads a plan through `read_at` and gives extents, outcome and the stream's bytes.
    fn read(plan: &Plan, read_at: ReadAt<'_>) -> (Content, Vec<u8>) {
        let (parcels, work) = channel();
        let (recycled, pool) = channel();
        (0..8).for_each(|_| recycled.send(Buffers::new()).unwrap());
        let mut stream = RawStream::new(Arc::new(Load::new(Levels::Fixed(1), 4)), parcels, pool);
        stream.write(&[9; BLOCK_BYTES]).unwrap();
        let mut hashes = FileHashes::new(plan.size, None);
        let mut put_part = |_, _, _: &mut RawStream| Ok(());
        let mut into = Target { stream: &mut stream, hashes: &mut hashes, put_part: &mut put_part };
        let content = plan.read(7, &mut into, read_at, &mut |_| {}).unwrap();
        stream.finish().unwrap();
        let mut bytes = Vec::new();
        for parcel in work {
            if let Work::Frame(length) = parcel.work {
                bytes.extend_from_slice(&parcel.buffers.raw[..length]);
            }
        }
        (content, bytes.split_off(BLOCK_BYTES))
    }

    fn slice(content: &[u8]) -> impl FnMut(&mut [u8], u64) -> io::Result<usize> {
        move |buffer, at| {
            let rest = &content[usize::try_from(at).unwrap().min(content.len())..];
            // Odd short reads are allowed to happen.
            let n = rest.len().min(buffer.len()).min(300_001);
            buffer[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        }
    }

    #[test]
    fn a_file_that_grows_keeps_its_promised_length() {
        let (content, bytes) = read(&Plan::new(600, None), &mut slice(&[1; 10_000]));
        assert!(matches!(content.outcome, Outcome::Whole));
        assert_eq!(content.extents, [Extent::Stored { pack: 7, position: 512, length: 600 }]);
        assert_eq!(bytes, [[1; 600].as_slice(), &[0; 424]].concat());
    }

    #[test]
    fn a_file_that_shrinks_is_filled_with_zeros() {
        let (content, bytes) = read(&Plan::new(2_000_000, None), &mut slice(&[1; 1_500_000]));
        assert!(matches!(content.outcome, Outcome::Short));
        assert_eq!(bytes.len() % BLOCK_BYTES, 0);
        assert!(bytes[..1_500_000].iter().all(|b| *b == 1) && bytes[1_500_000..].iter().all(|b| *b == 0));
    }

    #[test]
    fn a_disk_error_is_told_and_keeps_the_stream_in_step() {
        let mut broken = |buffer: &mut [u8], at: u64| {
            if at >= 1000 {
                return Err(io::Error::from(io::ErrorKind::Other));
            }
            let n = buffer.len().min(1000);
            buffer[..n].fill(1);
            Ok(n)
        };
        let (content, bytes) = read(&Plan::new(5000, None), &mut broken);
        assert!(matches!(content.outcome, Outcome::Failed(_)));
        assert_eq!(bytes.len(), 5120);
    }

    #[test]
    fn holes_cost_nothing() {
        let size = 20 << 30;
        let regions = vec![Region { start: 1 << 30, length: 512 }, Region { start: size - 512, length: 512 }];
        let mut read_at = |buffer: &mut [u8], _at: u64| {
            buffer.fill(3);
            Ok(buffer.len())
        };
        let plan = Plan::new(size, Some(regions));
        assert_eq!(plan.body(), crate::pax::Body::Sparse { stored: 1536, size });
        let (content, bytes) = read(&plan, &mut read_at);
        assert_eq!(
            content.extents,
            [
                Extent::Hole { length: 1 << 30 },
                Extent::Stored { pack: 7, position: 1024, length: 512 },
                Extent::Hole { length: size - 512 - (1 << 30) - 512 },
                Extent::Stored { pack: 7, position: 1536, length: 512 },
            ]
        );
        assert_eq!((bytes.len(), content.data_bytes), (1536, 1024));
    }
}
