//! More changes than may be kept while somebody is held: nobody waits for the store.

use std::sync::Arc;

use engine::failure::Class;
use engine::format::manifest::Consistency as Kind;
use engine::port::docker::{ContainerState as State, Docker as _};
use engine::testing::fake_docker::{
    Calls, FakeDocker, JobRunner, Moment, Script, Verdict, cloning_jobs, real_jobs,
};
use engine::usecase::backup::{BackupRequest, backup};
use engine::usecase::watch::Silent;
use policies::policy::{Consistency, Mode};

use crate::support::world::{World, backup_request, container};

/// A volume whose writer changes more than fits right before it is held.
async fn world(helpers: JobRunner) -> (World, Script) {
    let mut world = World::new();
    world.spool_bytes = 1 << 20;
    let folder = world.folder.path().join("spooling");
    std::fs::create_dir(&folder).unwrap();
    let hot = folder.join("db/hot");
    world.docker = Arc::new(FakeDocker::new(folder, helpers, Calls::new().script()));
    world.volume("db", 1).await;
    world.docker.put_container(container("app", "db", State::Running, "no"));
    let script: Script = Arc::new(move |moment, deed| {
        if (moment, deed) == (Moment::Before, "pause id-of-app") {
            let mut bytes = vec![0; 8 << 20];
            blake3::Hasher::new().finalize_xof().fill(&mut bytes);
            std::fs::write(&hot, bytes).unwrap();
        }
        Verdict::Pass
    });
    (world, script)
}

fn request() -> BackupRequest {
    let consistency = Consistency { mode: Mode::Pause, ..Consistency::default() };
    BackupRequest { consistency, ..backup_request("db") }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_ends_the_pass_and_writers_go_on() {
    let (world, script) = world(real_jobs()).await;
    let host = world.host_with(Arc::new(world.store.clone()), Arc::new(world.docker.reopened(script))).await;
    let failed = backup(&host, &request(), &Silent::default()).await.unwrap_err();
    assert_eq!(failed.class, Class::Failed);
    assert!(failed.to_string().contains("did not fit into the 1 MiB of `spool`"), "{failed}");
    assert!(failed.hint.unwrap().contains("raise `spool` in backupd.toml"));
    assert_eq!(world.docker.container("app").await.unwrap().unwrap().state, State::Running);
    assert_eq!(host.catalog().freezes().unwrap(), []);
    assert!(world.store.snapshot().keys().all(|key| key.ends_with("owner.json")));
}

/// A picture is read when they have gone on.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_may_be_of_more() {
    let (world, script) = world(cloning_jobs()).await;
    let host = world.host_with(Arc::new(world.store.clone()), Arc::new(world.docker.reopened(script))).await;
    let report = backup(&host, &request(), &Silent::default()).await.unwrap();
    assert_eq!(report.consistency, Kind::Paused);
}
