//! A helper of the twin: the job loop in a thread, on a real folder, behind a pair of sockets.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use archive::clones::{Cloner, Scratch};
use async_trait::async_trait;
use rustix::fs::{Mode, OFlags};
use tokio::sync::oneshot;

use super::script::{Moment, Script, ask};
use super::{Trouble, World, lock, missing};
use crate::port::docker::{DockerError, DockerErrorKind, Helper, HelperLife};

/// Serves one job: records in, records out, the folder.
pub type JobRunner = Arc<dyn Fn(Box<dyn Read + Send>, Box<dyn Write + Send>, OwnedFd) + Send + Sync>;

/// The jobs as a real helper does them.
pub fn real_jobs() -> JobRunner {
    Arc::new(|input, output, root| {
        // As in a helper: whoever closed the channel knows why.
        archive::serve::serve(input, output, Ok(root), &Scratch::NONE).ok();
    })
}

/// The same on a file system that clones files, with a place for clones beside every folder.
pub fn cloning_jobs() -> JobRunner {
    Arc::new(|input, output, root| {
        let folder =
            rustix::fs::open(std::env::temp_dir(), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let scratch = Scratch { folder: folder.ok(), cloner: Cloner::COPY };
        archive::serve::serve(input, output, Ok(root), &scratch).ok();
    })
}

/// How a helper dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// It does its job.
    #[default]
    Never,
    /// Its channel closes politely after so many bytes from it, and it ends with status 0: a dying engine.
    Silently {
        /// Bytes that still come through.
        after: u64,
    },
    /// The same, and its end is an error: killed, or out of memory.
    Dying {
        /// Bytes that still come through.
        after: u64,
    },
}

/// A helper's thread, and the way to end it.
#[derive(Debug)]
pub(super) struct Running {
    door: UnixStream,
    thread: thread::JoinHandle<()>,
}

impl Running {
    /// Closes its channel and waits until it has touched the folder for the last time, as an engine that
    /// removes a container by force does.
    pub(super) fn end(self) {
        // A channel that is closed already is what is wanted, and a panic was told through `finish`.
        self.door.shutdown(Shutdown::Both).ok();
        self.thread.join().ok();
    }
}

/// Starts the thread.
pub(super) fn start(
    folder: &Path,
    cut: Cut,
    runner: &JobRunner,
    id: String,
    world: Arc<Mutex<World>>,
    script: Script,
) -> Result<(Helper, Running), Trouble> {
    let broken = |e: io::Error| (DockerErrorKind::Other, e.to_string());
    let root = match std::fs::File::open(folder) {
        Ok(root) if root.metadata().is_ok_and(|m| m.is_dir()) => OwnedFd::from(root),
        Ok(_) => return Err(missing("folder")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(missing("folder")),
        Err(e) => return Err(broken(e)),
    };
    let (ours, theirs) = UnixStream::pair().map_err(broken)?;
    ours.set_nonblocking(true).map_err(broken)?;
    let ours = tokio::net::UnixStream::from_std(ours).map_err(broken)?;
    let input = theirs.try_clone().map_err(broken)?;
    let door = theirs.try_clone().map_err(broken)?;
    let left = match cut {
        Cut::Never => u64::MAX,
        Cut::Silently { after } | Cut::Dying { after } => after,
    };
    let output = Limited { peer: theirs, left };
    let (ended, end) = oneshot::channel();
    let runner = Arc::clone(runner);
    let thread = thread::spawn(move || {
        runner(Box::new(input), Box::new(output), root);
        // Nobody waits any more if it was killed or forgotten.
        ended.send(()).ok();
    });
    let (from, to) = ours.into_split();
    let life = Life { end, dies: matches!(cut, Cut::Dying { .. }), id, world, script };
    let helper = Helper { from: Box::new(from), to: Box::new(to), life: Box::new(life) };
    Ok((helper, Running { door, thread }))
}

/// The helper's side of the channel, which breaks after so many bytes.
struct Limited {
    peer: UnixStream,
    left: u64,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        if most == 0 && !bytes.is_empty() {
            self.peer.shutdown(Shutdown::Both)?;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let written = self.peer.write(&bytes[..most])?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.peer.flush()
    }
}

struct Life {
    end: oneshot::Receiver<()>,
    dies: bool,
    id: String,
    world: Arc<Mutex<World>>,
    script: Script,
}

impl Life {
    /// The thread sees its channel close, and the container is gone.
    fn remove(&self) {
        let kept = lock(&self.world).helpers.remove(&self.id);
        if let Some(kept) = kept {
            kept.running.end();
        }
    }
}

#[async_trait]
impl HelperLife for Life {
    async fn finish(mut self: Box<Self>, patience: Duration) -> Result<(), DockerError> {
        let deed = format!("finish_helper {}", self.id);
        ask(&self.script, Moment::Before, &deed)?;
        let ended = tokio::time::timeout(patience, &mut self.end).await;
        self.remove();
        ask(&self.script, Moment::After, &deed)?;
        let died = |why: &str| {
            Err(DockerError { kind: DockerErrorKind::HelperDied, deed: deed.clone(), why: why.to_owned() })
        };
        match ended {
            Err(_passed) => died("it was still running"),
            Ok(Err(_panicked)) => died("its thread panicked"),
            Ok(Ok(())) if self.dies => died("the helper was killed (status 137, SIGKILL)"),
            Ok(Ok(())) => Ok(()),
        }
    }

    async fn kill(self: Box<Self>) -> Result<(), DockerError> {
        let deed = format!("kill_helper {}", self.id);
        ask(&self.script, Moment::Before, &deed)?;
        self.remove();
        ask(&self.script, Moment::After, &deed)
    }
}
