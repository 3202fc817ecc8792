//! Rows that wait on the disk until the comparison is done, so that memory does not grow with what differs.
//!
//! Always true: rows come back in the records in which they are sent on, each of bounded length.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::beneath;
use crate::channel::RECORD_BYTES_MAX;
use crate::entry::Entry;
use crate::row::put_row;

const ROWS: &[u8] = b"rows";

/// A record ends when it takes this much.
const RECORD_BYTES: usize = 256 << 10;

/// Rows on the disk.
pub(crate) struct Spool {
    out: BufWriter<File>,
    record: Vec<u8>,
    before: Vec<u8>,
}

impl Spool {
    /// An empty one.
    pub(super) fn create(redo: BorrowedFd<'_>) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(redo, ROWS, flags, Mode::RUSR | Mode::WUSR)?);
        Ok(Self { out: BufWriter::new(file), record: Vec::new(), before: Vec::new() })
    }

    /// Appends one; their paths ascend.
    pub(super) fn push(&mut self, entry: &Entry) -> io::Result<()> {
        put_row(&mut self.record, &self.before, entry);
        self.before.clear();
        self.before.extend_from_slice(entry.path.as_bytes());
        if self.record.len() >= RECORD_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let length = u32::try_from(self.record.len()).map_err(io::Error::other)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&self.record)?;
        self.record.clear();
        self.before.clear();
        Ok(())
    }

    /// No more rows come.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if !self.record.is_empty() {
            self.flush()?;
        }
        self.out.flush()
    }

    /// All records from the first.
    pub(crate) fn records(&self) -> io::Result<Records> {
        let mut file = self.out.get_ref().try_clone()?;
        file.rewind()?;
        Ok(Records(BufReader::new(file)))
    }

    pub(super) fn remove(self, redo: BorrowedFd<'_>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(redo, ROWS, AtFlags::empty())?)
    }
}

/// See [`Spool::records`].
pub(crate) struct Records(BufReader<File>);

impl Records {
    /// The next one; none at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        match self.0.read_exact(&mut length) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let length = u32::from_le_bytes(length);
        if length > RECORD_BYTES_MAX {
            return Err(io::Error::other("a record is too long"));
        }
        let mut record = vec![0; length as usize];
        self.0.read_exact(&mut record)?;
        Ok(Some(record))
    }
}

/// Opens a file of ours for reading.
pub(super) fn open(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<File> {
    Ok(File::from(beneath::open(dir, name, OFlags::RDONLY | OFlags::NONBLOCK)?))
}
