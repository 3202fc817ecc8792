//! Walks through all places to crash.

use std::sync::Arc;

use engine::failure::Failure;
use engine::testing::calls::{CallLog, CrashPoint, Dead, When};
use engine::testing::fake_docker::FakeDocker;
use engine::testing::faulty_store::FaultyStore;
use engine::usecase::host::Host;
use engine::usecase::recover::{Recovered, recover};
use engine::usecase::watch::Silent;

use crate::deeds::Deed;
use crate::invariants::check;
use crate::mortal_docker::MortalDocker;
use crate::template::{Case, Template};

/// A start so late that helpers without a row of their own are strays for sure.
const LATER_SECONDS: i64 = 30 * 60;

/// A process whose calls go through `log`.
async fn mortal_host(case: &Case, log: &Arc<CallLog>) -> Host {
    let store = FaultyStore::new(Arc::new(case.world.store.clone()), Arc::clone(log), Vec::new());
    let stirred = case.world.docker.volume_folder("db").join("PG_VERSION");
    let docker = MortalDocker::new(Arc::<FakeDocker>::clone(&case.world.docker), Arc::clone(log), stirred);
    case.world.host_with(Arc::new(store), Arc::new(docker)).await
}

/// Runs until it ends or hangs. `None`: it died where it stood.
async fn until_death<T>(log: &CallLog, deed: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = deed => Some(done),
        () = log.death(), if log.dead_calls() == Dead::Hangs => None,
    }
}

async fn crash(case: &Case, deed: Deed, log: &Arc<CallLog>) -> Option<Result<(), Failure>> {
    let host = mortal_host(case, log).await;
    let done = until_death(log, Box::pin(deed.run(&host))).await;
    // A program that was started goes on without us, and is over before anybody comes back.
    case.world.docker.programs_end().await;
    done
}

async fn recover_with(case: &Case, log: &Arc<CallLog>) -> Option<Result<Recovered, Failure>> {
    let host = mortal_host(case, log).await;
    let done = until_death(log, Box::pin(recover(&host, &Silent::default()))).await;
    case.world.docker.programs_end().await;
    done
}

/// The next start, with everything in order; then all invariants.
async fn settle_and_check(template: &Template, case: &Case, said_ok: bool) -> Vec<String> {
    case.world.clock.advance(LATER_SECONDS);
    let host = case.world.host().await;
    let recovered = match recover(&host, &Silent::default()).await {
        Ok(recovered) => recovered,
        Err(failure) => return vec![format!("recovery failed: {failure}")],
    };
    let mut wrong = check(template, case, &host, said_ok).await;
    wrong.extend(recovered.left.into_iter().map(|left| format!("left: {left}")));
    wrong
}

async fn recorded(template: &Template) -> Arc<CallLog> {
    let (case, log) = (template.case().await, CallLog::recording());
    let done = crash(&case, template.deed, &log).await;
    done.unwrap().unwrap();
    let wrong = settle_and_check(template, &case, true).await;
    assert!(wrong.is_empty(), "{:?} without a crash: {}", template.deed, wrong.join("\n"));
    log
}

fn tell(deed: Deed, points: usize, at_least: usize, wrong: &[String]) {
    println!("{deed:?}: {points} places to crash");
    let shown: Vec<_> = wrong.iter().take(12).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{deed:?}: {} of {points}\n{}", wrong.len(), shown.join("\n\n"));
    assert!(points >= at_least, "{deed:?}: only {points} places to crash");
}

/// Every call of a deed, on both sides, with both ways to die.
async fn every_call(deed: Deed, at_least: usize) {
    let template = Template::new(deed).await;
    let calls = recorded(&template).await;
    let (mut points, mut wrong) = (0, Vec::new());
    for dead in [Dead::Hangs, Dead::Errs] {
        for point in calls.crash_points() {
            let (case, log) = (template.case().await, CallLog::crashing(point, dead));
            let done = crash(&case, deed, &log).await;
            // Frames are fetched side by side, so a run may need a call less than the recorded one.
            points += usize::from(log.is_dead());
            let found = settle_and_check(&template, &case, matches!(done, Some(Ok(())))).await;
            let last = log.names().last().cloned().unwrap_or_default();
            wrong.extend(found.iter().map(|what| format!("{dead:?} {point:?} {last}: {what}")));
        }
    }
    tell(deed, points, at_least, &wrong);
}

