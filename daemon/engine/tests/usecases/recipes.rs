//! Backups that speak to a database: in which order, what is refused, what voids a copy, and that all is as it was.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use engine::failure::{Class, Failure};
use engine::format::manifest::Consistency as Kind;
use engine::port::docker::{ContainerState as State, Docker as _, DockerErrorKind, Mount, MountOf};
use engine::testing::fake_docker::{Moment, Script, Verdict};
use engine::usecase::backup::{BackupReport, BackupRequest, backup};
use engine::usecase::thaw::thaw;
use engine::usecase::watch::Silent;
use jiff::Timestamp;
use policies::policy::{Consistency, Mode, OnUnfreezable};

use crate::freezing::with_folder;
use crate::support::inside::{Inside, Shared};
use crate::support::world::{World, backup_request, container};

/// A volume whose only writer is a server.
struct Scene {
    world: World,
    inside: Shared,
}

impl Scene {
    async fn new(inside: Inside) -> Self {
        let (world, inside) = (World::new(), Shared::new(inside));
        world.volume("db", 1).await;
        world.docker.put_container(container("db", "db", State::Running, "always"));
        world.docker.install(inside.programs());
        Self { world, inside }
    }

    /// Writes what the engine is told beside what the server is told.
    fn script(&self) -> Script {
        let inside = self.inside.clone();
        Arc::new(move |moment, deed| {
            let verb = deed.split(' ').next().unwrap_or_default();
            if moment == Moment::Before
                && ["open_helper", "pause", "unpause", "finish_helper"].contains(&verb)
            {
                inside.note(verb);
            }
            Verdict::Pass
        })
    }

    async fn back_up(&self, consistency: Consistency) -> Result<BackupReport, Failure> {
        self.back_up_by(self.script(), consistency).await
    }

    async fn back_up_by(&self, script: Script, consistency: Consistency) -> Result<BackupReport, Failure> {
        let docker = Arc::new(self.world.docker.reopened(script));
        let host = self.world.host_with(Arc::new(self.world.store.clone()), docker).await;
        let request = BackupRequest { consistency, ..backup_request("db") };
        backup(&host, &request, &Silent::default()).await
    }

    fn log(&self) -> Vec<String> {
        self.inside.look().log.clone()
    }

    async fn assert_as_before(&self, what: &str) {
        let db = self.world.docker.container("db").await.unwrap().unwrap();
        assert_eq!(db.state, State::Running, "{what}");
        assert_eq!(self.world.host().await.catalog().freezes().unwrap(), [], "{what}");
        assert_eq!(self.world.docker.leftovers().await.unwrap(), [], "{what}");
    }

    #[track_caller]
    fn assert_nothing_committed(&self) {
        assert!(self.world.store.snapshot().keys().all(|key| key.ends_with("owner.json")));
    }
}

fn by(mode: Mode) -> Consistency {
    Consistency { mode, ..Consistency::default() }
}

/// Does something to the world when the first helper has ended.
fn meanwhile(scene: &Scene, change: impl Fn(&Scene) + Send + Sync + 'static) -> Script {
    let (script, done) = (scene.script(), AtomicBool::new(false));
    let twin = Scene {
        world: World { docker: Arc::clone(&scene.world.docker), ..World::new() },
        inside: scene.inside.clone(),
    };
    Arc::new(move |moment, deed| {
        let is_it = moment == Moment::Before && deed.starts_with("finish_helper");
        if is_it && !done.swap(true, Ordering::SeqCst) {
            change(&twin);
        }
        script(moment, deed)
    })
}

#[tokio::test]
async fn mysql_is_locked_then_paused_read_let_go_and_unlocked() {
    for (version, on, off) in [
        ("10.11.14-MariaDB", &["BACKUP STAGE START", "BACKUP STAGE BLOCK_COMMIT"][..], "BACKUP STAGE END"),
        ("8.0.36", &["FLUSH TABLES WITH READ LOCK"][..], "UNLOCK TABLES"),
    ] {
        let scene = Scene::new(Inside { version, ..Inside::default() }).await;
        let report = scene.back_up(by(Mode::Mysql)).await.unwrap();
        assert_eq!((report.consistency, report.warnings.len()), (Kind::Mysql, 0));
        let want = [
            &[
                "open_helper",
                "finish_helper",
                "open_helper",
                "SET SESSION lock_wait_timeout = 60, wait_timeout = 28800",
            ][..],
            on,
            &["pause", "unpause", off, "finish_helper"],
        ];
        assert_eq!(scene.log(), want.concat(), "{version}");
        scene.assert_as_before(version).await;
    }
}

