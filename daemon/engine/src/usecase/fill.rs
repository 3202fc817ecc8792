//! Fills a place with a snapshot through a helper: every frame checked, every row written, synced at the end.
//!
//! Always true: what is reported as filled is whole; where it fails, part of it may be there, and the caller knows
//! whose it is.

use std::sync::Arc;

use archive::channel::{Job, Target, UnpackJob, Unpacked};
use archive::path::TreePath;

use crate::failure::Failure;
use crate::pipeline::feed::{Fed, FeedError, feed};
use crate::port::docker::{Access, Docker, HelperMount};
use crate::usecase::blame;
use crate::usecase::host::Host;
use crate::usecase::job::{Session, spec};
use crate::usecase::opened::Opened;
use crate::usecase::run::Run;
use crate::usecase::watch::{Progress, Told, Watch};

/// A place to be filled.
pub(crate) struct Fill<'a> {
    pub(crate) host: &'a Host,
    pub(crate) docker: &'a dyn Docker,
    pub(crate) run: &'a Run<'a>,
    pub(crate) opened: &'a Opened,
    pub(crate) mount: &'a HelperMount,
    pub(crate) into: Target,
    /// Only what lies at or beneath these; all if empty.
    pub(crate) paths: Vec<TreePath>,
    pub(crate) watch: &'a dyn Watch,
}

impl Fill<'_> {
    /// Fills it; `what` is the deed in words.
    pub(crate) async fn fill(self, what: String) -> Result<(Fed, Unpacked), Failure> {
        let workers = self.host.settings().effort.workers();
        let places = match self.into {
            Target::Staging => self.paths.clone(),
            Target::Empty => Vec::new(),
        };
        let run = self.run.id().to_string();
        let job = Job::Unpack(UnpackJob { run, workers, into: self.into, places });
        let spec = spec(self.host, self.run.id(), self.mount, Access::Write);
        let mut session = Session::open(self.docker, &spec, &job, what.clone()).await?;
        let bytes = self.opened.signed.manifest.totals.bytes;
        let of_bytes = Some(bytes).filter(|_| self.paths.is_empty());
        let progress = |progress: archive::channel::Progress| {
            self.run.progress(progress.entries, progress.bytes, &progress.path);
            let archive::channel::Progress { entries, bytes, path } = progress;
            self.watch.tell(Told::Progress(Progress { entries, bytes, of_bytes, path }));
        };
        let reading = Arc::clone(&self.opened.reading);
        let (from, to) = (&mut *session.helper.from, &mut *session.helper.to);
        match feed(reading, self.paths, from, to, progress).await {
            Ok(done) => {
                session.close().await?;
                Ok(done)
            }
            Err(FeedError::Channel(e)) => Err(session.broke(e).await),
            Err(other) => {
                session.kill().await;
                Err(blame::feed(what, other))
            }
        }
    }
}
