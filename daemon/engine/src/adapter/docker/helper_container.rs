//! Starting a helper: image, container, channel. Either it is connected in the end, or nothing of it is left.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{AttachContainerOptions, CreateContainerOptions};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use super::attached::Output;
use super::call::{CHANGE, Engine, START};
use super::confinement::{NEW_LABEL, SCRATCH, SOCKET_FOLDER, SOURCE, SocketMount, host_config, labels};
use super::doorway::{Doorway, SOCKET};
use super::image::HelperImage;
use super::life::Life;
use super::{containers, volumes};
use crate::port::docker::{Access, DockerError, DockerErrorKind, Helper, HelperMount, HelperSpec};

/// A helper connects in a tenth of a second; on a host that is out of breath it takes its time.
const CONNECT: Duration = Duration::from_secs(60);

/// While it has not connected, look whether it still lives.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Creating is tried again when the image went away in between.
const TRIES: usize = 3;

/// How helpers are started on one engine.
pub(super) struct Starter {
    pub(super) engine: Arc<Engine>,
    pub(super) image: HelperImage,
    pub(super) channel: Channel,
}

/// How a helper's bytes travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Channel {
    /// A socket in a folder of ours under `run_dir`, mounted into the helper.
    Folder { run_dir: PathBuf },
    /// A socket in a volume that is mounted into our own container at `run_dir`.
    Volume { run_dir: PathBuf, name: String },
    /// Through the engine.
    Attached,
}

impl Starter {
    pub(super) async fn open(&self, spec: &HelperSpec) -> Result<Helper, DockerError> {
        if let HelperMount::Volume(name) = &spec.mount {
            self.demand_volume(name).await?;
        }
        let name = format!("backupd-{}-{}", spec.run, random_digits()?);
        match &self.channel {
            Channel::Folder { run_dir } => {
                let door = doorway(run_dir, &name)?;
                let folder = door.folder().display().to_string();
                let inside = format!("{SOCKET_FOLDER}/{SOCKET}");
                self.through_socket(spec, &name, &door, &SocketMount::Folder(&folder), inside).await
            }
            Channel::Volume { run_dir, name: volume } => {
                self.demand_volume(volume).await?;
                let door = doorway(run_dir, &name)?;
                let inside = format!("{SOCKET_FOLDER}/{name}/{SOCKET}");
                self.through_socket(spec, &name, &door, &SocketMount::Volume(volume), inside).await
            }
            Channel::Attached => self.through_engine(spec, &name).await,
        }
    }

    /// The engine would make a missing volume, empty, and say nothing.
    async fn demand_volume(&self, name: &str) -> Result<(), DockerError> {
        match volumes::one(&self.engine, name).await? {
            Some(_exists) => Ok(()),
            None => Err(no_volume(name)),
        }
    }

    async fn through_socket(
        &self,
        spec: &HelperSpec,
        name: &str,
        door: &Doorway,
        mount: &SocketMount<'_>,
        inside: String,
    ) -> Result<Helper, DockerError> {
        let life = self.create(spec, name, mount, vec!["--socket".to_owned(), inside]).await?;
        let connected = async {
            containers::start(&self.engine, &life.id).await?;
            connection(door, &life).await
        };
        match connected.await {
            Ok(stream) => {
                let (from, to) = stream.into_split();
                Ok(Helper { from: Box::new(from), to: Box::new(to), life: Box::new(life) })
            }
            Err(e) => Err(undo(&life, e).await),
        }
    }

    async fn through_engine(&self, spec: &HelperSpec, name: &str) -> Result<Helper, DockerError> {
        let mut life = self.create(spec, name, &SocketMount::None, vec!["--stdio".to_owned()]).await?;
        let attached = async {
            let client = self.engine.client().await?;
            let options = AttachContainerOptions {
                stream: true,
                stdin: true,
                stdout: true,
                stderr: true,
                ..Default::default()
            };
            let call = client.attach_container(&life.id, Some(options));
            // Before the start: without a log driver, what is said earlier is lost.
            let streams = self.engine.within("attach to the helper", START, call).await?;
            containers::start(&self.engine, &life.id).await?;
            Ok(streams)
        };
        match attached.await {
            Ok(streams) => {
                let (output, words) = Output::of(streams.output);
                life.words = Some(words);
                Ok(Helper { from: Box::new(output), to: Box::new(streams.input), life: Box::new(life) })
            }
            Err(e) => Err(undo(&life, e).await),
        }
    }

