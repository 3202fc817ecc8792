//! The scratch volume of a drill, an import or a helper, and the removal of all that they make.
//!
//! Always true: a volume is removed only if its labels say that this installation made it for that run, and its name or a
//! third label what for; and containers go before it, so nobody writes to it any more.

use crate::catalog::CatalogError;
use crate::failure::Failure;
use crate::port::docker::{
    Docker, DockerErrorKind, NewVolume, OWNER_LABEL, RUN_LABEL, SCRATCH_LABEL, Volume,
};
use crate::usecase::blame;
use crate::usecase::host::Host;
use crate::usecase::recover::sweep;
use crate::words::RunId;

const PREFIX: &str = "backupd-scratch-";

/// Whose row was lost with the catalog has ended after this, or holds its volume.
const STRAY_AGE_SECONDS: i64 = 24 * 3600;

/// What the volume of a run is called.
pub(crate) fn name(run: &RunId) -> String {
    format!("{PREFIX}{run}")
}

/// The volume of a run.
pub(crate) fn volume(owner: &str, run: &RunId) -> NewVolume {
    let labels = [(RUN_LABEL.to_owned(), run.to_string()), (OWNER_LABEL.to_owned(), owner.to_owned())];
    NewVolume { name: name(run), labels: labels.into(), ..NewVolume::default() }
}

/// Whether one of ours made it: nothing that anybody would back up.
pub(crate) fn is_scratch(volume: &Volume) -> bool {
    run_of(volume).is_some()
}

/// The run that it was made for.
fn run_of(volume: &Volume) -> Option<RunId> {
    let run: RunId = volume.labels.get(RUN_LABEL)?.parse().ok()?;
    let is_scratch = volume.name == name(&run) || volume.labels.contains_key(SCRATCH_LABEL);
    (is_scratch && volume.labels.contains_key(OWNER_LABEL)).then_some(run)
}

fn is_of(volume: &Volume, owner: &str) -> bool {
    volume.labels.get(OWNER_LABEL).is_some_and(|of| of == owner)
}

/// Removes all that a run made. Twice is once.
pub(crate) async fn clear(docker: &dyn Docker, owner: &str, run: &RunId) -> Result<(), Failure> {
    sweep(docker, owner, run).await?;
    let name = name(run);
    let what = || format!("remove scratch volume `{name}`");
    let found = docker.volume(&name).await.map_err(|e| blame::docker(what(), e))?;
    if !found.is_some_and(|volume| is_scratch(&volume) && is_of(&volume, owner)) {
        return Ok(());
    }
    match docker.remove_volume(&name).await {
        Err(e) if e.kind != DockerErrorKind::NotFound => Err(blame::docker(what(), e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes scratch volumes of this installation whose run is over, or that nobody knows and that are old. Trouble with
/// one is no trouble for whoever asks; the next one tries again.
pub(crate) async fn clear_strays(host: &Host, docker: &dyn Docker) {
    let owner = host.owner();
    let Ok(volumes) = docker.volumes().await else { return };
    let now = host.clock().now().as_second();
    for volume in volumes.iter().filter(|volume| is_of(volume, &owner)) {
        let Some(run) = run_of(volume) else { continue };
        let stray = match host.catalog().run(&run) {
            Ok(row) => row.ended_at.is_some(),
            Err(CatalogError::NoRun(_)) => {
                volume.created_at.is_some_and(|at| now - at.as_second() > STRAY_AGE_SECONDS)
            }
            Err(_) => false,
        };
        if stray && let Err(failure) = clear(docker, &owner, &run).await {
            tracing::debug!("{failure}");
        }
        // A helper's own goes with its container, unless somebody removed that without it.
        let is_helpers = volume.labels.contains_key(SCRATCH_LABEL);
        if stray
            && is_helpers
            && let Err(e) = docker.remove_volume(&volume.name).await
        {
            tracing::debug!("remove scratch volume `{}`: {e}", volume.name);
        }
    }
}
