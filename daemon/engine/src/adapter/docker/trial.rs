//! Trials: a program of an image on this host, with one volume of ours and nothing else.
//!
//! Always true: what a trial may write besides its volume is in memory; places that its image calls volumes are there
//! too, for the engine would make real ones for them, without a name, that nobody removes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, ImageInspect, Mount,
    MountTmpfsOptions, MountType, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{CreateContainerOptions, LogsOptions};
use futures_util::stream::TryStreamExt as _;
use tokio::time::{Instant, sleep};

use super::call::{ASK, CHANGE, Engine, LIST, found};
use super::confinement::{OOM_SCORE, labels_of, limit, share, volume};
use super::helper_container::{also, random_digits};
use super::life::{Ended, LOOK_AFTER, LOOK_AFTER_MAX, ended_of, remove};
use super::{containers, volumes};
use crate::port::docker::{DockerError, DockerErrorKind, RUN_LABEL};
use crate::port::trial::{SAID_BYTES, Trial, TrialEnd, TrialLife, TrialMount, TrialSpec};

/// In memory, for what any program expects to be able to write.
const WRITABLE: [&str; 2] = ["/tmp", "/run"];

/// This part of its memory may be taken by what it writes there, and as much by what its processes share.
const WRITABLE_PART: u64 = 4;

/// A trial stands back for those who work.
const NICE: u8 = 10;

/// The engine keeps so much of its output on disk, in so many files.
const LOG: [(&str, &str); 2] = [("max-size", "1m"), ("max-file", "2")];

/// So many lines are asked for; what is kept of them is bounded by bytes.
const LINES: &str = "2000";

/// The id of an image on this host.
pub(super) async fn image(engine: &Engine, name: &str) -> Result<Option<String>, DockerError> {
    Ok(inspect(engine, name).await?.and_then(|image| image.id))
}

async fn inspect(engine: &Engine, name: &str) -> Result<Option<ImageInspect>, DockerError> {
    let client = engine.client().await?;
    found(engine.within(&format!("inspect image `{name}`"), ASK, client.inspect_image(name)).await)
}

pub(super) async fn start(engine: &Arc<Engine>, spec: &TrialSpec) -> Result<Trial, DockerError> {
    let Some(image) = inspect(engine, &spec.image).await? else {
        return Err(missing(&format!("start image `{}`", spec.image), "it is not on this host"));
    };
    if let Some(mount) = &spec.mount {
        demand_own_volume(engine, spec, mount).await?;
    }
    let id = create(engine, spec, &image).await?;
    match started(engine, &id).await {
        Ok((container, stillborn)) => {
            let life = Life { engine: Arc::clone(engine), id, stillborn };
            Ok(Trial { container, life: Box::new(life) })
        }
        Err(e) => match remove(engine, &id).await {
            Ok(()) => Err(e),
            Err(undone) => Err(also(e, &undone.to_string())),
        },
    }
}

/// A program writes to it that nobody trusts, so it must be one that was made for this.
async fn demand_own_volume(engine: &Engine, spec: &TrialSpec, mount: &TrialMount) -> Result<(), DockerError> {
    let found = volumes::one(engine, &mount.volume).await?;
    let run = found.as_ref().and_then(|volume| volume.labels.get(RUN_LABEL));
    if run.is_some_and(|run| *run == spec.run.to_string()) {
        return Ok(());
    }
    let why = if found.is_some() { "it was not made for this run" } else { "there is no such volume" };
    Err(missing(&format!("mount volume `{}`", mount.volume), why))
}

async fn create(engine: &Engine, spec: &TrialSpec, image: &ImageInspect) -> Result<String, DockerError> {
    let client = engine.client().await?;
    let declared = image.config.as_ref().and_then(|config| config.volumes.clone()).unwrap_or_default();
    let (program, arguments) = spec.argv.split_first().unzip();
    let body = ContainerCreateBody {
        image: Some(image.id.clone().unwrap_or_else(|| spec.image.clone())),
        entrypoint: Some(program.cloned().into_iter().collect()),
        cmd: Some(arguments.unwrap_or_default().to_vec()),
        user: Some(spec.user.clone()),
        labels: Some(labels_of(&spec.run, &spec.owner)),
        network_disabled: Some(true),
        // The image's own check would talk to the server too.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        host_config: Some(host_config(spec, &declared)),
        ..Default::default()
    };
    let name = format!("backupd-drill-{}-{}", spec.run, random_digits()?);
    let options = CreateContainerOptions { name: Some(name), ..Default::default() };
    let call = client.create_container(Some(options), body);
    Ok(engine.within("create the trial container", CHANGE, call).await?.id)
}

