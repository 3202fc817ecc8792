//! B1: the engine itself dies in the middle. A private one, of course.
//!
//! Where there is no `dockerd` to start (a machine that only reaches an engine elsewhere), this says so and ends.

use std::time::{Duration, Instant};

use integration::docker::Docker;
use integration::private_engine::PrivateEngine;

use crate::rig::Rig;
use crate::tenant::{Lease, PATIENCE, Tenant};
use crate::tree::{plant, tree};

/// An engine that was killed may find the old process of a container that it starts, and gives up on that one. Who starts
/// it then is whoever sees it.
fn stumbles(tenant: &Tenant) -> bool {
    let began = Instant::now();
    while tenant.status() != "running" && began.elapsed() < PATIENCE / 3 {
        std::thread::sleep(Duration::from_millis(100));
    }
    let state = tenant.inspect()["State"].clone();
    state["Status"] != "running" && state["Error"].as_str().is_some_and(|why| why.contains("already exists"))
}

#[test]
fn an_engine_that_dies_costs_the_run_and_nothing_else() {
    let Some(mut engine) = PrivateEngine::start().unwrap() else {
        eprintln!("skipped: no private engine can be started here");
        return;
    };
    let rig = Rig::on(Docker::at(engine.socket()), Some(engine.socket().to_owned()), None);
    let (volume, folder) = rig.volume("v");
    plant(&folder, 1, 20);
    let first = tree(&folder, &["heartbeat"]);
    rig.back_up(&volume);

    // In the middle of a backup.
    let slow = rig.file("slow.toml", "[effort]\nlevel = 19\nworkers = 1\n");
    let mut running = rig.start(&["--config", slow.to_str().unwrap(), "backup", "--full", &volume]);
    assert!(running.step("reading"));
    assert!(running.until(|| !rig.helpers().is_empty()));
    std::thread::sleep(Duration::from_millis(400));
    engine.kill();
    let failed = running.end().expect(1);
    assert!(!failed.said_done());
    assert_eq!(rig.snapshots(&volume), ["1"], "{failed:?}");
    engine.start_again().unwrap();
    assert_eq!(rig.content(&volume, "1"), first);
    rig.assert_clean(&[&volume], "the engine died in a backup");

    // While a restore puts the content in place, beneath a service.
    plant(&folder, 2, 1);
    let second = tree(&folder, &["heartbeat"]);
    let lease = Lease { volume: &volume, restart: "always", ..Lease::default() };
    let tenant = rig.tenant("t", &folder, &lease);
    let mut running = rig.start(&["restore", &volume, "--yes"]);
    assert!(running.step("putting the restored content"));
    std::thread::sleep(Duration::from_millis(50));
    engine.kill();
    let ended = running.end();
    engine.start_again().unwrap();
    assert_eq!(rig.content(&volume, "1"), first);
    let now = tree(&folder, &["heartbeat"]);
    assert!(now == first || now == second && !ended.said_done(), "{ended:?} {:?}", now.keys());
    // An engine that came back takes its time over whom it starts.
    if stumbles(&tenant) {
        rig.content(&volume, "1");
        if tenant.status() != "running" {
            tenant.order("start");
        }
    }
    tenant.assert_beats();
    assert_eq!((tenant.status(), tenant.restart_policy()), ("running".to_owned(), "always".to_owned()));
    rig.assert_clean(&[&volume], "the engine died in a restore");
}
