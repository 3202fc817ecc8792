//! Runs and events.

use super::*;
use crate::catalog::events;
use crate::catalog::journal::{ComposeService, StoppedContainer};
use crate::catalog::run_state::{IllegalEvent, RunEvent, RunState};
use crate::catalog::{CatalogError, Outcome, Progress, RUNS_MAX, RunRow, Upload};
use crate::failure::Class;

fn new_run(n: u64, verb: Verb) -> NewRun {
    NewRun {
        id: run_id(n),
        verb,
        host: "vm-1".parse().unwrap(),
        source: Some("db-data".parse().unwrap()),
        store: Some(STORE.to_owned()),
        pid: 4711,
    }
}

fn journal() -> RestoreJournal {
    RestoreJournal {
        target: RestoreTarget::Volume("db-data".to_owned()),
        created_volume: true,
        volume_made_at: None,
        keep_previous: false,
        containers: vec![StoppedContainer {
            id: "9f".repeat(32),
            name: "app-db-1".to_owned(),
            restart_policy: "on-failure:3".to_owned(),
            was_running: true,
            started_at: Some(at(-500)),
            compose: Some(ComposeService { project: "app".to_owned(), service: "db".to_owned() }),
        }],
        stopping: false,
        unfinished: false,
        swapped: false,
    }
}

#[test]
fn a_backup_s_row_knows_its_uploads_and_its_snapshot_before_they_exist() {
    let place = Place::new();
    let catalog = place.open();
    let id = run_id(1);
    let begun = catalog.begin_run(&new_run(1, Verb::Backup), at(0)).unwrap();
    catalog.note_upload(&id, "vm-1/db/a").unwrap();
    catalog.note_upload_id(&id, "vm-1/db/a", "u-1").unwrap();
    catalog.note_upload(&id, "vm-1/db/b").unwrap();
    drop(catalog);

    // Another process, after a crash.
    let catalog = place.open();
    let upload = |key: &str, id: Option<&str>| Upload { key: key.to_owned(), id: id.map(str::to_owned) };
    let want = RunRow {
        state: RunState::Uploading,
        uploads: vec![upload("vm-1/db/a", Some("u-1")), upload("vm-1/db/b", None)],
        ..begun
    };
    assert_eq!(catalog.unfinished_runs().unwrap(), [want]);
    catalog.note_commit(&id, number(42)).unwrap();
    assert_eq!(catalog.run(&id).unwrap().snapshot, Some(number(42)));
    catalog.finish_run(&id, Outcome::Done, None, at(60)).unwrap();
    let over = catalog.run(&id).unwrap();
    assert_eq!(
        (over.state, over.outcome, over.ended_at),
        (RunState::Ended, Some(Outcome::Done), Some(at(60)))
    );
    assert!(catalog.unfinished_runs().unwrap().is_empty());
}

#[test]
fn a_restore_s_journal_is_there_before_the_first_stop_and_may_grow() {
    let place = Place::new();
    let catalog = place.open();
    let id = run_id(2);
    catalog.begin_run(&new_run(2, Verb::Restore), at(0)).unwrap();
    let mut journal = journal();
    catalog.note_prepare(&id, number(7), &journal).unwrap();
    journal.containers.push(StoppedContainer {
        id: "aa".repeat(32),
        name: "late".to_owned(),
        restart_policy: "no".to_owned(),
        was_running: false,
        started_at: None,
        compose: None,
    });
    catalog.note_prepare(&id, number(7), &journal).unwrap();
    catalog.note_unpack(&id).unwrap();
    catalog.note_swap(&id).unwrap();
    drop(catalog);
    let catalog = place.open();
    let found = catalog.run(&id).unwrap();
    assert_eq!((found.state, found.journal.as_ref()), (RunState::Swapping, Some(&journal)));

    // It cannot be over while something may be down.
    let illegal = catalog.finish_run(&id, Outcome::Not(Class::Failed), None, at(9)).unwrap_err();
    let want = IllegalEvent { state: RunState::Swapping, event: RunEvent::Finish };
    assert!(matches!(&illegal, CatalogError::Illegal { illegal, .. } if *illegal == want), "{illegal}");
    assert_eq!(illegal.to_string(), format!("run `{id}`: cannot finish when swapping"));
    assert_eq!(catalog.run(&id).unwrap(), found, "nothing of a refused step remains");
    catalog.note_resume(&id).unwrap();
    catalog.note_resume(&id).unwrap();
    catalog.finish_run(&id, Outcome::Not(Class::Interrupted), Some("killed"), at(9)).unwrap();
    assert_eq!(catalog.run(&id).unwrap().message.as_deref(), Some("killed"));
}

