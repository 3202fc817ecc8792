//! Other people's containers: what they are, stopping and starting them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum as Status, ContainerUpdateBody, HealthStatusEnum,
    MountPoint, RestartPolicy, RestartPolicyNameEnum as PolicyName,
};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptions, StartContainerOptions, StopContainerOptions,
};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::call::{ASK, CHANGE, Engine, LIST, START, STOP_EXTRA, found};
use super::volumes::sorted;
use crate::port::docker::{
    Container, ContainerState, DockerError, DockerErrorKind, Health, Leftover, Mount, MountOf, OWNER_LABEL,
    RUN_LABEL, VERSION_VARIABLES,
};

/// The list tells neither health nor restart policy nor start time, so each container is asked; so many at once.
const ASKED_AT_ONCE: usize = 8;

pub(super) async fn all(engine: &Arc<Engine>) -> Result<Vec<Container>, DockerError> {
    let ids = list(engine, None).await?.into_iter().filter_map(|c| c.id);
    let mut containers: Vec<Container> = stream::iter(ids)
        .map(|id| {
            let engine = Arc::clone(engine);
            async move { one(&engine, &id).await }
        })
        .buffer_unordered(ASKED_AT_ONCE)
        // One that went away between the list and the question is simply not there.
        .try_filter_map(async |container| Ok(container))
        .try_collect()
        .await?;
    containers.retain(|c| !c.labels.contains_key(RUN_LABEL));
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(containers)
}

pub(super) async fn one(engine: &Engine, id: &str) -> Result<Option<Container>, DockerError> {
    Ok(inspect(engine, id).await?.map(|found| container(found, engine.ourselves.as_deref())))
}

pub(super) async fn inspect(
    engine: &Engine,
    id: &str,
) -> Result<Option<ContainerInspectResponse>, DockerError> {
    let client = engine.client().await?;
    let call = client.inspect_container(id, None::<InspectContainerOptions>);
    found(engine.within(&format!("inspect container `{id}`"), ASK, call).await)
}

/// No container is waited for longer than this before it is killed, whatever it was made with.
const STOP_MAX: Duration = Duration::from_secs(3600);

pub(super) async fn stop(engine: &Engine, id: &str, grace: Duration) -> Result<(), DockerError> {
    let own = inspect(engine, id).await?.and_then(|c| c.config).and_then(|config| config.stop_timeout);
    let grace = patience(own, grace);
    let client = engine.client().await?;
    let seconds = grace.as_secs().saturating_add(u64::from(grace.subsec_nanos() > 0));
    let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
    let call = client.stop_container(id, Some(StopContainerOptions { signal: None, t: Some(seconds) }));
    engine.within(&format!("stop container `{id}`"), grace.saturating_add(STOP_EXTRA), call).await
}

pub(super) async fn exit_status(engine: &Engine, id: &str) -> Result<Option<i64>, DockerError> {
    let client = engine.client().await?;
    let call = client.inspect_container(id, None::<InspectContainerOptions>);
    let seen = engine.within(&format!("inspect container `{id}`"), ASK, call).await?;
    let ended = |status: Option<Status>| matches!(status, Some(Status::EXITED | Status::DEAD));
    Ok(seen.state.filter(|state| ended(state.status)).and_then(|state| state.exit_code))
}

/// A container that was made with more time to end gets it: a database that is killed while it writes out what it holds
/// has not been stopped.
fn patience(own: Option<i64>, grace: Duration) -> Duration {
    let own = match own {
        None => Duration::ZERO,
        // Fewer than none is for ever.
        Some(seconds) => u64::try_from(seconds).map_or(STOP_MAX, Duration::from_secs),
    };
    grace.max(own.min(STOP_MAX))
}

pub(super) async fn start(engine: &Engine, id: &str) -> Result<(), DockerError> {
    let client = engine.client().await?;
    let call = client.start_container(id, None::<StartContainerOptions>);
    engine.within(&format!("start container `{id}`"), START, call).await
}