/// A raw copy of a running server does not start, so nothing makes one of it.
#[tokio::test]
async fn a_server_that_cannot_be_asked_is_refused_before_anything_is_read() {
    let denied = "ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: YES)";
    let cases = [
        (Mode::Mysql, (1, denied), Class::WrongKey, "does not let us in"),
        (Mode::Mysql, (1, "ERROR 2002 (HY000): Can't connect"), Class::Failed, "does not answer"),
        (Mode::Mysql, (127, "sh: not found"), Class::Unsafe, "its client is missing"),
        (Mode::Redis, (1, "Could not connect to Redis"), Class::Failed, "does not answer"),
        (Mode::Redis, (126, "no such file"), Class::Unsafe, "its client is missing"),
    ];
    for (mode, refuses, class, words) in cases {
        let scene = Scene::new(Inside { refuses: Some(refuses), ..Inside::default() }).await;
        for on_unfreezable in [OnUnfreezable::Refuse, OnUnfreezable::Live] {
            let refused = scene.back_up(Consistency { on_unfreezable, ..by(mode) }).await.unwrap_err();
            assert_eq!(refused.class, class, "{refused}");
            let said = refused.to_string();
            assert!(said.contains(words) && said.contains(refuses.1) && said.contains("`db`"), "{said}");
            assert!(refused.hint.is_some(), "{said}");
        }
        assert_eq!(scene.log(), [""; 0]);
        scene.assert_as_before(words).await;
    }
    for mode in [Mode::Mysql, Mode::Redis] {
        let scene = Scene::new(Inside { folder: "/var/lib/other", ..Inside::default() }).await;
        let refused = scene.back_up(by(mode)).await.unwrap_err();
        assert_eq!(refused.class, Class::Unsafe);
        assert!(refused.to_string().contains("keeps its files in `/var/lib/other"), "{refused}");
        assert_eq!(scene.log(), [""; 0]);
    }
}

/// What lies outside, or in another volume that is mounted in between, is not in the copy.
#[tokio::test]
async fn a_server_with_files_outside_the_source_is_refused() {
    let inside = Inside { outside: "/data/shop/items.ibd\n/ssd/shop/orders.ibd\n", ..Inside::default() };
    let scene = Scene::new(inside).await;
    let refused = scene.back_up(by(Mode::Mysql)).await.unwrap_err();
    assert!(refused.to_string().contains("keeps its files in `/ssd/shop/orders.ibd`"), "{refused}");
    assert_eq!((refused.class, scene.log()), (Class::Unsafe, Vec::new()));

    // Its binary log decides what a recovery commits.
    for (settings, path) in [
        ("log_bin_basename\t/binlog/mysql-bin\n", "/binlog/mysql-bin"),
        ("log_bin_index\t/binlog/mysql-bin.index\n", "/binlog/mysql-bin.index"),
        ("innodb_doublewrite_dir\t/ssd/twice\n", "/ssd/twice"),
        ("innodb_undo_directory\t../undo\n", "../undo"),
        ("innodb_data_file_path\tibdata1:12M;/ssd/ibdata2:12M:autoextend\n", "/ssd/ibdata2"),
    ] {
        let scene = Scene::new(Inside { settings, ..Inside::default() }).await;
        let refused = scene.back_up(by(Mode::Mysql)).await.unwrap_err();
        assert!(refused.to_string().contains(&format!("keeps its files in `{path}`")), "{refused}");
        assert_eq!((refused.class, scene.log()), (Class::Unsafe, Vec::new()));
    }
    // Inside, relative, or not there at all.
    let settings = "log_bin_basename\t/data/log/bin\nlog_bin_index\tbin.index\ninnodb_doublewrite_dir\tNULL\n\
                    innodb_data_file_path\tibdata1:12M:autoextend\n";
    let scene = Scene::new(Inside { settings, ..Inside::default() }).await;
    assert_eq!(scene.back_up(by(Mode::Mysql)).await.unwrap().consistency, Kind::Mysql);

    let scene = Scene::new(Inside { dies_at: Some("SELECT FILENAME"), ..Inside::default() }).await;
    let refused = scene.back_up(by(Mode::Mysql)).await.unwrap_err();
    assert!(refused.to_string().contains("has tables outside its folder is not known"), "{refused}");
    assert_eq!((refused.class, scene.log()), (Class::Unsafe, Vec::new()));

    for mode in [Mode::Mysql, Mode::Redis] {
        let scene = Scene::new(Inside::default()).await;
        let mut db = container("db", "db", State::Running, "always");
        let of = MountOf::Volume { name: "redo".to_owned() };
        db.mounts.push(Mount { of, at: "/data/redo".to_owned(), writable: true });
        scene.world.docker.put_container(db);
        let refused = scene.back_up(by(mode)).await.unwrap_err();
        assert!(refused.to_string().contains("with another mount at `/data/redo`"), "{refused}");
        assert_eq!((refused.class, scene.log()), (Class::Unsafe, Vec::new()));
    }
}

