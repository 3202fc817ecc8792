//! Pruning that is left undone: somebody hears of it, until it is done.

use super::*;

#[tokio::test]
async fn a_pruning_that_waits_for_a_person_is_an_alarm_also_after_a_restart() {
    let world = World::new();
    world.policy("hours.toml", &text("0 * * * *", "db"));
    world.volume("db").await;
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.pass(&mut keeping, 10).await;
    let why = |keeping: &mut Keeping| {
        let health = keeping.sight().unwrap().health.remove(0);
        assert_eq!(health.is_alarming(), health.unpruned.is_some());
        health.alarms().join("; ")
    };
    assert_eq!(why(&mut keeping), "");
    world.policy("hours.toml", &(text("0 * * * *", "db") + "[keep]\nlast = 2\n"));
    keeping.reload();
    world.pass(&mut keeping, 1).await;
    let told = "`db` is not pruned: its policy would delete more snapshots than it keeps; `backupctl prune db` shows them \
                and asks";
    assert_eq!(why(&mut keeping), told);
    drop(keeping);
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    assert_eq!(why(&mut keeping), told);
    // A policy that keeps more deletes as usual.
    world.policy("hours.toml", &(text("0 * * * *", "db") + "[keep]\nlast = 9\n"));
    keeping.reload();
    world.pass(&mut keeping, 1).await;
    assert_eq!(why(&mut keeping), "");
}
