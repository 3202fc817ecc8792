//! Runs one job in one helper, and makes sure that the helper is gone afterwards.

use std::time::Duration;

use archive::channel::{Job, RecordKind};
use serde::de::DeserializeOwned;
use tokio::io::AsyncRead;

use crate::failure::Failure;
use crate::pipeline::channel::{ChannelError, give_job, greet, read_record};
use crate::port::docker::{Access, Docker, Helper, HelperLife, HelperMount, HelperSpec};
use crate::usecase::blame;
use crate::usecase::host::Host;
use crate::words::RunId;

/// A helper that has said that it is done has nothing left to do but to end.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// What it said before it ended is there already.
const LAST_WORDS_PATIENCE: Duration = Duration::from_secs(2);

/// What a helper for this run looks like.
pub(crate) fn spec(host: &Host, run: &RunId, mount: &HelperMount, access: Access) -> HelperSpec {
    HelperSpec {
        run: run.clone(),
        owner: host.owner(),
        mount: mount.clone(),
        access,
        memory_bytes: host.settings().effort.helper_memory_bytes,
        pids: 64,
        nice: 0,
        scratch: false,
    }
}

/// A helper at work; ends it when the work is over, however it ended.
pub(crate) struct Session {
    /// The channel.
    pub(crate) helper: Helper,
    what: String,
}

impl Session {
    /// Starts a helper and gives it its job.
    pub(crate) async fn open(
        docker: &dyn Docker,
        spec: &HelperSpec,
        job: &Job,
        what: impl Into<String>,
    ) -> Result<Self, Failure> {
        let mut session = Self::ready(docker, spec, what).await?;
        match session.give(job).await {
            Ok(()) => Ok(session),
            Err(e) => Err(session.broke(e).await),
        }
    }

    /// Starts a helper that waits for its job.
    pub(crate) async fn ready(
        docker: &dyn Docker,
        spec: &HelperSpec,
        what: impl Into<String>,
    ) -> Result<Self, Failure> {
        let what = what.into();
        let helper = docker.open_helper(spec).await.map_err(|e| blame::docker(what.clone(), e))?;
        let mut session = Self { helper, what };
        match greet(&mut *session.helper.from).await {
            Ok(()) => Ok(session),
            Err(e) => Err(session.broke(e).await),
        }
    }

    /// Gives it its job.
    pub(crate) async fn give(&mut self, job: &Job) -> Result<(), ChannelError> {
        give_job(&mut *self.helper.to, job).await
    }

    /// The job was done and said so; whatever the container does now changes nothing about that, but it
    /// must be gone.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        let Self { helper: Helper { from, to, life }, what } = self;
        drop((from, to));
        life.finish(END_PATIENCE).await.map_err(|e| blame::docker(what, e))
    }

    /// Ends the helper because of something that happened elsewhere.
    pub(crate) async fn kill(self) {
        let Helper { from, to, life } = self.helper;
        drop((from, to));
        kill(life).await;
    }

    /// The channel broke. The engine may know why: out of memory, killed, never started.
    pub(crate) async fn broke(self, error: ChannelError) -> Failure {
        let Self { helper: Helper { mut from, to, life }, what } = self;
        drop(to);
        let error = match error {
            ChannelError::Cut => last_words(&mut *from).await.unwrap_or(ChannelError::Cut),
            said @ (ChannelError::Failed(_)
            | ChannelError::Silent
            | ChannelError::Protocol(_)
            | ChannelError::Version(_)) => said,
        };
        drop(from);
        match error {
            ChannelError::Cut => match life.finish(END_PATIENCE).await {
                Err(why) => blame::docker(what, why),
                Ok(()) => blame::channel(what, error),
            },
            ChannelError::Failed(_)
            | ChannelError::Silent
            | ChannelError::Protocol(_)
            | ChannelError::Version(_) => {
                kill(life).await;
                blame::channel(what, error)
            }
        }
    }
}

/// A helper that refuses says why and ends. Whoever was still writing to it sees the end first.
async fn last_words(from: &mut (dyn AsyncRead + Send + Unpin)) -> Option<ChannelError> {
    let listen = async {
        loop {
            match read_record(from).await {
                Ok(_) => {}
                Err(ChannelError::Cut) => return None,
                Err(said) => return Some(said),
            }
        }
    };
    tokio::time::timeout(LAST_WORDS_PATIENCE, listen).await.ok().flatten()
}

async fn kill(life: Box<dyn HelperLife>) {
    if let Err(e) = life.kill().await {
        // Nothing is lost: it has no way out, and the next start sweeps it by its label.
        tracing::warn!("remove helper: {e}");
    }
}

/// Runs a job that is one question and one answer.
pub(crate) async fn ask<T: DeserializeOwned>(
    docker: &dyn Docker,
    spec: &HelperSpec,
    job: &Job,
    what: impl Into<String>,
) -> Result<T, Failure> {
    let mut session = Session::open(docker, spec, job, what).await?;
    let answer = async {
        loop {
            let record = read_record(&mut *session.helper.from).await?;
            if record.kind == RecordKind::Done {
                return record.json::<T>();
            }
            if record.kind != RecordKind::Progress {
                return Err(ChannelError::Protocol(format!("{:?} as an answer", record.kind)));
            }
        }
    };
    match answer.await {
        Ok(answer) => {
            session.close().await?;
            Ok(answer)
        }
        Err(e) => Err(session.broke(e).await),
    }
}
