//! The Docker port over bollard.
//!
//! One [`BollardDocker`] speaks to one engine. It holds no connection: each call makes its own, has a
//! deadline of its own, and finds the engine again after a restart.

mod address;
mod attached;
mod call;
mod changes;
mod confinement;
mod containers;
mod doorway;
mod exec;
mod helper_binary;
mod helper_container;
mod image;
mod life;
mod ourselves;
mod starts;
mod trial;
mod volumes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::address::Address;
use self::call::{ASK, Engine};
use self::helper_container::{Channel, Starter};
pub use self::image::HelperImage;
use self::starts::Starts;
use crate::port::changes::Changes;
use crate::port::docker::{
    About, Container, Docker, DockerError, DockerErrorKind, Helper, HelperSpec, Leftover, NewVolume, Volume,
};
use crate::port::exec::{Exec, ExecSpec};
use crate::port::trial::{Trial, TrialSpec, Trials};

/// How to reach the engine, and how helpers speak to us.
#[derive(Debug, Clone)]
pub struct Settings {
    /// As in `DOCKER_HOST`; nothing is the usual socket.
    pub host: Option<String>,
    /// A private folder of ours on this machine, for the helpers' sockets; made when it is needed. Its path
    /// must be short (a socket's has 107 bytes).
    pub run_dir: PathBuf,
    /// Speak to helpers through the engine even if it is on this machine: slow, and the only way into an
    /// engine that runs in a virtual machine.
    pub attach: bool,
    /// The volume that is mounted at `run_dir`, if we run in a container ourselves.
    pub socket_volume: Option<String>,
}

/// One container engine.
pub struct BollardDocker {
    engine: Arc<Engine>,
    starts: Starts,
}

impl BollardDocker {
    /// With the helper that was built with this program. Speaks to nobody yet; fails on an address that we do
    /// not support.
    pub fn new(settings: Settings) -> Result<Self, DockerError> {
        let image = HelperImage::embedded().map_err(|e| DockerError {
            kind: DockerErrorKind::Other,
            deed: "build the helper image".to_owned(),
            why: e.to_string(),
        })?;
        Self::with_helper(settings, image)
    }

    /// With another helper, confined in just the same way.
    pub fn with_helper(settings: Settings, image: HelperImage) -> Result<Self, DockerError> {
        let address = Address::parse(settings.host.as_deref())?;
        let channel = match settings.socket_volume {
            _ if settings.attach || !address.is_local() => Channel::Attached,
            None => Channel::Folder { run_dir: settings.run_dir },
            Some(name) => Channel::Volume { run_dir: settings.run_dir, name },
        };
        let engine = Arc::new(Engine::at(address));
        let starter = Starter { engine: Arc::clone(&engine), image, channel };
        Ok(Self { starts: Starts::by(starter), engine })
    }
}

#[async_trait]
impl Trials for BollardDocker {
    async fn image(&self, name: &str) -> Result<Option<String>, DockerError> {
        trial::image(&self.engine, name).await
    }

    async fn start_trial(&self, spec: &TrialSpec) -> Result<Trial, DockerError> {
        self.starts.try_out(spec).await
    }
}

#[async_trait]
impl Docker for BollardDocker {
    async fn about(&self) -> Result<About, DockerError> {
        let client = self.engine.client().await?;
        let version = self.engine.within("ask Docker's version", ASK, client.version()).await?;
        let info = self.engine.within("ask about Docker", ASK, client.info()).await?;
        let local = self.engine.address.is_local();
        Ok(About {
            version: version.version.unwrap_or_default(),
            api: version.api_version.unwrap_or_default(),
            local: local && self.starts.starter().channel != Channel::Attached,
            data_root: info.docker_root_dir.filter(|path| local && Path::new(path).is_dir()),
        })
    }

    fn helper_image_id(&self) -> String {
        self.starts.starter().image.id().to_owned()
    }

    async fn volumes(&self) -> Result<Vec<Volume>, DockerError> {
        volumes::all(&self.engine).await
    }

    async fn volume(&self, name: &str) -> Result<Option<Volume>, DockerError> {
        volumes::one(&self.engine, name).await
    }

    async fn create_volume(&self, new: &NewVolume) -> Result<Volume, DockerError> {
        volumes::create(&self.engine, new).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), DockerError> {
        volumes::remove(&self.engine, name).await
    }

    async fn containers(&self) -> Result<Vec<Container>, DockerError> {
        containers::all(&self.engine).await
    }

    async fn container(&self, id: &str) -> Result<Option<Container>, DockerError> {
        containers::one(&self.engine, id).await
    }

    async fn stop(&self, id: &str, grace: Duration) -> Result<(), DockerError> {
        containers::stop(&self.engine, id, grace).await
    }

    async fn exit_status(&self, id: &str) -> Result<Option<i64>, DockerError> {
        containers::exit_status(&self.engine, id).await
    }

    async fn start(&self, id: &str) -> Result<(), DockerError> {
        containers::start(&self.engine, id).await
    }

    async fn pause(&self, id: &str) -> Result<(), DockerError> {
        containers::pause(&self.engine, id).await
    }

    async fn unpause(&self, id: &str) -> Result<(), DockerError> {
        containers::unpause(&self.engine, id).await
    }

    async fn set_restart_policy(&self, id: &str, policy: &str) -> Result<(), DockerError> {
        containers::set_restart_policy(&self.engine, id, policy).await
    }

    async fn exec(&self, spec: &ExecSpec) -> Result<Exec, DockerError> {
        exec::start(&self.engine, spec).await
    }

    async fn exec_runs(&self, container: &str, argv: &[String]) -> Result<bool, DockerError> {
        exec::runs(&self.engine, container, argv).await
    }

    async fn open_helper(&self, spec: &HelperSpec) -> Result<Helper, DockerError> {
        self.starts.open(spec).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, DockerError> {
        self.starts.none_is_on().await;
        containers::leftovers(&self.engine).await
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<(), DockerError> {
        life::remove(&self.engine, &leftover.id).await
    }

    async fn changes(&self) -> Result<Box<dyn Changes>, DockerError> {
        changes::subscribe(&self.engine).await
    }
}
