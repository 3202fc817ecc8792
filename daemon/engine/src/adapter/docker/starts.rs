//! Starts of helpers and trials that nobody can lose.
//!
//! An engine goes on making a container for whoever has hung up. So a start is a task of its own: where its caller
//! was dropped meanwhile, as an interrupted run is, it removes what it made. Always true: whoever waited until no
//! start is on, and lists containers then, sees every one that was asked for before.

use std::sync::Arc;

use tokio::sync::{RwLock, oneshot};

use super::helper_container::Starter;
use super::{life, trial};
use crate::port::docker::{DockerError, DockerErrorKind, Helper, HelperSpec};
use crate::port::trial::{Trial, TrialSpec};

/// How helpers and trials are started.
pub(super) struct Starts {
    starter: Arc<Starter>,
    /// Each start holds it for reading.
    on: Arc<RwLock<()>>,
}

impl Starts {
    pub(super) fn by(starter: Starter) -> Self {
        Self { starter: Arc::new(starter), on: Arc::default() }
    }

    /// By what they are started.
    pub(super) fn starter(&self) -> &Starter {
        &self.starter
    }

    /// Starts a helper.
    pub(super) async fn open(&self, spec: &HelperSpec) -> Result<Helper, DockerError> {
        let (starter, spec) = (Arc::clone(&self.starter), spec.clone());
        let on = Arc::clone(&self.on).read_owned().await;
        let (answer, asked) = oneshot::channel();
        tokio::spawn(async move {
            let started = starter.open(&spec).await;
            if let Err(Ok(unwanted)) = answer.send(started)
                && let Err(e) = unwanted.life.kill().await
            {
                // Nothing is lost: the next look finds it by its label.
                tracing::warn!("remove helper: {e}");
            }
            drop(on);
        });
        asked.await.map_err(|broken| broke("start the helper", &broken))?
    }

    /// Starts a trial.
    pub(super) async fn try_out(&self, spec: &TrialSpec) -> Result<Trial, DockerError> {
        let (engine, spec) = (Arc::clone(&self.starter.engine), spec.clone());
        let on = Arc::clone(&self.on).read_owned().await;
        let (answer, asked) = oneshot::channel();
        tokio::spawn(async move {
            let started = trial::start(&engine, &spec).await;
            if let Err(Ok(unwanted)) = answer.send(started)
                && let Err(e) = life::remove(&engine, &unwanted.container.id).await
            {
                // Nothing is lost: the next look finds it by its label.
                tracing::warn!("remove trial: {e}");
            }
            drop(on);
        });
        asked.await.map_err(|broken| broke("start the trial", &broken))?
    }

    /// Returns when no start is on. Each ends by its own deadlines.
    pub(super) async fn none_is_on(&self) {
        drop(self.on.write().await);
    }
}

/// The task of a start came to no answer.
fn broke(deed: &str, broken: &oneshot::error::RecvError) -> DockerError {
    DockerError { kind: DockerErrorKind::Other, deed: deed.to_owned(), why: broken.to_string() }
}
