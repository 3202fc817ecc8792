//! An engine that tells much, ends, and comes back.

use engine::adapter::clock::SystemClock;
use engine::port::docker::{Docker as _, DockerErrorKind, NewVolume};
use engine::testing::fake_docker::{Calls, FakeDocker, Moment, real_jobs};
use engine::testing::memory_store::MemoryStore;
use engine::usecase::host::{Effort, Settings};

use super::*;

struct World {
    _dir: tempfile::TempDir,
    docker: Arc<FakeDocker>,
    calls: Arc<Calls>,
    wanted: Arc<Notify>,
    listener: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

const MILLI: Duration = Duration::from_millis(1);

async fn world(fail_first: bool) -> World {
    let dir = tempfile::tempdir().unwrap();
    let calls = Calls::new();
    if fail_first {
        calls.fail("changes", 1, Moment::Before, DockerErrorKind::Unreachable);
    }
    std::fs::create_dir(dir.path().join("volumes")).unwrap();
    let docker = Arc::new(FakeDocker::new(dir.path().join("volumes"), real_jobs(), calls.script()));
    let settings = Settings {
        store: "s3://bucket/prefix".into(),
        host: "h1".parse().unwrap(),
        state: dir.path().join("state"),
        docker: None,
        effort: Effort::default(),
    };
    let host = Host::open(settings, Arc::new(SystemClock::start())).await.unwrap();
    let twin: Arc<FakeDocker> = Arc::clone(&docker);
    let host = Arc::new(host.with_ports(Arc::new(MemoryStore::new()), twin));
    let wanted = Arc::new(Notify::new());
    let paces = Paces {
        quiet: MILLI * 300,
        most: MILLI * 1_200,
        pauses: (MILLI * 20, MILLI * 40),
        mute: MILLI * 10_000,
    };
    let listener = tokio::spawn(listen(host, Arc::clone(&wanted), paces));
    World { _dir: dir, docker, calls, wanted, listener }
}

impl World {
    async fn volume(&self, name: &str) {
        let new = NewVolume { name: name.into(), ..NewVolume::default() };
        self.docker.create_volume(&new).await.unwrap();
    }

    /// Whether a look is asked for within `span`.
    async fn is_asked(&self, span: Duration) -> bool {
        timeout(span, self.wanted.notified()).await.is_ok()
    }

    fn subscriptions(&self) -> usize {
        self.calls.log().iter().filter(|call| *call == "changes").count()
    }
}

#[tokio::test]
async fn many_changes_ask_for_one_look_and_starts_for_none() {
    let world = world(false).await;
    assert!(world.is_asked(MILLI * 5_000).await, "a look follows the subscription");
    for n in 0..20 {
        world.volume(&format!("v{n}")).await;
    }
    assert!(world.is_asked(MILLI * 5_000).await);
    assert!(!world.is_asked(MILLI * 600).await, "twenty at once are one");
    world.docker.remove_volume("v0").await.unwrap();
    assert!(world.is_asked(MILLI * 5_000).await);
    assert_eq!(world.subscriptions(), 1);
}

#[tokio::test]
async fn a_storm_does_not_put_the_look_off_for_ever() {
    let world = world(false).await;
    assert!(world.is_asked(MILLI * 5_000).await);
    let storm = async {
        for n in 0.. {
            world.volume(&format!("v{n}")).await;
            sleep(MILLI * 20).await;
        }
    };
    tokio::select! {
        () = storm => {}
        asked = world.is_asked(MILLI * 5_000) => assert!(asked),
    }
}

#[tokio::test]
async fn a_restart_of_the_engine_loses_nothing_and_is_no_busy_loop() {
    let world = world(true).await;
    assert!(world.is_asked(MILLI * 5_000).await, "the second try subscribes");
    world.docker.end_changes();
    // Made while nobody listens: the look after the next subscription sees it.
    world.volume("meanwhile").await;
    assert!(world.is_asked(MILLI * 5_000).await);
    for _ in 0..5 {
        world.docker.end_changes();
        sleep(MILLI * 50).await;
    }
    let tries = world.subscriptions();
    assert!((3..=12).contains(&tries), "{tries}");
}
