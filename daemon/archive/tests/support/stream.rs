//! Restore streams made by hand: entries and their bytes in, records out.

use archive::channel::{End, Piece, put_frame};
use archive::entry::{Entry, Extent, Kind, Stamp, Witness, Xattr};
use archive::frame::{Encoder, FrameRow};
use archive::path::TreePath;
use archive::row::put_row;

/// One record from the engine.
#[derive(Clone)]
pub enum Record {
    Rows(Vec<u8>),
    Frame(Vec<u8>),
}

/// A piece of a file.
#[derive(Clone)]
pub enum Part {
    Hole(u64),
    Bytes(Vec<u8>),
}

/// Entries in path order with the bytes of the files among them.
#[derive(Clone, Default)]
pub struct Stream {
    pub entries: Vec<Entry>,
    pub parts: Vec<Vec<Part>>,
}

/// A plain entry.
pub fn entry(path: &[u8], kind: Kind) -> Entry {
    Entry {
        path: TreePath::parse(path.to_vec()).unwrap(),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified: Stamp { seconds: 1_700_000_000, nanoseconds: 123_456_789 },
        xattrs: vec![],
        witness: Witness::default(),
    }
}

pub fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.as_bytes().to_vec(), value: value.to_vec() }
}

impl Stream {
    /// Only a root.
    pub fn new() -> Self {
        let mut stream = Self::default();
        stream.push(entry(b"", Kind::Folder)).mode = 0o755;
        stream
    }

    pub fn push(&mut self, entry: Entry) -> &mut Entry {
        self.entries.push(entry);
        self.parts.push(vec![]);
        self.entries.last_mut().unwrap()
    }

    pub fn folder(&mut self, path: &[u8]) -> &mut Entry {
        let entry = self.push(entry(path, Kind::Folder));
        entry.mode = 0o755;
        entry
    }

    pub fn file(&mut self, path: &[u8], bytes: &[u8]) -> &mut Entry {
        let parts = if bytes.is_empty() { vec![] } else { vec![Part::Bytes(bytes.to_vec())] };
        self.sparse(path, parts)
    }

    pub fn sparse(&mut self, path: &[u8], parts: Vec<Part>) -> &mut Entry {
        let content: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Part::Hole(length) => Extent::Hole { length: *length },
                Part::Bytes(bytes) => Extent::Stored { pack: 1, position: 0, length: bytes.len() as u64 },
            })
            .collect();
        let size = content.iter().map(Extent::length).sum();
        self.push(entry(path, Kind::File { size, content }));
        *self.parts.last_mut().unwrap() = parts;
        self.entries.last_mut().unwrap()
    }

    pub fn symlink(&mut self, path: &[u8], target: &[u8]) -> &mut Entry {
        self.push(entry(path, Kind::Symlink { target: target.to_vec() }))
    }

    pub fn hard_link(&mut self, path: &[u8], target: &[u8]) -> &mut Entry {
        let target = TreePath::parse(target.to_vec()).unwrap();
        self.push(entry(path, Kind::Hardlink { target }))
    }

    /// Puts entries into path order, as a walk gives them.
    pub fn sort(&mut self) {
        let mut both: Vec<_> = self.entries.drain(..).zip(self.parts.drain(..)).collect();
        both.sort_by(|a, b| a.0.path.cmp(&b.0.path));
        (self.entries, self.parts) = both.into_iter().unzip();
    }

    /// What an honest sender ends with.
    pub fn end(&self) -> End {
        let bytes = |part: &Part| match part {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::Hole(_) => 0,
        };
        End { entries: self.entries.len() as u64, data_bytes: self.parts.iter().flatten().map(bytes).sum() }
    }

    /// All rows first, so many in a record, then frames of so many raw bytes.
    pub fn records(&self, rows: usize, frame_bytes: usize) -> Vec<Record> {
        let mut records: Vec<_> = self.entries.chunks(rows).map(rows_record).collect();
        records.extend(self.frames(frame_bytes));
        records
    }

    /// The frames alone.
    pub fn frames(&self, frame_bytes: usize) -> Vec<Record> {
        let mut frames = Vec::new();
        let (mut raw, mut pieces) = (Vec::new(), Vec::new());
        for (number, parts) in self.parts.iter().enumerate() {
            let mut file_offset = 0;
            for part in parts {
                let mut bytes = match part {
                    Part::Hole(length) => {
                        file_offset += length;
                        continue;
                    }
                    Part::Bytes(bytes) => &bytes[..],
                };
                while !bytes.is_empty() {
                    let n = bytes.len().min(frame_bytes - raw.len());
                    pieces.push(piece(number as u64, file_offset, raw.len(), n));
                    raw.extend_from_slice(&bytes[..n]);
                    file_offset += n as u64;
                    bytes = &bytes[n..];
                    if raw.len() == frame_bytes {
                        frames.push(frame(&std::mem::take(&mut raw), &std::mem::take(&mut pieces)));
                    }
                }
            }
        }
        if !raw.is_empty() {
            frames.push(frame(&raw, &pieces));
        }
        frames
    }
}

pub fn piece(entry: u64, file_offset: u64, frame_offset: usize, length: usize) -> Piece {
    Piece {
        entry,
        file_offset,
        frame_offset: u32::try_from(frame_offset).unwrap(),
        length: u32::try_from(length).unwrap(),
    }
}

/// One record of rows.
pub fn rows_record(entries: &[Entry]) -> Record {
    let mut payload = Vec::new();
    let mut before: &[u8] = b"";
    for entry in entries {
        put_row(&mut payload, before, entry);
        before = entry.path.as_bytes();
    }
    Record::Rows(payload)
}

/// One honest frame.
pub fn frame(raw: &[u8], pieces: &[Piece]) -> Record {
    let (stored, hash) = Encoder::new(1).unwrap().encode(raw).unwrap();
    let row = FrameRow { offset: 0, stored: 0, raw: u32::try_from(raw.len()).unwrap(), hash };
    Record::Frame(put_frame(&row, pieces, &stored))
}
