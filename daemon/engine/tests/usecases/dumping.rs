//! Mode `dump`: what programs say is in the snapshot to the last byte, or there is no snapshot; and none of them goes on
//! when nobody listens any more.
//!
//! Containers of the twin run their programs on this host, so the script that surrounds a dump is the real one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use engine::failure::{Class, Failure};
use engine::format::manifest::{Consistency as Kind, SnapshotKind};
use engine::port::docker::{ContainerState as State, Docker as _};
use engine::port::exec::{ExecEnd, ExecSpec};
use engine::usecase::backup::{BackupReport, BackupRequest, backup};
use engine::usecase::recover::recover;
use engine::usecase::restore::plan_restore;
use engine::usecase::verify::{VerifyRequest, verify};
use engine::usecase::watch::Silent;
use policies::policy::{Consistency, Dump, Mode, Secret};

use crate::support::world::{World, backup_request, container, restore_as, restore_request};

/// One that nobody listens to any more ends sooner.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was started, and what becomes of the end of its output on the way.
#[derive(Clone, Default)]
struct Host {
    started: Arc<Mutex<Vec<ExecSpec>>>,
    loses_bytes: usize,
}

impl Host {
    fn install(&self, world: &World) {
        let host = self.clone();
        world.docker.install(Arc::new(move |spec, input, output| host.run(spec, input, output)));
    }

