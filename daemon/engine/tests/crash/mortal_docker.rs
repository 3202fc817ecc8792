//! Passes every call to an engine through the log that ends the process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::port::changes::Changes;
use engine::port::docker::{
    About, Container, Docker, DockerError, DockerErrorKind, Helper, HelperLife, HelperSpec, Leftover,
    NewVolume, Volume,
};
use engine::port::exec::{Exec, ExecEnd, ExecLife, ExecSpec};
use engine::port::trial::{Trial, TrialEnd, TrialLife, TrialSpec, Trials};
use engine::testing::calls::CallLog;

/// The engine as a process sees it that dies at one of its calls.
pub(crate) struct MortalDocker {
    inner: Arc<dyn Docker>,
    log: Arc<CallLog>,
    /// Its change time moves before each helper, so that a second pass finds something new.
    stirred: PathBuf,
}

impl MortalDocker {
    pub(crate) fn new(inner: Arc<dyn Docker>, log: Arc<CallLog>, stirred: PathBuf) -> Self {
        Self { inner, log, stirred }
    }

    async fn call<T>(
        &self,
        deed: String,
        work: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<T, DockerError> {
        let died = || gone(&deed);
        self.log.call(format!("docker.{deed}"), died, work).await
    }
}

fn gone(deed: &str) -> DockerError {
    DockerError { kind: DockerErrorKind::Unreachable, deed: deed.to_owned(), why: "we died".to_owned() }
}

#[async_trait]
impl Trials for MortalDocker {
    async fn image(&self, name: &str) -> Result<Option<String>, DockerError> {
        self.call(format!("image {name}"), self.inner.image(name)).await
    }

    async fn start_trial(&self, spec: &TrialSpec) -> Result<Trial, DockerError> {
        let trial = self.call("start_trial".to_owned(), self.inner.start_trial(spec)).await?;
        let life = MortalTrial { inner: trial.life, log: Arc::clone(&self.log) };
        Ok(Trial { life: Box::new(life), ..trial })
    }
}

#[async_trait]
impl Docker for MortalDocker {
    async fn about(&self) -> Result<About, DockerError> {
        self.call("about".to_owned(), self.inner.about()).await
    }

    fn helper_image_id(&self) -> String {
        self.inner.helper_image_id()
    }

    async fn volumes(&self) -> Result<Vec<Volume>, DockerError> {
        self.call("volumes".to_owned(), self.inner.volumes()).await
    }

    async fn volume(&self, name: &str) -> Result<Option<Volume>, DockerError> {
        self.call(format!("volume {name}"), self.inner.volume(name)).await
    }

    async fn create_volume(&self, new: &NewVolume) -> Result<Volume, DockerError> {
        self.call(format!("create_volume {}", new.name), self.inner.create_volume(new)).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), DockerError> {
        self.call(format!("remove_volume {name}"), self.inner.remove_volume(name)).await
    }

    async fn containers(&self) -> Result<Vec<Container>, DockerError> {
        self.call("containers".to_owned(), self.inner.containers()).await
    }

    async fn container(&self, id: &str) -> Result<Option<Container>, DockerError> {
        self.call(format!("container {id}"), self.inner.container(id)).await
    }

    async fn stop(&self, id: &str, grace: Duration) -> Result<(), DockerError> {
        self.call(format!("stop {id}"), self.inner.stop(id, grace)).await
    }

    async fn exit_status(&self, id: &str) -> Result<Option<i64>, DockerError> {
        self.call(format!("exit_status {id}"), self.inner.exit_status(id)).await
    }

    async fn start(&self, id: &str) -> Result<(), DockerError> {
        self.call(format!("start {id}"), self.inner.start(id)).await
    }

    async fn pause(&self, id: &str) -> Result<(), DockerError> {
        self.call(format!("pause {id}"), self.inner.pause(id)).await
    }

    async fn unpause(&self, id: &str) -> Result<(), DockerError> {
        self.call(format!("unpause {id}"), self.inner.unpause(id)).await
    }

    async fn set_restart_policy(&self, id: &str, policy: &str) -> Result<(), DockerError> {
        self.call(format!("set_restart_policy {id} {policy}"), self.inner.set_restart_policy(id, policy))
            .await
    }

    async fn exec(&self, spec: &ExecSpec) -> Result<Exec, DockerError> {
        let deed = format!("exec {} {}", spec.container, spec.argv.first().map_or("", String::as_str));
        let exec = self.call(deed, self.inner.exec(spec)).await?;
        let life = MortalProgram { inner: exec.life, log: Arc::clone(&self.log) };
        Ok(Exec { life: Box::new(life), ..exec })
    }

    async fn exec_runs(&self, container: &str, argv: &[String]) -> Result<bool, DockerError> {
        self.call(format!("exec_runs {container}"), self.inner.exec_runs(container, argv)).await
    }

    async fn open_helper(&self, spec: &HelperSpec) -> Result<Helper, DockerError> {
        if let Ok(about) = std::fs::metadata(&self.stirred) {
            std::fs::set_permissions(&self.stirred, about.permissions()).unwrap();
        }
        let helper = self.call("open_helper".to_owned(), self.inner.open_helper(spec)).await?;
        let life = MortalLife { inner: helper.life, log: Arc::clone(&self.log) };
        Ok(Helper { life: Box::new(life), ..helper })
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, DockerError> {
        self.call("leftovers".to_owned(), self.inner.leftovers()).await
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<(), DockerError> {
        self.call("remove_leftover".to_owned(), self.inner.remove_leftover(leftover)).await
    }

    async fn changes(&self) -> Result<Box<dyn Changes>, DockerError> {
        self.call("changes".to_owned(), self.inner.changes()).await
    }
}

/// The end of a helper; a dead process brings none about.
struct MortalLife {
    inner: Box<dyn HelperLife>,
    log: Arc<CallLog>,
}

#[async_trait]
impl HelperLife for MortalLife {
    async fn finish(self: Box<Self>, patience: Duration) -> Result<(), DockerError> {
        let Self { inner, log } = *self;
        log.call("docker.finish_helper", || gone("finish_helper"), inner.finish(patience)).await
    }

    async fn kill(self: Box<Self>) -> Result<(), DockerError> {
        let Self { inner, log } = *self;
        log.call("docker.kill_helper", || gone("kill_helper"), inner.kill()).await
    }
}

/// The end of a program, which a dead process does not hear of.
struct MortalProgram {
    inner: Box<dyn ExecLife>,
    log: Arc<CallLog>,
}

#[async_trait]
impl ExecLife for MortalProgram {
    async fn ended(&mut self, patience: Duration) -> Result<Option<ExecEnd>, DockerError> {
        let ended = self.inner.ended(patience);
        self.log.call("docker.exec_ended", || gone("exec_ended"), ended).await
    }
}

/// The life of a trial; a dead process hears nothing of it.
struct MortalTrial {
    inner: Box<dyn TrialLife>,
    log: Arc<CallLog>,
}

#[async_trait]
impl TrialLife for MortalTrial {
    async fn ended(&mut self, patience: Duration) -> Result<Option<TrialEnd>, DockerError> {
        let Self { inner, log } = self;
        log.call("docker.trial_ended", || gone("trial_ended"), inner.ended(patience)).await
    }

    async fn said(&self) -> Result<String, DockerError> {
        self.log.call("docker.trial_said", || gone("trial_said"), self.inner.said()).await
    }
}
