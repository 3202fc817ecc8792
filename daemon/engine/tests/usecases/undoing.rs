//! The way back from a restore, and what restores keep for it.

use engine::failure::Class;
use engine::port::docker::{ContainerState, Docker as _};
use engine::usecase::host::Host;
use engine::usecase::kept::{KEPT_MAX, forget, kept};
use engine::usecase::restore::{RestoreRequest, plan_restore};
use engine::usecase::runs::runs;
use engine::usecase::undo::{UndoReport, UndoRequest, plan_undo, undo};
use engine::usecase::watch::{Silent, Watch as _};
use engine::words::RunId;

use crate::support::tree::{Tree, but_root_time, differences};
use crate::support::world::{World, back_up, container, restore_as, restore_request, source};

fn keeping() -> RestoreRequest {
    RestoreRequest { keep_previous: true, ..restore_request("db", 1, None) }
}

fn request(run: Option<&str>, discard: bool) -> UndoRequest {
    UndoRequest { source: source("db"), run: run.map(|run| run.parse().unwrap()), discard }
}

async fn go_back(host: &Host, discard: bool) -> UndoReport {
    let plan = plan_undo(host, &request(None, discard)).await.unwrap();
    undo(host, plan, &Silent::default()).await.unwrap()
}

fn run_of(text: &str) -> RunId {
    text.parse().unwrap()
}

/// What is in the volume, what is ours apart.
fn place(world: &World) -> Tree {
    let mut tree = world.tree("db");
    tree.retain(|path, _| !path.starts_with(b".backupd-"));
    but_root_time(tree)
}

#[track_caller]
fn same(world: &World, want: &Tree) {
    assert_eq!(differences(&place(world), want), "");
}

/// Somebody who asks in time finds all as it was, and nobody was stopped for it.
#[tokio::test]
async fn an_undo_that_is_asked_to_stop_touches_nothing() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    world.replant("db", 2);
    restore_as(&host, &keeping()).await.unwrap();
    let old = place(&world);
    world.docker.put_container(container("web", "db", ContainerState::Running, "always"));
    let before = world.docker.container("web").await.unwrap();
    let plan = plan_undo(&host, &request(None, false)).await.unwrap();
    let watch = Silent::default();
    watch.cancel().ask();
    assert_eq!(undo(&host, plan, &watch).await.unwrap_err().class, Class::Interrupted);
    same(&world, &old);
    assert_eq!(world.docker.container("web").await.unwrap(), before);
    assert_eq!(
        (runs(&host, 1).unwrap()[0].state.as_str(), watch.cancel().is_holding()),
        ("interrupted", false)
    );
    assert_eq!(kept(&host, &source("db")).await.unwrap().len(), 1);
    go_back(&host, true).await;
}

#[tokio::test]
async fn a_restore_is_undone_and_undoing_is_undone() {
    let world = World::new();
    let old = but_root_time(world.volume("db", 1).await);
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let now = but_root_time(world.replant("db", 2));
    world.docker.put_container(container("web", "db", ContainerState::Running, "always"));
    let restored = restore_as(&host, &keeping()).await.unwrap();
    same(&world, &old);

    let lines = kept(&host, &source("db")).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].run.as_str(), lines[0].whole), (restored.run.as_str(), true));
    assert!(lines[0].entries > 10 && lines[0].bytes > 1 << 20, "{lines:?}");
    let plan = plan_undo(&host, &request(None, false)).await.unwrap();
    assert_eq!((plan.run.as_str(), plan.stops.len(), plan.keeps_current), (restored.run.as_str(), 1, true));

    let undone = go_back(&host, false).await;
    assert_eq!(
        (undone.undone.as_str(), &undone.started[..]),
        (restored.run.as_str(), &["web".to_owned()][..])
    );
    same(&world, &now);
    let web = world.docker.container("web").await.unwrap().unwrap();
    assert_eq!((web.state, web.restart_policy.as_str()), (ContainerState::Running, "always"));
    let undos = runs(&host, 10).unwrap().into_iter().filter(|run| run.verb == "undo");
    assert_eq!(undos.map(|run| run.state).collect::<Vec<_>>(), ["done"]);

    assert_eq!(go_back(&host, true).await.previous, None);
    same(&world, &old);
    assert_eq!(kept(&host, &source("db")).await.unwrap(), []);
    let nothing = plan_undo(&host, &request(None, false)).await.unwrap_err();
    assert_eq!(nothing.class, Class::NotFound, "{nothing}");
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_goes_by_name_alone() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let mut made = Vec::new();
    for n in 0..KEPT_MAX {
        let plan = plan_restore(&host, &keeping()).await.unwrap();
        let told = plan.warnings.iter().any(|warning| warning.contains(&format!("({} of at most", n + 1)));
        assert_eq!(told, n > 0, "{:?}", plan.warnings);
        made.push(restore_as(&host, &keeping()).await.unwrap().run);
    }
    let full = plan_restore(&host, &keeping()).await.unwrap_err();
    assert_eq!(full.class, Class::Unsafe);
    assert!(full.hint.as_deref().unwrap_or_default().contains("--forget RUN"), "{full:?}");
    // Without keeping more, a restore goes on, and takes nothing of it.
    restore_as(&host, &restore_request("db", 1, None)).await.unwrap();
    assert_eq!(kept(&host, &source("db")).await.unwrap().len(), KEPT_MAX);

    let strange = forget(&host, &source("db"), &RunId::random().unwrap()).await.unwrap_err();
    assert_eq!(strange.class, Class::NotFound);
    forget(&host, &source("db"), &run_of(&made[1])).await.unwrap();
    let left = kept(&host, &source("db")).await.unwrap();
    let mut left: Vec<_> = left.into_iter().map(|line| line.run).collect();
    left.sort();
    let mut want = vec![made[0].clone(), made[2].clone()];
    want.sort();
    assert_eq!(left, want);
    plan_restore(&host, &keeping()).await.unwrap();
    // An older one is named.
    let plan = plan_undo(&host, &request(Some(&made[0]), false)).await.unwrap();
    assert_eq!(plan.run, made[0]);
}

#[tokio::test]
async fn what_is_left_of_something_does_not_come_back() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let run = restore_as(&host, &keeping()).await.unwrap().run;
    let mark = world.docker.volume_folder("db").join(format!(".backupd-previous-{run}/root"));
    std::fs::remove_file(mark).unwrap();
    assert_eq!(plan_undo(&host, &request(None, false)).await.unwrap_err().class, Class::NotFound);
    assert_eq!(plan_undo(&host, &request(Some(&run), false)).await.unwrap_err().class, Class::Unsafe);
    assert!(!kept(&host, &source("db")).await.unwrap()[0].whole);
    forget(&host, &source("db"), &run_of(&run)).await.unwrap();
    assert_eq!(kept(&host, &source("db")).await.unwrap(), []);
}

#[tokio::test]
async fn a_container_that_cannot_be_stopped_is_told_before() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    restore_as(&host, &keeping()).await.unwrap();
    let mut once = container("job", "db", ContainerState::Running, "no");
    once.auto_remove = true;
    world.docker.put_container(once);
    assert_eq!(plan_undo(&host, &request(None, false)).await.unwrap_err().class, Class::Unsafe);
}
