//! Somebody outside of all containers writes to a file while it is read: when that is ordinary, and when it is a refusal.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use engine::failure::{Class, Failure};
use engine::format::manifest::Consistency as Kind;
use engine::port::docker::ContainerState as State;
use engine::testing::fake_docker::{Calls, FakeDocker, JobRunner, Moment, Script, Verdict, real_jobs};
use engine::usecase::backup::{BackupReport, BackupRequest, backup};
use engine::usecase::watch::Silent;
use policies::policy::{Consistency, Mode, OnUnfreezable};

use crate::support::world::{World, backup_request, container};

/// Large enough that its end cannot be read before the first of it was sent; and its name comes first.
const LARGE: usize = 24 << 20;

/// What a helper says before it sends anything of a file is less.
const GREETING: usize = 4096;

/// Bytes that do not compress.
fn noise(seed: u32) -> Vec<u8> {
    let mut bytes = vec![0; LARGE];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// The output of a helper that lets a file grow while that is read.
struct Growing(Box<dyn Write + Send>, Option<PathBuf>, usize);

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.2 += bytes.len();
        if self.2 > GREETING
            && let Some(path) = self.1.take()
        {
            OpenOptions::new().append(true).open(path)?.write_all(b"more")?;
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Backs up a volume whose log grows during the pass of this number, and whose writer, if it has one, writes between passes.
async fn run(pass: u32, writer: bool, consistency: Consistency) -> Result<BackupReport, Failure> {
    let mut world = World::new();
    let folder = world.folder.path().join("growing");
    let log = folder.join("db/0-log");
    std::fs::create_dir(&folder).unwrap();
    let (jobs, helper, grows) = (AtomicU32::new(0), real_jobs(), log.clone());
    let growing: JobRunner = Arc::new(move |input, output, root| {
        let is_it = jobs.fetch_add(1, Ordering::SeqCst) == pass;
        helper(input, Box::new(Growing(output, is_it.then(|| grows.clone()), 0)), root);
    });
    let writes = log.clone();
    let script: Script = Arc::new(move |moment, deed| {
        if moment == Moment::Before && deed == "pause id-of-app" {
            std::fs::write(&writes, noise(2)).unwrap();
        }
        Verdict::Pass
    });
    world.docker = Arc::new(FakeDocker::new(folder, growing, Calls::new().script()));
    world.volume("db", 1).await;
    std::fs::write(&log, noise(1)).unwrap();
    let state = if writer { State::Running } else { State::Down };
    world.docker.put_container(container("app", "db", state, "no"));
    let host = world.host_with(Arc::new(world.store.clone()), Arc::new(world.docker.reopened(script))).await;
    let done =
        backup(&host, &BackupRequest { consistency, ..backup_request("db") }, &Silent::default()).await;
    assert_eq!(host.catalog().freezes().unwrap(), []);
    let committed = world.store.snapshot().keys().any(|key| key.ends_with(".manifest"));
    assert_eq!(committed, done.is_ok());
    done
}

fn refuses(done: Result<BackupReport, Failure>) {
    let refused = done.unwrap_err();
    assert_eq!(refused.class, Class::Unsafe, "{refused}");
    assert!(refused.to_string().contains("`0-log` was written to while it was read"), "{refused}");
}

#[tokio::test]
async fn what_is_written_while_writers_are_held_is_of_no_moment() {
    let by = |on_unfreezable| Consistency { mode: Mode::Pause, on_unfreezable, ..Consistency::default() };
    refuses(run(1, true, by(OnUnfreezable::Refuse)).await);
    let report = run(1, true, by(OnUnfreezable::Live)).await.unwrap();
    assert_eq!(report.consistency, Kind::Live);
    assert!(report.warnings.iter().any(|warning| warning.contains("`0-log`")), "{:?}", report.warnings);
    // What is written during the first pass is what the second one is for.
    assert_eq!(run(0, true, by(OnUnfreezable::Refuse)).await.unwrap().consistency, Kind::Paused);
}

#[tokio::test]
async fn a_source_that_no_container_writes_to_and_that_is_written_to_is_not_idle() {
    for mode in [Mode::Pause, Mode::Mysql] {
        let by = |on_unfreezable| Consistency { mode, on_unfreezable, ..Consistency::default() };
        refuses(run(0, false, by(OnUnfreezable::Refuse)).await);
        let report = run(0, false, by(OnUnfreezable::Live)).await.unwrap();
        assert_eq!(report.consistency, Kind::Live);
    }
    // Nobody has promised more, by a policy or by hand.
    let live = Consistency { mode: Mode::Live, ..Consistency::default() };
    assert_eq!(run(0, false, live).await.unwrap().consistency, Kind::Live);
}
