//! The scheduler on twins: a clock that stands until it is moved, and days that pass in a moment.

use std::path::Path;
use std::sync::Mutex;

use super::*;
use async_trait::async_trait;
use engine::catalog::Filter;
use engine::format::manifest::Consistency;
use engine::port::clock::Clock;
use engine::port::docker::{
    Container, ContainerState, Docker as _, Health, HelperMount, Mount, MountOf, NewVolume,
};
use engine::port::store::Store;
use engine::testing::fake_docker::{Calls, FakeDocker, real_jobs};
use engine::testing::memory_store::MemoryStore;
use engine::usecase::host::{Effort, Settings};
use engine::usecase::runs::runs;
use engine::usecase::terms::levels;
use engine::usecase::vanished::let_go;
use jiff::SignedDuration;
use policies::level::Level;

use crate::watching::Logged;

mod bad_input;
mod clocks;
mod cut_off;
mod drills;
mod pruning;
mod sets;
mod stores;
mod year;

struct Stood(Mutex<Timestamp>);

impl Stood {
    fn set(&self, to: Timestamp) {
        *self.0.lock().unwrap() = to;
    }

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
        Self::inside(tempfile::tempdir().unwrap())
    }

    fn inside(dir: tempfile::TempDir) -> Self {
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
        self.host_at(Arc::new(self.store.clone())).await
    }

    async fn host_at(&self, store: Arc<dyn Store>) -> Arc<Host> {
        let settings = Settings {
            store: "s3://bucket/prefix".into(),
            host: "h1".parse().unwrap(),
            state: self.dir.path().join("state"),
            docker: None,
            effort: Effort { levels: levels(Level::Fixed(1)), workers: 1, ..Effort::default() },
        };
        let host = Host::open(settings, Arc::<Stood>::clone(&self.clock)).await.unwrap();
        let docker: Arc<FakeDocker> = Arc::clone(&self.docker);
        Arc::new(host.with_ports(store, docker))
    }

    /// A new process.
    async fn keeping(&self) -> Keeping {
        self.keeping_of(self.host().await)
    }

    fn keeping_of(&self, host: Arc<Host>) -> Keeping {
        let policies = self.dir.path().join("policies");
        let places = Places { policies, named: true, folders: Vec::new() };
        Keeping::begin(host, places, 2, Arc::default())
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
    while !keeping.busy.is_empty() || !keeping.drilling.is_idle() {
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
    assert!(keeping.sight().unwrap().health.iter().all(|health| !health.is_alarming()));

    // The host is off for two days, and a new process makes up for all of them once.
    drop(keeping);
    world.clock.advance(2 * 24 * 60 + 10);
    let mut keeping = world.keeping().await;
    assert!(keeping.sight().unwrap().health.is_empty(), "nothing is known before the first look");
    turn(&mut keeping).await;
    turn(&mut keeping).await;
    assert_eq!(world.began("db1").await, ["21T02:00", "24T00:10"]);
    assert_eq!(world.began("web").await.len(), 7);
}

/// A container that runs and writes to a volume.
fn writer(volume: &str) -> Container {
    let of = MountOf::Volume { name: volume.into() };
    Container {
        id: format!("id-of-{volume}"),
        name: format!("{volume}-server"),
        image: String::new(),
        image_id: String::new(),
        state: ContainerState::Running,
        health: Health::None,
        started_at: Some(Timestamp::UNIX_EPOCH),
        restart_policy: "always".into(),
        labels: BTreeMap::new(),
        mounts: vec![Mount { of, at: "/data".into(), writable: true }],
        auto_remove: false,
        has_us: false,
        versions: BTreeMap::new(),
    }
}

#[tokio::test]
async fn writers_are_held_as_their_policy_says_or_the_source_is_refused() {
    let world = World::new();
    for (volume, mode) in [("db", "pause"), ("web", "live"), ("pg", "postgres")] {
        world.policy(&format!("{volume}.toml"), &text("0 2 * * *", volume).replace("live", mode));
        world.volume(volume).await;
        world.docker.put_container(writer(volume));
    }
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.pass(&mut keeping, 15).await;
    let host = world.host().await;
    let rows = host.catalog().snapshots(&Filter::default()).unwrap();
    let mut said: Vec<_> =
        rows.into_iter().map(|row| (row.key.source.to_string(), row.consistency)).collect();
    said.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(said, [("db".to_owned(), Consistency::Paused), ("web".to_owned(), Consistency::Live)]);
    let events = host.catalog().events(10).unwrap();
    let refused = "backup of `pg` failed: no container that writes to `pg` is a PostgreSQL";
    assert!(events.iter().any(|event| event.text.starts_with(refused)), "{events:?}");
    let containers = world.docker.containers().await.unwrap();
    assert!(containers.iter().all(|one| one.state == ContainerState::Running), "{containers:?}");
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
    assert!(keeping.trouble().is_some_and(|why| why.contains("night.toml:1:1: ")), "{:?}", keeping.trouble());
    world.policy("night.toml", &text("0 2 * * *", "db"));
    world.pass(&mut keeping, 15).await;
    assert_eq!((keeping.trouble(), world.began("db").await), (None, vec!["21T02:00".to_owned()]));
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
    let health = keeping.sight().unwrap().health;
    assert!(health[0].is_alarming() && health[0].overdue, "an empty source is refused: {health:?}");
    assert_eq!(keeping.counts().failures.values().sum::<u64>(), 1);
    write(&world.docker.volume_folder("db").join("file"), "x");
    world.pass(&mut keeping, 24).await;
    assert_eq!(world.began("db").await, ["22T02:00"]);
    assert!(!keeping.sight().unwrap().health[0].is_alarming());
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
async fn what_vanishes_is_an_alarm_until_it_is_back_or_let_go() {
    let world = World::new();
    world.policy("night.toml", &text("0 2 * * *", "db*"));
    for name in ["db1", "db2"] {
        world.volume(name).await;
    }
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.pass(&mut keeping, 15).await;
    let missed = |keeping: &mut Keeping| {
        let vanished = keeping.sight().unwrap().vanished;
        vanished.into_iter().map(|gone| gone.source).collect::<Vec<_>>()
    };
    assert_eq!(missed(&mut keeping), [""; 0]);
    for name in ["db1", "db2"] {
        world.docker.remove_volume(name).await.unwrap();
    }
    turn(&mut keeping).await;
    assert_eq!(missed(&mut keeping), [""; 0], "not at once: containers are made anew all the time");
    world.pass(&mut keeping, 1).await;
    assert_eq!(missed(&mut keeping), ["db1", "db2"]);
    assert!(keeping.status().contains(", 2 vanished"), "{}", keeping.status());
    // A new process and a month later, still; and it was told once by each.
    drop(keeping);
    world.clock.advance(40 * 24 * 60);
    let mut keeping = world.keeping().await;
    assert_eq!(missed(&mut keeping), [""; 0], "nothing is known before the first look");
    for _ in 0..3 {
        turn(&mut keeping).await;
        assert_eq!(missed(&mut keeping), ["db1", "db2"]);
    }
    let events = world.host().await.catalog().events(100).unwrap();
    let told = events.iter().filter(|event| event.text.contains("`db1`, which policy `night`")).count();
    assert_eq!(told, 2, "{events:?}");

    world.volume("db1").await;
    assert!(let_go(&*world.host().await, &"db2".parse().unwrap()).unwrap());
    turn(&mut keeping).await;
    assert_eq!(missed(&mut keeping), [""; 0]);
    assert!(!keeping.ledger.sources.contains_key(&"db2".parse().unwrap()));
    assert!(!let_go(&*world.host().await, &"db1".parse().unwrap()).unwrap());
}

/// Failures, recoveries and heartbeats reach programs of the host, each once, also over a restart of the daemon.
#[tokio::test]
async fn people_are_told_of_each_change_once() {
    let world = World::new();
    let heard = world.dir.path().join("heard");
    let notify = format!(
        "[notify]\ncommand = [\"/bin/sh\", \"-c\", \"cat >>{}\"]\non = [\"failure\", \"recovery\"]\n",
        heard.display()
    );
    world.policy("night.toml", &(text("0 2 * * *", "db") + &notify));
    world.volume("db").await;
    let file = world.docker.volume_folder("db").join("file");
    std::fs::remove_file(&file).unwrap();
    let mut keeping = world.keeping().await;
    keeping.tell_by(Teller::default());
    let lines =
        || std::fs::read_to_string(&heard).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    for _ in 0..2 {
        turn(&mut keeping).await;
        for _ in 0..3 {
            world.pass(&mut keeping, 8).await;
            keeping.sight().unwrap();
            keeping.teller.finish(&keeping.host).await.unwrap();
            keeping.sight().unwrap();
        }
        assert_eq!(lines().len(), 1, "{:?}", lines());
        // A new process knows what was told.
        keeping = world.keeping().await;
        keeping.tell_by(Teller::default());
    }
    let failure: serde_json::Value = serde_json::from_str(&lines()[0]).unwrap();
    assert_eq!(
        (
            failure["event"].as_str(),
            failure["host"].as_str(),
            failure["source"].as_str(),
            failure["policy"].as_str()
        ),
        (Some("failure"), Some("h1"), Some("db"), Some("night"))
    );
    assert!(failure["text"].as_str().unwrap().starts_with("h1: backup of `db` failed: "), "{failure}");

    write(&file, "x");
    turn(&mut keeping).await;
    world.pass(&mut keeping, 24).await;
    keeping.sight().unwrap();
    keeping.teller.finish(&keeping.host).await.unwrap();
    let recovery: serde_json::Value = serde_json::from_str(&lines()[1]).unwrap();
    assert_eq!((recovery["event"].as_str(), lines().len()), (Some("recovery"), 2), "{recovery}");
    assert_eq!(keeping.counts().untold, 0);
}

/// A place that hangs keeps no run back: days pass as they do without it.
#[tokio::test]
async fn a_place_that_hangs_keeps_no_run_back() {
    let world = World::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let notify = format!("[notify]\nheartbeat = \"http://{}/beat\"\n", listener.local_addr().unwrap());
    world.policy("hours.toml", &(text("0 * * * *", "db") + &notify));
    world.volume("db").await;
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    let began = std::time::Instant::now();
    world.pass(&mut keeping, 12).await;
    assert_eq!(world.began("db").await.len(), 12);
    assert!(began.elapsed() < Duration::from_secs(60), "nobody waited for an answer");
    listener.accept().unwrap();
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
