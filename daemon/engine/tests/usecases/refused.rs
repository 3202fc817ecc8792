//! What is refused, what is busy, and what is called off.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use archive::channel::{Hello, PROTOCOL, RecordKind, write_json};
use engine::failure::Class;
use engine::lock::{Holder, LockOn, Locks};
use engine::port::docker::{ContainerState, Docker as _};
use engine::port::store::Store as _;
use engine::testing::calls::CallLog;
use engine::testing::fake_docker::{Calls, FakeDocker, JobRunner};
use engine::testing::faulty_store::{Effect, Fault, FaultyStore, Verb};
use engine::usecase::backup::{BackupRequest, backup};
use engine::usecase::recover::recover;
use engine::usecase::restore::{plan_restore, restore};
use engine::usecase::runs::{run_of, runs};
use engine::usecase::watch::{Cancel, Silent, Told, Watch};
use policies::policy::{Consistency, Mode};

use crate::support::tree::{but_root_time, clear, differences};
use crate::support::world::{World, back_up, backup_request, container, restore_as, restore_request};

/// Calls off at the first step whose words contain these.
struct CallsOff {
    at: &'static str,
    cancel: Cancel,
}

impl CallsOff {
    fn at(at: &'static str) -> Self {
        Self { at, cancel: Cancel::default() }
    }
}

impl Watch for CallsOff {
    fn tell(&self, told: Told) {
        if matches!(told, Told::Step(words) if words.contains(self.at)) {
            self.cancel.ask();
        }
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

#[tokio::test]
async fn an_empty_source_is_refused_unless_it_is_meant() {
    let world = World::new();
    world.volume("db", 1).await;
    clear(&world.docker.volume_folder("db"));
    let host = world.host().await;
    let failed = back_up(&host, "db").await.unwrap_err();
    assert_eq!(failed.class, Class::Unsafe, "{failed}");
    assert!(failed.hint.unwrap().contains("--allow-empty"));
    assert!(world.store.snapshot().keys().all(|key| key == "h1/owner.json"));
    let meant = BackupRequest { allow_empty: true, ..backup_request("db") };
    assert_eq!(backup(&host, &meant, &Silent::default()).await.unwrap().entries, 1);
}

/// Some of the old content and some of the new is there, until somebody finishes the swap.
#[tokio::test]
async fn a_volume_that_is_half_swapped_is_no_source() {
    let world = World::new();
    world.volume("db", 1).await;
    let staging = world.docker.volume_folder("db").join(".backupd-restore-0011223344556677");
    std::fs::create_dir(&staging).unwrap();
    std::fs::set_permissions(&staging, std::fs::Permissions::from_mode(0o700)).unwrap();
    let host = world.host().await;
    for (phase, is_fine) in [("staged", true), ("moving_out", false), ("moving_in", false)] {
        let journal = format!("{{\"phase\":\"{phase}\",\"keep_previous\":false}}");
        std::fs::write(staging.join("journal"), journal).unwrap();
        let done = back_up(&host, "db").await;
        assert_eq!(done.is_ok(), is_fine, "{phase}: {done:?}");
    }
    assert_eq!(world.store.snapshot().keys().filter(|key| key.ends_with(".manifest")).count(), 1);
}

/// A restore of another host's snapshot holds the lock of another lineage.
#[tokio::test]
async fn who_writes_into_a_volume_has_it_alone() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    let (locks, on) = (Locks::new(world.state().join("locks")), LockOn::Volume("db".to_owned()));
    let holder = Holder {
        run: "0011223344556677".parse().unwrap(),
        pid: std::process::id(),
        verb: engine::catalog::Verb::Restore,
        since: jiff::Timestamp::UNIX_EPOCH,
    };
    let writing = locks.try_lock(&on, &holder).unwrap();
    let busy = back_up(&host, "db").await.unwrap_err();
    assert_eq!(busy.class, Class::Busy, "{busy}");
    assert!(busy.to_string().contains("0011223344556677"), "{busy}");
    drop(writing);
    let reading = locks.try_share(&on).unwrap();
    back_up(&host, "db").await.unwrap();
    let busy = restore_as(&host, &restore_request("db", 1, None)).await.unwrap_err();
    assert_eq!(busy.class, Class::Busy, "{busy}");
    drop(reading);
    restore_as(&host, &restore_request("db", 1, None)).await.unwrap();
}

#[tokio::test]
async fn an_unknown_source_is_never_made() {
    let world = World::new();
    world.volume("db-data", 1).await;
    world.docker.put_container(container("web", "db-data", ContainerState::Running, "no"));
    let cases = [("dbdata", "`db-data`"), ("web", "`web:/data`"), ("web:/nothing", "`web:/data`")];
    for (name, suggestion) in cases {
        let failed = back_up(&world.host().await, name).await.unwrap_err();
        assert_eq!(failed.class, Class::NotFound, "{name}: {failed}");
        let hint = failed.hint.unwrap();
        assert!(hint.contains(suggestion), "{name}: {hint}");
    }
    assert_eq!(world.docker.volumes().await.unwrap().len(), 1);
    // A named volume has one history, whatever container it is seen through.
    assert_eq!(back_up(&world.host().await, "web:/data").await.unwrap_err().class, Class::Usage);
}

#[tokio::test]
async fn a_lineage_has_one_writer_at_a_time() {
    let world = World::new();
    world.volume("db", 1).await;
    let log = CallLog::recording();
    let stalls = vec![Fault::nth(Verb::Finish, 1, Effect::Stall)];
    let store = FaultyStore::new(Arc::new(world.store.clone()), Arc::clone(&log), stalls);
    let first = world.host_with(Arc::new(store), Arc::<FakeDocker>::clone(&world.docker)).await;
    let second = world.host().await;
    let other = async {
        while !log.names().iter().any(|name| name.starts_with("store.finish")) {
            tokio::task::yield_now().await;
        }
        let run = runs(&second, 1).unwrap().remove(0);
        assert!(run.live);
        // Recovery leaves alone what lives.
        assert_eq!(recover(&second, &Silent::default()).await.unwrap().said, Vec::<String>::new());
        (run.run, back_up(&second, "db").await.unwrap_err())
    };
    let (run, failed) = tokio::select! {
        done = back_up(&first, "db") => panic!("it was to stall: {done:?}"),
        told = other => told,
    };
    assert_eq!((failed.class, failed.class.exit_code()), (Class::Busy, 11), "{failed}");
    assert!(failed.to_string().contains(&run), "{failed}");
    // What the hint says to type tells of that run, and of no other.
    assert!(failed.hint.as_deref().unwrap_or_default().contains(&format!("`backupctl runs {run}`")));
    assert_eq!(run_of(&second, &run.parse().unwrap()).unwrap().run, run);
    let unknown = run_of(&second, &"0000000000000000".parse().unwrap()).unwrap_err();
    assert_eq!(unknown.class, Class::NotFound, "{unknown}");
    // The first one is dead now.
    assert_eq!(recover(&second, &Silent::default()).await.unwrap().said.len(), 1);
    assert_eq!(world.store.open_uploads("").await.unwrap(), []);
    back_up(&second, "db").await.unwrap();
}

#[tokio::test]
async fn a_backup_that_is_called_off_leaves_nothing() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    let watch = CallsOff::at("reading");
    let failed = backup(&host, &backup_request("db"), &watch).await.unwrap_err();
    assert_eq!(failed.class, Class::Interrupted, "{failed}");
    assert!(world.store.snapshot().keys().all(|key| key == "h1/owner.json"));
    assert_eq!(world.store.open_uploads("").await.unwrap(), []);
    assert_eq!(world.docker.leftovers().await.unwrap(), []);
    assert_eq!(runs(&host, 1).unwrap()[0].state, "interrupted");
}

