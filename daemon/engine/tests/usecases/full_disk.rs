//! D1: somebody is held, whoever held them was killed, and the disk of the state folder is full.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use engine::adapter::clock::SystemClock;
use engine::catalog::journal::StoppedContainer;
use engine::catalog::{How, NewRun, Verb};
use engine::port::docker::{ContainerState, Docker as _};
use engine::testing::fake_docker::FakeDocker;
use engine::usecase::host::{Effort, Host, Settings};
use engine::usecase::thaw::thaw;
use engine::words::RunId;

use crate::support::world::{World, container, source, temporary};

/// Tells the two processes which disk.
const DISK: &str = "BACKUPD_TEST_SMALL_DISK";

#[test]
fn whoever_is_held_runs_again() {
    let place = temporary();
    let disk = place.path().join("small");
    std::fs::create_dir(&disk).unwrap();
    // In a mount namespace of its own, so that nothing stays mounted whatever happens.
    let script = "mount -t tmpfs -o size=1m,mode=700 none \"$1\" || exit 9
        \"$2\" --exact full_disk::child_is_killed_while_it_holds --ignored && exit 8
        exec \"$2\" --exact full_disk::child_thaws --ignored --nocapture";
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let program = std::env::current_exe().unwrap();
    unshare.args(["--mount", "sh", "-c", script, "sh"]).args([&disk, &program]).env(DISK, &disk);
    let output = unshare.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

fn disk() -> Option<PathBuf> {
    std::env::var_os(DISK).map(PathBuf::from)
}

/// A process whose state is on that disk.
async fn host(disk: &Path) -> Host {
    let settings = Settings {
        store: "s3://bucket/prefix".to_owned(),
        host: "h1".parse().unwrap(),
        state: disk.join("state"),
        docker: None,
        effort: Effort::default(),
    };
    Host::open(settings, Arc::new(SystemClock::start())).await.unwrap()
}

#[tokio::test]
#[ignore = "one of the other processes of `whoever_is_held_runs_again`"]
async fn child_is_killed_while_it_holds() {
    let Some(disk) = disk() else { return };
    let host = host(&disk).await;
    let run = RunId::random().unwrap();
    let new = NewRun {
        id: run.clone(),
        verb: Verb::Backup,
        host: "h1".parse().unwrap(),
        source: Some(source("db")),
        store: Some("s3://bucket/prefix".to_owned()),
        pid: std::process::id(),
    };
    let web = container("web", "db", ContainerState::Running, "always");
    let was = StoppedContainer {
        id: web.id.clone(),
        name: web.name,
        restart_policy: web.restart_policy,
        was_running: true,
        started_at: web.started_at,
        compose: None,
    };
    host.catalog().begin_run(&new, host.clock().now()).unwrap();
    assert_eq!(host.catalog().claim(&run, &How::Pause, &[was]).unwrap(), None);
    host.catalog().begin_freeze(&web.id, &How::Pause).unwrap();
    let mut ballast = File::create(disk.join("ballast")).unwrap();
    for piece in [4096, 1] {
        while ballast.write_all(&vec![1; piece]).is_ok() {}
    }
    std::process::abort();
}

#[tokio::test]
#[ignore = "one of the other processes of `whoever_is_held_runs_again`"]
async fn child_thaws() {
    let Some(disk) = disk() else { return };
    let world = World::new();
    world.volume("db", 1).await;
    world.docker.put_container(container("web", "db", ContainerState::Running, "always"));
    world.docker.pause("id-of-web").await.unwrap();
    assert!(File::create(disk.join("more")).and_then(|mut more| more.write_all(&[1; 4096])).is_err());
    drop(std::fs::remove_file(disk.join("more")));
    let docker: Arc<FakeDocker> = Arc::clone(&world.docker);
    let host = host(&disk).await.with_ports(Arc::new(world.store.clone()), docker);
    let thawed = thaw(&host).await.unwrap();
    let web = world.docker.container("web").await.unwrap().unwrap();
    assert_eq!(web.state, ContainerState::Running, "{thawed:?}");
    std::fs::remove_file(disk.join("ballast")).unwrap();
    thaw(&host).await.unwrap();
    assert_eq!(host.catalog().freezes().unwrap(), []);
}
