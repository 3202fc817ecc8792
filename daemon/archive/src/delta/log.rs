//! The redo log: what is to be done to a folder, in path order.
//!
//! Always true: a log that is read to its end is whole, because its last record counts the others. Each deed has a number
//! of its own, which names what belongs to it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::fd::BorrowedFd;

use crate::beneath;
use crate::channel::RECORD_BYTES_MAX;
use crate::entry::Entry;
use crate::path::TreePath;
use crate::row::{Rows, put_row};
use crate::sparse::Region;
use crate::varint::{Malformed, Reader, put, put_bytes};

/// Name of the log.
pub(super) const LOG: &[u8] = b"log";

/// What is to become of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// It goes: the snapshot does not know it.
    Remove,
    /// It is to be a folder, and is none.
    Folder,
    /// It is to be what waits under the number.
    Put,
    /// It is a file, and gets the bytes that lie in the one under the number at the same places; then its length, and
    /// holes where there are to be some.
    Patch { size: u64, ranges: Vec<Region>, holes: Vec<Region> },
    /// It is to be a further name of this file, which is as it is to be.
    Link { target: TreePath },
    /// It has these attributes, once all else is done.
    Attributes(Box<Entry>),
}

/// One deed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deed {
    pub(super) path: TreePath,
    pub(super) number: u64,
    pub(super) what: What,
}

const END: u8 = b'.';

/// Writes a log.
pub(super) struct LogWriter {
    out: BufWriter<File>,
    count: u64,
}

impl LogWriter {
    pub(super) fn create(redo: BorrowedFd<'_>) -> io::Result<Self> {
        let file = File::from(beneath::make_file(redo, LOG)?);
        Ok(Self { out: BufWriter::new(file), count: 0 })
    }

    /// The number of the next deed.
    pub(super) fn next(&self) -> u64 {
        self.count
    }

    /// Appends the next deed.
    pub(super) fn push(&mut self, path: &TreePath, what: &What) -> io::Result<()> {
        let mut body = vec![tag(what)];
        put(&mut body, self.count);
        put_bytes(&mut body, path.as_bytes());
        match what {
            What::Remove | What::Folder | What::Put => {}
            What::Patch { size, ranges, holes } => {
                put(&mut body, *size);
                put_regions(&mut body, ranges);
                put_regions(&mut body, holes);
            }
            What::Link { target } => put_bytes(&mut body, target.as_bytes()),
            What::Attributes(entry) => put_row(&mut body, b"", entry),
        }
        self.count += 1;
        self.write(&body)
    }

    pub(super) fn end(mut self) -> io::Result<u64> {
        let mut body = vec![END];
        put(&mut body, self.count);
        self.write(&body)?;
        self.out.flush()?;
        Ok(self.count)
    }

    fn write(&mut self, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(body)
    }
}

fn tag(what: &What) -> u8 {
    match what {
        What::Remove => b'r',
        What::Folder => b'd',
        What::Put => b'n',
        What::Patch { .. } => b'p',
        What::Link { .. } => b'h',
        What::Attributes(_) => b'a',
    }
}

fn put_regions(out: &mut Vec<u8>, regions: &[Region]) {
    put(out, regions.len() as u64);
    for region in regions {
        put(out, region.start);
        put(out, region.length);
    }
}

/// Reads a log.
pub(super) struct LogReader {
    input: BufReader<File>,
    count: u64,
}

impl LogReader {
    pub(super) fn open(redo: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { input: BufReader::new(super::spool::open(redo, LOG)?), count: 0 })
    }

    /// The next deed; none at the end, and only there.
    pub(super) fn next(&mut self) -> io::Result<Option<Deed>> {
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > RECORD_BYTES_MAX {
            return Err(io::Error::other("a deed is too long"));
        }
        let mut body = vec![0; length as usize];
        self.input.read_exact(&mut body)?;
        let deed = read(&body, self.count).map_err(io::Error::other)?;
        self.count += 1;
        Ok(deed)
    }
}

fn read(body: &[u8], count: u64) -> Result<Option<Deed>, Malformed> {
    let r = &mut Reader::new(body);
    let tag = r.byte()?;
    let number = r.number()?;
    if number != count {
        return Err(Malformed("deeds are missing"));
    }
    if tag == END {
        return Ok(None);
    }
    let path = read_path(r)?;
    let what = match tag {
        b'r' => What::Remove,
        b'd' => What::Folder,
        b'n' => What::Put,
        b'p' => What::Patch { size: r.number()?, ranges: read_regions(r)?, holes: read_regions(r)? },
        b'h' => What::Link { target: read_path(r)? },
        b'a' => {
            let entry = Rows::new(r.rest()).next().ok_or(Malformed("no row"))??;
            return Ok(Some(Deed { path, number, what: What::Attributes(Box::new(entry)) }));
        }
        _ => return Err(Malformed("unknown deed")),
    };
    if !r.is_empty() {
        return Err(Malformed("deed longer than its fields"));
    }
    Ok(Some(Deed { path, number, what }))
}

fn read_path(r: &mut Reader<'_>) -> Result<TreePath, Malformed> {
    TreePath::parse(r.bytes()?.to_vec()).map_err(|_bad| Malformed("path leaves its root"))
}

fn read_regions(r: &mut Reader<'_>) -> Result<Vec<Region>, Malformed> {
    let n = r.count(2)?;
    let mut regions = Vec::with_capacity(n);
    for _ in 0..n {
        let (start, length) = (r.number()?, r.number()?);
        if start.checked_add(length).is_none_or(|end| end > i64::MAX as u64) {
            return Err(Malformed("region beyond 8 EiB"));
        }
        regions.push(Region { start, length });
    }
    Ok(regions)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::entry::{Kind, Stamp, Witness};

    fn deeds() -> Vec<What> {
        let entry = Entry {
            path: TreePath::parse(b"a/b".to_vec()).unwrap(),
            kind: Kind::Folder,
            mode: 0o700,
            uid: 1,
            gid: 2,
            modified: Stamp { seconds: -3, nanoseconds: 4 },
            xattrs: Vec::new(),
            witness: Witness::default(),
        };
        let region = |start, length| Region { start, length };
        vec![
            What::Remove,
            What::Folder,
            What::Put,
            What::Patch { size: 9, ranges: vec![region(0, 4), region(5, 1)], holes: vec![region(6, 3)] },
            What::Link { target: TreePath::parse(b"a/a".to_vec()).unwrap() },
            What::Attributes(Box::new(entry)),
        ]
    }

    #[test]
    fn a_log_comes_back_and_one_that_was_cut_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let redo = File::open(dir.path()).unwrap();
        let path = TreePath::parse(b"a/b".to_vec()).unwrap();
        let mut log = LogWriter::create(redo.as_fd()).unwrap();
        deeds().iter().for_each(|what| log.push(&path, what).unwrap());
        log.end().unwrap();
        let read = || {
            let mut log = LogReader::open(redo.as_fd())?;
            let mut found = Vec::new();
            while let Some(deed) = log.next()? {
                found.push(deed.what);
            }
            io::Result::Ok(found)
        };
        assert_eq!(read().unwrap(), deeds());
        let file = File::options().write(true).open(dir.path().join("log")).unwrap();
        for length in (0..file.metadata().unwrap().len()).rev() {
            file.set_len(length).unwrap();
            assert!(read().is_err(), "{length}");
        }
    }
}
