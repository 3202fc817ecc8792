//! The contract of the port, and other people's containers.

use engine::port::docker::{Access, Docker as _};
use engine::testing::docker_contract::{self as contract, spec};
use engine::testing::exec_contract as programs;
use engine::testing::trial_contract::{self, Programs};

use crate::rig::{Rig, confined, docker_cli};

/// With the real helper, on both channels.
#[tokio::test]
async fn the_real_engine_keeps_the_contract() {
    for attach in [false, true] {
        let rig = Rig::new(attach, None);
        assert_eq!(rig.docker.about().await.unwrap().local, !attach);
        contract::volumes_are_made_once_and_by_name(&rig.docker, &rig.prefix).await;
        contract::a_helper_never_makes_its_source(&rig.docker, &rig.prefix).await;
        contract::a_helper_lives_by_its_labels_and_leaves_nothing(&rig.docker, &rig.prefix).await;
        contract::helpers_that_do_not_end_are_removed(&rig.docker, &rig.prefix).await;
        contract::volumes_that_come_and_go_are_told(&rig.docker, &rig.prefix).await;
        assert_eq!(std::fs::read_dir(rig.run_dir.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn the_real_engine_keeps_the_contract_of_trials() {
    let rig = Rig::new(false, Some(confined()));
    let volume = rig.volume().await;
    // Any helper loads the image.
    let helper = rig.docker.open_helper(&spec(&volume, Access::Read)).await.unwrap();
    helper.life.kill().await.unwrap();
    let image = rig.docker.helper_image_id();
    let ends = ["/backupd-helper", "words", "fail"];
    let programs = Programs { image: &image, ends: &ends, stays: &["/backupd-helper", "sleep"] };
    trial_contract::a_trial_takes_what_is_there_and_its_own(&rig.docker, &rig.prefix, programs).await;
    trial_contract::a_trial_lives_by_its_labels(&rig.docker, &rig.prefix, programs).await;
    rig.end(&volume).await;
}

#[tokio::test]
async fn containers_of_others_stop_and_start() {
    let rig = Rig::new(false, Some(confined()));
    let volume = rig.volume().await;
    // Any helper loads the image.
    let helper = rig.docker.open_helper(&spec(&volume, Access::Read)).await.unwrap();
    helper.life.kill().await.unwrap();
    let image = rig.docker.helper_image_id();
    let mount = format!("{volume}:/data:ro");
    let id =
        docker_cli(&["run", "-d", "--network=none", "-v", &mount, "--name", &rig.prefix, &image, "sleep"]);
    let seen = rig.docker.container(&rig.prefix).await.unwrap().unwrap();
    assert_eq!((seen.id.as_str(), seen.name.as_str()), (id.as_str(), rig.prefix.as_str()));
    assert_eq!((seen.mounts.len(), seen.mounts[0].at.as_str(), seen.mounts[0].writable), (1, "/data", false));
    contract::containers_stop_and_start(&rig.docker, &id).await;
    contract::starts_and_ends_of_containers_are_told(&rig.docker, &id).await;
    let words = ["/backupd-helper", "words"];
    programs::programs_are_started_heard_and_ended(&rig.docker, &id, &words).await;
    programs::a_program_that_was_dropped_hears_the_end_of_its_input(&rig.docker, &id, &words).await;
    programs::programs_are_started_only_where_something_runs(&rig.docker, &id, &words).await;
    docker_cli(&["rm", "-f", &id]);
    rig.end(&volume).await;
}