pub(super) async fn pause(engine: &Engine, id: &str) -> Result<(), DockerError> {
    let client = engine.client().await?;
    let done = engine.within(&format!("pause container `{id}`"), CHANGE, client.pause_container(id)).await;
    unless(engine, id, ContainerState::Paused, done).await
}

pub(super) async fn unpause(engine: &Engine, id: &str) -> Result<(), DockerError> {
    let client = engine.client().await?;
    let deed = format!("unpause container `{id}`");
    let done = engine.within(&deed, CHANGE, client.unpause_container(id)).await;
    unless(engine, id, ContainerState::Running, done).await
}

/// The engine refuses what is so already, in words that differ from version to version.
async fn unless(
    engine: &Engine,
    id: &str,
    wanted: ContainerState,
    done: Result<(), DockerError>,
) -> Result<(), DockerError> {
    let Err(refused) = done else { return Ok(()) };
    match one(engine, id).await {
        Ok(Some(found)) if found.state == wanted => Ok(()),
        Ok(Some(found)) if found.state == ContainerState::Down => {
            Err(DockerError { kind: DockerErrorKind::Conflict, ..refused })
        }
        Ok(_) | Err(_) => Err(refused),
    }
}

pub(super) async fn set_restart_policy(engine: &Engine, id: &str, policy: &str) -> Result<(), DockerError> {
    let deed = format!("set the restart policy of container `{id}` to `{policy}`");
    let restart_policy = parse_policy(policy).ok_or_else(|| DockerError {
        kind: DockerErrorKind::Other,
        deed: deed.clone(),
        why: "it is none of `no`, `always`, `unless-stopped`, `on-failure:N`".to_owned(),
    })?;
    let client = engine.client().await?;
    let body = ContainerUpdateBody { restart_policy: Some(restart_policy), ..Default::default() };
    engine.within(&deed, CHANGE, client.update_container(id, body)).await
}

pub(super) async fn leftovers(engine: &Engine) -> Result<Vec<Leftover>, DockerError> {
    let filters = HashMap::from([("label".to_owned(), vec![RUN_LABEL.to_owned(), OWNER_LABEL.to_owned()])]);
    let listed = list(engine, Some(filters)).await?;
    Ok(listed
        .into_iter()
        .filter_map(|c| {
            let labels = c.labels.unwrap_or_default();
            Some(Leftover {
                id: c.id?,
                // A label of that name with another form of value was not written by us.
                run: labels.get(RUN_LABEL)?.parse().ok()?,
                owner: labels.get(OWNER_LABEL)?.clone(),
                created_at: c.created.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()),
            })
        })
        .collect())
}

async fn list(
    engine: &Engine,
    filters: Option<HashMap<String, Vec<String>>>,
) -> Result<Vec<bollard::models::ContainerSummary>, DockerError> {
    let client = engine.client().await?;
    let options = ListContainersOptions { all: true, filters, ..Default::default() };
    engine.within("list containers", LIST, client.list_containers(Some(options))).await
}

fn container(c: ContainerInspectResponse, ourselves: Option<&str>) -> Container {
    let id = c.id.unwrap_or_default();
    let config = c.config.unwrap_or_default();
    let host = c.host_config.unwrap_or_default();
    let state = c.state.unwrap_or_default();
    Container {
        has_us: ourselves == Some(id.as_str()),
        id,
        name: c.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image: config.image.unwrap_or_default(),
        image_id: c.image.unwrap_or_default(),
        state: match state.status {
            Some(Status::RUNNING | Status::STOPPING) => ContainerState::Running,
            Some(Status::PAUSED) => ContainerState::Paused,
            Some(Status::RESTARTING) => ContainerState::Restarting,
            Some(Status::EMPTY | Status::CREATED | Status::REMOVING | Status::EXITED | Status::DEAD)
            | None => ContainerState::Down,
        },
        health: match state.health.and_then(|health| health.status) {
            Some(HealthStatusEnum::STARTING) => Health::Starting,
            Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
            Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
            Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) | None => Health::None,
        },
        started_at: state.started_at.and_then(|text| time(&text)),
        restart_policy: print_policy(host.restart_policy),
        labels: sorted(config.labels.unwrap_or_default()),
        mounts: c.mounts.unwrap_or_default().into_iter().map(mount).collect(),
        auto_remove: host.auto_remove.unwrap_or(false),
        versions: versions(&config.env.unwrap_or_default()),
    }
}

