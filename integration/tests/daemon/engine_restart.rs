//! Docker itself goes away beneath the service, and comes back. A private one, of course.
//!
//! Where there is no `dockerd` to start (a machine that only reaches an engine elsewhere), this says so and ends.

use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use integration::docker::Docker;
use integration::private_engine::PrivateEngine;
use rustix::process::Signal;

use crate::rig::{Rig, put};
use crate::tenant::{self, Lease, Tenant};
use integration::noise::noise;

/// What the service promises: it looks after those whom it held as soon as the engine is back.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_docker_that_restarts_costs_runs_and_nothing_else() {
    let Some(mut engine) = PrivateEngine::start().unwrap() else {
        eprintln!("skipped: no private engine can be started here");
        return;
    };
    let rig = Rig::new(Docker::at(engine.socket()), Some(engine.socket().to_owned()), false);
    let (volume, place) = rig.volume("v");
    put(&place.join("noise"), &noise(1, 24 << 20));
    rig.write("backupd.toml", "[effort]\nlevel = 19\nworkers = 1\n");
    rig.policy("*/2 * * * * *", "last = 2\ngrace = \"1h\"");
    let mut service = rig.start();
    service.until("a first snapshot", |_| rig.newest(&volume) >= 1);
    put(&place.join("noise"), &noise(2, 24 << 20));
    service.until("a helper", |_| !rig.helpers().is_empty());
    engine.kill();
    service.until("red health", |service| {
        let (status, body) = service.page("/healthz");
        status == 503 && body.contains("Docker")
    });
    let before = rig.newest(&volume);
    engine.start_again().unwrap();
    service.until("green health", |service| service.page("/healthz").0 == 200);
    service.until("two more snapshots", |_| rig.newest(&volume) >= before + 2);
    service.signal(Signal::TERM);
    assert_eq!(service.end(), Some(0));
    rig.assert_nothing_left();
    let verified = rig.run(&["verify", "--all"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

/// It need not wait for the next look at all of it, which is an hour away here.
#[test]
#[expect(clippy::disallowed_methods, reason = "the times of a file are the system's clock's")]
fn who_is_held_when_docker_dies_runs_again_soon_after_its_return() {
    let Some(mut engine) = PrivateEngine::start().unwrap() else {
        eprintln!("skipped: no private engine can be started here");
        return;
    };
    let docker = Docker::at(engine.socket());
    let rig = Rig::new(Docker::at(engine.socket()), Some(engine.socket().to_owned()), false);
    let (volume, place) = rig.volume("v");
    let image = docker.import_image(&tenant::image()).unwrap();
    let lease = Lease { volume: &volume, ..Lease::default() };
    let tenant = Tenant::create(&docker, &image, &format!("{volume}.t"), &place, &lease);
    tenant.order("start");
    put(&place.join("noise"), &noise(1, 24 << 20));
    let file = File::options().write(true).open(place.join("noise")).unwrap();
    rig.write("backupd.toml", "[effort]\nlevel = 19\nworkers = 1\n");
    let policy = |schedule: &str| {
        let text = format!("schedule = \"{schedule}\"\nconsistency.mode = \"pause\"\nkeep.last = 3\n");
        rig.write(&format!("policies/{}.toml", rig.name), &text);
    };
    policy("*/2 * * * * *");
    let mut service = rig.start_looking(3600);
    service.until("a pause", |_| {
        // Read while somebody is held, which takes a while.
        file.set_modified(SystemTime::now()).unwrap();
        tenant.status() == "paused"
    });
    engine.kill();
    // No other run of this source comes to put it right.
    policy("0 0 1 1 *");
    service.signal(Signal::HUP);
    service.until("red health", |service| service.page("/healthz").0 == 503);
    engine.start_again().unwrap();
    let back = Instant::now();
    service.until("a thaw", |_| tenant.status() == "running");
    let took = back.elapsed();
    assert!(took < SOON, "nobody may be held longer than that once the engine is back: {took:?}");
    tenant.assert_beats();
    service.signal(Signal::TERM);
    assert_eq!(service.end(), Some(0));
    docker.ask("DELETE", &format!("/containers/{}?force=1", tenant.id), None).unwrap();
    rig.assert_nothing_left();
}