fn host_config(spec: &TrialSpec, declared: &[String]) -> HostConfig {
    let part = bytes(spec.memory_bytes / WRITABLE_PART);
    let mut mounts: Vec<Mount> = Vec::new();
    let mine = spec.mount.as_ref().map(|mount| mount.at.as_str());
    let places = WRITABLE.iter().copied().chain(declared.iter().map(String::as_str));
    for place in places.map(|place| place.trim_end_matches('/')).filter(|place| Some(*place) != mine) {
        if !place.is_empty() && !mounts.iter().any(|mount| mount.target.as_deref() == Some(place)) {
            mounts.push(in_memory(place, part));
        }
    }
    if let Some(mount) = &spec.mount {
        mounts.push(volume(&mount.volume, &mount.at, false, labels_of(&spec.run, &spec.owner)));
    }
    let log = LOG.map(|(name, value)| (name.to_owned(), value.to_owned()));
    HostConfig {
        auto_remove: Some(false),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(log.into_iter().collect()),
        }),
        network_mode: Some("none".to_owned()),
        ipc_mode: Some("private".to_owned()),
        shm_size: Some(part),
        readonly_rootfs: Some(true),
        privileged: Some(false),
        init: Some(false),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned(), "label=disable".to_owned()]),
        memory: Some(bytes(spec.memory_bytes)),
        // The same sum with swap: no swap at all.
        memory_swap: Some(bytes(spec.memory_bytes)),
        pids_limit: Some(spec.pids.into()),
        cpu_shares: share(NICE),
        ulimits: Some(vec![limit("core", 0)]),
        oom_score_adj: Some(OOM_SCORE),
        mounts: Some(mounts),
        ..Default::default()
    }
}

