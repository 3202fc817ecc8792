//! What every container engine does alike with trials: the real one, and the twin. As in `docker_contract`.

use std::time::Duration;

use crate::port::docker::{
    Access, ContainerState, Docker, DockerError, DockerErrorKind as Kind, HelperSpec, Leftover, NewVolume,
    OWNER_LABEL, RUN_LABEL,
};
use crate::port::trial::{TrialMount, TrialSpec};
use crate::testing::docker_contract;
use crate::words::RunId;

const PATIENCE: Duration = Duration::from_secs(20);

/// Programs of one image.
#[derive(Debug, Clone, Copy)]
pub struct Programs<'a> {
    /// The image, by name or id.
    pub image: &'a str,
    /// Says `cannot` on its standard error, and ends with status 3.
    pub ends: &'a [&'a str],
    /// Runs until it is stopped.
    pub stays: &'a [&'a str],
}

/// A small trial of a new run, without a mount.
pub fn trial(image: &str, argv: &[&str]) -> TrialSpec {
    TrialSpec {
        run: RunId::random().expect("random bytes"),
        owner: "contract".to_owned(),
        image: image.to_owned(),
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        user: "65534:65534".to_owned(),
        mount: None,
        memory_bytes: 64 << 20,
        pids: 32,
    }
}

#[track_caller]
fn fails<T>(result: Result<T, DockerError>, kind: Kind) {
    match result {
        Ok(_) => panic!("was done, and should have failed with {kind:?}"),
        Err(e) => assert_eq!(e.kind, kind, "{e}"),
    }
}

async fn leftovers_of(docker: &dyn Docker, run: &RunId) -> Vec<Leftover> {
    let mut all = docker.leftovers().await.expect("leftovers");
    all.retain(|leftover| leftover.run == *run);
    all
}

async fn remove(docker: &dyn Docker, run: &RunId) {
    for leftover in leftovers_of(docker, run).await {
        docker.remove_leftover(&leftover).await.expect("remove leftover");
    }
    assert_eq!(leftovers_of(docker, run).await, []);
}

fn mounted(spec: TrialSpec, volume: &str) -> TrialSpec {
    let mount = TrialMount { volume: volume.to_owned(), at: "/data".to_owned() };
    TrialSpec { mount: Some(mount), ..spec }
}

/// Neither an image nor a volume is made or fetched for a trial, and no volume of others is taken.
pub async fn a_trial_takes_what_is_there_and_its_own(
    docker: &dyn Docker,
    prefix: &str,
    programs: Programs<'_>,
) {
    let nowhere = format!("{prefix}-no-such-image:1");
    assert_eq!(docker.image(&nowhere).await.expect("ask"), None);
    let id = docker.image(programs.image).await.expect("ask").expect("it is there");
    assert_eq!(docker.image(&id).await.expect("ask").as_ref(), Some(&id));

    let spec = trial(&nowhere, programs.ends);
    fails(docker.start_trial(&spec).await, Kind::NotFound);
    let volume = format!("{prefix}-trial-theirs");
    let spec = mounted(trial(programs.image, programs.ends), &volume);
    fails(docker.start_trial(&spec).await, Kind::NotFound);
    assert_eq!(docker.volume(&volume).await.expect("ask"), None);
    docker.create_volume(&NewVolume { name: volume.clone(), ..Default::default() }).await.expect("create");
    fails(docker.start_trial(&spec).await, Kind::NotFound);
    assert_eq!(leftovers_of(docker, &spec.run).await, []);
    docker.remove_volume(&volume).await.expect("remove");
}

/// A program runs to its end, or until it is stopped; it is seen by its labels alone, and holds its volume.
pub async fn a_trial_lives_by_its_labels(docker: &dyn Docker, prefix: &str, programs: Programs<'_>) {
    let ends = trial(programs.image, programs.ends);
    let mut started = docker.start_trial(&ends).await.expect("start");
    let end = started.life.ended(PATIENCE).await.expect("ask").expect("it ended");
    assert_eq!(end.status, 3, "{}", end.why);
    assert!(started.life.said().await.expect("said").contains("cannot"));
    assert_eq!(leftovers_of(docker, &ends.run).await.len(), 1);
    remove(docker, &ends.run).await;
    fails(started.life.said().await, Kind::NotFound);

    let unknown = trial(programs.image, &["backupd-no-such-program"]);
    let mut started = docker.start_trial(&unknown).await.expect("start");
    assert_eq!(started.life.ended(PATIENCE).await.expect("ask").map(|end| end.status), Some(127));
    remove(docker, &unknown.run).await;

    let volume = format!("{prefix}-trial");
    let stays = mounted(trial(programs.image, programs.stays), &volume);
    let labels =
        [(RUN_LABEL.to_owned(), stays.run.to_string()), (OWNER_LABEL.to_owned(), stays.owner.clone())];
    let new = NewVolume { name: volume.clone(), labels: labels.into(), ..Default::default() };
    docker.create_volume(&new).await.expect("create");
    // It is filled first, by a helper of the same run.
    let fills = HelperSpec { run: stays.run.clone(), ..docker_contract::spec(&volume, Access::Write) };
    docker.open_helper(&fills).await.expect("open helper").life.kill().await.expect("kill");
    let mut started = docker.start_trial(&stays).await.expect("start");
    assert_eq!(started.life.ended(Duration::from_millis(300)).await.expect("ask"), None);
    let id = started.container.id.clone();
    let seen = docker.container(&id).await.expect("ask").expect("it is there");
    assert_eq!((seen.state, seen.mounts.len()), (ContainerState::Running, started.container.mounts.len()));
    let others = docker.containers().await.expect("containers");
    assert!(others.iter().all(|c| c.id != id), "a trial is listed among the containers");
    fails(docker.remove_volume(&volume).await, Kind::Conflict);
    docker.stop(&id, Duration::from_secs(1)).await.expect("stop");
    assert!(started.life.ended(PATIENCE).await.expect("ask").is_some());
    remove(docker, &stays.run).await;
    docker.remove_volume(&volume).await.expect("remove");
}