/// Every call of the recovery from some of these crashes; three starts in a row die there.
async fn every_call_of_recovery(deed: Deed, every: usize, at_least: usize) {
    let template = Template::new(deed).await;
    let calls = recorded(&template).await;
    let (mut points, mut wrong) = (0, Vec::new());
    for first in calls.crash_points().into_iter().skip(every / 2).step_by(every) {
        let seconds =
            (1..).flat_map(|call| [When::Before, When::After].map(|when| CrashPoint { call, when }));
        for second in seconds {
            let case = template.case().await;
            let done = crash(&case, deed, &CallLog::crashing(first, Dead::Hangs)).await;
            let mut died = false;
            for _ in 0..3 {
                let log = CallLog::crashing(second, Dead::Hangs);
                recover_with(&case, &log).await;
                died |= log.is_dead();
            }
            if !died {
                break;
            }
            points += 1;
            let found = settle_and_check(&template, &case, matches!(done, Some(Ok(())))).await;
            wrong.extend(found.iter().map(|what| format!("{first:?}, then {second:?}: {what}")));
        }
    }
    tell(deed, points, at_least, &wrong);
}

#[tokio::test]
async fn first_backup() {
    every_call(Deed::FirstBackup, 80).await;
}

#[tokio::test]
async fn backup() {
    every_call(Deed::Backup, 80).await;
}

#[tokio::test]
async fn backup_that_pauses() {
    every_call_of_freeze(Deed::BackupPaused, ["docker.pause", "docker.unpause"]).await;
}

#[tokio::test]
async fn backup_that_stops() {
    every_call_of_freeze(Deed::BackupStopped, ["docker.stop", "docker.start"]).await;
}

/// Both programs are run, and the second one before the second pack is on its way.
#[tokio::test]
async fn backup_between_hooks() {
    let template = Template::new(Deed::BackupHooked).await;
    let names = recorded(&template).await.names();
    let hooks: Vec<_> = (0..names.len()).filter(|i| names[*i] == "docker.exec id-of-web hook").collect();
    let second = names.iter().rposition(|name| name.starts_with("store.begin")).unwrap();
    assert!(hooks.len() == 2 && second > hooks[1], "{names:?}");
    every_call(Deed::BackupHooked, 100).await;
}

#[tokio::test]
async fn backup_of_a_server_that_keeps_its_log() {
    every_call(Deed::BackupRedis, 100).await;
}

/// The program is started only when the first pass is over.
#[tokio::test]
async fn backup_of_what_a_program_says() {
    every_call(Deed::BackupDump, 90).await;
}

#[tokio::test]
async fn recovery_of_a_backup_of_what_a_program_says() {
    every_call_of_recovery(Deed::BackupDump, 11, 20).await;
}

#[tokio::test]
async fn recovery_of_a_backup_between_hooks() {
    every_call_of_recovery(Deed::BackupHooked, 11, 20).await;
}

#[tokio::test]
async fn recovery_of_a_backup_of_a_server_that_keeps_its_log() {
    every_call_of_recovery(Deed::BackupRedis, 13, 20).await;
}

/// Both writers are held, and run again before the second pack is on its way.
async fn every_call_of_freeze(deed: Deed, held: [&str; 2]) {
    let template = Template::new(deed).await;
    let names = recorded(&template).await.names();
    let places = |verb: &str| names.iter().enumerate().filter(|(_, name)| name.starts_with(verb)).count();
    assert_eq!(held.map(places), [2, 2], "{names:?}");
    let last = |verb: &str| names.iter().rposition(|name| name.starts_with(verb)).unwrap();
    let second = last("store.begin");
    assert!(names[second].ends_with("-2.tar.zst") && second > last(held[1]), "{names:?}");
    every_call(deed, 120).await;
}