fn mount(m: MountPoint) -> Mount {
    let of = match (m.typ.as_deref(), m.name, m.source) {
        (Some("volume"), Some(name), _) => MountOf::Volume { name },
        (Some("bind"), _, Some(path)) => MountOf::Bind { path },
        _ => MountOf::Other,
    };
    Mount { of, at: m.destination.unwrap_or_default(), writable: m.rw.unwrap_or(false) }
}

/// An environment holds secrets too, so only what is known to be none leaves this file.
fn versions(environment: &[String]) -> BTreeMap<String, String> {
    let pairs = environment.iter().filter_map(|line| line.split_once('='));
    let known = pairs.filter(|(name, _)| VERSION_VARIABLES.contains(name));
    known.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Docker says "year one" for never.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|at| *at > Timestamp::UNIX_EPOCH)
}

fn print_policy(policy: Option<RestartPolicy>) -> String {
    let (name, tries) = policy.map_or((None, None), |p| (p.name, p.maximum_retry_count));
    match (name, tries) {
        (Some(PolicyName::ALWAYS), _) => "always".to_owned(),
        (Some(PolicyName::UNLESS_STOPPED), _) => "unless-stopped".to_owned(),
        (Some(PolicyName::ON_FAILURE), None | Some(0)) => "on-failure".to_owned(),
        (Some(PolicyName::ON_FAILURE), Some(tries)) => format!("on-failure:{tries}"),
        (Some(PolicyName::EMPTY | PolicyName::NO) | None, _) => "no".to_owned(),
    }
}

fn parse_policy(text: &str) -> Option<RestartPolicy> {
    let (name, maximum_retry_count) = match text {
        "no" => (PolicyName::NO, None),
        "always" => (PolicyName::ALWAYS, None),
        "unless-stopped" => (PolicyName::UNLESS_STOPPED, None),
        "on-failure" => (PolicyName::ON_FAILURE, None),
        _ => (PolicyName::ON_FAILURE, Some(text.strip_prefix("on-failure:")?.parse::<u32>().ok()?.into())),
    };
    Some(RestartPolicy { name: Some(name), maximum_retry_count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies_come_back_as_they_were_read() {
        for text in ["no", "always", "unless-stopped", "on-failure", "on-failure:3"] {
            assert_eq!(print_policy(parse_policy(text)), text);
        }
        for text in ["", "never", "on-failure:-1", "on-failure:x", "Always"] {
            assert!(parse_policy(text).is_none(), "{text}");
        }
        assert_eq!(print_policy(None), "no");
    }

    #[test]
    fn of_an_environment_only_versions_are_kept() {
        let environment =
            ["POSTGRES_PASSWORD=secret", "PG_MAJOR=15", "PG_MAJORS=1", "PG_MAJOR"].map(str::to_owned);
        assert_eq!(versions(&environment), BTreeMap::from([("PG_MAJOR".to_owned(), "15".to_owned())]));
    }

    #[test]
    fn a_container_that_asks_for_more_time_to_end_gets_it() {
        let check = |own, want| {
            assert_eq!(patience(own, Duration::from_secs(120)), Duration::from_secs(want), "{own:?}");
        };
        check(None, 120);
        check(Some(10), 120);
        check(Some(600), 600);
        check(Some(86_400), 3600);
        check(Some(-1), 3600);
    }

    #[test]
    fn year_one_means_never_started() {
        assert_eq!(time("0001-01-01T00:00:00Z"), None);
        assert!(time("2026-11-21T02:00:00.123456789Z").is_some());
        assert_eq!(time("soon"), None);
    }
}
