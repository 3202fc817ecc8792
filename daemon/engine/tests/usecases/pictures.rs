//! Writers that go on as soon as a picture of their source was taken: what they write then is in no snapshot.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use engine::format::manifest::Consistency as Kind;
use engine::port::docker::{ContainerState as State, Docker as _};
use engine::testing::fake_docker::{Calls, FakeDocker, JobRunner, Moment, Script, Verdict, cloning_jobs};
use engine::usecase::backup::{BackupRequest, backup};
use engine::usecase::set::backup_set;
use engine::usecase::watch::Silent;
use policies::policy::{Consistency, Mode};

use crate::support::tree::differences;
use crate::support::world::{World, backup_request, container, restore_as, restore_request};

/// So much of a pass comes through before the gate: a greeting, and that the picture is taken.
const BEFORE_GATE: usize = 4096;

/// More than that, and nothing of it compresses.
const HOT_BYTES: u32 = 1 << 20;

/// Whoever is held back here fails after this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Shut until all writers run again.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) -> io::Result<()> {
        let open = self.1.wait_timeout_while(self.0.lock().unwrap(), PATIENCE, |open| !*open).unwrap();
        if *open.0 { Ok(()) } else { Err(io::Error::other("nobody was let go")) }
    }
}

/// The output of a helper, most of it behind a gate.
struct Gated(Box<dyn Write + Send>, Arc<Gate>, usize);

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.2 += bytes.len();
        if self.2 > BEFORE_GATE {
            self.1.pass()?;
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn noise(seed: u32) -> Vec<u8> {
    let step = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 24) as u8)
    };
    (0..HOT_BYTES).scan(seed, |state, _| step(state)).collect()
}

/// Helpers whose passes from number `first` on send what they read only once the gate is open.
fn gated(first: u32, gate: &Arc<Gate>) -> JobRunner {
    let (jobs, helper, gate) = (AtomicU32::new(0), cloning_jobs(), Arc::clone(gate));
    Arc::new(move |input, output, root| {
        let number = jobs.fetch_add(1, Ordering::SeqCst);
        let output = if number < first { output } else { Box::new(Gated(output, Arc::clone(&gate), 0)) };
        helper(input, output, root);
    })
}

/// Writes to a file before the writers are held, and again once the last of them runs.
fn writing(hot: Vec<PathBuf>, gate: &Arc<Gate>) -> Script {
    let gate = Arc::clone(gate);
    Arc::new(move |moment, deed| {
        let write = |seed| hot.iter().for_each(|hot| std::fs::write(hot, noise(seed)).unwrap());
        match (moment, deed) {
            (Moment::Before, "pause id-of-app") => write(1),
            (Moment::After, "unpause id-of-app") => {
                write(2);
                gate.open();
            }
            _ => {}
        }
        Verdict::Pass
    })
}

async fn world(volumes: &[&str], gate: &Arc<Gate>) -> World {
    let mut world = World::new();
    let folder = world.folder.path().join("cloning");
    std::fs::create_dir(&folder).unwrap();
    let helpers = gated(u32::try_from(volumes.len()).unwrap(), gate);
    world.docker = Arc::new(FakeDocker::new(folder, helpers, Calls::new().script()));
    let mut app = container("app", volumes[0], State::Running, "always");
    for (seed, name) in (1..).zip(volumes) {
        world.volume(name, seed).await;
        if seed > 1 {
            let mut other = container("other", name, State::Running, "no").mounts;
            other[0].at = format!("/{name}");
            app.mounts.append(&mut other);
        }
    }
    world.docker.put_container(app);
    world
}

fn request(name: &str) -> BackupRequest {
    let consistency = Consistency { mode: Mode::Pause, max_freeze: PATIENCE * 2, ..Consistency::default() };
    BackupRequest { consistency, ..backup_request(name) }
}

fn hot(world: &World, name: &str) -> PathBuf {
    world.docker.volume_folder(name).join("hot")
}

async fn is_of_the_picture(world: &World, name: &str) {
    let host = world.host().await;
    let as_new = format!("{name}-new");
    restore_as(&host, &restore_request(name, 1, Some(&as_new))).await.unwrap();
    assert_eq!(std::fs::read(hot(world, &as_new)).unwrap(), noise(1), "{name}");
    let rest = |name: &str| {
        let mut tree = world.tree(name);
        tree.retain(|path, _| !path.is_empty() && path != b"hot");
        tree
    };
    assert_eq!(differences(&rest(&as_new), &rest(name)), "", "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_go_on_once_the_picture_is_taken() {
    let gate = Arc::new(Gate::default());
    let world = world(&["db"], &gate).await;
    let engine = world.docker.reopened(writing(vec![hot(&world, "db")], &gate));
    let host = world.host_with(Arc::new(world.store.clone()), Arc::new(engine)).await;
    let report = backup(&host, &request("db"), &Silent::default()).await.unwrap();
    assert_eq!((report.consistency, report.partial), (Kind::Paused, false), "{report:?}");
    let scratch: Vec<bool> = world.docker.helpers().iter().map(|helper| helper.scratch).collect();
    assert_eq!(scratch, [false, true], "only who reads while somebody is held has a place beside the source");
    assert_eq!(world.docker.leftovers().await.unwrap(), []);
    is_of_the_picture(&world, "db").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_goes_on_once_the_last_picture_is_taken() {
    let gate = Arc::new(Gate::default());
    let world = world(&["db", "log"], &gate).await;
    let engine = world.docker.reopened(writing(vec![hot(&world, "db"), hot(&world, "log")], &gate));
    let host = world.host_with(Arc::new(world.store.clone()), Arc::new(engine)).await;
    let reports = backup_set(&host, &[request("db"), request("log")], &Silent::default()).await.unwrap();
    assert!(reports.iter().all(|report| report.consistency == Kind::Paused), "{reports:?}");
    is_of_the_picture(&world, "db").await;
    is_of_the_picture(&world, "log").await;
}