#[tokio::test]
async fn a_server_that_several_could_be_is_named_by_a_label() {
    for mode in [Mode::Hooks, Mode::Mysql, Mode::Redis] {
        let scene = Scene::new(Inside::default()).await;
        scene.world.docker.put_container(container("side", "db", State::Running, "no"));
        let before = vec!["hook".to_owned(), "before".to_owned()];
        let refused = scene.back_up(Consistency { before: before.clone(), ..by(mode) }).await.unwrap_err();
        assert_eq!(refused.class, Class::Unsafe);
        assert!(refused.hint.unwrap().contains("`backupd.commands=true`"));
        assert_eq!(scene.log(), [""; 0]);
        let mut db = container("db", "db", State::Running, "always");
        db.labels.insert("backupd.commands".to_owned(), "true".to_owned());
        scene.world.docker.put_container(db);
        let labelled = Consistency { before, ..by(mode) };
        // The server does not answer for others; programs of a policy may.
        let on_unfreezable = if mode == Mode::Redis {
            let refused = scene.back_up(labelled.clone()).await.unwrap_err();
            assert_eq!(refused.class, Class::Unsafe);
            assert!(refused.to_string().contains("`side` writes to it, too"), "{refused}");
            OnUnfreezable::Live
        } else {
            OnUnfreezable::Refuse
        };
        let report = scene.back_up(Consistency { on_unfreezable, ..labelled }).await.unwrap();
        assert_eq!(report.consistency == Kind::Live, mode == Mode::Redis, "{mode:?}");
        assert_eq!(report.warnings.len(), usize::from(mode != Mode::Mysql), "{:?}", report.warnings);
    }
}

#[tokio::test]
async fn a_session_that_is_lost_voids_the_copy() {
    for statement in ["BACKUP STAGE START", "BACKUP STAGE BLOCK_COMMIT", "BACKUP STAGE END"] {
        let scene = Scene::new(Inside { dies_at: Some(statement), ..Inside::default() }).await;
        let failed = scene.back_up(by(Mode::Mysql)).await.unwrap_err();
        assert_eq!(failed.class, Class::Failed);
        assert!(failed.to_string().contains("lock the tables"), "{failed}");
        assert!(failed.to_string().contains("ERROR 2013"), "{failed}");
        scene.assert_as_before(statement).await;
        scene.assert_nothing_committed();
    }
}

