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

/// D9: a disk that is taken away while the service runs, and comes back.
#[tokio::test]
async fn nothing_is_written_where_a_disk_was_and_it_is_used_again_when_it_is_back() {
    let world = World::new();
    let (disk, away) = (world.dir.path().join("disk"), world.dir.path().join("away"));
    let store = format!("store = \"file://{}\"\n[drill]\nevery = \"1d\"\n", disk.join("store").display());
    let heard = world.dir.path().join("heard");
    let notify = format!("[notify]\ncommand = [\"/bin/sh\", \"-c\", \"cat >>{}\"]\n", heard.display());
    let policy = text("0 * * * *", "db").replace("[select]", &format!("{store}[select]"));
    world.policy("hours.toml", &(policy + &notify));
    world.volume("db").await;
    let snapshots = |disk: &Path| {
        let inside = std::fs::read_dir(disk.join("store/h1/db")).unwrap();
        let names = inside.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".manifest")).count()
    };
    std::fs::create_dir(&disk).unwrap();
    let mut keeping = world.keeping().await;
    keeping.tell_by(Teller::default());
    turn(&mut keeping).await;
    world.pass(&mut keeping, 2).await;
    assert_eq!(snapshots(&disk), 2);

    engine::durable::rename_synced(&disk, &away).unwrap();
    std::fs::create_dir(&disk).unwrap();
    world.pass(&mut keeping, 2).await;
    let events = world.host().await.catalog().events(10).unwrap();
    assert!(events.iter().any(|event| event.text.contains("is the disk mounted?")), "{events:?}");
    assert_eq!((keeping.counts().failures.values().sum::<u64>(), snapshots(&away)), (2, 2));
    assert_eq!(std::fs::read_dir(&disk).unwrap().count(), 0, "nothing beneath the mount point");
    // No run had begun: whoever asks how the source stands hears of it all the same, and so does whoever is told.
    let sight = keeping.sight().unwrap();
    let why = sight.health[0].message.clone().unwrap_or_default();
    assert!(sight.health[0].failures == 2 && why.contains("is the disk mounted?"), "{:?}", sight.health);
    keeping.teller.finish(&keeping.host).await.unwrap();
    let lines = std::fs::read_to_string(&heard).unwrap_or_default();
    assert!(lines.contains("\"failure\"") && lines.contains("is the disk mounted?"), "{lines}");

    std::fs::remove_dir(&disk).unwrap();
    engine::durable::rename_synced(&away, &disk).unwrap();
    world.pass(&mut keeping, 1).await;
    assert_eq!(snapshots(&disk), 3);
    assert!(!keeping.sight().unwrap().health[0].is_alarming());
}
