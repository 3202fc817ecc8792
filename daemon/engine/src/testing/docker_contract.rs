//! What every container engine behind the Docker port does alike: the real one, and the twin.
//!
//! Each function makes what it needs under names that begin with `prefix`, and removes it again. They panic
//! at the first thing that is not as the port says.

use std::time::Duration;

use archive::channel::{
    Hello, Job, Looked, PROTOCOL, RECORD_HEADER_BYTES, RecordKind, parse_header, parse_json, write_json,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::port::changes::{Change, Changes, Happened, Thing};
use crate::port::docker::{
    Access, Container, ContainerState, Docker, DockerError, DockerErrorKind as Kind, Helper, HelperMount,
    HelperSpec, Leftover, NewVolume,
};
use crate::words::RunId;

const PATIENCE: Duration = Duration::from_secs(20);

/// A small helper of a new run for a volume.
pub fn spec(volume: &str, access: Access) -> HelperSpec {
    HelperSpec {
        run: RunId::random().expect("random bytes"),
        owner: "contract".to_owned(),
        mount: HelperMount::Volume(volume.to_owned()),
        access,
        memory_bytes: 64 << 20,
        pids: 32,
        nice: 0,
        scratch: false,
    }
}

/// Asks a connected helper to look at its folder.
pub async fn look(helper: &mut Helper) -> Looked {
    let (kind, hello) = record(helper).await;
    assert_eq!(kind, RecordKind::Hello);
    assert_eq!(parse_json::<Hello>(&hello).expect("hello").protocol, PROTOCOL);
    let mut job = Vec::new();
    write_json(&mut job, RecordKind::Job, &Job::Look).expect("write to memory");
    helper.to.write_all(&job).await.expect("send the job");
    helper.to.flush().await.expect("send the job");
    let (kind, done) = record(helper).await;
    assert_eq!(kind, RecordKind::Done, "{}", String::from_utf8_lossy(&done));
    parse_json(&done).expect("looked")
}

async fn record(helper: &mut Helper) -> (RecordKind, Vec<u8>) {
    let mut header = [0; RECORD_HEADER_BYTES];
    helper.from.read_exact(&mut header).await.expect("record header");
    let (kind, length) = parse_header(&header).expect("record header");
    let mut payload = vec![0; length];
    helper.from.read_exact(&mut payload).await.expect("record");
    (kind, payload)
}

#[track_caller]
fn fails<T>(result: Result<T, DockerError>, kind: Kind) {
    match result {
        Ok(_) => panic!("was done, and should have failed with {kind:?}"),
        Err(e) => assert_eq!(e.kind, kind, "{e}"),
    }
}

async fn make(docker: &dyn Docker, name: &str) {
    let new = NewVolume { name: name.to_owned(), ..Default::default() };
    docker.create_volume(&new).await.expect("create volume");
}

async fn leftovers_of(docker: &dyn Docker, run: &RunId) -> Vec<Leftover> {
    let mut all = docker.leftovers().await.expect("leftovers");
    all.retain(|leftover| leftover.run == *run);
    all
}

/// A question never makes what it asks for, and a volume is made once.
pub async fn volumes_are_made_once_and_by_name(docker: &dyn Docker, prefix: &str) {
    let name = format!("{prefix}-once");
    assert_eq!(docker.volume(&name).await.expect("ask"), None);
    assert_eq!(docker.container(&name).await.expect("ask"), None);
    assert_eq!(docker.volume(&name).await.expect("ask again"), None);
    fails(docker.remove_volume(&name).await, Kind::NotFound);

    let labels = [("com.docker.compose.project".to_owned(), prefix.to_owned())];
    let new = NewVolume { name: name.clone(), labels: labels.into(), ..Default::default() };
    let made = docker.create_volume(&new).await.expect("create");
    assert_eq!((made.driver.as_str(), &made.labels, made.anonymous), ("local", &new.labels, false));
    fails(docker.create_volume(&new).await, Kind::Conflict);
    fails(
        docker.create_volume(&NewVolume { name: name.clone(), ..Default::default() }).await,
        Kind::Conflict,
    );
    assert_eq!(docker.volume(&name).await.expect("ask").as_ref(), Some(&made));
    assert!(docker.volumes().await.expect("list").contains(&made));

    docker.remove_volume(&name).await.expect("remove");
    assert_eq!(docker.volume(&name).await.expect("ask"), None);
}

/// B10: the engine would make a missing volume, empty, and say nothing.
pub async fn a_helper_never_makes_its_source(docker: &dyn Docker, prefix: &str) {
    let name = format!("{prefix}-typo");
    let missing = spec(&name, Access::Read);
    fails(docker.open_helper(&missing).await, Kind::NotFound);
    assert_eq!(docker.volume(&name).await.expect("ask"), None);
    let folder = format!("/nonexistent/{prefix}");
    let missing = HelperSpec { mount: HelperMount::Folder(folder), ..missing };
    fails(docker.open_helper(&missing).await, Kind::NotFound);
    assert_eq!(leftovers_of(docker, &missing.run).await, []);
}

/// A helper does its job, is seen by its labels alone, holds its volume, and leaves nothing.
pub async fn a_helper_lives_by_its_labels_and_leaves_nothing(docker: &dyn Docker, prefix: &str) {
    let name = format!("{prefix}-life");
    make(docker, &name).await;
    for access in [Access::Read, Access::Write] {
        let spec = spec(&name, access);
        let mut helper = docker.open_helper(&spec).await.expect("open helper");
        let seen = leftovers_of(docker, &spec.run).await;
        assert_eq!(seen.iter().map(|l| l.owner.as_str()).collect::<Vec<_>>(), ["contract"]);
        let others = docker.containers().await.expect("containers");
        assert!(others.iter().all(|c| c.id != seen[0].id), "a helper is listed among the containers");
        fails(docker.remove_volume(&name).await, Kind::Conflict);

        assert_eq!(look(&mut helper).await.top_entries, 0);
        let Helper { from, to, life } = helper;
        drop((from, to));
        life.finish(PATIENCE).await.expect("finish");
        assert_eq!(leftovers_of(docker, &spec.run).await, []);
    }
    docker.remove_volume(&name).await.expect("remove");
}

/// Killed or forgotten, a helper goes; and its end before the job's end is an error.
pub async fn helpers_that_do_not_end_are_removed(docker: &dyn Docker, prefix: &str) {
    let name = format!("{prefix}-ends");
    make(docker, &name).await;

    let killed = spec(&name, Access::Read);
    let helper = docker.open_helper(&killed).await.expect("open helper");
    helper.life.kill().await.expect("kill");
    assert_eq!(leftovers_of(docker, &killed.run).await, []);

    let waiting = spec(&name, Access::Read);
    let helper = docker.open_helper(&waiting).await.expect("open helper");
    // Its channel is open and it has no job: it waits for one, longer than we wait for it.
    fails(helper.life.finish(Duration::from_millis(300)).await, Kind::HelperDied);
    assert_eq!(leftovers_of(docker, &waiting.run).await, []);

    let forgotten = spec(&name, Access::Read);
    drop(docker.open_helper(&forgotten).await.expect("open helper"));
    let left = leftovers_of(docker, &forgotten.run).await;
    assert_eq!(left.len(), 1);
    docker.remove_leftover(&left[0]).await.expect("remove leftover");
    docker.remove_leftover(&left[0]).await.expect("remove what is gone");
    assert_eq!(leftovers_of(docker, &forgotten.run).await, []);

    docker.remove_volume(&name).await.expect("remove");
}

/// `id` runs and has no restart policy.
pub async fn containers_stop_and_start(docker: &dyn Docker, id: &str) {
    let grace = Duration::from_secs(1);
    let seen = async || docker.container(id).await.expect("ask").expect("it is there");
    let before = seen().await;
    assert_eq!((before.state, before.restart_policy.as_str()), (ContainerState::Running, "no"));
    assert!(docker.containers().await.expect("list").contains(&before));
    docker.start(id).await.expect("start what runs");
    assert_eq!(seen().await, before);
    assert_eq!(docker.exit_status(id).await.expect("ask"), None);

    for policy in ["always", "unless-stopped", "on-failure:3", "no"] {
        docker.set_restart_policy(id, policy).await.expect("set policy");
        assert_eq!(seen().await.restart_policy, policy);
    }
    assert!(docker.set_restart_policy(id, "sometimes").await.is_err());

    for _again in 0..2 {
        docker.pause(id).await.expect("pause");
        assert_eq!(seen().await, Container { state: ContainerState::Paused, ..before.clone() });
    }
    for _again in 0..2 {
        docker.unpause(id).await.expect("unpause");
        assert_eq!(seen().await, before);
    }

    for _again in 0..2 {
        docker.stop(id, grace).await.expect("stop");
        assert_eq!(seen().await.state, ContainerState::Down);
    }
    assert!(docker.exit_status(id).await.expect("ask").is_some());
    fails(docker.pause(id).await, Kind::Conflict);
    fails(docker.unpause(id).await, Kind::Conflict);
    docker.start(id).await.expect("start");
    let after = seen().await;
    assert_eq!(after.state, ContainerState::Running);
    assert!(after.started_at > before.started_at, "{after:?}");

    fails(docker.stop("backupd-no-such", grace).await, Kind::NotFound);
    fails(docker.start("backupd-no-such").await, Kind::NotFound);
    fails(docker.exit_status("backupd-no-such").await, Kind::NotFound);
    fails(docker.pause("backupd-no-such").await, Kind::NotFound);
    fails(docker.unpause("backupd-no-such").await, Kind::NotFound);
    fails(docker.set_restart_policy("backupd-no-such", "no").await, Kind::NotFound);
}

/// Volumes that come and go are told from the moment of the subscription; helpers are not. One that is used may be
/// told as created again.
pub async fn volumes_that_come_and_go_are_told(docker: &dyn Docker, prefix: &str) {
    let (early, late) = (format!("{prefix}-early"), format!("{prefix}-late"));
    make(docker, &early).await;
    let mut changes = docker.changes().await.expect("subscribe");
    make(docker, &late).await;
    let helper = docker.open_helper(&spec(&late, Access::Read)).await.expect("open helper");
    helper.life.kill().await.expect("kill");
    docker.remove_volume(&early).await.expect("remove");
    docker.remove_volume(&late).await.expect("remove");
    let told = |happened, name: &String| Change { thing: Thing::Volume, happened, name: name.clone() };
    let created = told(Happened::Created, &late);
    assert_eq!(next_of(&mut *changes, prefix).await, created);
    for want in [told(Happened::Destroyed, &early), told(Happened::Destroyed, &late)] {
        let mut next = next_of(&mut *changes, prefix).await;
        while next == created {
            next = next_of(&mut *changes, prefix).await;
        }
        assert_eq!(next, want);
    }
}

/// `id` runs: its end and its start are told, by its name.
pub async fn starts_and_ends_of_containers_are_told(docker: &dyn Docker, id: &str) {
    let name = docker.container(id).await.expect("ask").expect("there").name;
    let mut changes = docker.changes().await.expect("subscribe");
    docker.stop(id, Duration::from_secs(1)).await.expect("stop");
    docker.start(id).await.expect("start");
    for happened in [Happened::Died, Happened::Started] {
        let want = Change { thing: Thing::Container, happened, name: name.clone() };
        assert_eq!(next_of(&mut *changes, &name).await, want);
    }
}

/// The next change of something with this prefix: the engine may be others' too.
async fn next_of(changes: &mut dyn Changes, prefix: &str) -> Change {
    loop {
        let next = tokio::time::timeout(PATIENCE, changes.next()).await;
        let change = next.expect("is told in time").expect("goes on");
        if change.name.starts_with(prefix) {
            return change;
        }
    }
}
