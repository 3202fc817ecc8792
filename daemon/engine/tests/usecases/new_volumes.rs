//! Restores into volumes that are not there: what others do with the same name meanwhile is theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::catalog::journal::{RestoreJournal, RestoreTarget};
use engine::catalog::{NewRun, Verb};
use engine::failure::Class;
use engine::port::docker::{ContainerState, Docker as _, NewVolume};
use engine::testing::fake_docker::{FakeDocker, Moment, Script, Verdict};
use engine::usecase::recover::recover;
use engine::usecase::restore::RestoreRequest;
use engine::usecase::runs::runs;
use engine::usecase::watch::Silent;
use engine::words::{Number, RunId};
use jiff::Timestamp;

use crate::support::tree::{Tree, differences};
use crate::support::world::{World, back_up, container, restore_as, restore_request, source};

/// Whose volume recovery finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    /// By the dead run, which wrote down when.
    ByUs,
    /// By the dead run, which died before it could.
    JustNow,
    /// By somebody, after that of the run was gone.
    ByThem,
}

/// A restore into `db` died while it filled it.
async fn dead(world: &World, made: Made, has_files: bool) {
    let (host, run) = (world.host().await, RunId::random().unwrap());
    let new = NewRun {
        id: run.clone(),
        verb: Verb::Restore,
        host: "h1".parse().unwrap(),
        source: Some(source("db")),
        store: Some("s3://bucket/prefix".to_owned()),
        pid: 1,
    };
    let journal = |volume_made_at: Option<Timestamp>| RestoreJournal {
        target: RestoreTarget::Volume("db".to_owned()),
        created_volume: true,
        volume_made_at,
        keep_previous: false,
        containers: Vec::new(),
        stopping: false,
        unfinished: false,
        swapped: false,
    };
    let catalog = host.catalog();
    catalog.begin_run(&new, host.clock().now()).unwrap();
    catalog.note_prepare(&run, Number::new(1), &journal(None)).unwrap();
    catalog.note_unpack(&run).unwrap();
    let new = NewVolume { name: "db".to_owned(), ..NewVolume::default() };
    let ours = world.docker.create_volume(&new).await.unwrap();
    if made != Made::JustNow {
        catalog.note_prepare(&run, Number::new(1), &journal(ours.created_at)).unwrap();
    }
    if made == Made::ByThem {
        world.docker.remove_volume("db").await.unwrap();
        world.docker.create_volume(&new).await.unwrap();
    }
    if has_files {
        std::fs::File::create(world.docker.volume_folder("db").join("file")).unwrap();
    }
}

/// Whether the volume is there after recovery, and what is said.
async fn recovered(made: Made, has_files: bool, is_used: bool) -> (bool, String) {
    let world = World::new();
    dead(&world, made, has_files).await;
    let host = world.host().await;
    if is_used {
        world.docker.put_container(container("web", "db", ContainerState::Running, "no"));
    }
    let recovered = recover(&host, &Silent::default()).await.unwrap();
    assert_eq!(recovered.left, [""; 0]);
    assert!(runs(&host, 1).unwrap()[0].ended_at.is_some());
    assert_eq!(world.docker.leftovers().await.unwrap(), []);
    (world.docker.volume("db").await.unwrap().is_some(), recovered.said.join("; "))
}

#[tokio::test]
async fn recovery_removes_the_volume_that_the_run_made_and_no_other() {
    for (made, has_files, is_used, stays) in [
        (Made::ByUs, true, false, true),
        (Made::ByUs, false, false, false),
        (Made::ByUs, true, true, true),
        (Made::JustNow, false, false, false),
        (Made::JustNow, true, false, true),
        (Made::JustNow, false, true, true),
        (Made::ByThem, true, false, true),
        (Made::ByThem, false, false, true),
        (Made::ByThem, true, true, true),
    ] {
        let (is_there, said) = recovered(made, has_files, is_used).await;
        assert_eq!(is_there, stays, "{made:?} {has_files} {is_used}: {said}");
        let is_told = said.contains("containers have begun to use the volume");
        let is_somebodys = is_used || (has_files && made == Made::ByUs);
        assert_eq!(is_told, is_somebodys && made != Made::ByThem, "{made:?} {has_files}: {said}");
    }
}

