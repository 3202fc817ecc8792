//! A program in a container of the twin: a function in a thread, with pipes for input and output.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::Trouble;
use super::script::{Moment, Script, ask};
use crate::port::docker::{DockerError, DockerErrorKind};
use crate::port::exec::{Exec, ExecEnd, ExecLife, ExecSpec};

/// What a program does, from its input to its end. It is asked for every one, so it looks at who is called.
pub type Program = Arc<dyn Fn(&ExecSpec, &mut dyn BufRead, &mut dyn Write) -> ExecEnd + Send + Sync>;

/// Programs that run.
pub(super) type Running = Arc<Mutex<Vec<ExecSpec>>>;

/// The programs of all containers.
#[derive(Clone, Default)]
pub(super) struct Installed {
    pub(super) program: Option<Program>,
    /// Those that run.
    pub(super) running: Running,
}

impl fmt::Debug for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.program.is_some() { "programs" } else { "no programs" })
    }
}

/// One that runs; also one that panics ends.
struct Runs(Running, ExecSpec);

impl Drop for Runs {
    fn drop(&mut self) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = running.iter().position(|one| *one == self.1) {
            running.swap_remove(at);
        }
    }
}

/// Starts one. `what` is who and where, for the script.
pub(super) fn start(
    spec: &ExecSpec,
    installed: &Installed,
    what: String,
    script: Script,
) -> Result<Exec, Trouble> {
    let broken = |e: io::Error| (DockerErrorKind::Other, e.to_string());
    let (ours, theirs) = UnixStream::pair().map_err(broken)?;
    ours.set_nonblocking(true).map_err(broken)?;
    let (from, to) = tokio::net::UnixStream::from_std(ours).map_err(broken)?.into_split();
    let input = theirs.try_clone().map_err(broken)?;
    let (ended, end) = oneshot::channel();
    let (program, spec) = (installed.program.clone(), spec.clone());
    installed.running.lock().unwrap_or_else(PoisonError::into_inner).push(spec.clone());
    let runs = Runs(Arc::clone(&installed.running), spec.clone());
    thread::spawn(move || {
        let mut output = &theirs;
        let end = match program {
            Some(program) => program(&spec, &mut BufReader::new(input), &mut output),
            None => ExecEnd { status: 127, last_words: "it is not installed".to_owned() },
        };
        // Whoever was spoken to may have hung up, and nobody may wait any more.
        theirs.shutdown(Shutdown::Both).ok();
        drop(runs);
        ended.send(end).ok();
    });
    let life = Life { end, known: None, deed: format!("exec_ended {what}"), script };
    Ok(Exec { to: Box::new(to), from: Box::new(from), life: Box::new(life) })
}

struct Life {
    end: oneshot::Receiver<ExecEnd>,
    known: Option<ExecEnd>,
    deed: String,
    script: Script,
}

#[async_trait]
impl ExecLife for Life {
    async fn ended(&mut self, patience: Duration) -> Result<Option<ExecEnd>, DockerError> {
        ask(&self.script, Moment::Before, &self.deed)?;
        if self.known.is_none()
            && let Ok(end) = tokio::time::timeout(patience, &mut self.end).await
        {
            let killed = || ExecEnd { status: 139, last_words: "its thread panicked".to_owned() };
            self.known = Some(end.unwrap_or_else(|_panicked| killed()));
        }
        ask(&self.script, Moment::After, &self.deed)?;
        Ok(self.known.clone())
    }
}
