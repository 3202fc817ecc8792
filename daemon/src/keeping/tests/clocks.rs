//! G5, H2: a clock that is ten years ahead or behind for a day, and is set right. What it said meanwhile hides nothing,
//! puts nothing off, and lets nothing go.

use super::*;

/// In minutes.
const TEN_YEARS: i64 = 10 * 365 * 24 * 60;

/// Hours pass, `ahead` minutes away from the time that it is.
async fn pass_wrong(world: &World, keeping: &mut Keeping, ahead: i64, hours: i64) {
    world.clock.advance(ahead);
    world.pass(keeping, hours).await;
    world.clock.advance(-ahead);
}

#[tokio::test]
async fn what_ran_by_a_wrong_clock_hides_no_failure_of_today() {
    for ahead in [TEN_YEARS, -TEN_YEARS] {
        let world = World::new();
        world.policy("hours.toml", &text("0 * * * *", "db"));
        world.volume("db").await;
        let mut keeping = world.keeping().await;
        turn(&mut keeping).await;
        pass_wrong(&world, &mut keeping, ahead, 24).await;
        assert!(world.began("db").await.len() >= 24);
        std::fs::remove_file(world.docker.volume_folder("db").join("file")).unwrap();
        turn(&mut keeping).await;
        world.pass(&mut keeping, 3).await;
        let health = keeping.sight().unwrap().health.remove(0);
        assert!(health.failures >= 3 && health.overdue && health.message.is_some(), "{ahead}: {health:?}");
        let events = world.host().await.catalog().events(100).unwrap();
        let told = "`db`: the clock was far ahead, or is far behind now";
        assert_eq!(events.iter().filter(|event| event.text.starts_with(told)).count(), 1, "{events:?}");
    }
}

#[tokio::test]
async fn nothing_that_a_right_clock_dated_is_deleted_by_a_wrong_one() {
    for ahead in [TEN_YEARS, -TEN_YEARS] {
        let world = World::new();
        world.policy("night.toml", &(text("0 2 * * *", "db") + "[keep]\nwithin = \"5d\"\n"));
        world.volume("db").await;
        let mut keeping = world.keeping().await;
        turn(&mut keeping).await;
        world.pass(&mut keeping, 3 * 24).await;
        let before: Vec<String> =
            world.store.snapshot().into_keys().filter(|key| key.ends_with(".manifest")).collect();
        assert_eq!(before.len(), 3);
        pass_wrong(&world, &mut keeping, ahead, 24).await;
        turn(&mut keeping).await;
        world.pass(&mut keeping, 24).await;
        let after = world.store.snapshot();
        assert!(before.iter().all(|key| after.contains_key(key)), "{ahead}: {:?}", after.keys());
        assert!(!keeping.sight().unwrap().health[0].is_alarming());
    }
}

#[tokio::test]
async fn a_drill_that_a_clock_ahead_wanted_first_comes_when_it_is_due() {
    let world = World::new();
    world.policy("night.toml", &(text("0 2 * * *", "db") + "[drill]\nevery = \"7d\"\n"));
    world.volume("db").await;
    world.clock.advance(TEN_YEARS);
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.clock.advance(-TEN_YEARS);
    turn(&mut keeping).await;
    world.pass(&mut keeping, 24).await;
    let drill = keeping.sight().unwrap().health.remove(0).drill.unwrap();
    assert_eq!(drill.proven.as_deref(), Some("db@1"), "{drill:?}");
}
