//! Restores that have their own ways.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use archive::channel::{
    Failed, FailedCause, Hello, Job, PROTOCOL, RecordKind, parse_json, read_record, write_json, write_record,
};
use archive::clones::Scratch;
use archive::path::TreePath;
use engine::failure::Class;
use engine::port::docker::{ContainerState, Docker as _, DockerErrorKind};
use engine::testing::calls::CallLog;
use engine::testing::fake_docker::{Calls, FakeDocker, JobRunner, Moment, Script, Verdict};
use engine::testing::faulty_store::FaultyStore;
use engine::usecase::restore::{RestoreRequest, plan_restore};
use engine::usecase::runs::runs;

use crate::support::tree::{but_root_time, differences, record};
use crate::support::world::{World, back_up, container, restore_as, restore_request};

fn paths(names: &[&str]) -> Vec<TreePath> {
    names.iter().map(|name| TreePath::parse(name.as_bytes().to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn a_link_whose_first_name_is_left_out_is_that_file() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let mut request = restore_request("db", 1, Some("part"));
    request.paths = paths(&["base/1/data.link"]);
    restore_as(&host, &request).await.unwrap();
    let (got, want) = (world.tree("part"), world.tree("db"));
    let names: Vec<_> = got.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    assert_eq!(names, ["", "base", "base/1", "base/1/data.link"]);
    let content = |line: &String| line.rsplit(' ').next().unwrap().to_owned();
    assert_eq!(content(&got[&b"base/1/data.link"[..]]), content(&want[&b"base/1/data"[..]]));
    // The folders above come back as they were, too.
    assert_eq!(got[&b"base"[..]], want[&b"base"[..]]);
}

#[tokio::test]
async fn paths_must_exist() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let mut request = restore_request("db", 1, None);
    request.paths = paths(&["PG_VERSION", "nothing/here"]);
    let before = world.tree("db");
    assert_eq!(plan_restore(&host, &request).await.unwrap_err().class, Class::NotFound);
    assert_eq!(differences(&world.tree("db"), &before), "");
    let mut request = restore_request("db", 1, Some("part"));
    request.paths = paths(&["nothing/here"]);
    assert_eq!(restore_as(&host, &request).await.unwrap_err().class, Class::NotFound);
    assert_eq!(world.docker.volume("part").await.unwrap(), None);
}

#[tokio::test]
async fn an_empty_folder_of_the_host_takes_a_restore_and_no_other_does() {
    let world = World::new();
    let old = world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    world.replant("db", 2);
    let folder = tempfile::tempdir().unwrap();
    let to = |request: &mut RestoreRequest| request.to = Some(folder.path().display().to_string());

    let mut request = restore_request("db", 1, None);
    to(&mut request);
    let before = world.tree("db");
    restore_as(&host, &request).await.unwrap();
    assert_eq!(differences(&but_root_time(record(folder.path())), &but_root_time(old)), "");
    assert_eq!(differences(&world.tree("db"), &before), "", "the source is left alone");

    let full = restore_as(&host, &request).await.unwrap_err();
    assert_eq!(full.class, Class::Unsafe);
    assert!(full.to_string().ends_with("is not empty"), "{full}");
    request.to = Some(host.settings().state.display().to_string());
    assert_eq!(restore_as(&host, &request).await.unwrap_err().class, Class::Unsafe, "our own state");

    let folder = tempfile::tempdir().unwrap();
    let mut request = restore_request("db", 1, None);
    request.to = Some(folder.path().display().to_string());
    request.paths = paths(&["PG_VERSION"]);
    restore_as(&host, &request).await.unwrap();
    assert_eq!(record(folder.path()).len(), 2, "the root and one file");
}

#[tokio::test]
async fn the_previous_content_can_be_kept() {
    let world = World::new();
    let old = world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let now = world.replant("db", 2);
    let mut request = restore_request("db", 1, None);
    request.keep_previous = true;
    let report = restore_as(&host, &request).await.unwrap();
    let kept = format!("{}/old/", report.previous.unwrap());
    let (mut previous, mut tree) = (world.tree("db"), world.tree("db"));
    tree.retain(|path, _| !path.starts_with(b".backupd-previous-"));
    assert_eq!(differences(&but_root_time(tree), &but_root_time(old)), "");
    previous.retain(|path, _| path.starts_with(kept.as_bytes()));
    assert_eq!(previous.len(), now.len() - 1, "all of it but the root");
}

/// A clock that was ahead for a night, and is set right.
#[tokio::test]
async fn the_newest_is_what_was_committed_last_whatever_clocks_said() {
    const TEN_YEARS: i64 = 10 * 365 * 24 * 3600;
    let world = World::new();
    world.volume("db", 1).await;
    world.clock.advance(TEN_YEARS);
    back_up(&world.host().await, "db").await.unwrap();
    world.clock.advance(3600 - TEN_YEARS);
    let now = world.replant("db", 2);
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    world.clock.advance(3600);
    let request = RestoreRequest { number: None, ..restore_request("db", 1, Some("new")) };
    assert_eq!(restore_as(&host, &request).await.unwrap().snapshot, "db@2");
    assert_eq!(differences(&world.tree("new"), &now), "");
    // A time is a time.
    let request = RestoreRequest { at: Some("2100-01-01T00:00:00Z".parse().unwrap()), ..request };
    let request = RestoreRequest { into: Some("then".to_owned()), ..request };
    assert_eq!(restore_as(&host, &request).await.unwrap().snapshot, "db@1");
}

/// Answers the first record, `Hello`, itself.
struct AfterHello {
    out: Box<dyn Write + Send>,
    writes: u8,
}

impl Write for AfterHello {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes = self.writes.saturating_add(1);
        // A record is written in two pieces: header and payload.
        if self.writes <= 2 { Ok(bytes.len()) } else { self.out.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Real jobs, but every unpack ends like this.
fn failing_to_unpack(cause: FailedCause) -> JobRunner {
    Arc::new(move |mut input, mut output, root| {
        let mut serve = || -> io::Result<()> {
            let hello = Hello { protocol: PROTOCOL, version: "test".to_owned() };
            write_json(&mut output, RecordKind::Hello, &hello)?;
            let mut payload = Vec::new();
            read_record(&mut input, &mut payload)?;
            if matches!(parse_json(&payload)?, Job::Unpack(_)) {
                let failed = Failed { message: "write `base/1/data`".to_owned(), cause };
                return write_json(&mut output, RecordKind::Failed, &failed);
            }
            let mut job = Vec::new();
            write_record(&mut job, RecordKind::Job, &payload)?;
            let out = AfterHello { out: Box::new(io::sink()), writes: 0 };
            let out = AfterHello { out: std::mem::replace(&mut output, out.out), ..out };
            archive::serve::serve(
                io::Cursor::new(job).chain(&mut input),
                out,
                Ok(root.try_clone()?),
                &Scratch::NONE,
            )
            .map(drop)
        };
        // As in a helper: whoever closed the channel knows why.
        serve().ok();
    })
}

#[tokio::test]
async fn a_target_that_takes_no_more_keeps_what_it_has() {
    for (cause, hint) in [(FailedCause::Full, "make room"), (FailedCause::ReadOnly, "--into NEW")] {
        let mut world = World::new();
        world.volume("db", 1).await;
        back_up(&world.host().await, "db").await.unwrap();
        let volumes = world.folder.path().join("volumes");
        std::fs::remove_dir_all(world.docker.volume_folder("db")).unwrap();
        world.docker = Arc::new(FakeDocker::new(volumes, failing_to_unpack(cause), Calls::new().script()));
        let now = world.volume("db", 2).await;
        world.docker.put_container(container("web", "db", ContainerState::Running, "always"));
        world.clock.advance(1);
        let host = world.host().await;
        let failed = restore_as(&host, &restore_request("db", 1, None)).await.unwrap_err();
        assert_eq!(failed.class, Class::Failed, "{failed}");
        assert!(failed.hint.as_deref().unwrap_or_default().contains(hint), "{failed} {:?}", failed.hint);
        assert_eq!(differences(&but_root_time(world.tree("db")), &but_root_time(now)), "");
        let web = world.docker.container("web").await.unwrap().unwrap();
        assert_eq!((web.state, web.restart_policy.as_str()), (ContainerState::Running, "always"));
        assert_eq!(runs(&host, 1).unwrap()[0].state, "failed");
    }
}

/// An engine that died may not be done with what it ran.
#[tokio::test]
async fn a_start_that_fails_is_tried_again_and_not_for_ever() {
    for (refusals, ends_well) in [(3, true), (u32::MAX, false)] {
        let mut world = World::new();
        world.volume("db", 1).await;
        back_up(&world.host().await, "db").await.unwrap();
        world.docker.put_container(container("web", "db", ContainerState::Running, "always"));
        let left = AtomicU32::new(refusals);
        let script: Script = Arc::new(move |now, deed| {
            let refused = now == Moment::Before
                && deed == "start id-of-web"
                && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            if refused { Verdict::Fail(DockerErrorKind::Other) } else { Verdict::Pass }
        });
        world.docker = Arc::new(world.docker.reopened(script));
        let host = world.host().await;
        let restored = restore_as(&host, &restore_request("db", 1, None)).await;
        assert_eq!(restored.is_ok(), ends_well);
        let said = restored.err().and_then(|failed| failed.hint).unwrap_or_default();
        assert_eq!(said.contains("docker start web"), !ends_well, "{said}");
        let web = world.docker.container("web").await.unwrap().unwrap();
        assert_eq!(
            (web.state == ContainerState::Running, web.restart_policy.as_str()),
            (ends_well, "always")
        );
    }
}

#[tokio::test]
async fn a_plan_says_what_is_lost_by_it() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let request = restore_request("db", 1, None);
    let same = plan_restore(&host, &request).await.unwrap();
    assert_eq!((same.only_now, same.differing), (Some(0), Some(0)));
    let before = world.replant("db", 2);
    let plan = plan_restore(&host, &request).await.unwrap();
    assert_eq!((plan.only_now, &plan.only_now_named[..]), (Some(1), &["only-2".to_owned()][..]));
    assert!(plan.differing.is_some_and(|count| count > 5), "{plan:?}");
    assert_eq!(differences(&world.tree("db"), &before), "", "looking changed something");
    // Beside it nothing is lost.
    let beside = plan_restore(&host, &restore_request("db", 1, Some("new"))).await.unwrap();
    assert_eq!((beside.only_now, beside.differing), (None, None));
}

/// G9: whatever is restored, the store is asked for nothing but to read.
#[tokio::test]
async fn a_restore_only_reads_from_the_store() {
    let world = World::new();
    world.volume("db", 1).await;
    back_up(&world.host().await, "db").await.unwrap();
    world.replant("db", 2);
    let log = CallLog::recording();
    let store = FaultyStore::new(Arc::new(world.store.clone()), Arc::clone(&log), Vec::new());
    let host = world.host_with(Arc::new(store), Arc::<FakeDocker>::clone(&world.docker)).await;
    let in_place = restore_request("db", 1, None);
    let delta = RestoreRequest { delta: true, ..in_place.clone() };
    for request in [restore_request("db", 1, Some("new")), in_place, delta] {
        restore_as(&host, &request).await.unwrap();
    }
    let reads = ["store.get ", "store.get_range ", "store.head ", "store.list ", "store.folders "];
    let others: Vec<_> =
        log.names().into_iter().filter(|call| !reads.iter().any(|read| call.starts_with(read))).collect();
    assert_eq!(others, [""; 0]);
    assert!(log.count() > 5);
}