/// As compose makes it before it starts it: it must not find half of what it waits for.
#[tokio::test]
async fn a_container_that_waits_for_the_volume_keeps_recovery_trying() {
    let world = World::new();
    dead(&world, Made::ByUs, false).await;
    let mut web = container("web", "db", ContainerState::Down, "always");
    web.started_at = None;
    world.docker.put_container(web);
    let host = world.host().await;
    for _ in 0..2 {
        let recovered = recover(&host, &Silent::default()).await.unwrap();
        assert!(recovered.left.len() == 1 && recovered.left[0].contains("waits for it"), "{recovered:?}");
        assert!(runs(&host, 1).unwrap()[0].ended_at.is_none());
    }
    world.docker.drop_container("id-of-web");
    assert_eq!(recover(&host, &Silent::default()).await.unwrap().left, [""; 0]);
    assert_eq!(world.docker.volume("db").await.unwrap(), None);
    assert!(runs(&host, 1).unwrap()[0].ended_at.is_some());
}

/// Does something to the world before a call.
fn before(world: &World, call: &'static str, change: impl Fn(&FakeDocker) + Send + Sync + 'static) -> Script {
    let (docker, done) = (Arc::clone(&world.docker), AtomicBool::new(false));
    Arc::new(move |moment, deed| {
        if moment == Moment::Before && deed.starts_with(call) && !done.swap(true, Ordering::SeqCst) {
            change(&docker);
        }
        Verdict::Pass
    })
}

/// A world with a snapshot of `db`, which is gone since, and what was in it.
async fn lost() -> (World, Tree) {
    let world = World::new();
    let tree = world.volume("db", 1).await;
    back_up(&world.host().await, "db").await.unwrap();
    world.docker.remove_volume("db").await.unwrap();
    (world, tree)
}

#[tokio::test]
async fn a_container_that_is_started_meanwhile_spoils_it_and_is_told() {
    for state in [ContainerState::Running, ContainerState::Down] {
        let (world, _) = lost().await;
        let start = move |docker: &FakeDocker| {
            let mut web = container("web", "db", state, "no");
            // It ran for a moment.
            web.started_at = Some("2027-01-01T00:00:00Z".parse().unwrap());
            docker.put_container(web);
        };
        let docker = Arc::new(world.docker.reopened(before(&world, "finish_helper", start)));
        let host = world.host_with(Arc::new(world.store.clone()), docker).await;
        let failed = restore_as(&host, &restore_request("db", 1, None)).await.unwrap_err();
        assert_eq!(failed.class, Class::Busy, "{failed}");
        let words = failed.to_string();
        assert!(
            words.contains("container `web` was started on `db`") && words.contains("is left"),
            "{words}"
        );
        assert!(
            failed.hint.as_deref().unwrap_or_default().contains("repeat the command"),
            "{:?}",
            failed.hint
        );
        // What it wrote is all that it finds.
        assert_eq!(world.tree("db").into_keys().collect::<Vec<_>>(), [b""]);
        let runs = runs(&host, 2).unwrap();
        assert!(runs.iter().any(|run| run.verb == "restore" && run.state == "busy"), "{runs:?}");
        assert_eq!(recover(&host, &Silent::default()).await.unwrap().said, [""; 0]);
    }
}

/// What compose makes before it starts anything.
#[tokio::test]
async fn a_container_that_waits_for_it_spoils_nothing() {
    let (world, tree) = lost().await;
    let create = |docker: &FakeDocker| {
        let mut web = container("web", "db", ContainerState::Down, "no");
        web.started_at = None;
        docker.put_container(web);
    };
    let docker = Arc::new(world.docker.reopened(before(&world, "finish_helper", create)));
    let host = world.host_with(Arc::new(world.store.clone()), docker).await;
    restore_as(&host, &restore_request("db", 1, None)).await.unwrap();
    assert_eq!(differences(&world.tree("db"), &tree), "");
}

#[tokio::test]
async fn somebody_who_makes_it_first_keeps_it() {
    let (world, _) = lost().await;
    let make = |docker: &FakeDocker| {
        let new = NewVolume { name: "db".to_owned(), ..NewVolume::default() };
        std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(docker.create_volume(&new)).unwrap();
            });
            made.join().unwrap();
        });
    };
    let docker = Arc::new(world.docker.reopened(before(&world, "create_volume db", make)));
    let host = world.host_with(Arc::new(world.store.clone()), docker).await;
    let failed = restore_as(&host, &restore_request("db", 1, None)).await.unwrap_err();
    assert!(failed.to_string().contains("make volume `db`") && failed.hint.is_some(), "{failed}");
    assert!(world.docker.volume("db").await.unwrap().is_some(), "it is theirs");
    assert!(runs(&host, 1).unwrap()[0].ended_at.is_some());
}

#[tokio::test]
async fn nothing_is_kept_of_a_volume_that_was_not_there() {
    let (world, tree) = lost().await;
    let request = RestoreRequest { keep_previous: true, ..restore_request("db", 1, None) };
    let report = restore_as(&world.host().await, &request).await.unwrap();
    assert_eq!(report.previous, None);
    assert_eq!(differences(&world.tree("db"), &tree), "");
}