#[tokio::test]
async fn redis_rewrites_nothing_while_it_is_read_and_gets_its_setting_back() {
    const SETTING: &str = "auto-aof-rewrite-percentage";
    let scene = Scene::new(Inside { saves_for: 3, ..Inside::default() }).await;
    let report = scene.back_up(by(Mode::Redis)).await.unwrap();
    assert_eq!((report.consistency, report.freeze_seconds), (Kind::Redis, 0.0));
    assert_eq!(report.warnings, [""; 0]);
    let [off, on] = ["0", "100"].map(|percentage| format!("{SETTING} {percentage}"));
    assert_eq!(scene.log(), [off.as_str(), "open_helper", "finish_helper", on.as_str()]);
    scene.assert_as_before("with a log").await;

    // What is off already stays off.
    let scene = Scene::new(Inside { percentage: "0".to_owned(), ..Inside::default() }).await;
    scene.back_up(by(Mode::Redis)).await.unwrap();
    assert_eq!(scene.log(), ["open_helper", "finish_helper"]);
    scene.assert_as_before("switched off").await;

    let scene = Scene::new(Inside { has_log: false, ..Inside::default() }).await;
    let report = scene.back_up(by(Mode::Redis)).await.unwrap();
    assert_eq!(report.consistency, Kind::Redis);
    assert_eq!(scene.log(), ["BGSAVE", "open_helper", "finish_helper"]);
    scene.assert_as_before("without a log").await;

    let full = Inside { has_log: false, saved: "err", ..Inside::default() };
    let scene = Scene::new(full).await;
    let failed = scene.back_up(by(Mode::Redis)).await.unwrap_err();
    assert!(failed.to_string().contains("it says `err`"), "{failed}");
    scene.assert_nothing_committed();
}

#[tokio::test]
async fn a_log_that_was_written_anew_meanwhile_voids_the_copy() {
    type Change = fn(&Scene);
    let changes: [(&str, Change, &str); 3] = [
        ("a rewrite", |scene| scene.inside.look().rewrites += 1, "100"),
        ("another server", |scene| scene.inside.look().has_log = false, "100"),
        // It has its own setting, which nobody touches.
        (
            "a new start",
            |scene| {
                let mut db = container("db", "db", State::Running, "always");
                db.started_at = Some(Timestamp::from_second(77).unwrap());
                scene.world.docker.put_container(db);
                scene.inside.look().rewrites += 1;
            },
            "0",
        ),
    ];
    for (what, change, percentage) in changes {
        let scene = Scene::new(Inside::default()).await;
        let script = meanwhile(&scene, change);
        let failed = scene.back_up_by(script, by(Mode::Redis)).await.unwrap_err();
        assert!(failed.to_string().contains("was started or told to write it anew"), "{what}: {failed}");
        assert_eq!(scene.inside.look().percentage, percentage, "{what}");
        scene.assert_as_before(what).await;
        scene.assert_nothing_committed();
    }
}

/// SIGKILL while the setting is changed: whoever comes next gives it back, unless a human has set it since.
#[tokio::test]
async fn a_setting_that_a_dead_run_changed_is_given_back() {
    for human in [None, Some("50")] {
        let scene = Scene::new(Inside::default()).await;
        let dead = AtomicBool::new(false);
        let script: Script = Arc::new(move |_moment, deed| {
            // By then the setting is changed.
            if deed.starts_with("open_helper") {
                dead.store(true, Ordering::SeqCst);
            }
            match dead.load(Ordering::SeqCst) {
                true => Verdict::Fail(DockerErrorKind::Unreachable),
                false => Verdict::Pass,
            }
        });
        scene.back_up_by(script, by(Mode::Redis)).await.unwrap_err();
        assert_eq!(scene.inside.look().percentage, "0");
        if let Some(human) = human {
            scene.inside.look().percentage = human.to_owned();
        }
        let thawed = thaw(&scene.world.host().await).await.unwrap();
        assert_eq!((thawed.said.len(), thawed.left.len()), (usize::from(human.is_none()), 0), "{thawed:?}");
        assert_eq!(scene.inside.look().percentage, human.unwrap_or("100"));
        scene.assert_as_before("after the next start").await;
    }
}

/// A process that updates an RRD file, and never ends to.
struct Updater(Child);