#[test]
fn every_outcome_and_verb_comes_back() {
    let place = Place::new();
    let catalog = place.open();
    let verbs = [
        (Verb::Backup, Outcome::Done),
        (Verb::Restore, Outcome::Not(Class::Failed)),
        (Verb::Verify, Outcome::Not(Class::Usage)),
        (Verb::Export, Outcome::Not(Class::Partial)),
        (Verb::Delete, Outcome::Not(Class::NotFound)),
        (Verb::Prune, Outcome::Not(Class::Busy)),
        (Verb::Rebuild, Outcome::Not(Class::WrongKey)),
        (Verb::Recover, Outcome::Not(Class::Unsafe)),
        (Verb::Drill, Outcome::Not(Class::Interrupted)),
        (Verb::Undo, Outcome::Done),
    ];
    for (n, (verb, outcome)) in (1..).zip(verbs) {
        let new = NewRun { source: None, store: None, ..new_run(n, verb) };
        catalog.begin_run(&new, at(i64::try_from(n).unwrap())).unwrap();
        catalog.note_work(&run_id(n), None).unwrap();
        catalog.finish_run(&run_id(n), outcome, Some(&"é".repeat(5000)), at(99)).unwrap();
    }
    let found: Vec<_> =
        catalog.runs(100).unwrap().iter().map(|run| (run.verb, run.outcome.unwrap())).collect();
    assert_eq!(found, verbs.into_iter().rev().collect::<Vec<_>>(), "newest first");
    assert_eq!(catalog.runs(2).unwrap().len(), 2);
    assert_eq!(catalog.run(&run_id(1)).unwrap().message.unwrap().len(), 4096);
}

#[test]
fn of_runs_of_one_moment_the_one_written_last_is_the_newest() {
    let place = Place::new();
    let catalog = place.open();
    for n in [3, 1, 4, 2] {
        catalog.begin_run(&new_run(n, Verb::Verify), at(0)).unwrap();
    }
    let ids = |rows: Vec<RunRow>| rows.into_iter().map(|run| run.id).collect::<Vec<_>>();
    assert_eq!(ids(catalog.runs(3).unwrap()), [2, 4, 1].map(run_id));
    assert_eq!(ids(catalog.unfinished_runs().unwrap()), [3, 1, 4, 2].map(run_id));
}

#[test]
fn progress_and_cancel_pass_between_processes() {
    let place = Place::new();
    let (daemon, cli) = (place.open(), place.open());
    let id = run_id(3);
    daemon.begin_run(&new_run(3, Verb::Backup), at(0)).unwrap();
    let progress = Progress { entries: 10, bytes: 1 << 40, bytes_per_second: 300, path: "a/é".to_owned() };
    daemon.note_progress(&id, &progress).unwrap();
    assert_eq!(cli.run(&id).unwrap().progress, progress);

    assert!(!daemon.is_cancel_requested(&id).unwrap());
    assert!(cli.request_cancel(&id).unwrap());
    assert!(daemon.is_cancel_requested(&id).unwrap());
    daemon.note_upload(&id, "k").unwrap();
    assert!(daemon.is_cancel_requested(&id).unwrap(), "a step does not forget it");
    daemon.finish_run(&id, Outcome::Not(Class::Interrupted), None, at(1)).unwrap();
    assert!(!cli.request_cancel(&id).unwrap(), "it is over");
    daemon.note_progress(&id, &Progress::default()).unwrap();
    assert_eq!(cli.run(&id).unwrap().progress, progress, "the last word stays");
    assert!(!cli.request_cancel(&run_id(99)).unwrap());
    assert!(matches!(cli.run(&run_id(99)), Err(CatalogError::NoRun(_))));
}

