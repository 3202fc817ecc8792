//! The writing half of the channel to the engine, which several threads may share.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::channel::{Progress, RecordKind, write_json, write_record};

/// Progress is told no more often.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// A record is written whole before the next one begins.
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
        self.record(RecordKind::Bytes, payload)
    }

    /// Sends a record.
    pub(crate) fn record(&self, kind: RecordKind, payload: &[u8]) -> io::Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write_record(&mut writer.out, kind, payload)
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