impl Updater {
    fn begin(path: &Path) -> Self {
        let program = "import fcntl, sys\nwith open(sys.argv[1], 'r+b') as f:\n fcntl.lockf(f, fcntl.LOCK_EX)\n \
                       f.write(b'RRD')\n f.flush()\n print(flush=True)\n sys.stdin.read()";
        let mut python = Command::new("python3");
        python.args(["-c", program]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut updater = Self(python.spawn().unwrap());
        updater.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        updater
    }
}

impl Drop for Updater {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// Whoever is held there has written half of it: let go, and held at another moment, for as often as is sensible.
#[tokio::test]
async fn who_is_held_in_the_middle_of_an_update_is_let_go_and_held_again() {
    for ends_after in [3, usize::MAX] {
        let scene = Scene::new(Inside::default()).await;
        let file = scene.world.docker.volume_folder("db").join("metric.rrd");
        std::fs::write(&file, b"RRD\x000003").unwrap();
        let updater = Mutex::new(Some(Updater::begin(&file)));
        let (script, let_go) = (scene.script(), AtomicUsize::new(0));
        let script: Script = Arc::new(move |moment, deed| {
            if moment == Moment::Before
                && deed.starts_with("unpause")
                && let_go.fetch_add(1, Ordering::SeqCst) + 1 == ends_after
            {
                updater.lock().unwrap().take();
            }
            script(moment, deed)
        });
        let done = scene.back_up_by(script, by(Mode::Rrd)).await;
        let held = scene.log().iter().filter(|did| *did == "pause").count();
        match done {
            Ok(report) => {
                assert_eq!((report.consistency, report.warnings.len()), (Kind::Rrd, 0));
                assert_eq!(held, 4);
            }
            Err(failed) => {
                assert_eq!((failed.class, ends_after, held), (Class::Failed, usize::MAX, 20));
                let said = failed.to_string();
                assert!(said.contains("`metric.rrd` is in the middle of an update"), "{said}");
                assert!(
                    said.contains("20 times") && failed.hint.unwrap().contains("`mode = \"stop\"`"),
                    "{said}"
                );
                scene.assert_nothing_committed();
            }
        }
        scene.assert_as_before("after all").await;
    }
}

#[tokio::test]
async fn what_rrdcached_holds_back_is_written_before_the_pause() {
    let scene =
        Scene::new(Inside { rrdcached: "flushed unix:/run/rrdcached.sock", ..Inside::default() }).await;
    let report = scene.back_up(by(Mode::Rrd)).await.unwrap();
    assert_eq!(report.consistency, Kind::Rrd);
    let want =
        ["open_helper", "finish_helper", "open_helper", "flush /data", "pause", "unpause", "finish_helper"];
    assert_eq!(scene.log(), want);
    scene.assert_as_before("flushed").await;

    // One that knows the files by their place in a folder above.
    let scene = Scene::new(Inside { rrdcached: "flushed", ..Inside::default() }).await;
    let folder = scene.world.docker.volume_folder("db");
    let cache = with_folder("cache", folder.parent().unwrap(), true);
    scene.world.docker.put_container(cache);
    scene.back_up(by(Mode::Rrd)).await.unwrap();
    let mut flushed = scene.log();
    flushed.retain(|did| did.starts_with("flush"));
    flushed.sort();
    assert_eq!(flushed, ["flush /data", "flush /srv/db"]);

    // Nobody holds anything back.
    let scene = Scene::new(Inside::default()).await;
    let report = scene.back_up(by(Mode::Rrd)).await.unwrap();
    assert_eq!((report.consistency, report.warnings.len()), (Kind::Rrd, 0));

    // A container with nothing but its program.
    let scene = Scene::new(Inside { refuses: Some((126, "no `sh`")), ..Inside::default() }).await;
    let report = scene.back_up(by(Mode::Rrd)).await.unwrap();
    assert!(report.warnings[0].contains("no shell"), "{:?}", report.warnings);

    let scene = Scene::new(Inside { rrdcached: "", ..Inside::default() }).await;
    let refused = scene.back_up(by(Mode::Rrd)).await.unwrap_err();
    assert!(refused.to_string().contains("`rrdtool` is missing"), "{refused}");
    scene.assert_as_before("refused").await;
    scene.assert_nothing_committed();
}
