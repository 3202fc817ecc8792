//! Files of which nothing tells that they changed: what was stored through a mapping on a file system that keeps no times
//! for that, as the one in memory on which these tests run. `reread = "always"` is for these.

#![allow(
    clippy::print_stderr,
    reason = "who runs a test on another file system shall know that it proved nothing"
)]

#[path = "../../../archive/tests/support/mapping.rs"]
mod mapping;

use std::fs;
use std::sync::{Arc, Mutex};

use engine::port::docker::ContainerState as State;
use engine::testing::fake_docker::{Moment, Script, Verdict};
use engine::usecase::backup::{BackupRequest, backup};
use engine::usecase::watch::Silent;
use policies::policy::{Consistency, Mode, Reread};

use self::mapping::Mapping;
use crate::incremental::grow_old;
use crate::support::tree::differences;
use crate::support::world::{World, back_up, backup_request, container, restore_as, restore_request};

/// A volume with a file that is mapped. `None` where the file system tells of stores.
async fn mapped() -> Option<(World, Mapping)> {
    let world = World::new();
    world.volume("db", 1).await;
    let file = world.docker.volume_folder("db").join("base/1/data");
    let mut mapping = Mapping::of(&file);
    mapping.store(7, b'a');
    let times = || fs::metadata(&file).unwrap().modified().unwrap();
    let before = times();
    mapping.store(7, b'b');
    if times() != before {
        eprintln!("skipped: {} keeps times for mappings", file.display());
        return None;
    }
    grow_old().await;
    Some((world, mapping))
}

async fn run(world: &World, script: Option<Script>, mode: Mode, reread: Reread) {
    let consistency = Consistency { mode, reread, ..Consistency::default() };
    let request = BackupRequest { consistency, ..backup_request("db") };
    let host = match script {
        None => world.host().await,
        Some(script) => {
            world.host_with(Arc::new(world.store.clone()), Arc::new(world.docker.reopened(script))).await
        }
    };
    let report = backup(&host, &request, &Silent::default()).await.unwrap();
    assert_eq!(report.warnings, Vec::<String>::new());
}

/// Whether a snapshot is what the volume is now.
async fn is_as_now(world: &World, number: u64) -> bool {
    restore_as(&world.host().await, &restore_request("db", number, Some("copy"))).await.unwrap();
    differences(&world.tree("copy"), &world.tree("db")).is_empty()
}

#[tokio::test]
async fn files_are_read_again_whatever_their_times_say_if_the_policy_wants_it() {
    for reread in [Reread::Changed, Reread::Always] {
        let Some((world, mut mapping)) = mapped().await else { return };
        back_up(&world.host().await, "db").await.unwrap();
        mapping.store(7, b'c');
        run(&world, None, Mode::Live, reread).await;
        assert_eq!(is_as_now(&world, 2).await, reread == Reread::Always, "{reread:?}");
    }
}

/// The first pass is the base of the second, and just as old as that one's files look.
#[tokio::test]
async fn so_are_they_while_writers_are_held() {
    for reread in [Reread::Changed, Reread::Always] {
        let Some((world, mapping)) = mapped().await else { return };
        world.docker.put_container(container("web", "db", State::Running, "always"));
        let mapping = Mutex::new(mapping);
        let last_store: Script = Arc::new(move |moment, deed| {
            if moment == Moment::Before && deed == "pause id-of-web" {
                mapping.lock().unwrap().store(7, b'c');
            }
            Verdict::Pass
        });
        run(&world, Some(last_store), Mode::Pause, reread).await;
        assert_eq!(is_as_now(&world, 1).await, reread == Reread::Always, "{reread:?}");
    }
}
