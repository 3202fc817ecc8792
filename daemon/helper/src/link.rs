//! The channel to the engine: one reader, and a writer that several threads may share.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use archive::channel::{Progress, RecordKind, write_json, write_record};
use serde::Serialize;

use crate::args::Channel;

/// Progress is told no more often.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Both directions, not connected to each other: a thread may read while others write.
pub(crate) struct Link {
    pub(crate) input: Box<dyn Read + Send>,
    pub(crate) output: Output,
}

impl Link {
    /// Connects.
    pub(crate) fn connect(channel: &Channel) -> io::Result<Self> {
        let (input, output): (Box<dyn Read + Send>, Box<dyn Write + Send>) = match channel {
            Channel::Socket(path) => {
                let socket = UnixStream::connect(path)?;
                (Box::new(socket.try_clone()?), Box::new(socket))
            }
            // Descriptors of our own: the standard streams would look for lines.
            Channel::Stdio => (
                Box::new(File::from(rustix::io::dup(rustix::stdio::stdin())?)),
                Box::new(File::from(rustix::io::dup(rustix::stdio::stdout())?)),
            ),
        };
        Ok(Self { input, output: Output::new(output) })
    }
}

/// The writing half. A record is written whole before the next one begins.
pub(crate) struct Output(Mutex<Writer>);

struct Writer {
    out: Box<dyn Write + Send>,
    told: Option<Instant>,
}

impl Output {
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
        Self(Mutex::new(Writer { out, told: None }))
    }

    /// Sends bytes.
    pub(crate) fn bytes(&self, payload: &[u8]) -> io::Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write_record(&mut writer.out, RecordKind::Bytes, payload)
    }

    /// Sends a message.
    pub(crate) fn message(&self, kind: RecordKind, message: &impl Serialize) -> io::Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write_json(&mut writer.out, kind, message)
    }

    /// Whether enough time has passed to tell progress again.
    pub(crate) fn is_progress_due(&self) -> bool {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = writer.told.is_none_or(|told| told.elapsed() >= PROGRESS_EVERY);
        if due {
            writer.told = Some(Instant::now());
        }
        due
    }

    /// Tells progress.
    pub(crate) fn progress(&self, progress: &Progress) -> io::Result<()> {
        self.message(RecordKind::Progress, progress)
    }
}