#[test]
fn old_runs_go_unless_they_are_not_over() {
    let place = Place::new();
    let catalog = place.open();
    for n in 1..=3 {
        catalog.begin_run(&new_run(n, Verb::Verify), at(0)).unwrap();
    }
    catalog.finish_run(&run_id(1), Outcome::Done, None, at(1)).unwrap();
    catalog.finish_run(&run_id(3), Outcome::Done, None, at(1)).unwrap();
    // As if as many runs as are kept had followed the first two.
    tamper(&catalog, &format!("UPDATE runs SET rowid = rowid + {RUNS_MAX} - 1 WHERE rowid = 3"));
    catalog.begin_run(&new_run(4, Verb::Verify), at(0)).unwrap();
    let mut left: Vec<_> = catalog.runs(10).unwrap().into_iter().map(|run| run.id).collect();
    left.sort_unstable();
    assert_eq!(left, [run_id(2), run_id(3), run_id(4)]);
}

#[test]
fn one_id_is_one_run() {
    let place = Place::new();
    let catalog = place.open();
    catalog.begin_run(&new_run(1, Verb::Backup), at(0)).unwrap();
    assert!(catalog.begin_run(&new_run(1, Verb::Restore), at(1)).is_err());
    assert_eq!(catalog.run(&run_id(1)).unwrap().verb, Verb::Backup);
}

/// Recovery acts on these rows: a changed one is refused, not acted on.
#[test]
fn a_run_that_was_changed_on_disk_is_never_an_answer() {
    for sql in [
        "UPDATE runs SET state = 'ended'",
        "UPDATE runs SET state = 'swopping'",
        "UPDATE runs SET journal = replace(journal, 'app-db-1', 'app-db-2')",
        "UPDATE runs SET journal = NULL",
        "UPDATE runs SET snapshot = 8",
        "UPDATE runs SET id = '00000000000000ff'",
    ] {
        let place = Place::new();
        let catalog = place.open();
        catalog.begin_run(&new_run(2, Verb::Restore), at(0)).unwrap();
        catalog.note_prepare(&run_id(2), number(7), &journal()).unwrap();
        tamper(&catalog, sql);
        let refused = catalog.unfinished_runs().unwrap_err();
        assert!(matches!(refused, CatalogError::Damaged(_)), "{sql}: {refused}");
    }
}

#[test]
fn events_are_bounded_in_number_and_length() {
    let place = Place::new();
    let catalog = place.open();
    let event = |n: u64| Event {
        at: at(0),
        run: n.is_multiple_of(2).then(|| run_id(n)),
        level: [Level::Info, Level::Warning, Level::Alarm][usize::try_from(n % 3).unwrap()],
        text: format!("event {n}"),
    };
    catalog.write(|t| (1..=events::EVENTS_MAX + 25).try_for_each(|n| events::insert(t, &event(n)))).unwrap();
    let found = catalog.events(u32::MAX).unwrap();
    assert_eq!(found.len() as u64, events::EVENTS_MAX);
    assert_eq!((&found[0], found.last().unwrap()), (&event(events::EVENTS_MAX + 25), &event(26)));
    assert_eq!(catalog.events(3).unwrap().len(), 3);

    catalog.add_event(&Event { text: "é".repeat(4000), ..event(1) }).unwrap();
    assert_eq!(catalog.events(1).unwrap()[0].text, "é".repeat(2048));
}
