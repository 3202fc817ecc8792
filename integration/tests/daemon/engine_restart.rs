//! Docker itself goes away beneath the service, and comes back. A private one, of course.
//!
//! Where there is no `dockerd` to start (a machine that only reaches an engine elsewhere), this says so and ends.

use integration::docker::Docker;
use integration::private_engine::PrivateEngine;
use rustix::process::Signal;

use crate::rig::{Rig, put};
use integration::noise::noise;

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
        status == 503 && body.contains("is Docker running?") || body.contains("Docker")
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
