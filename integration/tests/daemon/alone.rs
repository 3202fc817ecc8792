//! The life of a service: it keeps its schedule, prunes, dies in the middle, takes it up again, reloads, ends.

use std::time::Duration;

use integration::docker::Docker;
use integration::private_engine::PrivateEngine;
use rustix::process::Signal;

use crate::rig::{Rig, put};
use integration::noise::noise;

const SECONDS: &str = "*/2 * * * * *";

#[test]
fn a_service_lives_through_all_that_happens_to_it() {
    // Of its own where it can be: a label of somebody else's volume would be an alarm of this service.
    let engine = PrivateEngine::start().unwrap();
    let rig = match &engine {
        Some(engine) => Rig::new(Docker::at(engine.socket()), Some(engine.socket().to_owned()), true),
        None => Rig::new(Docker::of_environment().unwrap(), None, true),
    };
    let names: Vec<_> = ["a", "b", "c"].iter().map(|what| rig.volume(what)).collect();
    rig.policy(SECONDS, "last = 2\ngrace = \"1h\"");
    let mut service = rig.start();
    service.until("the fifth snapshot of each", |_| {
        let all = rig.snapshots();
        names.iter().all(|(name, _)| all.get(name).is_some_and(|numbers| numbers.last() >= Some(&5)))
    });
    service.until("health", |service| service.page("/healthz") == (200, "ok\n".to_owned()));
    let (_, metrics) = service.page("/metrics");
    let (status, screen) = service.page("/");
    assert!(status == 200 && screen.contains("3 sources under a policy, all is well"), "{screen}");
    for (name, place) in &names {
        assert!(screen.contains(&format!("<title>{name}@")), "its chart: {screen}");
        let numbers = &rig.snapshots()[name];
        // One more while a run has committed and not yet pruned.
        assert!((2..=3).contains(&numbers.len()), "{name}: {numbers:?}");
        assert!(metrics.contains(&format!("backupd_overdue{{source=\"{name}\"")), "{metrics}");
        put(&place.join("noise"), &noise(7, 24 << 20));
    }

    // It dies in the middle of a backup.
    rig.write("backupd.toml", "[effort]\nlevel = 19\nworkers = 1\n");
    service.signal(Signal::TERM);
    assert_eq!(service.end(), Some(0));
    rig.assert_nothing_left();
    let mut service = rig.start();
    service.until("a long run", |_| !rig.helpers().is_empty());
    std::thread::sleep(Duration::from_millis(300));
    service.kill();
    assert!(!rig.helpers().is_empty(), "it was killed beside its helpers");
    let before: Vec<u64> = names.iter().map(|(name, _)| rig.newest(name)).collect();

    // The next one recovers, and goes on.
    rig.write("backupd.toml", "[effort]\nlevel = 1\n");
    let mut service = rig.start();
    service.until("recovery", |service| service.log().contains("recovered: "));
    service.until("two more snapshots of each", |_| {
        names.iter().zip(&before).all(|((name, _), before)| rig.newest(name) >= before + 2)
    });
    service.until("the pruning of each", |_| rig.snapshots().values().all(|numbers| numbers.len() <= 3));

    reload(&rig, &mut service);

    // It ends in the middle of a run, and cleans up.
    for (_, place) in &names {
        put(&place.join("noise"), &noise(8, 24 << 20));
    }
    service.until("a run", |_| !rig.helpers().is_empty());
    service.signal(Signal::TERM);
    assert_eq!(service.end(), Some(0));
    rig.assert_nothing_left();
    let verified = rig.run(&["verify", "--all"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    for (name, place) in &names {
        let file = rig.run(&["cat", &format!("{name}@latest"), "file"]);
        assert_eq!(file.stdout, std::fs::read(place.join("file")).unwrap());
    }
}

/// A bad file keeps the old policies in force and is an alarm; a good one is taken.
fn reload(rig: &Rig, service: &mut crate::service::Service) {
    let bad = format!("policies/{}-2.toml", rig.name);
    rig.write(&bad, "schedule = \"*/2 * * *");
    rig.policy(SECONDS, "last = 4\ngrace = \"1h\"");
    service.signal(Signal::HUP);
    let place = format!("{}-2.toml:1:", rig.name);
    service.until("red health", |service| {
        let (status, body) = service.page("/healthz");
        status == 503 && body.contains(&place)
    });
    assert!(service.page("/metrics").1.contains("\nbackupd_trouble 1\n"));
    let before = rig.snapshots();
    service.until("two more snapshots by the old policy", |_| {
        before.iter().all(|(name, numbers)| rig.newest(name) >= numbers.last().unwrap() + 2)
    });
    assert!(rig.snapshots().values().all(|numbers| numbers.len() <= 3), "it keeps two, as before");

    std::fs::remove_file(rig.at(&bad)).unwrap();
    service.signal(Signal::HUP);
    service.until("green health", |service| service.page("/healthz").0 == 200);
    assert!(service.page("/metrics").1.contains("\nbackupd_trouble 0\n"));
    service.until("four of each", |_| rig.snapshots().values().all(|numbers| numbers.len() >= 4));
}
