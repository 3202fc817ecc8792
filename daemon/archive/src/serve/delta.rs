//! Serving a delta restore: questions first, then rows out and frames in, both at once.
//!
//! Always true: whoever fails tells it, and neither side waits for the other afterwards: frames that nobody wants any more
//! are read all the same until the engine ends, which it does when it hears of the failure.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::alive::alive;
use super::output::Output;
use super::{failed, question};
use crate::base::Ask;
use crate::channel::{
    DeltaJob, End, Failed, FailedCause, Logged, Progress, RecordKind, parse_json, read_record,
};
use crate::delta::{Delta, DeltaError, Filling};
use crate::unpack::{UnpackError, Unpacker};

/// Compares, fetches and logs.
pub(super) fn delta(
    job: &DeltaJob,
    root: OwnedFd,
    input: &mut dyn Read,
    output: &Output,
) -> Result<Logged, Failed> {
    let refused = |e: DeltaError| e.to_failed();
    let begun = Delta::begin(root, job).map_err(refused)?;
    // Progress that cannot be sent is no reason to stop: the next question tells that the engine is gone.
    let mut progress = |progress: &Progress| output.progress(progress).unwrap_or_default();
    let mut ask = |ask: &Ask| question(ask, &mut *input, output);
    let (compared, notes, filling) = begun.compare(job, &mut ask, &mut progress).map_err(refused)?;
    output.message(RecordKind::Differing, &compared).map_err(|e| broken(&e))?;
    let Some(mut filling) = filling else { return Ok(Logged { compared, notes }) };
    let end = fill(&mut filling, input, output)?;
    let progress = filling.unpacker.progress();
    alive(output, &progress, || filling.finish(&end)).map_err(refused)
}

/// Sends the rows that are wanted, and takes in the frames for them.
fn fill(filling: &mut Filling, input: &mut dyn Read, output: &Output) -> Result<End, Failed> {
    let mut records = filling.rows.records().map_err(|e| broken(&e))?;
    let unpacker = Mutex::new(&mut filling.unpacker);
    let failure: Mutex<Option<Failed>> = Mutex::new(None);
    let fail = |why: Failed| {
        lock(&failure).get_or_insert(why);
    };
    let mut send = || -> Result<(), Failed> {
        loop {
            if let Some(why) = lock(&failure).clone() {
                return output.message(RecordKind::Failed, &why).map_err(|e| broken(&e));
            }
            let Some(record) = records.next().map_err(|e| broken(&e))? else { break };
            lock(&unpacker).rows(&record).map_err(|e| e.to_failed())?;
            output.record(RecordKind::Rows, &record).map_err(|e| broken(&e))?;
        }
        output.record(RecordKind::Rows, &[]).map_err(|e| broken(&e))
    };
    let ended = std::thread::scope(|scope| {
        let sending = std::thread::Builder::new().name("rows".to_owned()).spawn_scoped(scope, || {
            if let Err(why) = send() {
                // An engine that is gone needs not be told.
                output.message(RecordKind::Failed, &why).unwrap_or_default();
                fail(why);
            }
        });
        if let Err(e) = sending {
            return Err(broken(&e));
        }
        let ended = take(&unpacker, input, output, &fail);
        ended.map_err(|e| broken(&e))
    });
    match lock(&failure).take() {
        Some(why) => Err(why),
        None => ended,
    }
}

/// Takes frames in until the end comes. After a failure they are only read.
fn take(
    unpacker: &Mutex<&mut Unpacker>,
    input: &mut dyn Read,
    output: &Output,
    fail: &dyn Fn(Failed),
) -> io::Result<End> {
    let mut failing = false;
    loop {
        let mut payload = Vec::new();
        match read_record(&mut &mut *input, &mut payload)? {
            RecordKind::Frame if failing => {}
            RecordKind::Frame => {
                let taken: Result<(), UnpackError> = lock(unpacker).frame(payload);
                if let Err(e) = taken {
                    failing = true;
                    fail(e.to_failed());
                }
            }
            RecordKind::End => return parse_json(&payload),
            other @ (RecordKind::Hello
            | RecordKind::Job
            | RecordKind::Bytes
            | RecordKind::Progress
            | RecordKind::Done
            | RecordKind::Failed
            | RecordKind::Rows
            | RecordKind::Ask
            | RecordKind::Answer
            | RecordKind::Differing
            | RecordKind::Pictured) => {
                return Err(io::Error::other(format!("`{other:?}` inside a delta restore")));
            }
        }
        if output.is_progress_due() {
            output.progress(&lock(unpacker).progress())?;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn broken(error: &io::Error) -> Failed {
    failed(format!("delta restore broke off: {error}"), FailedCause::Channel)
}
