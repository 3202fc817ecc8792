//! Volumes. Nothing here makes one but [`create`], and that never takes over one that exists.

use std::collections::{BTreeMap, HashMap};

use bollard::models;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};

use super::call::{ASK, CHANGE, Engine, LIST, found};
use crate::port::docker::{DockerError, DockerErrorKind, NewVolume, Volume};

/// Newer engines mark volumes that they named themselves.
const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

pub(super) async fn all(engine: &Engine) -> Result<Vec<Volume>, DockerError> {
    let client = engine.client().await?;
    let call = client.list_volumes(None::<ListVolumesOptions>);
    let answer = engine.within("list volumes", LIST, call).await?;
    let mut volumes: Vec<_> = answer.volumes.unwrap_or_default().into_iter().map(volume).collect();
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(volumes)
}

pub(super) async fn one(engine: &Engine, name: &str) -> Result<Option<Volume>, DockerError> {
    let client = engine.client().await?;
    let deed = format!("inspect volume `{name}`");
    let answer = engine.within(&deed, ASK, client.inspect_volume(name)).await;
    Ok(found(answer)?.map(volume))
}

pub(super) async fn create(engine: &Engine, new: &NewVolume) -> Result<Volume, DockerError> {
    let deed = format!("create volume `{}`", new.name);
    let taken =
        |why: &str| DockerError { kind: DockerErrorKind::Conflict, deed: deed.clone(), why: why.to_owned() };
    // Docker answers "created" for a volume that exists already.
    if one(engine, &new.name).await?.is_some() {
        return Err(taken("a volume of that name exists"));
    }
    let client = engine.client().await?;
    let driver = if new.driver.is_empty() { "local" } else { &new.driver };
    let request = models::VolumeCreateRequest {
        name: Some(new.name.clone()),
        driver: Some(driver.to_owned()),
        driver_opts: Some(new.options.clone().into_iter().collect()),
        labels: Some(new.labels.clone().into_iter().collect()),
        cluster_volume_spec: None,
    };
    let made = volume(engine.within(&deed, CHANGE, client.create_volume(request)).await?);
    // Someone may have made it in between; theirs is not ours to fill unless it is what we wanted.
    if made.driver != driver || made.options != new.options || made.labels != new.labels {
        return Err(taken("someone else made a volume of that name at the same moment"));
    }
    Ok(made)
}

pub(super) async fn remove(engine: &Engine, name: &str) -> Result<(), DockerError> {
    let client = engine.client().await?;
    let options = Some(RemoveVolumeOptions { force: false });
    engine.within(&format!("remove volume `{name}`"), CHANGE, client.remove_volume(name, options)).await
}

fn volume(v: models::Volume) -> Volume {
    let made_up = v.name.len() == 64 && v.name.bytes().all(|b| b.is_ascii_hexdigit());
    Volume {
        anonymous: made_up || v.labels.contains_key(ANONYMOUS_LABEL),
        name: v.name,
        driver: v.driver,
        options: sorted(v.options),
        labels: sorted(v.labels),
        mountpoint: Some(v.mountpoint).filter(|path| !path.is_empty()),
        created_at: v.created_at.and_then(|text| text.parse().ok()),
    }
}

pub(super) fn sorted(map: HashMap<String, String>) -> BTreeMap<String, String> {
    map.into_iter().collect()
}
