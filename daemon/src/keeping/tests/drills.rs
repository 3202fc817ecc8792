//! Drills that policies want: begun when they are due, told when they do not prove.

use super::*;

fn weekly(more: &str) -> String {
    text("0 2 * * *", "db") + "[drill]\nevery = \"7d\"\n" + more
}

/// When drills of `db` began, with how they ended.
async fn drills(world: &World) -> Vec<String> {
    let mut lines = runs(&*world.host().await, 1000).unwrap();
    lines.retain(|line| line.verb == "drill");
    lines.reverse();
    lines.iter().map(|line| format!("{} {}", line.began_at.strftime("%dT%H:%M"), line.state)).collect()
}

#[tokio::test]
async fn weeks_pass_and_each_has_its_drill() {
    let world = World::new();
    world.policy("night.toml", &weekly(""));
    world.volume("db").await;
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    assert_eq!(drills(&world).await, [""; 0], "there is nothing to drill yet");
    world.pass(&mut keeping, 8 * 24).await;
    assert_eq!(drills(&world).await, ["21T02:00 done", "28T02:00 done"]);
    let health = keeping.sight().unwrap().health.remove(0);
    let drill = health.drill.clone().unwrap();
    assert!(!health.is_alarming() && drill.proven.as_deref() == Some("db@8"), "{drill:?}");
    // A new process knows since when it is wanted, and what was proven.
    drop(keeping);
    let mut keeping = world.keeping().await;
    world.pass(&mut keeping, 24).await;
    assert_eq!(drills(&world).await.len(), 2);
    assert_eq!(world.docker.leftovers().await.unwrap(), []);
    // Nobody wants them any more: nothing is late, and the last one is still told.
    world.policy("night.toml", &text("0 2 * * *", "db"));
    keeping.reload();
    world.pass(&mut keeping, 9 * 24).await;
    assert_eq!(drills(&world).await.len(), 2);
    let health = keeping.sight().unwrap().health.remove(0);
    assert!(!health.is_alarming() && health.drill.unwrap().proven_at == drill.proven_at);
    assert!(keeping.ledger.drills.is_empty());
}

#[tokio::test]
async fn one_that_cannot_be_made_is_told_once_and_tried_again_a_day_later() {
    let world = World::new();
    let heard = world.dir.path().join("heard");
    let notify = format!(
        "image = \"db:99\"\n[notify]\ncommand = [\"/bin/sh\", \"-c\", \"cat >>{}\"]\n",
        heard.display()
    );
    world.policy("night.toml", &weekly(&notify));
    world.volume("db").await;
    std::fs::create_dir(world.docker.volume_folder("db").join("global")).unwrap();
    write(&world.docker.volume_folder("db").join("global/pg_control"), "control");
    let mut keeping = world.keeping().await;
    keeping.tell_by(Teller::default());
    turn(&mut keeping).await;
    for _ in 0..3 {
        world.pass(&mut keeping, 24).await;
        keeping.sight().unwrap();
        keeping.teller.finish(&keeping.host).await.unwrap();
    }
    let failed = ["21T02:00 not_found", "22T02:00 not_found", "23T02:00 not_found"];
    assert_eq!(drills(&world).await, failed);
    let told = std::fs::read_to_string(&heard).unwrap();
    assert!(told.lines().count() == 1 && told.contains("the drill failed: image `db:99`"), "{told}");
    let health = keeping.sight().unwrap().health.remove(0);
    assert!(health.is_alarming() && health.failures == 0 && !health.overdue, "{health:?}");
    let events = world.host().await.catalog().events(100).unwrap();
    assert!(
        events.iter().any(|event| event.text.starts_with("drill of `db` failed: image `db:99`")),
        "{events:?}"
    );
    // A week and some hours later it is late as well.
    world.pass(&mut keeping, 5 * 24).await;
    assert!(keeping.sight().unwrap().health.remove(0).drill.unwrap().overdue);
}

#[tokio::test]
async fn whoever_is_stopped_ends_a_drill_cleanly() {
    let world = World::new();
    world.policy("night.toml", &weekly(""));
    world.volume("db").await;
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.clock.advance(24 * 60);
    keeping.turn().unwrap();
    while !keeping.busy.is_empty() {
        keeping.one_ended().await;
    }
    keeping.turn().unwrap();
    assert!(!keeping.drilling.is_idle());
    keeping.stop().await;
    assert!(keeping.drilling.is_idle());
    assert_eq!(world.docker.leftovers().await.unwrap(), []);
    let volumes = world.docker.volumes().await.unwrap();
    assert_eq!(volumes.iter().map(|volume| volume.name.as_str()).collect::<Vec<_>>(), ["db"]);
    let lines = runs(&*world.host().await, 10).unwrap();
    assert!(lines.iter().all(|line| line.ended_at.is_some()), "{lines:?}");
}
