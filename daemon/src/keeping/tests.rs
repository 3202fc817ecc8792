//! The scheduler on twins: a clock that stands until it is moved, and days that pass in a moment.

use std::path::Path;
use std::sync::Mutex;

use super::*;
use async_trait::async_trait;
use engine::port::clock::Clock;
use engine::port::docker::{Docker as _, HelperMount, NewVolume};
use engine::testing::fake_docker::{Calls, FakeDocker, real_jobs};
use engine::testing::memory_store::MemoryStore;
use engine::usecase::host::{Effort, Settings};
use engine::usecase::runs::runs;
use engine::usecase::terms::levels;
use policies::level::Level;

struct Stood(Mutex<Timestamp>);

impl Stood {
    fn advance(&self, minutes: i64) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
    }
}

#[async_trait]
impl Clock for Stood {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

struct World {
    dir: tempfile::TempDir,
    docker: Arc<FakeDocker>,
    store: MemoryStore,
    clock: Arc<Stood>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["volumes", "policies"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let docker = FakeDocker::new(dir.path().join("volumes"), real_jobs(), Calls::new().script());
        let clock = Arc::new(Stood(Mutex::new("2026-11-20T12:00:00Z".parse().unwrap())));
        Self { dir, docker: Arc::new(docker), store: MemoryStore::new(), clock }
    }

    fn policy(&self, name: &str, text: &str) {
        write(&self.dir.path().join("policies").join(name), text);
    }

    async fn volume(&self, name: &str) {
        let new = NewVolume { name: name.into(), ..NewVolume::default() };
        self.docker.create_volume(&new).await.unwrap();
        write(&self.docker.volume_folder(name).join("file"), name);
    }

    async fn host(&self) -> Arc<Host> {
        let settings = Settings {
            store: "s3://bucket/prefix".into(),
            host: "h1".parse().unwrap(),
            state: self.dir.path().join("state"),
            docker: None,
            effort: Effort { levels: levels(Level::Fixed(1)), workers: 1, ..Effort::default() },
        };
        let host = Host::open(settings, Arc::<Stood>::clone(&self.clock)).await.unwrap();
        let docker: Arc<FakeDocker> = Arc::clone(&self.docker);
        Arc::new(host.with_ports(Arc::new(self.store.clone()), docker))
    }

    /// A new process.
    async fn keeping(&self) -> Keeping {
        let policies = self.dir.path().join("policies");
        let places = Places { policies, named: true, folders: Vec::new() };
        Keeping::begin(self.host().await, places, 2, Arc::default())
    }

    /// Minutes pass, a look and a turn every ten of them; runs take no time.
    async fn pass(&self, keeping: &mut Keeping, hours: i64) {
        for _ in 0..hours * 6 {
            self.clock.advance(10);
            turn(keeping).await;
        }
    }

