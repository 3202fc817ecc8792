//! A foreign archive that comes over the channel.
//!
//! Always true: it ends where the engine says that it ends, after as many bytes as the engine says. A channel that is
//! closed before is no end.

use std::cell::RefCell;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use crate::channel::{
    End, Failed, Progress, RecordKind, UntarJob, Untarred, parse_json, printable_path, read_record,
};
use crate::foreign::{BrokenOff, untar as untar_from};
use crate::path::TreePath;
use crate::serve::output::Output;

/// The bytes of the archive. Whenever it takes more of them, the engine hears how far the work is: so it does not take
/// a large member, or one that is passed over, for silence.
struct Incoming<'a> {
    input: &'a mut dyn Read,
    output: &'a Output,
    at: &'a RefCell<(u64, u64, TreePath)>,
    record: Vec<u8>,
    /// Of the record.
    given: usize,
    bytes: u64,
    ended: bool,
}

impl Incoming<'_> {
    /// Takes the next record.
    fn refill(&mut self) -> Result<(), BrokenOff> {
        self.given = 0;
        if self.output.is_progress_due() {
            let (entries, bytes, path) = &*self.at.borrow();
            let progress = Progress { entries: *entries, bytes: *bytes, path: printable_path(path) };
            // If it cannot be told, the engine is gone, and the next read tells that.
            self.output.progress(&progress).unwrap_or_default();
        }
        let kind =
            read_record(&mut &mut *self.input, &mut self.record).map_err(|e| BrokenOff(e.to_string()))?;
        match kind {
            RecordKind::Bytes => {
                self.bytes += self.record.len() as u64;
                Ok(())
            }
            RecordKind::End => {
                let end: End = parse_json(&self.record).map_err(|e| BrokenOff(e.to_string()))?;
                self.record.clear();
                self.ended = true;
                if end.data_bytes == self.bytes {
                    return Ok(());
                }
                Err(BrokenOff(format!("{} bytes were sent, and {} came", end.data_bytes, self.bytes)))
            }
            other @ (RecordKind::Hello
            | RecordKind::Job
            | RecordKind::Progress
            | RecordKind::Done
            | RecordKind::Failed
            | RecordKind::Rows
            | RecordKind::Frame
            | RecordKind::Ask
            | RecordKind::Answer
            | RecordKind::Differing
            | RecordKind::Pictured) => Err(BrokenOff(format!("`{other:?}` inside an archive"))),
        }
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.record.len() && !self.ended {
            self.refill().map_err(io::Error::other)?;
        }
        let rest = &self.record[self.given..];
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        self.given += n;
        Ok(n)
    }
}

/// Makes a tree of it.
pub(super) fn untar(
    root: OwnedFd,
    job: &UntarJob,
    input: &mut dyn Read,
    output: &Output,
) -> Result<Untarred, Failed> {
    let at = RefCell::new((0, 0, TreePath::root()));
    let incoming = Incoming { input, output, at: &at, record: Vec::new(), given: 0, bytes: 0, ended: false };
    let pulse = |entries: u64, bytes: u64, path: &TreePath| drop(at.replace((entries, bytes, path.clone())));
    untar_from(root, job, Box::new(incoming), &pulse).map_err(|e| e.to_failed())
}
