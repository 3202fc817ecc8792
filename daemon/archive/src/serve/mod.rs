//! Serving one job, from `Hello` to the last record.
//!
//! Always true: the last record is `Done` or `Failed`, and `Done` is sent only after the job's own success. A
//! channel that ends before `End` is a failure, however politely it was closed.
//!
//! The engine must read while it writes: progress and failures come while it sends rows and frames.
//!
//! The helper is this function and a command line; tests run it in a thread.

mod alive;
mod delta;
mod incoming;
mod output;

use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};

use serde::Serialize;

use crate::base::Ask;
use crate::channel::{
    CompareJob, End, Failed, FailedCause, Hello, Job, PROTOCOL, PackJob, Packed, Progress, RecordKind,
    UnpackJob, Unpacked, parse_json, read_record,
};
use crate::clones::Scratch;
use crate::compare::{Compared, Comparing};
use crate::look::look;
use crate::pack::{PackError, Still, System, pack};
use crate::serve::alive::alive;
use crate::serve::output::Output;
use crate::swap::kept::{forget, recall};
use crate::swap::{counted, discard, swap, unfinished};
use crate::unpack::{UnpackError, Unpacker};

/// Serves the one job that comes, on the folder `root`; a root that could not be opened is told over the
/// channel. True when the job was done; an error is one that the other side cannot be told.
///
/// With a scratch folder, a pack that leans on a base is made of a picture, if one can be taken.
pub fn serve(
    mut input: impl Read,
    output: impl Write + Send + 'static,
    root: io::Result<OwnedFd>,
    scratch: &Scratch,
) -> io::Result<bool> {
    let output = Output::new(Box::new(output));
    let hello = Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() };
    output.message(RecordKind::Hello, &hello)?;
    let done = read_job(&mut input)
        .and_then(|job| {
            let root = root.map_err(|e| failed(format!("open root: {e}"), FailedCause::Tree))?;
            Ok((job, root))
        })
        .and_then(|(job, root)| run(job, (root, scratch), &mut input, &output));
    match done {
        Ok(done) => output.message(RecordKind::Done, &done).map(|()| true),
        Err(failed) => output.message(RecordKind::Failed, &failed).map(|()| false),
    }
}

/// Does the job; gives its answer as JSON.
fn run(
    job: Job,
    (root, scratch): (OwnedFd, &Scratch),
    input: &mut dyn Read,
    output: &Output,
) -> Result<serde_json::Value, Failed> {
    match job {
        Job::Look => answer(look(root.as_fd()).map_err(|e| e.to_failed())),
        Job::Compare(job) => answer(compare(&job, root, input)),
        Job::Pack(job) => {
            refuse_half_swapped(&root)?;
            answer(packed(&job, (&root, scratch), input, output))
        }
        Job::Unpack(job) => answer(unpack(&job, root, input, output)),
        Job::Untar(job) => answer(incoming::untar(root, &job, input, output)),
        Job::Delta(job) => {
            refuse_half_swapped(&root)?;
            answer(delta::delta(&job, root, input, output))
        }
        Job::Swap(job) => {
            let done = alive(output, &Progress::default(), || swap(root.as_fd(), &job));
            answer(done.map_err(|e| e.to_failed()))
        }
        Job::Discard { run } => {
            let done = alive(output, &Progress::default(), || discard(root.as_fd(), &run));
            answer(done.map_err(|e| e.to_failed()))
        }
        Job::Leave { run, least_bytes } => {
            let left =
                alive(output, &Progress::default(), || unfinished::leave(root.as_fd(), &run, least_bytes));
            answer(left.map_err(|e| e.to_failed()))
        }
        Job::RemoveUnfinished => {
            let gone = alive(output, &Progress::default(), || unfinished::remove(root.as_fd()));
            answer(gone.map_err(|e| e.to_failed()))
        }
        Job::Kept => {
            let found = alive(output, &Progress::default(), || counted(root.as_fd()));
            answer(found.map_err(|e| e.to_failed()))
        }
        Job::Recall(job) => answer(recall(root.as_fd(), &job).map(|()| true).map_err(|e| e.to_failed())),
        Job::Forget { run } => {
            let done = alive(output, &Progress::default(), || forget(root.as_fd(), &run));
            answer(done.map_err(|e| e.to_failed()))
        }
    }
}

fn packed(
    job: &PackJob,
    (root, scratch): (&OwnedFd, &Scratch),
    input: &mut dyn Read,
    output: &Output,
) -> Result<Packed, Failed> {
    // Progress that cannot be sent is no reason to stop: the next bytes tell that the engine is gone.
    let mut progress = |progress: &_| {
        if output.is_progress_due() {
            output.progress(progress).unwrap_or_default();
        }
    };
    let mut sink = |bytes: &[u8]| output.bytes(bytes);
    let mut ask = |ask: &Ask| question(ask, &mut *input, output);
    let mut taken = || output.record(RecordKind::Pictured, &[]);
    let still = Still { scratch, taken: &mut taken };
    let packed = pack(root.as_fd(), job, &mut sink, &mut ask, &mut progress, System::KERNEL, still);
    packed.map_err(|e| match e {
        PackError::Source { .. } | PackError::Base { .. } | PackError::Compress(_) | PackError::Scope(_) => {
            failed(e.to_string(), FailedCause::Tree)
        }
        PackError::Updating(_) => failed(e.to_string(), FailedCause::Updating),
        PackError::Sink(_) | PackError::Unanswered(_) => failed(e.to_string(), FailedCause::Channel),
    })
}

