//! What a schedule asks for: whatever kept it from beginning, there is a row that says so.

use engine::catalog::Verb;
use engine::failure::Class;
use engine::format::names::Lineage;
use engine::lock::{Holder, LockOn, Locks};
use engine::usecase::host::Host;
use engine::usecase::ledger::{Entry, Ledger};
use engine::usecase::presence::{be_the_daemon, is_away};
use engine::usecase::remembered::remembered;
use engine::usecase::runs::{RunLine, runs};
use engine::usecase::scheduled::backup_scheduled;
use engine::usecase::watch::Silent;
use engine::words::RunId;

use crate::support::world::{World, backup_request, source};

fn ends(host: &Host) -> Vec<String> {
    let lines = runs(host, 10).unwrap();
    let end = |line: &RunLine| {
        assert!(line.ended_at.is_some(), "{line:?}");
        format!("{} {}", line.source, line.state)
    };
    let mut all: Vec<String> = lines.iter().map(end).collect();
    all.sort();
    all
}

#[tokio::test]
async fn what_fails_before_its_run_begins_has_a_row_and_what_fails_in_it_has_one_alone() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    let wanted = |names: &[&str]| names.iter().map(|name| backup_request(name)).collect::<Vec<_>>();
    backup_scheduled(&host, &wanted(&["db"]), true, &Silent::default()).await.unwrap();
    assert_eq!(ends(&host), ["db done"]);

    // No such volume, alone and as a member of a set that so cannot be made.
    backup_scheduled(&host, &wanted(&["gone"]), true, &Silent::default()).await.unwrap_err();
    let mut set = wanted(&["db", "gone"]);
    set.iter_mut().for_each(|one| one.consistency.mode = policies::policy::Mode::Pause);
    backup_scheduled(&host, &set, true, &Silent::default()).await.unwrap_err();
    let all = ["db done", "db not_found", "gone not_found", "gone not_found"];
    assert_eq!(ends(&host), all);

    // In its run: an empty source is refused.
    let folder = world.docker.volume_folder("db");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    backup_scheduled(&host, &wanted(&["db"]), true, &Silent::default()).await.unwrap_err();
    assert_eq!(ends(&host).len(), all.len() + 1);
}

#[tokio::test]
async fn somebody_else_at_work_is_a_failure_for_whoever_does_not_try_again() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    let holder = Holder {
        run: RunId::random().unwrap(),
        pid: 1,
        verb: Verb::Prune,
        since: "2026-11-20T02:00:00Z".parse().unwrap(),
    };
    let on = LockOn::Lineage(Lineage { host: "h1".parse().unwrap(), source: source("db") });
    let _held = Locks::new(world.state().join("locks")).try_lock(&on, &holder).unwrap();
    for (patient, want) in [(true, 0), (false, 1)] {
        let done = backup_scheduled(&host, &[backup_request("db")], patient, &Silent::default()).await;
        assert_eq!(done.unwrap_err().class, Class::Busy);
        assert_eq!(ends(&host).len(), want);
    }
}

#[tokio::test]
async fn there_is_one_daemon_and_where_it_went_somebody_can_tell() {
    let world = World::new();
    let host = world.host().await;
    assert!(!is_away(&host), "none ever ran here");
    let first = be_the_daemon(&host).unwrap();
    assert!(!is_away(&host));
    assert_eq!(be_the_daemon(&world.host().await).unwrap_err().class, Class::Busy);
    drop(first);
    assert!(is_away(&host));
    drop(be_the_daemon(&host).unwrap());
}

/// Policies and Docker are not asked, so it can be said while neither answers.
#[tokio::test]
async fn what_was_good_last_is_remembered_of_all_that_were_there() {
    let world = World::new();
    world.volume("db", 1).await;
    let host = world.host().await;
    backup_scheduled(&host, &[backup_request("db")], true, &Silent::default()).await.unwrap();
    world.clock.advance(90);
    let now = host.clock().now();
    let entry = Entry {
        policy: "nightly".to_owned(),
        schedule: "0 2 * * * UTC".to_owned(),
        since: now,
        dealt_with: now,
        labelled: false,
        gone: None,
        open: None,
    };
    let left = Entry { gone: Some(now), ..entry.clone() };
    let sources = [("db", entry.clone()), ("left", left), ("new", entry)];
    let sources = sources.map(|(name, entry)| (source(name), entry)).into();
    let known = remembered(&host, &Ledger { sources, ..Ledger::default() }).unwrap();
    let told: Vec<_> =
        known.iter().map(|one| (one.source.as_str(), one.policy.as_str(), one.age_seconds)).collect();
    assert_eq!(told, [("db", "nightly", Some(90)), ("new", "nightly", None)]);
}
