//! What an archive is wrapped in, told by its first bytes, and taken off.
//!
//! Always true: an end is reported only where the wrapping ends as well. A gzip member without its trailer, or a zstd
//! frame without its end, is an error.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::BrokenOff;
use super::error::ForeignError;
use crate::channel::Wrapping;

/// Handed to a decoder at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// What of the window a zstd frame may ask for, as a power of two: what `zstd` itself takes unasked.
const WINDOW_LOG_MAX: u32 = 27;

/// First bytes, and what they say.
const KNOWN: [(&[u8], &str, &str); 4] = [
    (b"\xfd7zXZ\0", "xz", "xz -dc"),
    (b"BZh", "bzip2", "bzip2 -dc"),
    (b"age-encryption.org/", "encrypted with age", "age -d"),
    (b"-----BEGIN ", "encrypted", "gpg -d"),
];

/// The bytes of the archive itself.
pub(super) struct Unwrapped<'a> {
    bytes: Box<dyn Read + 'a>,
    pub(super) wrapping: Wrapping,
}

impl<'a> Unwrapped<'a> {
    /// Looks at the first bytes.
    pub(super) fn begin(mut input: Box<dyn Read + 'a>) -> Result<Self, ForeignError> {
        let mut start = [0; 32];
        let mut length = 0;
        while length < start.len() {
            match input.read(&mut start[length..]).map_err(ForeignError::Input)? {
                0 => break,
                n => length += n,
            }
        }
        let start = &start[..length];
        let whole = io::Cursor::new(start.to_vec()).chain(input);
        let whole = BufReader::with_capacity(BUFFER_BYTES, whole);
        let (bytes, wrapping): (Box<dyn Read + 'a>, _) = if start.is_empty() {
            return Err(ForeignError::NotWhole("the archive is empty".to_owned()));
        } else if start.starts_with(&[0x1f, 0x8b]) {
            (Box::new(MultiGzDecoder::new(whole)), Wrapping::Gzip)
        } else if is_zstd(start) {
            (Box::new(zstd_decoder(whole).map_err(ForeignError::Input)?), Wrapping::Zstd)
        } else if let Some((_, what, with)) = KNOWN.iter().find(|(magic, ..)| start.starts_with(magic)) {
            return Err(ForeignError::NotWhole(format!(
                "the archive is {what}; unwrap it on the way: `{with} FILE | backupctl import - --as SOURCE`"
            )));
        } else {
            (Box::new(whole), Wrapping::None)
        };
        Ok(Self { bytes, wrapping })
    }

    /// Reads until `buffer` is full or the end has come; gives how much.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, ForeignError> {
        let mut length = 0;
        while length < buffer.len() {
            match self.bytes.read(&mut buffer[length..]) {
                Ok(0) => break,
                Ok(n) => length += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.broken(e)),
            }
        }
        Ok(length)
    }

    fn broken(&self, error: io::Error) -> ForeignError {
        if BrokenOff::is(&error) {
            return ForeignError::Input(error);
        }
        let what = match self.wrapping {
            Wrapping::None => return ForeignError::Input(error),
            Wrapping::Gzip => "gzip",
            Wrapping::Zstd => "zstd",
        };
        ForeignError::NotWhole(if error.kind() == io::ErrorKind::UnexpectedEof {
            format!("the archive is cut short: its {what} data has no end")
        } else {
            format!("the archive is damaged: {what}: {error}")
        })
    }
}

/// A frame, or one that is passed over.
fn is_zstd(start: &[u8]) -> bool {
    let Some(magic) = start.first_chunk() else { return false };
    let magic = u32::from_le_bytes(*magic);
    magic == 0xfd2f_b528 || (0x184d_2a50..=0x184d_2a5f).contains(&magic)
}

fn zstd_decoder(input: impl BufRead) -> io::Result<impl Read> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(decoder)
}