    /// Runs it here. Input is passed on as far as it must be heard; its end is, when nobody listens.
    fn run(&self, spec: &ExecSpec, input: &mut dyn BufRead, output: &mut dyn Write) -> ExecEnd {
        self.started.lock().unwrap().push(spec.clone());
        let mut command = Command::new(&spec.argv[0]);
        command.args(&spec.argv[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut to = child.stdin.take();
        for _ in 0..spec.argv.iter().position(|word| word == "--").unwrap() - 5 {
            let mut line = Vec::new();
            input.read_until(b'\n', &mut line).unwrap();
            to.as_mut().unwrap().write_all(&line).unwrap();
        }
        let (sender, said) = channel();
        let mut from = child.stdout.take().unwrap();
        thread::spawn(move || {
            let mut piece = vec![0; 64 << 10];
            while let Ok(n @ 1..) = from.read(&mut piece) {
                sender.send(piece[..n].to_vec()).ok();
            }
        });
        let mut late = Vec::new();
        loop {
            match said.recv_timeout(Duration::from_millis(20)) {
                Ok(piece) => {
                    late.extend(piece);
                    let sure = late.len().saturating_sub(self.loses_bytes);
                    if output.write_all(&late[..sure]).is_err() {
                        to = None;
                    }
                    late.drain(..sure);
                }
                Err(RecvTimeoutError::Timeout) if output.write(b"").is_err() => to = None,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let end = child.wait_with_output().unwrap();
        drop(to);
        let words = String::from_utf8_lossy(&end.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        ExecEnd { status: end.status.code().unwrap_or(-1).into(), last_words: words }
    }
}

fn dump(file: &str, script: &str) -> Dump {
    let run = ["sh", "-c", script].map(str::to_owned).into();
    Dump { file: file.to_owned(), run, max_silence: Duration::from_secs(30), ..Dump::default() }
}

fn by(dumps: Vec<Dump>) -> Consistency {
    Consistency { mode: Mode::Dump, dumps, ..Consistency::default() }
}

async fn scene() -> (World, Host) {
    let (world, host) = (World::new(), Host::default());
    world.volume("db", 1).await;
    world.docker.put_container(container("db", "db", State::Running, "always"));
    host.install(&world);
    (world, host)
}

async fn run(world: &World, consistency: Consistency) -> Result<BackupReport, Failure> {
    let request = BackupRequest { consistency, ..backup_request("db") };
    let done = backup(&world.host().await, &request, &Silent::default()).await;
    tokio::time::timeout(PATIENCE, world.docker.programs_end()).await.expect("a program goes on");
    assert_eq!(world.docker.leftovers().await.unwrap(), []);
    done
}

/// Restores a snapshot into a new volume, and says where that is.
async fn restored(world: &World, number: u64, into: &str) -> PathBuf {
    restore_as(&world.host().await, &restore_request("db", number, Some(into))).await.unwrap();
    world.docker.volume_folder(into)
}

fn nothing_was_committed(world: &World) {
    let keys: Vec<String> = world.store.snapshot().keys().cloned().collect();
    assert!(keys.iter().all(|key| key.ends_with("owner.json")), "{keys:?}");
}

#[tokio::test]
async fn what_programs_say_is_the_snapshot_and_what_they_said_before_is_not_sent_again() {
    let (world, _host) = scene().await;
    // Three chunks and a bit, and one that ends with a chunk.
    let long = dump("long", "head -c 3145729 /dev/zero | tr '\\0' x; echo end");
    let whole = dump("whole", "head -c 2097152 /dev/zero | tr '\\0' y");
    let report = run(&world, by(vec![long.clone(), whole.clone()])).await.unwrap();
    assert_eq!((report.kind, report.consistency), (SnapshotKind::Full, Kind::Dump));
    assert_eq!((report.files, report.bytes), (2, 3_145_733 + 2_097_152));
    assert_eq!((report.entries, report.freeze_seconds, report.warnings.len()), (4, 0.0, 0));
    let folder = restored(&world, 1, "new").await.join(".backupd-dump");
    let root = fs::metadata(world.docker.volume_folder("db")).unwrap();
    for (name, mode, content) in [
        ("long", 0o600, [vec![b'x'; 3_145_729], b"end\n".to_vec()].concat()),
        ("whole", 0o600, vec![b'y'; 2 << 20]),
    ] {
        assert!(fs::read(folder.join(name)).unwrap() == content, "{name}");
        let meta = fs::metadata(folder.join(name)).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (mode, root.uid(), root.gid()));
    }
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700);
    let verified = verify(&world.host().await, &VerifyRequest::default(), &Silent::default()).await.unwrap();
    assert!(verified.snapshots == 1 && verified.damaged.is_empty(), "{verified:?}");

    let again = run(&world, by(vec![long.clone(), whole])).await.unwrap();
    assert_eq!(again.kind, SnapshotKind::Incremental);
    assert!(again.sent_bytes < 3_000, "nothing but rows: {}", again.sent_bytes);
    let one = run(&world, by(vec![long])).await.unwrap();
    assert_eq!((one.entries, one.kind), (3, SnapshotKind::Incremental), "what is dumped no more is gone");
    restored(&world, 3, "three").await;
    let plan = plan_restore(&world.host().await, &restore_request("db", 3, None)).await.unwrap();
    assert!(plan.warnings.iter().any(|said| said.contains(".backupd-dump/")), "{:?}", plan.warnings);
}

#[tokio::test]
async fn files_stand_beside_their_dump_and_it_replaces_one_that_was_restored() {
    let (world, _host) = scene().await;
    let tree = world.tree("db");
    let beside = |script| Consistency { only: false, ..by(vec![dump("a.sql", script)]) };
    let report = run(&world, beside("echo one")).await.unwrap();
    assert_eq!((report.consistency, report.entries), (Kind::Dump, tree.len() as u64 + 2));
    restore_as(&world.host().await, &restore_request("db", 1, None)).await.unwrap();
    let here = world.docker.volume_folder("db").join(".backupd-dump");
    assert_eq!(fs::read(here.join("a.sql")).unwrap(), b"one\n");
    fs::write(here.join("other"), b"old").unwrap();
    run(&world, beside("echo two")).await.unwrap();
    let folder = restored(&world, 2, "new").await.join(".backupd-dump");
    assert_eq!(fs::read(folder.join("a.sql")).unwrap(), b"two\n");
    assert!(!folder.join("other").exists());
}

#[tokio::test]
async fn a_dump_that_did_not_end_as_it_should_is_no_snapshot() {
    let ends = |begin: &str, script| Dump { ends_with: Some(begin.to_owned()), ..dump("a.sql", script) };
    let brief = |script| Dump { max_silence: Duration::from_secs(1), ..dump("a.sql", script) };
    let absent = Dump { run: vec!["no-such-program".to_owned()], ..dump("a.sql", "") };
    let big = "head -c 5000000 /dev/zero;";
    for (dump, words) in [
        (dump("a.sql", "echo some; echo 'no such table' >&2; exit 3"), "status 3: no such table"),
        (dump("a.sql", &format!("{big} exit 1")), "it ended with status 1"),
        (dump("a.sql", "echo some; kill -9 $$"), "it ended with status 137"),
        (dump("a.sql", "true"), "wrote nothing"),
        (absent, "it ended with status 127"),
        (ends("-- done", "echo; echo '-- done'; head -c 2000 /dev/zero"), "begins with `-- done`"),
        (ends("-- done", "echo 'a -- done'"), "begins with `-- done`"),
        (brief("echo some; exec sleep 1000"), "it says nothing for 1s"),
        (brief(&format!("{big} exec sleep 1000")), "it says nothing for 1s"),
        // What was started by what was started holds the output, and is not waited for.
        (brief("echo some; sleep 5 & exit 0"), "it says nothing for 1s"),
    ] {
        let (world, _host) = scene().await;
        let failed = run(&world, by(vec![dump])).await.unwrap_err();
        let said = failed.to_string();
        assert!(failed.class == Class::Failed && said.contains(words), "{words}: {failed}");
        assert!(said.contains("dump `a.sql`: run `") && said.contains("in container `db`"), "{failed}");
        nothing_was_committed(&world);
    }
    let (world, _host) = scene().await;
    for good in ["echo '-- done'", "echo 1; echo '-- done on Monday'; echo; echo --", "printf '\\n-- done'"] {
        run(&world, by(vec![ends("-- done", good)])).await.unwrap_or_else(|e| panic!("{good}: {e}"));
    }
}

#[tokio::test]
async fn an_end_that_was_lost_on_the_way_is_noticed() {
    for loses_bytes in [1, 9, 4_096, 3 << 20] {
        let (world, host) = scene().await;
        Host { loses_bytes, ..host }.install(&world);
        let failed = run(&world, by(vec![dump("a", "head -c 2500000 /dev/zero")])).await.unwrap_err();
        assert!(failed.to_string().contains("its output was cut off"), "{failed}");
        nothing_was_committed(&world);
    }
}

#[tokio::test]
async fn a_program_ends_when_the_backup_does() {
    let (world, host) = scene().await;
    for script in ["exec sleep 1000", "exec yes", "head -c 3000000 /dev/zero; exec sleep 1000"] {
        let engine = world.host().await;
        let request = BackupRequest { consistency: by(vec![dump("a", script)]), ..backup_request("db") };
        let before = host.started.lock().unwrap().len();
        let watch = Silent::default();
        {
            let mut deed = Box::pin(backup(&engine, &request, &watch));
            let begun = async {
                while host.started.lock().unwrap().len() == before {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            };
            tokio::select! {
                done = &mut deed => panic!("{done:?}"),
                () = begun => {}
            }
        }
        // It was dropped, as in a crash.
        tokio::time::timeout(PATIENCE, world.docker.programs_end()).await.expect("a program goes on");
    }
    recover(&world.host().await, &Silent::default()).await.unwrap();
    nothing_was_committed(&world);
    run(&world, by(vec![dump("a", "echo fine")])).await.unwrap();
}

#[tokio::test]
async fn a_secret_goes_from_its_file_to_the_program_and_nowhere_else() {
    let (world, host) = scene().await;
    let file = world.folder.path().join("password");
    fs::write(&file, "hunter2 \\ 'x'\nsecond line\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let secret = |name: &str| Secret { name: name.to_owned(), file: file.display().to_string() };
    let with = |script| Dump { environment: vec![secret("ONE"), secret("TWO")], ..dump("a", script) };
    run(&world, by(vec![with("printf '%s|%s' \"$ONE\" \"$TWO\"")])).await.unwrap();
    let folder = restored(&world, 1, "new").await;
    assert_eq!(fs::read_to_string(folder.join(".backupd-dump/a")).unwrap(), "hunter2 \\ 'x'|hunter2 \\ 'x'");
    let failed = run(&world, by(vec![with("echo \"denied: $ONE\" >&2; exit 1")])).await.unwrap_err();
    assert!(failed.to_string().ends_with("it ended with status 1: denied: ***"), "{failed}");
    let started = format!("{:?}", host.started.lock().unwrap());
    assert!(started.contains("\"ONE\", \"TWO\", \"--\"") && !started.contains("hunter2"), "{started}");

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = run(&world, by(vec![with("echo")])).await.unwrap_err();
    assert!(
        refused.class == Class::Unsafe && refused.to_string().contains("everybody may read"),
        "{refused}"
    );
    fs::remove_file(&file).unwrap();
    let refused = run(&world, by(vec![with("echo")])).await.unwrap_err();
    assert!(refused.to_string().contains("the value of `ONE` for dump `a`"), "{refused}");
}

#[tokio::test]
async fn the_program_runs_where_and_as_whom_the_policy_says() {
    let (world, host) = scene().await;
    let labels = |service: &str| {
        let label = |name: &str, is: &str| (format!("com.docker.compose.{name}"), is.to_owned());
        BTreeMap::from([label("project", "shop"), label("service", service)])
    };
    for (name, volume, state) in
        [("db", "db", State::Running), ("tools", "x", State::Running), ("old", "x", State::Down)]
    {
        let mut it = container(name, volume, state, "no");
        it.labels = labels(&format!("{name}-service"));
        world.docker.put_container(it);
    }
    let named = |container: Option<&str>, service: Option<&str>| Dump {
        container: container.map(str::to_owned),
        service: service.map(str::to_owned),
        user: Some("postgres:5".to_owned()),
        ..dump("a", "echo")
    };
    for (dump, want) in [
        (named(None, None), "id-of-db"),
        (named(Some("tools"), None), "id-of-tools"),
        (named(None, Some("tools-service")), "id-of-tools"),
    ] {
        run(&world, by(vec![dump])).await.unwrap();
        let last = host.started.lock().unwrap().last().cloned().unwrap();
        assert_eq!((last.container.as_str(), last.user.as_deref()), (want, Some("postgres:5")));
    }
    for (dump, class, words) in [
        (named(Some("gone"), None), Class::NotFound, "dump `a`: there is no container `gone`"),
        (named(Some("old"), None), Class::Unsafe, "container `old` does not run"),
        (named(None, Some("old-service")), Class::Unsafe, "container `old` does not run"),
        (named(None, Some("none")), Class::NotFound, "project `shop` has no such service"),
    ] {
        let refused = run(&world, by(vec![dump])).await.unwrap_err();
        assert!(refused.class == class && refused.to_string().contains(words), "{refused}");
        assert!(refused.hint.is_some(), "{refused}");
    }
    let mut second = container("more", "x", State::Running, "no");
    second.labels = labels("tools-service");
    world.docker.put_container(second);
    let refused = run(&world, by(vec![named(None, Some("tools-service"))])).await.unwrap_err();
    assert!(refused.to_string().contains("runs more than one of it"), "{refused}");
    world.docker.stop("db", Duration::ZERO).await.unwrap();
    let refused = run(&world, by(vec![named(None, None)])).await.unwrap_err();
    assert_eq!(refused.class, Class::Unsafe, "nobody can say anything: {refused}");
    assert_eq!(run(&world, by(vec![])).await.unwrap_err().class, Class::Usage);
}
