//! Single paths that are put back where they were, and the rest of the volume, which nobody touches.

use archive::path::TreePath;
use engine::failure::Class;
use engine::port::docker::{ContainerState, Docker as _};
use engine::usecase::host::Host;
use engine::usecase::kept::kept;
use engine::usecase::restore::{RestorePlan, RestoreRequest, plan_restore};
use engine::usecase::undo::{UndoRequest, plan_undo, undo};
use engine::usecase::watch::Silent;

use crate::support::tree::{Tree, differences};
use crate::support::world::{World, back_up, container, restore_as, restore_request, source};

fn request(paths: &[&str]) -> RestoreRequest {
    let paths = paths.iter().map(|path| TreePath::parse(path.as_bytes().to_vec()).unwrap()).collect();
    RestoreRequest { paths, ..restore_request("db", 1, None) }
}

async fn plan(host: &Host, paths: &[&str]) -> RestorePlan {
    plan_restore(host, &request(paths)).await.unwrap()
}

/// What is in the volume, what is ours apart, and without the times of these folders, in which something was put.
fn place(world: &World, above: &[&str]) -> Tree {
    let mut tree = world.tree("db");
    tree.retain(|path, _| !path.starts_with(b".backupd-"));
    for folder in above {
        if let Some(line) = tree.get_mut(folder.as_bytes()) {
            let words: Vec<_> =
                line.split(' ').enumerate().filter(|(i, _)| *i != 2).map(|(_, w)| w).collect();
            *line = words.join(" ");
        }
    }
    tree
}

/// `now`, but with what `old` has at these paths and beneath them.
fn mixed(old: &Tree, now: &Tree, paths: &[&str]) -> Tree {
    let is_at = |path: &&Vec<u8>| {
        let path = TreePath::parse(path.to_vec()).unwrap();
        paths.iter().any(|place| path.is_within(&TreePath::parse(place.as_bytes().to_vec()).unwrap()))
    };
    let of = |tree: &Tree, wanted: bool| -> Tree {
        let lines = tree.iter().filter(|(path, _)| is_at(path) == wanted);
        lines.map(|(path, line)| (path.clone(), line.clone())).collect()
    };
    let mut mixed = of(now, false);
    mixed.extend(of(old, true));
    mixed
}

#[tokio::test]
async fn only_what_lies_at_the_paths_is_replaced_and_comes_back() {
    const ABOVE: &[&str] = &["", "base", "conf"];
    let world = World::new();
    world.volume("db", 1).await;
    let old = place(&world, ABOVE);
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    world.replant("db", 2);
    let folder = world.docker.volume_folder("db");
    std::fs::File::create(folder.join("base/1/since")).unwrap();
    let now = place(&world, ABOVE);
    world.docker.put_container(container("web", "db", ContainerState::Running, "always"));

    let paths = ["conf/app.conf", "base/1", "base/1/data", "only-1"];
    let plan = plan(&host, &paths).await;
    assert_eq!(plan.paths, ["base/1", "conf/app.conf", "only-1"], "none within another");
    assert_eq!(plan.absent_paths.as_deref(), Some(&["only-1".to_owned()][..]));
    assert_eq!((plan.only_now, &plan.only_now_named[..]), (Some(1), &["base/1/since".to_owned()][..]));
    assert!((plan.files, plan.entries) == (4, 6) && plan.in_place && plan.stops.len() == 1, "{plan:?}");
    assert_eq!(place(&world, ABOVE), now, "looking changed something");

    let report = restore_as(&host, &RestoreRequest { keep_previous: true, ..request(&paths) }).await.unwrap();
    assert_eq!((&report.started[..], &report.paths), (&["web".to_owned()][..], &plan.paths));
    let want = mixed(&old, &now, &paths);
    assert_eq!(differences(&place(&world, ABOVE), &want), "");
    let web = world.docker.container("web").await.unwrap().unwrap();
    assert_eq!((web.state, web.restart_policy.as_str()), (ContainerState::Running, "always"));
    assert_eq!(kept(&host, &source("db")).await.unwrap()[0].paths, plan.paths);

    let request = UndoRequest { source: source("db"), run: None, discard: false };
    for content in [&now, &want, &now] {
        let back = plan_undo(&host, &request).await.unwrap();
        assert_eq!(back.paths, plan.paths);
        undo(&host, back, &Silent::default()).await.unwrap();
        assert_eq!(differences(&place(&world, ABOVE), content), "");
    }
}

#[tokio::test]
async fn folders_that_are_missing_are_made_as_they_were() {
    let world = World::new();
    let old = world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let folder = world.docker.volume_folder("db");
    std::fs::remove_dir_all(folder.join("base")).unwrap();
    // The first name of this file is not wanted, and yet its content is.
    let plan = plan(&host, &["base/1/data.link"]).await;
    assert_eq!(plan.absent_paths.as_deref(), Some(&["base/1/data.link".to_owned()][..]));
    restore_as(&host, &request(&["base/1/data.link"])).await.unwrap();
    let now = place(&world, &[]);
    assert_eq!([&now[&b"base"[..]], &now[&b"base/1"[..]]], [&old[&b"base"[..]], &old[&b"base/1"[..]]]);
    let content = |line: &String| line.rsplit(' ').next().unwrap().to_owned();
    assert_eq!(content(&now[&b"base/1/data.link"[..]]), content(&old[&b"base/1/data"[..]]));
    assert!(!folder.join("base/1/data").exists());
    // All of it is all of it.
    let all = plan_restore(&host, &request(&["conf", ""])).await.unwrap();
    assert!(all.paths.is_empty() && all.replaces_entries > 0, "{all:?}");
}

#[tokio::test]
async fn what_cannot_be_put_there_is_refused_before_anything_stops() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let folder = world.docker.volume_folder("db");
    std::fs::remove_dir_all(folder.join("base/1")).unwrap();
    std::fs::remove_dir(folder.join("base")).unwrap();
    std::os::unix::fs::symlink("conf", folder.join("base")).unwrap();
    let before = world.tree("db");
    let blocked = plan_restore(&host, &request(&["base/1/small"])).await.unwrap_err();
    assert!(blocked.class == Class::Unsafe && blocked.to_string().contains("`base`"), "{blocked}");
    let delta = RestoreRequest { delta: true, ..request(&["conf"]) };
    let delta = plan_restore(&host, &delta).await.unwrap_err();
    assert!(delta.class == Class::Usage && delta.hint.is_some(), "{delta}");
    assert_eq!(differences(&world.tree("db"), &before), "");
}