#[tokio::test]
async fn a_restore_that_is_called_off_leaves_the_old_content_and_service() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let now = world.replant("db", 2);
    world.docker.put_container(container("web", "db", ContainerState::Running, "always"));
    for into in [None, Some("copy")] {
        let plan = plan_restore(&host, &restore_request("db", 1, into)).await.unwrap();
        let failed = restore(&host, plan, &CallsOff::at("restoring")).await.unwrap_err();
        assert_eq!(failed.class, Class::Interrupted, "{failed}");
        assert_eq!(differences(&but_root_time(world.tree("db")), &but_root_time(now.clone())), "");
        assert_eq!(world.docker.volume("copy").await.unwrap(), None);
        assert_eq!(world.docker.leftovers().await.unwrap(), []);
        let web = world.docker.container("web").await.unwrap().unwrap();
        assert_eq!((web.state, web.restart_policy.as_str()), (ContainerState::Running, "always"));
    }
}

/// A15: what speaks another version is found out before anybody is held for it.
#[tokio::test]
async fn a_helper_of_another_version_is_refused_before_anybody_is_held() {
    let (mut world, calls) = (World::new(), Calls::new());
    let runner: JobRunner = Arc::new(|_input, mut output, _root| {
        let hello = Hello { protocol: PROTOCOL + 1, version: "next".to_owned() };
        write_json(&mut output, RecordKind::Hello, &hello).unwrap();
    });
    world.docker = Arc::new(FakeDocker::new(world.folder.path().join("volumes"), runner, calls.script()));
    world.volume("db", 1).await;
    world.docker.put_container(container("web", "db", ContainerState::Running, "always"));
    let host = world.host().await;
    let consistency = Consistency { mode: Mode::Pause, ..Consistency::default() };
    let request = BackupRequest { consistency, ..backup_request("db") };
    let refused = backup(&host, &request, &Silent::default()).await.unwrap_err();
    assert!(refused.to_string().contains(&(PROTOCOL + 1).to_string()) && refused.hint.is_some(), "{refused}");
    assert!(!calls.log().iter().any(|call| call.starts_with("pause")), "{:?}", calls.log());
    assert_eq!(world.docker.leftovers().await.unwrap(), []);
}