    /// When backups of a source began, oldest first.
    async fn began(&self, source: &str) -> Vec<String> {
        let mut lines = runs(&*self.host().await, 1000).unwrap();
        lines.retain(|line| line.source == source && line.state == "done");
        lines.reverse();
        lines.iter().map(|line| line.began_at.strftime("%dT%H:%M").to_string()).collect()
    }
}

async fn turn(keeping: &mut Keeping) {
    keeping.look().await.unwrap();
    keeping.turn().unwrap();
    while !keeping.busy.is_empty() {
        keeping.one_ended().await;
        keeping.turn().unwrap();
    }
}

fn write(path: &Path, text: &str) {
    use std::io::Write as _;
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn text(line: &str, volumes: &str) -> String {
    format!("schedule = \"{line}\"\nconsistency.mode = \"live\"\n[select]\nvolumes = [\"{volumes}\"]\n")
}

#[tokio::test]
async fn days_pass_and_every_slot_has_its_backup() {
    let world = World::new();
    world.policy("night.toml", &text("0 2 * * *", "db*"));
    world.policy("hours.toml", &text("0 */6 * * *", "web"));
    for name in ["db1", "db2", "db3", "web", "other"] {
        world.volume(name).await;
    }
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.pass(&mut keeping, 36).await;
    for name in ["db1", "db2", "db3"] {
        assert_eq!(world.began(name).await, ["21T02:00"], "{name}");
    }
    assert_eq!(
        world.began("web").await,
        ["20T18:00", "21T00:00", "21T06:00", "21T12:00", "21T18:00", "22T00:00"]
    );
    assert_eq!(world.began("other").await, [""; 0]);
    assert!(keeping.health().unwrap().iter().all(|health| !health.is_alarming()));

    // The host is off for two days, and a new process makes up for all of them once.
    drop(keeping);
    world.clock.advance(2 * 24 * 60 + 10);
    let mut keeping = world.keeping().await;
    assert!(keeping.health().unwrap().is_empty(), "nothing is known before the first look");
    turn(&mut keeping).await;
    turn(&mut keeping).await;
    assert_eq!(world.began("db1").await, ["21T02:00", "24T00:10"]);
    assert_eq!(world.began("web").await.len(), 7);
}

#[tokio::test]
async fn bad_policies_change_nothing_and_good_ones_everything() {
    let world = World::new();
    world.policy("night.toml", &text("0 2 * * *", "db"));
    world.volume("db").await;
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.policy("bad.toml", "schedul = 1\n");
    world.policy("night.toml", &text("0 3 * * *", "db"));
    keeping.reload();
    assert!(keeping.status().ends_with("the policies on disk are bad"), "{}", keeping.status());
    world.pass(&mut keeping, 15).await;
    assert_eq!(world.began("db").await, ["21T02:00"]);
    let events = world.host().await.catalog().events(10).unwrap();
    assert!(events[0].text.contains("bad.toml:1:1: unknown key `schedul`"), "{events:?}");

    std::fs::remove_file(world.dir.path().join("policies/bad.toml")).unwrap();
    keeping.reload();
    world.pass(&mut keeping, 24).await;
    assert_eq!(world.began("db").await, ["21T02:00", "22T03:00"]);
}

#[tokio::test]
async fn policies_that_are_bad_at_the_start_are_read_again_until_they_are_good() {
    let world = World::new();
    world.policy("night.toml", "schedul = 1\n");
    world.volume("db").await;
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    assert!(keeping.refused().is_some_and(|why| why.contains("night.toml:1:1: ")), "{:?}", keeping.refused());
    world.policy("night.toml", &text("0 2 * * *", "db"));
    world.pass(&mut keeping, 15).await;
    assert_eq!((keeping.refused(), world.began("db").await), (None, vec!["21T02:00".to_owned()]));
}

#[tokio::test]
async fn a_failed_run_is_told_and_the_next_slot_counts() {
    let world = World::new();
    world.policy("night.toml", &text("0 2 * * *", "db"));
    world.volume("db").await;
    std::fs::remove_file(world.docker.volume_folder("db").join("file")).unwrap();
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.pass(&mut keeping, 16).await;
    let health = keeping.health().unwrap();
    assert!(health[0].is_alarming() && health[0].overdue, "an empty source is refused: {health:?}");
    assert_eq!(keeping.failures().values().sum::<u64>(), 1);
    write(&world.docker.volume_folder("db").join("file"), "x");
    world.pass(&mut keeping, 24).await;
    assert_eq!(world.began("db").await, ["22T02:00"]);
    assert!(!keeping.health().unwrap()[0].is_alarming());
}

#[tokio::test]
async fn whoever_is_stopped_waits_until_every_run_has_ended() {
    let world = World::new();
    world.policy("night.toml", &text("0 2 * * *", "db"));
    world.volume("db").await;
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.clock.advance(24 * 60);
    keeping.turn().unwrap();
    assert_eq!(keeping.busy.len(), 1);
    keeping.stop().await;
    let lines = runs(&*world.host().await, 10).unwrap();
    assert!(keeping.busy.is_empty() && lines.iter().all(|line| line.ended_at.is_some()), "{lines:?}");
}

#[tokio::test]
async fn a_run_has_the_terms_of_its_policy() {
    let world = World::new();
    let more = "[limits]\nnice = 7\nbandwidth = \"64KiB/s\"\n[pack]\nmax_packs = 2\n";
    world.policy("night.toml", &format!("{}{more}", text("0 2 * * *", "db")));
    world.policy("usual.toml", &text("0 2 * * *", "web"));
    for name in ["db", "web"] {
        world.volume(name).await;
    }
    // Half a second of it goes at once.
    let noise: Vec<u8> =
        (0..48_u32 << 10).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    std::io::Write::write_all(
        &mut std::fs::File::create(world.docker.volume_folder("db").join("noise")).unwrap(),
        &noise,
    )
    .unwrap();
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    let began = std::time::Instant::now();
    world.pass(&mut keeping, 15).await;
    let nice = |volume: &str| {
        let mount = HelperMount::Volume(volume.to_owned());
        let helpers = world.docker.helpers();
        helpers.iter().filter(|spec| spec.mount == mount).map(|spec| spec.nice).collect::<Vec<_>>()
    };
    assert_eq!((nice("db"), nice("web")), (vec![7], vec![10]));
    assert_eq!(world.began("db").await, ["21T02:00"]);
    assert!(began.elapsed() > Duration::from_millis(100), "{:?}", began.elapsed());
}