#[tokio::test]
async fn restore_into_a_new_volume() {
    every_call(Deed::RestoreNew, 50).await;
}

#[tokio::test]
async fn restore_in_place() {
    every_call(Deed::RestoreInPlace, 120).await;
}

#[tokio::test]
async fn restore_that_goes_on_with_what_was_left() {
    every_call(Deed::RestoreGoesOn, 120).await;
}

#[tokio::test]
async fn restore_into_a_new_volume_that_leaves_what_it_had() {
    every_call(Deed::RestoreNewLeft, 60).await;
}

#[tokio::test]
async fn recovery_of_a_restore_that_leaves_what_it_had() {
    every_call_of_recovery(Deed::RestoreGoesOn, 11, 40).await;
    every_call_of_recovery(Deed::RestoreNewLeft, 7, 20).await;
}

/// Whoever uses the target is down before it is compared, and nothing is swapped before.
#[tokio::test]
async fn restore_of_what_differs() {
    let template = Template::new(Deed::RestoreDelta).await;
    let names = recorded(&template).await.names();
    let last_stop = names.iter().rposition(|name| name.starts_with("docker.stop")).unwrap();
    let fetched = names.iter().rposition(|name| name.starts_with("store.get_range")).unwrap();
    assert!(last_stop < fetched, "{names:?}");
    every_call(Deed::RestoreDelta, 200).await;
}

#[tokio::test]
async fn restore_of_paths() {
    every_call(Deed::RestorePaths, 120).await;
}

#[tokio::test]
async fn undo_of_paths() {
    every_call(Deed::UndoPaths, 80).await;
}

#[tokio::test]
async fn recovery_of_a_restore_of_paths() {
    every_call_of_recovery(Deed::RestorePaths, 11, 40).await;
}

#[tokio::test]
async fn recovery_of_an_undo_of_paths() {
    every_call_of_recovery(Deed::UndoPaths, 11, 40).await;
}

#[tokio::test]
async fn undo() {
    every_call(Deed::Undo, 80).await;
}

#[tokio::test]
async fn purge() {
    every_call(Deed::Purge, 56).await;
}

#[tokio::test]
async fn delete() {
    every_call(Deed::Delete, 30).await;
}

#[tokio::test]
async fn prune() {
    every_call(Deed::Prune, 26).await;
}

#[tokio::test]
async fn prune_of_what_was_deleted() {
    every_call(Deed::PruneDeleted, 32).await;
}

#[tokio::test]
async fn undelete() {
    every_call(Deed::Undelete, 16).await;
}

#[tokio::test]
async fn drill() {
    every_call(Deed::Drill, 100).await;
}

#[tokio::test]
async fn import_of_an_archive() {
    every_call(Deed::Import, 80).await;
}

#[tokio::test]
async fn recovery_of_an_import() {
    every_call_of_recovery(Deed::Import, 9, 20).await;
}

#[tokio::test]
async fn recovery_of_a_drill() {
    every_call_of_recovery(Deed::Drill, 9, 20).await;
}

#[tokio::test]
async fn recovery_of_a_backup() {
    every_call_of_recovery(Deed::Backup, 9, 20).await;
}

#[tokio::test]
async fn recovery_of_a_backup_that_pauses() {
    every_call_of_recovery(Deed::BackupPaused, 11, 20).await;
}

#[tokio::test]
async fn recovery_of_a_backup_that_stops() {
    every_call_of_recovery(Deed::BackupStopped, 9, 40).await;
}

#[tokio::test]
async fn recovery_of_an_undo() {
    every_call_of_recovery(Deed::Undo, 11, 40).await;
}

#[tokio::test]
async fn recovery_of_a_restore_in_place() {
    every_call_of_recovery(Deed::RestoreInPlace, 11, 40).await;
}

#[tokio::test]
async fn recovery_of_a_restore_of_what_differs() {
    every_call_of_recovery(Deed::RestoreDelta, 11, 150).await;
}
