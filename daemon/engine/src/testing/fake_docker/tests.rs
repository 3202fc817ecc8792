//! The twin keeps the contract of the real engine, and breaks it only where the script says so.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::port::docker::{Access, Health};
use crate::testing::docker_contract::{self as contract, spec};
use crate::testing::exec_contract as programs;
use crate::testing::trial_contract::{self, Programs};

fn fake(script: Script) -> (FakeDocker, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (FakeDocker::new(folder.path().to_owned(), real_jobs(), script), folder)
}

fn running(id: &str) -> Container {
    Container {
        id: id.to_owned(),
        name: format!("name-of-{id}"),
        image: "db:1".to_owned(),
        image_id: "sha256:1".to_owned(),
        state: ContainerState::Running,
        health: Health::None,
        started_at: Some(Timestamp::UNIX_EPOCH),
        restart_policy: "no".to_owned(),
        labels: BTreeMap::new(),
        mounts: Vec::new(),
        auto_remove: false,
        has_us: false,
        versions: BTreeMap::new(),
    }
}

#[tokio::test]
async fn the_twin_keeps_the_contract() {
    let (docker, _folder) = fake(Calls::new().script());
    contract::volumes_are_made_once_and_by_name(&docker, "t").await;
    contract::a_helper_never_makes_its_source(&docker, "t").await;
    contract::a_helper_lives_by_its_labels_and_leaves_nothing(&docker, "t").await;
    contract::helpers_that_do_not_end_are_removed(&docker, "t").await;
    docker.put_container(running("c1"));
    contract::containers_stop_and_start(&docker, "c1").await;
    contract::volumes_that_come_and_go_are_told(&docker, "t").await;
    contract::starts_and_ends_of_containers_are_told(&docker, "c1").await;
    docker.install(programs::words());
    programs::programs_are_started_heard_and_ended(&docker, "c1", &["words"]).await;
    programs::a_program_that_was_dropped_hears_the_end_of_its_input(&docker, "c1", &["words"]).await;
    programs::programs_are_started_only_where_something_runs(&docker, "c1", &["words"]).await;
}

#[tokio::test]
async fn the_twin_keeps_the_contract_of_trials() {
    let (docker, _folder) = fake(Calls::new().script());
    docker.put_image("db:1", "sha256:1");
    docker.act_trials(Arc::new(|spec, _volume| match spec.argv[0].as_str() {
        "ends" => Act::Ends { status: 3, said: "cannot\n".to_owned() },
        "stays" => Act::Runs { said: String::new() },
        _ => Act::Ends { status: 127, said: String::new() },
    }));
    let programs = Programs { image: "db:1", ends: &["ends"], stays: &["stays"] };
    trial_contract::a_trial_takes_what_is_there_and_its_own(&docker, "t", programs).await;
    trial_contract::a_trial_lives_by_its_labels(&docker, "t", programs).await;
}

#[tokio::test]
async fn a_restart_of_the_engine_ends_what_was_subscribed() {
    let (docker, _folder) = fake(Calls::new().script());
    let mut changes = docker.changes().await.unwrap();
    let mut c1 = running("c1");
    docker.put_container(c1.clone());
    c1.name = "other".to_owned();
    docker.put_container(c1);
    docker.drop_container("c1");
    docker.end_changes();
    for want in [Happened::Created, Happened::Started, Happened::Renamed, Happened::Died, Happened::Destroyed]
    {
        assert_eq!(changes.next().await.unwrap().happened, want);
    }
    assert_eq!(changes.next().await.unwrap_err().kind, DockerErrorKind::Unreachable);
}

#[tokio::test]
async fn a_call_fails_before_or_after_its_effect() {
    for (moment, state) in [(Moment::Before, ContainerState::Running), (Moment::After, ContainerState::Down)]
    {
        let calls = Calls::new();
        let (docker, _folder) = fake(calls.script());
        docker.put_container(running("c1"));
        docker.put_container(running("c2"));
        calls.fail("stop", 2, moment, DockerErrorKind::Other);
        docker.stop("c1", Duration::ZERO).await.unwrap();
        assert_eq!(docker.stop("c2", Duration::ZERO).await.unwrap_err().kind, DockerErrorKind::Other);
        assert_eq!(docker.container("c2").await.unwrap().unwrap().state, state);
        docker.stop("c2", Duration::ZERO).await.unwrap();
        assert_eq!(calls.log(), ["stop c1", "stop c2", "container c2", "stop c2"]);
    }
}

#[tokio::test]
async fn after_a_crash_nothing_happens_until_the_next_start() {
    let calls = Calls::new();
    let (docker, _folder) = fake(calls.script());
    docker.put_container(running("c1"));
    calls.crash(2, Moment::After);
    docker.set_restart_policy("c1", "always").await.unwrap();
    docker.stop("c1", Duration::ZERO).await.unwrap_err();
    docker.start("c1").await.unwrap_err();
    let next = docker.reopened(Calls::new().script());
    let seen = next.container("c1").await.unwrap().unwrap();
    assert_eq!((seen.state, seen.restart_policy.as_str()), (ContainerState::Down, "always"));
    assert_eq!(calls.log(), ["set_restart_policy c1 always", "stop c1"]);
}

#[tokio::test]
async fn a_helper_dies_at_the_byte_that_was_named() {
    for (cut, fine) in [(Cut::Silently { after: 7 }, true), (Cut::Dying { after: 7 }, false)] {
        let (docker, _folder) = fake(Calls::new().script());
        docker.create_volume(&NewVolume { name: "v".to_owned(), ..Default::default() }).await.unwrap();
        docker.cut_next_helper(cut);
        let mut helper = docker.open_helper(&spec("v", Access::Read)).await.unwrap();
        let mut got = Vec::new();
        helper.from.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), 7);
        let end = helper.life.finish(Duration::from_secs(5)).await;
        assert_eq!(end.is_ok(), fine, "{end:?}");
        assert_eq!(docker.leftovers().await.unwrap(), []);
    }
}
