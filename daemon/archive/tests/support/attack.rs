//! One attack on a restore, and the check that it is refused and touches nothing outside.

use super::canary::Canary;
use super::raw::{RawRow, rows};
use super::stream::{Record, Stream, piece, rows_record};
use super::{feed, job};
use archive::channel::{End, FailedCause, Target, UnpackJob, put_frame};
use archive::frame::FrameRow;
use std::fs;
use std::path::Path;

/// One attack: what is sent into a folder in which something was planted before.
pub struct Attack {
    pub records: Vec<Record>,
    pub end: Option<End>,
    pub plant: fn(&Path),
    pub job: UnpackJob,
}

impl Attack {
    pub fn new(records: Vec<Record>, end: Option<End>) -> Self {
        Self { records, end, plant: |_root| (), job: job(Target::Staging, 2) }
    }

    /// A stream that is honest but for what it says.
    pub fn stream(stream: &Stream) -> Self {
        Self::new(stream.records(100, 4096), Some(stream.end()))
    }

    pub fn rows(payload: Record) -> Self {
        Self::new(vec![payload], Some(End { entries: 2, data_bytes: 0 }))
    }

    pub fn raw(row: RawRow) -> Self {
        Self::rows(rows(&[row]))
    }

    pub fn into_planted(mut self, plant: fn(&Path)) -> Self {
        self.plant = plant;
        self.job = job(Target::Empty, 2);
        self
    }

    pub fn run(mut self, run: &str) -> Self {
        self.job.run = run.to_owned();
        self
    }
}

#[track_caller]
pub fn check(name: &str, attack: Attack, want: FailedCause, says: &str) {
    let dir = tempfile::tempdir().unwrap();
    let canary = Canary::new(dir.path());
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    (attack.plant)(&root);
    let before = peak_bytes();
    match feed(&root, &attack.job, attack.records, attack.end.as_ref()) {
        Ok(done) => panic!("{name}: taken: {done:?}"),
        Err(e) => {
            assert!(e.to_string().contains(says), "{name}: says {e}");
            assert_eq!(e.cause(), want, "{name}: {e}");
            assert!(e.to_string().len() < 20_000, "{name}: the message is a bomb itself");
        }
    }
    canary.check(name);
    let grown = peak_bytes().saturating_sub(before);
    assert!(grown < 900 << 20, "{name}: took {} MiB", grown >> 20);
    // A tree that is not whole is never marked as one.
    assert!(!root.join(".backupd-restore-r1/journal").exists(), "{name}: marked as whole");
}

/// The most memory that this process ever had.
pub fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

pub fn with(change: impl FnOnce(&mut Stream)) -> Attack {
    let mut stream = Stream::new();
    change(&mut stream);
    Attack::stream(&stream)
}

/// One file of ten bytes, and these frames instead of its own.
pub fn frames(frames: Vec<Record>) -> Attack {
    let mut s = Stream::new();
    s.file(b"f", b"0123456789");
    let mut records = vec![rows_record(&s.entries)];
    records.extend(frames);
    Attack::new(records, Some(s.end()))
}

/// A frame for the ten bytes, stored otherwise.
pub fn stored(raw: u32, stored: &[u8], of: &[u8]) -> Record {
    let row = FrameRow { offset: 0, stored: 0, raw, hash: *blake3::hash(of).as_bytes() };
    Record::Frame(put_frame(&row, &[piece(1, 0, 0, 10)], stored))
}

pub fn raw_path(path: &[u8]) -> Attack {
    Attack::raw(RawRow::new(path, b'd', vec![]))
}

pub const TEN: &[u8] = b"0123456789";

pub fn raw_root(tag: u8, tail: Vec<u8>) -> Record {
    let mut payload = Vec::new();
    RawRow::new(b"", tag, tail).put(&mut payload);
    Record::Rows(payload)
}