    async fn create(
        &self,
        spec: &HelperSpec,
        name: &str,
        mount: &SocketMount<'_>,
        channel: Vec<String>,
    ) -> Result<Life, DockerError> {
        let client = self.engine.client().await?;
        let attached = matches!(mount, SocketMount::None);
        let mut cmd = channel;
        cmd.extend(["--root".to_owned(), SOURCE.to_owned()]);
        if spec.nice > 0 {
            cmd.extend(["--nice".to_owned(), spec.nice.to_string()]);
        }
        if spec.scratch {
            cmd.extend(["--scratch".to_owned(), SCRATCH.to_owned()]);
        }
        let mut last = None;
        for _ in 0..TRIES {
            let body = ContainerCreateBody {
                image: Some(self.image.ensure(&self.engine).await?.to_owned()),
                cmd: Some(cmd.clone()),
                user: Some("0:0".to_owned()),
                labels: Some(labels(spec)),
                network_disabled: Some(true),
                attach_stdin: Some(attached),
                attach_stdout: Some(attached),
                attach_stderr: Some(attached),
                open_stdin: Some(attached),
                stdin_once: Some(attached),
                host_config: Some(host_config(spec, mount)),
                ..Default::default()
            };
            let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
            let call = client.create_container(Some(options), body);
            match self.engine.within("create the helper container", CHANGE, call).await {
                Ok(made) => {
                    let life = Life { engine: Arc::clone(&self.engine), id: made.id, words: None };
                    return match self.refuse_new_volume(spec).await {
                        Ok(()) => Ok(life),
                        Err(e) => Err(self.undo_with_volume(spec, &life, e).await),
                    };
                }
                // The image was there a moment ago; someone prunes.
                Err(e) if e.kind == DockerErrorKind::NotFound && e.why.contains("image") => last = Some(e),
                Err(e) => return Err(e),
            }
        }
        Err(last.unwrap_or_else(|| no_source(spec)))
    }

    /// A volume that went away after we looked is made anew by the engine: with the labels of our mount.
    async fn refuse_new_volume(&self, spec: &HelperSpec) -> Result<(), DockerError> {
        let HelperMount::Volume(name) = &spec.mount else { return Ok(()) };
        let volume = volumes::one(&self.engine, name).await?;
        let made_for_us = volume.as_ref().and_then(|v| v.labels.get(NEW_LABEL));
        if volume.is_none() || made_for_us.is_some_and(|run| *run == spec.run.to_string()) {
            return Err(no_volume(name));
        }
        Ok(())
    }

    async fn undo_with_volume(&self, spec: &HelperSpec, life: &Life, error: DockerError) -> DockerError {
        let error = undo(life, error).await;
        match &spec.mount {
            HelperMount::Volume(name) if error.kind == DockerErrorKind::NotFound => {
                match volumes::remove(&self.engine, name).await {
                    Ok(()) => error,
                    Err(e) if e.kind == DockerErrorKind::NotFound => error,
                    Err(e) => also(error, &format!("Docker made it anew, empty, and it stays: {e}")),
                }
            }
            HelperMount::Volume(_) | HelperMount::Folder(_) => error,
        }
    }
}

/// The helper's connection, or why it will not come.
async fn connection(door: &Doorway, life: &Life) -> Result<UnixStream, DockerError> {
    let deed = "connect to the helper";
    let deadline = Instant::now() + CONNECT;
    while Instant::now() < deadline {
        tokio::select! {
            stream = door.accept() => return stream.map_err(|e| other(deed, e.to_string())),
            () = sleep(LOOK_AGAIN) => {}
        }
        if let Some(ended) = life.ended().await? {
            return Err(life.died(deed, &ended));
        }
    }
    Err(DockerError {
        kind: DockerErrorKind::Unreachable,
        deed: deed.to_owned(),
        why: format!(
            "it runs, but did not connect to `{}` within {} s; if the engine runs in a virtual machine, set the \
             helper's channel to `attach`",
            door.folder().join(SOCKET).display(),
            CONNECT.as_secs(),
        ),
    })
}

async fn undo(life: &Life, error: DockerError) -> DockerError {
    match life.remove().await {
        Ok(()) => error,
        Err(e) => also(error, &e.to_string()),
    }
}

pub(super) fn also(error: DockerError, more: &str) -> DockerError {
    DockerError { why: format!("{} (and {more})", error.why), ..error }
}

fn doorway(run_dir: &Path, name: &str) -> Result<Doorway, DockerError> {
    Doorway::open(run_dir, name)
        .map_err(|e| other(&format!("open the helper's socket under `{}`", run_dir.display()), e.to_string()))
}

pub(super) fn random_digits() -> Result<String, DockerError> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(|e| other("name the helper", e.to_string()))?;
    Ok(format!("{:02x}{:02x}", bytes[0], bytes[1]))
}

fn other(deed: &str, why: String) -> DockerError {
    DockerError { kind: DockerErrorKind::Other, deed: deed.to_owned(), why }
}

fn no_volume(name: &str) -> DockerError {
    DockerError {
        kind: DockerErrorKind::NotFound,
        deed: format!("open volume `{name}`"),
        why: "there is no such volume".to_owned(),
    }
}

fn no_source(spec: &HelperSpec) -> DockerError {
    let access = if spec.access == Access::Read { "read" } else { "write" };
    other(&format!("start a helper to {access} {:?}", spec.mount), "the engine loses its image".to_owned())
}
