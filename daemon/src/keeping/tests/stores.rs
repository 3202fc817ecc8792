//! Policies with stores of their own: each run writes where its policy says, and prunes there.

use super::*;

const FAR: &str = "s3://far/prefix";

fn of(store: &MemoryStore) -> Vec<String> {
    let keys = store.snapshot().into_keys();
    keys.filter(|key| key.ends_with(".manifest") && !key.contains("/deleted/")).collect()
}

#[tokio::test]
async fn a_policy_writes_to_its_own_store_and_prunes_there() {
    let world = World::new();
    let (far, own) = (MemoryStore::called(FAR), format!("store = \"{FAR}\"\n"));
    world.policy("far.toml", &format!("{own}{}[keep]\nlast = 1\n", text("0 2 * * *", "db")));
    world.policy("near.toml", &text("0 2 * * *", "web"));
    for name in ["db", "web"] {
        world.volume(name).await;
    }
    let host = Arc::into_inner(world.host().await).unwrap().with_store(FAR, Arc::new(far.clone()));
    let mut keeping = world.keeping_of(Arc::new(host));
    turn(&mut keeping).await;
    world.pass(&mut keeping, 63).await;
    assert_eq!(of(&far), ["h1/db/00000003.manifest"]);
    assert_eq!(of(&world.store).len(), 3, "all of `web`, and nothing else");
    assert!(of(&world.store).iter().all(|key| key.starts_with("h1/web/")));
    let health = keeping.health().unwrap();
    assert!(health.iter().all(|health| !health.overdue && health.failures == 0), "{health:?}");
    assert!(health[0].pruned_at.is_some(), "{health:?}");
}

#[tokio::test]
async fn one_store_under_two_addresses_is_a_bad_policy() {
    let world = World::new();
    world.policy("night.toml", &text("0 2 * * *", "db"));
    world.volume("db").await;
    let host = Arc::into_inner(world.host().await).unwrap();
    let mut keeping = world.keeping_of(Arc::new(host.with_store(FAR, Arc::new(MemoryStore::called(FAR)))));
    turn(&mut keeping).await;
    for (file, address) in [("one.toml", FAR), ("two.toml", "s3://far/prefix?region=eu-1")] {
        world.policy(file, &format!("store = \"{address}\"\n{}", text("0 2 * * *", file)));
    }
    keeping.reload();
    let told = keeping.trouble().unwrap_or_default();
    assert!(told.contains("policy `two`") && told.contains("region=eu-1"), "{told}");
    world.pass(&mut keeping, 15).await;
    assert_eq!(world.began("db").await.len(), 1, "what held before still holds");
}
