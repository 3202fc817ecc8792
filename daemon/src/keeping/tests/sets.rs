//! Policies whose sources are a set: one run for all, one id, and pruning of each.

use engine::usecase::snapshots::{Wanted, WantedHost, snapshots};

use super::*;

const SET: &str = "schedule = \"0 2 * * *\"\n[select]\nvolumes = [\"q-*\"]\n[consistency]\nmode = \"pause\"\nset = true\n\
                   [keep]\nlast = 2\n";

#[tokio::test]
async fn sources_of_a_set_are_backed_up_by_one_run_and_pruned_each() {
    let world = World::new();
    world.policy("set.toml", SET);
    for name in ["q-db", "q-log", "q-queue"] {
        world.volume(name).await;
    }
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.pass(&mut keeping, 87).await;
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    let lines = snapshots(&*world.host().await, &wanted).await.unwrap().lines;
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        sets.entry(line.set.unwrap()).or_default().push(line.id);
    }
    let mut told: Vec<Vec<String>> = sets.into_values().collect();
    told.iter_mut().for_each(|ids| ids.sort());
    told.sort();
    assert_eq!(told, [["q-db@3", "q-log@3", "q-queue@3"], ["q-db@4", "q-log@4", "q-queue@4"]]);
    assert!(keeping.health().unwrap().iter().all(|health| !health.overdue && health.failures == 0));
}

#[tokio::test]
async fn a_member_that_fails_fails_its_set_and_nothing_else() {
    let world = World::new();
    world.policy("set.toml", SET);
    world.policy(
        "alone.toml",
        "schedule = \"0 2 * * *\"\nselect.volumes = [\"a\"]\nconsistency.mode = \"live\"\n",
    );
    for name in ["q-db", "q-log", "a"] {
        world.volume(name).await;
    }
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    std::fs::remove_file(world.docker.volume_folder("q-log").join("file")).unwrap();
    world.pass(&mut keeping, 16).await;
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    let lines = snapshots(&*world.host().await, &wanted).await.unwrap().lines;
    assert_eq!(lines.into_iter().map(|line| line.id).collect::<Vec<_>>(), ["a@1"]);
    let failures: Vec<(String, u32)> =
        keeping.health().unwrap().into_iter().map(|health| (health.source, health.failures)).collect();
    assert_eq!(failures, [("a".into(), 0), ("q-db".into(), 1), ("q-log".into(), 1)]);
}
