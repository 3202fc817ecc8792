//! Drills on twins: what is proven, what is not, and that nothing is left of any.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::catalog::{DrillResult, Outcome};
use engine::failure::{Class, Failure};
use engine::port::docker::{ContainerState, Docker as _, NewVolume};
use engine::port::exec::ExecEnd;
use engine::testing::fake_docker::{Act, Calls, FakeDocker, JobRunner, real_jobs};
use engine::usecase::drill::{Checker, DrillReport, DrillRequest, drill, last, plan_drill, rehearse};
use engine::usecase::host::Host;
use engine::usecase::snapshots::{SnapshotLine, Wanted, WantedHost, snapshots};
use engine::usecase::verify::{VerifyRequest, verify};
use engine::usecase::watch::{Cancel, Silent, Told, Watch};

use crate::support::world::{World, back_up, container, snapshot, source};

fn request(name: &str) -> DrillRequest {
    DrillRequest::of(source(name), None)
}

async fn drilled(host: &Host, request: &DrillRequest) -> Result<DrillReport, Failure> {
    drill(host, plan_drill(host, request).await?, &Silent::default()).await
}

async fn line(host: &Host) -> SnapshotLine {
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    snapshots(host, &wanted).await.unwrap().lines.pop().unwrap()
}

/// Nothing of any drill is there: no container, no volume, no unfinished run.
async fn assert_nothing_is_left(world: &World) {
    assert_eq!(world.docker.leftovers().await.unwrap(), []);
    let volumes: Vec<_> =
        world.docker.volumes().await.unwrap().into_iter().map(|volume| volume.name).collect();
    assert_eq!(volumes, ["db"]);
    assert_eq!(world.host().await.catalog().unfinished_runs().unwrap(), []);
}

fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// What the servers of a test say and do.
#[derive(Debug, Clone)]
struct Play {
    version: &'static str,
    /// Of `psql`, before and after the name of the role is known.
    psql: (i64, &'static str),
    amcheck: (i64, &'static str),
    starts: bool,
    checksums: (i64, &'static str),
}

const GOOD: Play = Play {
    version: "postgres (PostgreSQL) 14.9",
    psql: (0, "f\n"),
    amcheck: (0, ""),
    starts: true,
    checksums: (0, "Checksum operation completed\n"),
};

/// A world with one snapshot of a volume in which PostgreSQL 14 has its files, and with that play.
async fn cluster(play: Play) -> (World, Host) {
    let world = World::new();
    world.volume("db", 1).await;
    put(&world.docker.volume_folder("db").join("global/pg_control"), "control");
    world.docker.put_container(container("db", "db", ContainerState::Down, "always"));
    world.docker.put_image("db:14", "sha256:14");
    let acts = play.clone();
    world.docker.act_trials(Arc::new(move |spec, _volume| {
        let has = |word: &str| spec.argv.iter().any(|one| one == word);
        let ends = |(status, said): (i64, &str)| Act::Ends { status, said: said.to_owned() };
        let starts = spec.argv[2].contains("-c listen_addresses=");
        match spec.argv[2].contains("--single") {
            true => ends((0, "backend> \t 1: rolname = \"app\"\t(typeid = 19)\n")),
            false if has("--version") => ends((0, acts.version)),
            false if has("pg_checksums") => ends(acts.checksums),
            false if starts && acts.starts => Act::Runs { said: "LOG:  starting\nLOG:  ready\n".to_owned() },
            false if starts => {
                ends((1, "LOG:  starting\nPANIC:  could not locate a valid checkpoint record\n"))
            }
            false => ends((127, "")),
        }
    }));
    world.docker.install(Arc::new(move |spec, _input, output| {
        let has = |word: &str| spec.argv.iter().any(|one| one == word);
        let (status, said) = match () {
            () if has("psql") && has("app") => (0, "f\n"),
            () if has("psql") => play.psql,
            () if has("pg_amcheck") => play.amcheck,
            () => (0, ""),
        };
        let last_words = if status == 0 { String::new() } else { said.trim().to_owned() };
        if status != 2 {
            output.write_all(said.as_bytes()).unwrap();
        }
        ExecEnd { status, last_words }
    }));
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    // Runs are told by when they began.
    world.clock.advance(60);
    (world, host)
}

#[tokio::test]
async fn files_that_are_no_database_are_read_back() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    world.clock.advance(60);
    let plan = plan_drill(&host, &request("db")).await.unwrap();
    assert_eq!((plan.checker, plan.image.as_deref()), (Checker::Files, None));
    let report = drill(&host, plan, &Silent::default()).await.unwrap();
    assert_eq!((report.result, report.checker), (DrillResult::Proven, Checker::Files), "{report:?}");
    assert!(report.fetched_bytes > 0);
    assert_nothing_is_left(&world).await;
    let line = line(&host).await;
    assert!(line.proven_at.is_some() && line.drill.is_some_and(|drill| drill.result == DrillResult::Proven));
    let (last, _) = last(&host, &source("db")).unwrap().unwrap();
    assert_eq!((last.snapshot.as_str(), last.result), ("db@1", DrillResult::Proven));
    let run = host.catalog().runs(1).unwrap().remove(0);
    assert_eq!((run.verb.word(), run.outcome), ("drill", Some(Outcome::Done)));
}

/// A helper on whose scratch volume one byte of one file changes as soon as it is there, with the times as they were.
fn tampering() -> JobRunner {
    let real = real_jobs();
    Arc::new(move |input, output, root| {
        let folder = std::fs::read_link(format!("/proc/self/fd/{}", root.as_raw_fd())).unwrap();
        let file: PathBuf = folder.join("base/1/small");
        if folder.to_string_lossy().contains("backupd-scratch-") && file.exists() {
            let times = std::fs::metadata(&file).unwrap().modified().unwrap();
            let opened = std::fs::File::options().write(true).open(&file).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&opened, b"\x00", 1234).unwrap();
            opened.set_modified(times).unwrap();
        }
        real(input, output, root);
    })
}

#[tokio::test]
async fn one_byte_that_is_another_one_is_found() {
    let world = World::new();
    let folder = world.folder.path().join("volumes");
    let docker = Arc::new(FakeDocker::new(folder, tampering(), Calls::new().script()));
    docker.create_volume(&NewVolume { name: "db".to_owned(), ..NewVolume::default() }).await.unwrap();
    crate::support::tree::plant(&docker.volume_folder("db"), 1);
    let host = world.host_with(Arc::new(world.store.clone()), docker).await;
    back_up(&host, "db").await.unwrap();
    let report = drilled(&host, &request("db")).await.unwrap();
    assert_eq!(report.result, DrillResult::Unproven, "{report:?}");
    assert!(report.what.contains("are not what was backed up"), "{}", report.what);
    let line = line(&host).await;
    assert!(line.damaged && line.proven_at.is_none());
}

#[tokio::test]
async fn a_cluster_is_proven_by_its_own_checker() {
    let (world, host) = cluster(GOOD).await;
    let plan = plan_drill(&host, &request("db")).await.unwrap();
    assert_eq!((plan.checker, plan.version.as_deref()), (Checker::Postgres, Some("14")));
    assert_eq!((plan.image_id.as_deref(), plan.mounted_at.as_deref()), (Some("sha256:14"), Some("/data")));
    let report = drill(&host, plan, &Silent::default()).await.unwrap();
    assert_eq!(report.result, DrillResult::Proven, "{report:?}");
    assert!(report.what.ends_with("all page checksums are right"), "{}", report.what);
    assert!(report.output.contains("LOG:  ready"), "{}", report.output);
    assert_nothing_is_left(&world).await;
    // Only the version is asked without the data, and by nobody who could read it.
    let trials = world.docker.trials();
    let mounted: Vec<_> = trials.iter().map(|trial| trial.mount.is_some()).collect();
    assert_eq!(mounted, [false, true, true]);
    let volume = format!("backupd-scratch-{}", report.run);
    assert!(trials[1..].iter().all(|trial| trial.mount.as_ref().unwrap().volume == volume));
    assert!(trials.iter().all(|trial| trial.image == "sha256:14" && trial.memory_bytes == 1 << 30));
}

#[tokio::test]
async fn a_server_hears_the_arguments_that_are_its_own_and_nobody_else_does() {
    let (world, host) = cluster(GOOD).await;
    let own = ["-c".to_owned(), "a='b c'".to_owned()];
    let asked = DrillRequest { arguments: own.to_vec(), ..request("db") };
    let plan = plan_drill(&host, &asked).await.unwrap();
    assert_eq!((&plan.arguments[..], &plan.warnings[..]), (&own[..], &[][..]));
    assert_eq!(drill(&host, plan, &Silent::default()).await.unwrap().result, DrillResult::Proven);
    let hears: Vec<bool> = world.docker.trials().iter().map(|trial| trial.argv.ends_with(&own)).collect();
    assert_eq!(hears, [false, true, false]);
    let by_files = DrillRequest { checker: Some(Checker::Files), ..asked };
    let plan = plan_drill(&host, &by_files).await.unwrap();
    assert!(plan.arguments.is_empty());
    assert_eq!(plan.warnings, ["its arguments are for a server, and `files` starts none"]);
}

#[tokio::test]
async fn what_the_checker_refuses_is_not_proven_by_reading_its_bytes() {
    let amcheck = (2, "heap table \"postgres.public.t\", block 0, offset 3:\n    xmin 4 is in the future\n");
    let (world, host) = cluster(Play { amcheck, ..GOOD }).await;
    let report = drilled(&host, &request("db")).await.unwrap();
    assert_eq!(report.result, DrillResult::Unproven);
    assert!(report.what.starts_with("pg_amcheck: "), "{}", report.what);
    assert_nothing_is_left(&world).await;
    let all = VerifyRequest { names: vec![snapshot("db@1")], quick: false };
    assert_eq!(verify(&host, &all, &Silent::default()).await.unwrap().damaged, []);
    let seen = line(&host).await;
    assert!(seen.damaged && seen.proven_at.is_none(), "{seen:?}");
    // A later drill may see it otherwise.
    let by_files = DrillRequest { checker: Some(Checker::Files), ..request("db") };
    assert_eq!(drilled(&host, &by_files).await.unwrap().result, DrillResult::Proven);
    assert!(line(&host).await.proven_at.is_some());
}

#[tokio::test]
async fn a_checker_that_is_missing_proves_nothing() {
    let (world, host) = cluster(Play { amcheck: (127, "exec: pg_amcheck: not found"), ..GOOD }).await;
    let report = drilled(&host, &request("db")).await.unwrap();
    assert_eq!(report.result, DrillResult::Unchecked);
    assert!(report.what.contains("no `pg_amcheck`"), "{}", report.what);
    assert_nothing_is_left(&world).await;
    let line = line(&host).await;
    assert!(line.proven_at.is_none() && !line.damaged, "{line:?}");
    let run = host.catalog().runs(1).unwrap().remove(0);
    assert_eq!(run.outcome, Some(Outcome::Not(Class::Partial)));
}

#[tokio::test]
async fn a_server_that_does_not_come_up_is_a_verdict_with_its_last_words() {
    let (world, host) = cluster(Play { starts: false, ..GOOD }).await;
    let report = drilled(&host, &request("db")).await.unwrap();
    assert_eq!(report.result, DrillResult::Unproven);
    assert!(
        report.what.contains("PANIC:  could not locate a valid checkpoint record; if it always"),
        "{}",
        report.what
    );
    assert!(report.what.contains("`--argument`"), "whose data may be whole: {}", report.what);
    assert!(report.output.contains("PANIC"), "{}", report.output);
    assert_nothing_is_left(&world).await;
    let (world, host) = cluster(Play { checksums: (137, ""), ..GOOD }).await;
    let failure = drilled(&host, &request("db")).await.unwrap_err();
    assert!(failure.hint.unwrap().contains("--memory"), "what used up its memory says nothing of its data");
    assert_nothing_is_left(&world).await;
    assert!(line(&host).await.drill.is_none());
    let (world, host) =
        cluster(Play { checksums: (1, "checksum verification failed in file\n"), ..GOOD }).await;
    assert_eq!(drilled(&host, &request("db")).await.unwrap().result, DrillResult::Unproven);
    assert_nothing_is_left(&world).await;
}

#[tokio::test]
async fn a_cluster_whose_first_role_has_another_name_is_asked_by_that() {
    let refused = "FATAL:  role \"postgres\" does not exist";
    let (world, host) = cluster(Play { psql: (2, refused), ..GOOD }).await;
    let report = drilled(&host, &request("db")).await.unwrap();
    assert_eq!(report.result, DrillResult::Proven, "{report:?}");
    assert_nothing_is_left(&world).await;
}

#[tokio::test]
async fn another_major_version_or_no_image_is_refused_before_anything_is_fetched() {
    let (world, host) = cluster(Play { version: "postgres (PostgreSQL) 15.5 (Debian)", ..GOOD }).await;
    let before = world.docker.helpers().len();
    let failure = drilled(&host, &request("db")).await.unwrap_err();
    assert_eq!(failure.class, Class::Unsafe);
    assert!(failure.to_string().contains("of PostgreSQL 14, and image `db:14` has"), "{failure}");
    assert_eq!(world.docker.helpers().len(), before, "nothing was restored");
    assert_nothing_is_left(&world).await;
    let (told, _) = last(&host, &source("db")).unwrap().unwrap();
    assert_eq!((told.result, told.restore_seconds), (DrillResult::Failed, None));
    assert!(line(&host).await.drill.is_none(), "it says nothing of the snapshot");

    let elsewhere = DrillRequest { image: Some("db:99".to_owned()), ..request("db") };
    let failure = plan_drill(&host, &elsewhere).await.unwrap_err();
    assert_eq!(failure.class, Class::NotFound);
    assert!(failure.hint.unwrap().contains("nothing is ever pulled"));
    world.clock.advance(60);
    // Nobody waits for one that is scheduled, so that it could not be planned is a run.
    let failure = rehearse(&host, &elsewhere, &Silent::default()).await.unwrap_err();
    assert_eq!(failure.class, Class::NotFound);
    let run = host.catalog().runs(1).unwrap().remove(0);
    assert_eq!((run.verb.word(), run.outcome), ("drill", Some(Outcome::Not(Class::NotFound))));
    assert_nothing_is_left(&world).await;
}

#[tokio::test]
async fn a_tablespace_elsewhere_and_two_databases_are_refused() {
    let (world, host) = cluster(GOOD).await;
    let folder = world.docker.volume_folder("db");
    std::fs::create_dir(folder.join("pg_tblspc")).unwrap();
    std::os::unix::fs::symlink("/srv/fast", folder.join("pg_tblspc/16384")).unwrap();
    back_up(&host, "db").await.unwrap();
    let failure = plan_drill(&host, &request("db")).await.unwrap_err();
    assert!(failure.class == Class::Unsafe && failure.to_string().contains("pg_tblspc/16384"), "{failure}");
    std::fs::remove_file(folder.join("pg_tblspc/16384")).unwrap();
    put(&folder.join("old/global/pg_control"), "control");
    back_up(&host, "db").await.unwrap();
    let failure = plan_drill(&host, &request("db")).await.unwrap_err();
    assert!(failure.class == Class::Unsafe && failure.to_string().contains("more than one"), "{failure}");
    let by_files = DrillRequest { checker: Some(Checker::Files), ..request("db") };
    assert_eq!(drilled(&host, &by_files).await.unwrap().result, DrillResult::Proven);
}

/// Asks to stop when the first step begins that begins so.
struct StopsAt(&'static str, Cancel);

impl Watch for StopsAt {
    fn tell(&self, told: Told) {
        if matches!(&told, Told::Step(step) if step.starts_with(self.0)) {
            self.1.ask();
        }
    }

    fn cancel(&self) -> &Cancel {
        &self.1
    }
}

#[tokio::test]
async fn whoever_is_interrupted_leaves_nothing_and_says_nothing_of_the_snapshot() {
    for step in ["asking image", "restoring", "postgres judges"] {
        // The server never comes up, so the last one waits when it is stopped.
        let (world, host) = cluster(Play { psql: (1, "not yet"), ..GOOD }).await;
        let plan = plan_drill(&host, &request("db")).await.unwrap();
        let failure = drill(&host, plan, &StopsAt(step, Cancel::default())).await.unwrap_err();
        assert_eq!(failure.class, Class::Interrupted, "{step}: {failure}");
        assert_nothing_is_left(&world).await;
        assert_eq!(last(&host, &source("db")).unwrap(), None, "{step}");
        let run = host.catalog().runs(1).unwrap().remove(0);
        assert_eq!(run.outcome, Some(Outcome::Not(Class::Interrupted)), "{step}");
    }
}

#[tokio::test]
async fn a_drill_that_takes_too_long_has_failed_and_leaves_nothing() {
    let (world, host) = cluster(Play { psql: (1, "not yet"), ..GOOD }).await;
    // This clock makes a short wait of it.
    let hasty = DrillRequest { timeout: Duration::from_secs(10), ..request("db") };
    let failure = drilled(&host, &hasty).await.unwrap_err();
    assert!(
        failure.class == Class::Failed && failure.to_string().contains("not over after 10 s"),
        "{failure}"
    );
    assert_nothing_is_left(&world).await;
    assert_eq!(last(&host, &source("db")).unwrap().unwrap().0.result, DrillResult::Failed);
}

/// Two at once would be one too many, and a backup waits for none of them.
#[tokio::test]
async fn one_drill_of_a_source_at_a_time_and_backups_go_on() {
    let (_world, host) = cluster(Play { psql: (1, "not yet"), ..GOOD }).await;
    let cancel = StopsAt("nothing", Cancel::default());
    let plan = plan_drill(&host, &request("db")).await.unwrap();
    let first = drill(&host, plan, &cancel);
    let others = async {
        while host.catalog().unfinished_runs().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let second = drilled(&host, &request("db")).await.unwrap_err();
        assert_eq!(second.class, Class::Busy, "{second}");
        back_up(&host, "db").await.unwrap();
        cancel.cancel().ask();
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!(first.unwrap_err().class, Class::Interrupted);
}
