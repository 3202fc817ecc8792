//! What was restored is in place, and a container that was stopped for it does not start: the one is no word about the other.

use std::sync::Arc;

use engine::port::docker::{ContainerState as State, Docker as _, DockerErrorKind};
use engine::testing::fake_docker::{Calls, Moment};
use engine::usecase::host::Host;
use engine::usecase::recover::recover;
use engine::usecase::restore::RestoreRequest;
use engine::usecase::restore_set::{SetTerms, plan_restore_set, restore_set};
use engine::usecase::runs::runs;
use engine::usecase::set::backup_set;
use engine::usecase::watch::Silent;
use policies::policy::{Consistency, Mode};

use crate::support::tree::{Tree, but_root_time, differences};
use crate::support::world::{World, back_up, backup_request, container, restore_as, restore_request};

/// `web` writes to `db`, and will not start again.
async fn world() -> (World, Arc<Calls>) {
    let world = World::new();
    world.volume("db", 1).await;
    world.docker.put_container(container("web", "db", State::Running, "always"));
    let calls = Calls::new();
    calls.fail("start ", 1, Moment::Before, DockerErrorKind::Conflict);
    (world, calls)
}

async fn host(world: &World, calls: &Arc<Calls>) -> Host {
    let docker = Arc::new(world.docker.reopened(calls.script()));
    world.host_with(Arc::new(world.store.clone()), docker).await
}

fn content(tree: Tree) -> Tree {
    let mut tree = but_root_time(tree);
    tree.retain(|path, _| !path.starts_with(b".backupd-"));
    tree
}

async fn state(world: &World) -> State {
    world.docker.container("web").await.unwrap().unwrap().state
}

#[tokio::test]
async fn the_content_is_told_before_the_container_and_recovery_says_done() {
    let (world, calls) = world().await;
    let old = world.tree("db");
    back_up(&world.host().await, "db").await.unwrap();
    world.replant("db", 2);
    let failed = {
        let host = host(&world, &calls).await;
        let request = RestoreRequest { keep_previous: true, ..restore_request("db", 1, None) };
        restore_as(&host, &request).await.unwrap_err()
    };
    let words = failed.to_string();
    assert!(words.starts_with("`db@1` is in `db`, every byte checked, but not all"), "{words}");
    let hint = failed.hint.unwrap();
    for part in ["`docker start web`", "undo-restore db", "`backupctl catalog rebuild`"] {
        assert!(hint.contains(part), "{hint}");
    }
    assert_eq!(differences(&content(world.tree("db")), &content(old)), "");
    assert_eq!(state(&world).await, State::Down);
    let host = world.host().await;
    let recovered = recover(&host, &Silent::default()).await.unwrap();
    assert!(recovered.left.is_empty() && recovered.said[0].contains("is in place"), "{recovered:?}");
    assert_eq!(state(&world).await, State::Running);
    let restored = runs(&host, 1).unwrap().remove(0);
    assert_eq!(restored.state, "done", "{restored:?}");
}

#[tokio::test]
async fn of_a_set_all_that_is_in_place_is_reported() {
    let (world, calls) = world().await;
    world.volume("log", 2).await;
    let host_of = world.host().await;
    let consistency = Consistency { mode: Mode::Pause, ..Consistency::default() };
    let requests = ["db", "log"].map(|name| engine::usecase::backup::BackupRequest {
        consistency: consistency.clone(),
        ..backup_request(name)
    });
    let set = backup_set(&host_of, &requests, &Silent::default()).await.unwrap()[0].set.clone().unwrap();
    drop(host_of);
    let host = host(&world, &calls).await;
    let plan = plan_restore_set(&host, &set.parse().unwrap(), SetTerms::default()).await.unwrap();
    let report = restore_set(&host, &plan, &Silent::default()).await.unwrap();
    assert_eq!((report.restored.len(), report.failed.len()), (2, 0));
    let down = report.down.unwrap();
    assert!(down.to_string().contains("start container `web` again"), "{down}");
    assert_eq!(host.catalog().unfinished_runs().unwrap().len(), 2);
    drop(host);
    let recovered = recover(&world.host().await, &Silent::default()).await.unwrap();
    assert!(recovered.left.is_empty() && recovered.said.len() == 2, "{recovered:?}");
    assert_eq!(state(&world).await, State::Running);
}