fn in_memory(place: &str, size_bytes: i64) -> Mount {
    Mount {
        target: Some(place.to_owned()),
        typ: Some(MountType::TMPFS),
        tmpfs_options: Some(MountTmpfsOptions {
            size_bytes: Some(size_bytes),
            // Whoever the program runs as; without a mode it is that of the image's folder.
            mode: Some(0o1777),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn bytes(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The started container, and its end if there is no such program in the image.
async fn started(
    engine: &Engine,
    id: &str,
) -> Result<(crate::port::docker::Container, Option<TrialEnd>), DockerError> {
    let stillborn = match containers::start(engine, id).await {
        Ok(()) => None,
        Err(e) => Some(not_a_program(e)?),
    };
    let container = containers::one(engine, id).await?;
    let gone = || missing(&format!("look at container `{id}`"), "someone removed it");
    Ok((container.ok_or_else(gone)?, stillborn))
}

/// The engine says in words that differ from version to version that it could not start a program.
fn not_a_program(error: DockerError) -> Result<TrialEnd, DockerError> {
    let says = |words: &[&str]| words.iter().any(|words| error.why.contains(words));
    let status = if says(&["executable file not found", "no such file or directory"]) {
        127
    } else if says(&["permission denied", "is a directory", "exec format error"]) {
        126
    } else {
        return Err(error);
    };
    Ok(TrialEnd { status, why: error.why, out_of_memory: false })
}

fn missing(deed: &str, why: &str) -> DockerError {
    DockerError { kind: DockerErrorKind::NotFound, deed: deed.to_owned(), why: why.to_owned() }
}

/// A trial's container.
struct Life {
    engine: Arc<Engine>,
    id: String,
    stillborn: Option<TrialEnd>,
}

impl Life {
    async fn seen(&self) -> Result<Option<TrialEnd>, DockerError> {
        if let Some(end) = &self.stillborn {
            return Ok(Some(end.clone()));
        }
        let Some(seen) = containers::inspect(&self.engine, &self.id).await? else {
            return Err(missing(&format!("look at container `{}`", self.id), "someone removed it"));
        };
        let state = seen.state.unwrap_or_default();
        let out_of_memory = state.oom_killed.unwrap_or(false);
        let end =
            |ended: Ended| TrialEnd { status: ended.status.unwrap_or(-1), why: ended.why, out_of_memory };
        Ok(ended_of(&state, "it").map(end))
    }
}

#[async_trait]
impl TrialLife for Life {
    async fn ended(&mut self, patience: Duration) -> Result<Option<TrialEnd>, DockerError> {
        let deadline = Instant::now() + patience;
        let mut pause = LOOK_AFTER;
        loop {
            let seen = self.seen().await;
            let left = deadline.saturating_duration_since(Instant::now());
            match seen {
                Ok(Some(end)) => return Ok(Some(end)),
                Ok(None) if left.is_zero() => return Ok(None),
                // An engine that is away for a while is waited for; it knows what ended meanwhile.
                Err(e) if left.is_zero() || e.kind != DockerErrorKind::Unreachable => return Err(e),
                Ok(None) | Err(_) => sleep(pause.min(left)).await,
            }
            pause = (pause * 2).min(LOOK_AFTER_MAX);
        }
    }

    async fn said(&self) -> Result<String, DockerError> {
        let client = self.engine.client().await?;
        let options =
            LogsOptions { stdout: true, stderr: true, tail: LINES.to_owned(), ..Default::default() };
        let lines =
            client.logs(&self.id, Some(options)).try_fold(Vec::new(), async |mut kept: Vec<u8>, line| {
                kept.extend_from_slice(line.as_ref());
                let over = kept.len().saturating_sub(SAID_BYTES);
                kept.drain(..over);
                Ok(kept)
            });
        let kept = self.engine.within("read what the trial said", LIST, lines).await?;
        Ok(String::from_utf8_lossy(&kept).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> TrialSpec {
        let mount = TrialMount { volume: "v".to_owned(), at: "/var/lib/db".to_owned() };
        TrialSpec {
            run: "00112233445566aa".parse().unwrap(),
            owner: "o".to_owned(),
            image: "i".to_owned(),
            argv: vec!["p".to_owned()],
            user: "999:999".to_owned(),
            mount: Some(mount),
            memory_bytes: 1 << 30,
            pids: 100,
        }
    }

    #[test]
    fn a_trial_has_one_real_mount_and_no_way_out() {
        let declared = ["/var/lib/db", "/var/lib/other/", "/tmp"].map(str::to_owned);
        let config = host_config(&spec(), &declared);
        let mounts = config.mounts.unwrap();
        let seen: Vec<_> = mounts.iter().map(|mount| (mount.target.as_deref().unwrap(), mount.typ)).collect();
        let tmpfs = Some(MountType::TMPFS);
        assert_eq!(
            seen,
            [
                ("/tmp", tmpfs),
                ("/run", tmpfs),
                ("/var/lib/other", tmpfs),
                ("/var/lib/db", Some(MountType::VOLUME))
            ]
        );
        assert_eq!((config.network_mode.as_deref(), config.readonly_rootfs), (Some("none"), Some(true)));
        assert_eq!((config.cap_drop, config.cap_add), (Some(vec!["ALL".to_owned()]), None));
        assert_eq!(config.memory, config.memory_swap);
        assert!(config.binds.is_none() && config.devices.is_none() && config.tmpfs.is_none());
    }

    #[test]
    fn a_program_that_is_not_there_is_told_from_an_engine_that_fails() {
        let error = |why: &str| DockerError {
            kind: DockerErrorKind::Other,
            deed: "start".to_owned(),
            why: why.to_owned(),
        };
        let status = |why: &str| not_a_program(error(why)).map(|end| end.status).ok();
        assert_eq!(
            status("exec: \"pg_amcheck\": executable file not found in $PATH (status 400)"),
            Some(127)
        );
        assert_eq!(status("exec: \"/x\": stat /x: no such file or directory: unknown"), Some(127));
        assert_eq!(status("exec: \"/etc\": permission denied"), Some(126));
        assert_eq!(status("no space left on device"), None);
    }
}
