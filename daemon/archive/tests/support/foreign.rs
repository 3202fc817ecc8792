//! A foreign archive, handed to the job loop as the engine hands it.

#![allow(dead_code, reason = "each test file uses its part of this")]
#![allow(unreachable_pub, reason = "shared between test binaries by `mod`")]

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use archive::channel::{
    End, Failed, Job, RecordKind, UntarJob, Untarred, parse_json, read_record, write_json, write_record,
};
use archive::clones::Scratch;
use archive::serve::serve;

/// What the helper says, kept.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All of it.
pub fn whole() -> UntarJob {
    UntarJob::default()
}

/// Sends `archive` in pieces of `piece` bytes, and what ends it.
pub fn send(
    archive: &[u8],
    job: &UntarJob,
    root: &Path,
    piece: usize,
    end: Option<u64>,
) -> Result<Untarred, Failed> {
    let mut input = Vec::new();
    write_json(&mut input, RecordKind::Job, &Job::Untar(job.clone())).unwrap();
    for piece in archive.chunks(piece) {
        write_record(&mut input, RecordKind::Bytes, piece).unwrap();
    }
    if let Some(data_bytes) = end {
        write_json(&mut input, RecordKind::End, &End { entries: 0, data_bytes }).unwrap();
    }
    let said = Said::default();
    serve(&input[..], said.clone(), File::open(root).map(Into::into), &Scratch::NONE).unwrap();
    let said = said.0.lock().unwrap();
    let (mut rest, mut payload) = (&said[..], Vec::new());
    loop {
        match read_record(&mut rest, &mut payload).unwrap() {
            RecordKind::Done => return Ok(parse_json(&payload).unwrap()),
            RecordKind::Failed => return Err(parse_json(&payload).unwrap()),
            RecordKind::Hello | RecordKind::Progress => {}
            other @ (RecordKind::Job
            | RecordKind::Bytes
            | RecordKind::Rows
            | RecordKind::Frame
            | RecordKind::End
            | RecordKind::Ask
            | RecordKind::Answer
            | RecordKind::Differing
            | RecordKind::Pictured) => panic!("{other:?}"),
        }
    }
}

pub fn untar(archive: &[u8], job: &UntarJob, root: &Path) -> Result<Untarred, Failed> {
    send(archive, job, root, 100_000, Some(archive.len() as u64))
}

/// A header block made by hand, with a checksum that is right.
#[derive(Clone)]
pub struct Raw(pub [u8; 512]);

impl Raw {
    pub fn new(name: &[u8], tag: u8, size: u64) -> Self {
        let mut raw = Self([0; 512]);
        raw.0[..name.len()].copy_from_slice(name);
        raw.put(100, b"0000644\0").put(108, b"0000000\0").put(116, b"0000000\0");
        raw.put(124, format!("{size:011o}\0").as_bytes()).put(136, b"00000000000\0");
        raw.0[156] = tag;
        raw.put(257, b"ustar\x0000");
        raw
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn link(mut self, target: &[u8]) -> Self {
        self.put(157, target);
        self
    }

    /// The block, and what follows it.
    pub fn with(mut self, body: &[u8]) -> Vec<u8> {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        let mut out = self.0.to_vec();
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(512), 0);
        out
    }

    pub fn block(self) -> Vec<u8> {
        self.with(b"")
    }
}

/// A pax record.
pub fn record(keyword: &str, value: &[u8]) -> Vec<u8> {
    let body = keyword.len() + value.len() + 3;
    let length = (body..).find(|length| length.to_string().len() + body == *length).unwrap();
    [format!("{length} {keyword}=").as_bytes(), value, b"\n"].concat()
}

/// A pax header.
pub fn pax(tag: u8, records: &[Vec<u8>]) -> Vec<u8> {
    let body = records.concat();
    Raw::new(b"records", tag, body.len() as u64).with(&body)
}

/// Members and the end.
pub fn ended(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}