/// A restore that was cut off while it swapped leaves some of the old content and some of the new, each whole by
/// itself: nothing that anybody would call a backup.
fn refuse_half_swapped(root: &OwnedFd) -> Result<(), Failed> {
    let looked = look(root.as_fd()).map_err(|e| e.to_failed())?;
    let Some(staged) = looked.staged.iter().find(|staged| staged.swapping) else { return Ok(()) };
    let what = format!("a restore by run `{}` was cut off while it swapped the content", staged.run);
    Err(failed(format!("{what}, and it is to be finished first"), FailedCause::Tree))
}

/// Asks the engine, and waits for the answer.
fn question(ask: &Ask, input: &mut dyn Read, output: &Output) -> io::Result<Vec<u8>> {
    output.message(RecordKind::Ask, ask)?;
    let mut payload = Vec::new();
    let kind = read_record(&mut &mut *input, &mut payload)?;
    if kind != RecordKind::Answer {
        return Err(io::Error::other(format!("`{kind:?}` instead of an answer")));
    }
    Ok(payload)
}

/// Joins the folder with rows until the end comes.
fn compare(job: &CompareJob, root: OwnedFd, input: &mut dyn Read) -> Result<Compared, Failed> {
    let refused = |e: UnpackError| e.to_failed();
    let mut comparing = Comparing::new(root, &job.places).map_err(refused)?;
    let mut payload = Vec::new();
    loop {
        let kind = read_record(&mut &mut *input, &mut payload)
            .map_err(|e| failed(format!("rows broke off: {e}"), FailedCause::Channel))?;
        match kind {
            RecordKind::Rows => comparing.rows(&payload).map_err(refused)?,
            RecordKind::End => return Ok(comparing.end()),
            other @ (RecordKind::Hello
            | RecordKind::Job
            | RecordKind::Bytes
            | RecordKind::Progress
            | RecordKind::Done
            | RecordKind::Failed
            | RecordKind::Frame
            | RecordKind::Ask
            | RecordKind::Answer
            | RecordKind::Differing
            | RecordKind::Pictured) => {
                return Err(failed(format!("`{other:?}` among rows"), FailedCause::Channel));
            }
        }
    }
}

/// Reads rows and frames until the end comes, and hands them on as they come.
fn unpack(job: &UnpackJob, root: OwnedFd, input: &mut dyn Read, output: &Output) -> Result<Unpacked, Failed> {
    let refused = |e: UnpackError| e.to_failed();
    let mut unpacker = Unpacker::new(root, job).map_err(refused)?;
    loop {
        let mut payload = Vec::new();
        let kind = read_record(&mut &mut *input, &mut payload)
            .map_err(|e| failed(format!("restore stream broke off: {e}"), FailedCause::Channel))?;
        match kind {
            RecordKind::Rows => unpacker.rows(&payload).map_err(refused)?,
            RecordKind::Frame => unpacker.frame(payload).map_err(refused)?,
            RecordKind::End => {
                let end: End =
                    parse_json(&payload).map_err(|e| failed(e.to_string(), FailedCause::Channel))?;
                let progress = unpacker.progress();
                return alive(output, &progress, || unpacker.end(&end)).map_err(refused);
            }
            other @ (RecordKind::Hello
            | RecordKind::Job
            | RecordKind::Bytes
            | RecordKind::Progress
            | RecordKind::Done
            | RecordKind::Failed
            | RecordKind::Ask
            | RecordKind::Answer
            | RecordKind::Differing
            | RecordKind::Pictured) => {
                return Err(failed(format!("`{other:?}` inside a restore stream"), FailedCause::Channel));
            }
        }
        if output.is_progress_due() {
            output.progress(&unpacker.progress()).map_err(|e| failed(e.to_string(), FailedCause::Channel))?;
        }
    }
}

fn read_job(input: &mut dyn Read) -> Result<Job, Failed> {
    let broken = |e: io::Error| failed(format!("read job: {e}"), FailedCause::Channel);
    let mut payload = Vec::new();
    let kind = read_record(&mut &mut *input, &mut payload).map_err(broken)?;
    if kind != RecordKind::Job {
        return Err(failed(format!("`{kind:?}` instead of a job"), FailedCause::Channel));
    }
    parse_json(&payload).map_err(broken)
}

fn answer<T: Serialize>(done: Result<T, Failed>) -> Result<serde_json::Value, Failed> {
    serde_json::to_value(done?).map_err(|e| failed(e.to_string(), FailedCause::Channel))
}

fn failed(message: String, cause: FailedCause) -> Failed {
    Failed { message, cause }
}
