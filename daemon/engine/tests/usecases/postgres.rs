//! Mode `postgres` on a twin of a server: what is in the snapshot, what voids it, what is refused, and that no session is left.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use engine::failure::{Class, Failure};
use engine::format::manifest::{Consistency as Kind, SnapshotKind};
use engine::port::docker::{ContainerState as State, Docker as _, Mount, MountOf, NewVolume};
use engine::port::exec::{ExecEnd, ExecSpec};
use engine::testing::fake_docker::{Calls, Moment, Script, Verdict};
use engine::usecase::backup::{BackupReport, BackupRequest, backup};
use engine::usecase::verify::{VerifyRequest, verify};
use engine::usecase::watch::Silent;
use policies::policy::{Consistency, Mode, OnUnfreezable};

use crate::support::world::{World, backup_request, container, restore_as, restore_request};

const SEGMENT_BYTES: usize = 1 << 20;

/// A session that was dropped ends sooner.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the twin of the server does.
#[derive(Clone)]
struct Twin {
    /// Version, whether it recovers, length of segments.
    facts: String,
    data: String,
    tablespaces: Vec<&'static str>,
    /// Where links lead that are not what they seem.
    links: Vec<(&'static str, &'static str)>,
    /// A question that it answers with an error, and dies.
    refuses: Option<(&'static str, &'static str)>,
    map: &'static str,
    /// What it does to its files before it says that backup mode has ended.
    ending: fn(&Path),
    /// What was asked for, and how sessions began and ended.
    heard: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Twin {
    fn new() -> Self {
        Self {
            facts: format!("150018|f|{SEGMENT_BYTES}"),
            data: "/data/main".to_owned(),
            tablespaces: Vec::new(),
            links: Vec::new(),
            refuses: None,
            map: "",
            ending: |_main| {},
            heard: Arc::default(),
        }
    }

    fn hear(&self, what: &str) {
        self.heard.0.lock().unwrap().push(what.to_owned());
        self.heard.1.notify_all();
    }

    /// What was heard since this was asked last, once no session goes on any more.
    #[track_caller]
    fn heard(&self) -> Vec<String> {
        let count = |heard: &[String], what: &[&str]| {
            heard.iter().filter(|heard| what.contains(&heard.as_str())).count()
        };
        let goes_on = |heard: &mut Vec<String>| count(heard, &["session"]) != count(heard, &["end", "died"]);
        let (heard, over) = (self.heard.0.lock().unwrap(), &self.heard.1);
        let (mut heard, late) = over.wait_timeout_while(heard, PATIENCE, goes_on).unwrap();
        assert!(!late.timed_out(), "{heard:?}");
        std::mem::take(&mut *heard)
    }

    /// Has a container of the world be this server.
    fn install(&self, world: &World) {
        let (twin, main) = (self.clone(), world.docker.volume_folder("db").join("main"));
        world.docker.install(Arc::new(move |spec, input, output| twin.run(spec, &main, input, output)));
    }

    fn run(&self, spec: &ExecSpec, main: &Path, input: &mut dyn BufRead, output: &mut dyn Write) -> ExecEnd {
        let end = |status, words: &str| ExecEnd { status, last_words: words.to_owned() };
        let mut say = |text: String| drop(output.write_all(text.as_bytes()));
        if spec.argv[0] == "readlink" {
            let path = spec.argv[2].as_str();
            let real = self.links.iter().find(|(link, _)| *link == path).map_or(path, |(_, real)| *real);
            say(format!("{real}\n"));
            return end(0, "");
        }
        if !spec.argv[2].contains("exec psql") {
            let client = if spec.container == "id-of-db" { "client=yes\n" } else { "" };
            say(format!("user=0\npostgres=yes\n{client}"));
            return end(0, "");
        }
        assert_eq!(spec.user.as_deref(), Some("postgres"));
        assert!(!spec.argv.iter().any(|word| word.contains("secret")));
        self.hear("session");
        for line in input.lines().map_while(Result::ok) {
            if let Some((_, words)) = self.refuses.filter(|(sign, _)| line.contains(sign)) {
                self.hear("died");
                return end(3, words);
            }
            if let Some(answer) = self.answer(&line, main) {
                say(answer);
            }
        }
        self.hear("end");
        end(0, "")
    }

    fn answer(&self, line: &str, main: &Path) -> Option<String> {
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let has = |sign: &str| line.contains(sign);
        Some(if has("backupd:heard") {
            "backupd:heard\n".to_owned()
        } else if has("data_directory") {
            format!("{}|{}\n", self.facts, hex(&self.data))
        } else if has("pg_read_binary_file") {
            let control = fs::read(main.join("global/pg_control")).unwrap();
            format!("{}\n", control.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        } else if has("pg_tablespace_location") {
            self.tablespaces.iter().map(|path| format!("{}\n", hex(path))).collect()
        } else if has("pg_stop_backup") || has("pg_backup_stop") {
            self.hear("stop");
            (self.ending)(main);
            let (label, map) = (hex(&label()), hex(self.map));
            format!("0/2A0010|{}|{label}|{map}\n", segment(2))
        } else {
            for known in ["pg_create_physical_replication_slot", "pg_start_backup", "pg_backup_start"] {
                if has(known) {
                    self.hear(known);
                }
            }
            "1\n".to_owned()
        })
    }
}

fn segment(number: u32) -> String {
    format!("0000000100000000{number:08X}")
}

fn label() -> String {
    format!("START WAL LOCATION: 0/100028 (file {})\nLABEL: backupd\n\tüber\n", segment(1))
}

/// The log that the copy needs, of the segments 1 and 2, and others.
fn write_log(main: &Path) {
    for number in 0..6 {
        let byte = u8::try_from(number).unwrap();
        fs::write(main.join("pg_wal").join(segment(number)), vec![byte; SEGMENT_BYTES]).unwrap();
    }
    fs::write(main.join("pg_wal/00000002.history"), "1").unwrap();
    // What moves after the first pass is in the log, and nowhere else.
    fs::write(main.join("base/1/16384"), [9; 8192]).unwrap();
    fs::write(main.join("base/1/99999"), [9; 8192]).unwrap();
    fs::write(main.join("global/pg_control"), [9; 8192]).unwrap();
}

/// A volume with the files of a server, and a container that runs it.
async fn world(twin: &Twin) -> World {
    let world = World::new();
    let new = NewVolume { name: "db".to_owned(), ..NewVolume::default() };
    world.docker.create_volume(&new).await.unwrap();
    let main = world.docker.volume_folder("db").join("main");
    for folder in ["", "base", "base/1", "base/pgsql_tmp", "global", "pg_wal", "pg_replslot", "pg_replslot/x"]
    {
        fs::create_dir(main.join(folder)).unwrap();
    }
    let files: [(&str, &[u8]); 9] = [
        ("PG_VERSION", b"15\n"),
        ("global/pg_control", &[1; 8192]),
        ("global/pg_internal.init", b"cache"),
        ("base/1/16384", &[2; 8192]),
        ("base/1/16385", &[3; 40_000]),
        ("base/pgsql_tmp/pgsql_tmp7.0", b"sort"),
        ("pg_replslot/x/state", b"slot"),
        ("postmaster.pid", b"1\n"),
        ("backup_label", b"of another backup, long ago\n"),
    ];
    for (name, content) in files {
        fs::write(main.join(name), content).unwrap();
    }
    fs::write(main.join("pg_wal").join(segment(1)), "not yet").unwrap();
    fs::set_permissions(main.join("PG_VERSION"), fs::Permissions::from_mode(0o600)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(main.join("PG_VERSION"), Some(999), Some(70)).unwrap();
    }
    world.docker.put_container(container("db", "db", State::Running, "always"));
    twin.install(&world);
    world
}

async fn run_by(
    world: &World,
    script: Script,
    on_unfreezable: OnUnfreezable,
) -> Result<BackupReport, Failure> {
    let consistency = Consistency { mode: Mode::Postgres, on_unfreezable, ..Consistency::default() };
    let request = BackupRequest { consistency, ..backup_request("db") };
    let host = world.host_with(Arc::new(world.store.clone()), Arc::new(world.docker.reopened(script))).await;
    backup(&host, &request, &Silent::default()).await
}

async fn run(world: &World) -> Result<BackupReport, Failure> {
    run_by(world, Calls::new().script(), OnUnfreezable::Refuse).await
}

async fn restored(world: &World, number: u64) -> PathBuf {
    let name = format!("copy-{number}");
    restore_as(&world.host().await, &restore_request("db", number, Some(&name))).await.unwrap();
    world.docker.volume_folder(&name).join("main")
}

/// No snapshot, and no session that goes on.
#[track_caller]
fn nothing_is_left(world: &World, twin: &Twin) {
    assert!(world.store.snapshot().keys().all(|key| key.ends_with("owner.json")));
    twin.heard();
}

#[tokio::test]
async fn a_copy_has_the_log_and_the_label_and_nobody_is_held_for_it() {
    let twin = Twin { ending: write_log, map: "16400 /data/main/fast\n", ..Twin::new() };
    let (world, calls) = (world(&twin).await, Calls::new());
    let report = run_by(&world, calls.script(), OnUnfreezable::Refuse).await.unwrap();
    assert_eq!((report.consistency, report.freeze_seconds), (Kind::Postgres, 0.0));
    assert_eq!((report.warnings.as_slice(), report.partial), (&[][..], false));
    assert!(!calls.log().iter().any(|call| call.starts_with("pause ") || call.starts_with("stop ")));
    let order = ["session", "pg_create_physical_replication_slot", "pg_backup_start", "stop", "end"];
    assert_eq!(twin.heard(), order);

    let copy = restored(&world, 1).await;
    assert_eq!(fs::read(copy.join("backup_label")).unwrap(), label().as_bytes());
    assert_eq!(fs::read(copy.join("tablespace_map")).unwrap(), b"16400 /data/main/fast\n");
    let (version, planted) = (copy.join("PG_VERSION").metadata(), copy.join("backup_label").metadata());
    let attributes = |meta: fs::Metadata| (meta.mode(), meta.uid(), meta.gid());
    assert_eq!(attributes(planted.unwrap()), attributes(version.unwrap()));
    for gone in
        ["postmaster.pid", "pg_replslot/x", "base/pgsql_tmp", "global/pg_internal.init", "base/1/99999"]
    {
        assert!(!copy.join(gone).exists(), "{gone}");
    }
    assert!(copy.join("pg_replslot").is_dir());
    assert_eq!(fs::read(copy.join("base/1/16384")).unwrap(), [2; 8192], "as the first pass saw it");
    assert_eq!(
        fs::read(copy.join("global/pg_control")).unwrap(),
        [1; 8192],
        "as the server saw it before the end"
    );
    let mut log: Vec<_> =
        fs::read_dir(copy.join("pg_wal")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    log.sort();
    assert_eq!(log, [segment(1), segment(2), "00000002.history".to_owned()].map(OsString::from));
    assert_eq!(fs::read(copy.join("pg_wal").join(segment(2))).unwrap(), vec![2; SEGMENT_BYTES]);

    // The next one leans on it, without what is gone.
    let report = run(&world).await.unwrap();
    assert_eq!((report.kind, report.consistency), (SnapshotKind::Incremental, Kind::Postgres));
    let copy = restored(&world, 2).await;
    assert_eq!(fs::read(copy.join("base/1/99999")).unwrap(), [9; 8192]);
    let request = VerifyRequest { names: Vec::new(), quick: false };
    let verified = verify(&world.host().await, &request, &Silent::default()).await.unwrap();
    assert_eq!((verified.snapshots, verified.damaged.as_slice()), (2, &[][..]));
}

#[tokio::test]
async fn older_servers_are_asked_in_their_words() {
    for (version, start) in
        [("130012", "pg_start_backup"), ("140011", "pg_start_backup"), ("170002", "pg_backup_start")]
    {
        let twin = Twin { facts: format!("{version}|f|{SEGMENT_BYTES}"), ending: write_log, ..Twin::new() };
        let world = world(&twin).await;
        run(&world).await.unwrap();
        assert_eq!(twin.heard()[2], start, "{version}");
    }
}

#[tokio::test]
async fn a_gap_in_the_log_is_no_snapshot() {
    type Ending = (fn(&Path), &'static str);
    let endings: [Ending; 4] = [
        (|_main| {}, "is needed with 1048576 bytes, and has 7 bytes"),
        (
            |main| {
                write_log(main);
                fs::remove_file(main.join("pg_wal").join(segment(2))).unwrap();
            },
            "is not in the source",
        ),
        (
            |main| {
                write_log(main);
                fs::write(main.join("pg_wal").join(segment(1)), "").unwrap();
            },
            "has 0 bytes",
        ),
        (|main| fs::remove_dir_all(main.join("pg_wal")).unwrap(), "is not in the source, and 1 more"),
    ];
    for (ending, want) in endings {
        let twin = Twin { ending, ..Twin::new() };
        let world = world(&twin).await;
        let failed = run(&world).await.unwrap_err();
        assert!(failed.class == Class::Failed && failed.to_string().contains(want), "{failed}");
        assert!(failed.hint.unwrap().contains("max_slot_wal_keep_size"));
        nothing_is_left(&world, &twin);
    }
}

#[tokio::test]
async fn what_a_server_refuses_ends_the_backup() {
    let cases = [
        ("set_config", "FATAL:  password authentication failed for user \"postgres\"", Class::WrongKey),
        ("data_directory", "ERROR:  must be superuser to examine \"data_directory\"", Class::WrongKey),
        ("pg_create_physical", "ERROR:  all replication slots are in use", Class::Failed),
        ("pg_backup_start", "ERROR:  WAL level not sufficient for making an online backup", Class::Failed),
        ("pg_backup_stop", "FATAL:  terminating connection due to administrator command", Class::Failed),
    ];
    for (question, words, class) in cases {
        let twin = Twin { refuses: Some((question, words)), ending: write_log, ..Twin::new() };
        let world = world(&twin).await;
        // Nor is there a live copy instead, where the policy would be content with one.
        for on_unfreezable in [OnUnfreezable::Refuse, OnUnfreezable::Live] {
            let failed = run_by(&world, Calls::new().script(), on_unfreezable).await.unwrap_err();
            assert_eq!(failed.class, class, "{failed}");
            assert!(failed.to_string().contains(words) && failed.hint.is_some(), "{failed}");
            nothing_is_left(&world, &twin);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_copied_in_this_way_is_refused_before_anything_is_read() {
    let usual = || Twin { ending: write_log, ..Twin::new() };
    let recovers = format!("150018|t|{SEGMENT_BYTES}");
    let old = format!("120022|f|{SEGMENT_BYTES}");
    let cases = [
        (Twin { facts: recovers, ..usual() }, "is a standby", "primary"),
        (Twin { facts: old, ..usual() }, "has version 12.22", "mode `pause`"),
        (Twin { data: "/elsewhere".to_owned(), ..usual() }, "in the container itself", "psql"),
        (Twin { links: vec![("/data/main", "/data2/main")], ..usual() }, "keeps `/data2/main`", "psql"),
        (
            Twin {
                links: vec![("/data/main/pg_wal", "/log")],
                tablespaces: vec!["/fast", "/slow"],
                ..usual()
            },
            "`/data/main/pg_wal` is in the container itself, in no volume; `/fast` is in what is mounted at `/fast`; `/slow` is",
            "in the volume of the data folder",
        ),
    ];
    for (twin, want, hint) in cases {
        let world = world(&twin).await;
        let mut server = container("db", "db", State::Running, "always");
        server.mounts.push(Mount { of: MountOf::Other, at: "/fast".to_owned(), writable: true });
        world.docker.put_container(server);
        let refused = run(&world).await.unwrap_err();
        assert_eq!(refused.class, Class::Unsafe, "{refused}");
        assert!(refused.to_string().contains(want), "{refused}");
        assert!(refused.hint.as_ref().unwrap().contains(hint), "{:?}", refused.hint);
        assert_eq!(world.docker.helpers(), [], "{want}");
        nothing_is_left(&world, &twin);
    }
}

#[tokio::test]
async fn the_log_and_tablespaces_are_found_where_links_lead() {
    let links = vec![("/data/main/pg_wal", "/data/log")];
    fn ending(main: &Path) {
        let log = main.with_file_name("log");
        for number in [1, 2] {
            fs::write(log.join(segment(number)), vec![7; SEGMENT_BYTES]).unwrap();
        }
    }
    let twin = Twin { links, ending, tablespaces: vec!["/data/fast", "pg_tblspc/16400"], ..Twin::new() };
    let world = world(&twin).await;
    let volume = world.docker.volume_folder("db");
    fs::remove_dir_all(volume.join("main/pg_wal")).unwrap();
    std::os::unix::fs::symlink("/data/log", volume.join("main/pg_wal")).unwrap();
    for folder in ["log", "fast", "fast/pgsql_tmp", "main/pg_tblspc", "main/pg_tblspc/16400"] {
        fs::create_dir(volume.join(folder)).unwrap();
    }
    fs::write(volume.join("log").join(segment(0)), "old").unwrap();
    fs::write(volume.join("fast/16500"), "row").unwrap();
    run(&world).await.unwrap();
    let copy = restored(&world, 1).await;
    assert_eq!(fs::read_link(copy.join("pg_wal")).unwrap(), Path::new("/data/log"));
    let log = copy.with_file_name("log");
    assert!(log.join(segment(1)).exists() && log.join(segment(2)).exists() && !log.join(segment(0)).exists());
    assert!(copy.with_file_name("fast").join("16500").exists());
    assert!(!copy.with_file_name("fast").join("pgsql_tmp").exists());
}

#[tokio::test]
async fn somebody_else_who_writes_is_refused_or_makes_it_live() {
    let twin = Twin { ending: write_log, ..Twin::new() };
    let world = world(&twin).await;
    world.docker.put_container(container("web", "db", State::Running, "no"));
    let refused = run(&world).await.unwrap_err();
    assert_eq!(refused.class, Class::Unsafe);
    assert!(refused.to_string().contains("container `web` writes to it, too"), "{refused}");
    nothing_is_left(&world, &twin);
    let report = run_by(&world, Calls::new().script(), OnUnfreezable::Live).await.unwrap();
    assert_eq!(report.consistency, Kind::Live);
    assert!(report.warnings[0].contains("container `web`"), "{:?}", report.warnings);
    assert_eq!(fs::read(restored(&world, 1).await.join("backup_label")).unwrap(), label().as_bytes());
}

/// Calls `change` when the second helper is about to be made.
fn meanwhile(change: impl Fn() + Send + Sync + 'static) -> Script {
    let seen = Mutex::new(0);
    Arc::new(move |moment, deed| {
        if moment == Moment::Before && deed.starts_with("open_helper") {
            let mut seen = seen.lock().unwrap();
            *seen += 1;
            if *seen == 2 {
                change();
            }
        }
        Verdict::Pass
    })
}

#[tokio::test]
async fn somebody_who_comes_meanwhile_voids_it() {
    let twin = Twin { ending: write_log, ..Twin::new() };
    let world = world(&twin).await;
    let docker = Arc::clone(&world.docker);
    let late = meanwhile(move || docker.put_container(container("late", "db", State::Running, "no")));
    let failed = run_by(&world, late, OnUnfreezable::Refuse).await.unwrap_err();
    assert!(failed.to_string().contains("container `late`"), "{failed}");
    nothing_is_left(&world, &twin);
}

/// A backup that is interrupted, or breaks down, ends its session, and with it backup mode and the slot.
#[tokio::test]
async fn a_bug_of_ours_ends_the_session() {
    let twin = Twin { ending: write_log, ..Twin::new() };
    let world = world(&twin).await;
    let broken = meanwhile(|| panic!("as the test wants"));
    let failed = run_by(&world, broken, OnUnfreezable::Refuse).await.unwrap_err();
    assert_eq!(failed.to_string(), "back up `db`: it broke down");
    nothing_is_left(&world, &twin);
}
