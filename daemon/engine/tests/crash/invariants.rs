//! What must be true after the next start, whatever happened before.

use std::collections::BTreeSet;

use archive::ours::UNFINISHED;
use engine::format::manifest::Manifest;
use engine::port::docker::{ContainerState, Docker as _};
use engine::port::store::Store as _;
use engine::usecase::delete::{delete, plan_delete, undelete};
use engine::usecase::host::Host;
use engine::usecase::snapshots::{Wanted, WantedHost, snapshots};
use engine::usecase::watch::Silent;

use crate::deeds::{Deed, PATHS};
use crate::support::tree::{Tree, but_root_time, differences};
use crate::support::world::{back_up, restore_as, restore_request, snapshot};
use crate::template::{Case, SOMEBODY, Template};

/// Gathers what is wrong at one crash point.
pub(crate) struct Wrong(pub(crate) Vec<String>);

impl Wrong {
    fn unless(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }

    fn same(&mut self, what: &str, got: &Tree, want: &Tree) {
        let differences = differences(got, want);
        self.unless(differences.is_empty(), || format!("{what}:\n{differences}"));
    }
}

/// Checks them all, then goes on working in that world. `said_ok`: the deed came to its end and was told as done.
pub(crate) async fn check(template: &Template, case: &Case, host: &Host, said_ok: bool) -> Vec<String> {
    let mut wrong = Wrong(Vec::new());
    let unfinished = host.catalog().unfinished_runs().unwrap();
    wrong.unless(unfinished.is_empty(), || format!("unfinished runs: {unfinished:?}"));
    leftovers(case, &mut wrong).await;
    service(case, &mut wrong).await;
    targets(template, case, said_ok, &mut wrong).await;
    if matches!(template.deed, Deed::Purge | Deed::PruneDeleted) {
        nothing_half_deleted_comes_back(host, &mut wrong).await;
    }
    history(template, case, host, said_ok, &mut wrong).await;
    life_goes_on(template, case, host, &mut wrong).await;
    wrong.0
}

async fn leftovers(case: &Case, wrong: &mut Wrong) {
    let helpers = case.world.docker.leftovers().await.unwrap();
    let owners: Vec<_> = helpers.iter().map(|helper| helper.owner.as_str()).collect();
    wrong.unless(owners == [SOMEBODY], || format!("helpers of {owners:?}"));
    let volumes = case.world.docker.volumes().await.unwrap().into_iter().map(|volume| volume.name);
    let scratch: Vec<_> = volumes.filter(|name| name.starts_with("backupd-scratch-")).collect();
    wrong.unless(scratch.is_empty(), || format!("scratch volumes: {scratch:?}"));
    let uploads = case.world.store.open_uploads("").await.unwrap();
    wrong.unless(uploads == case.their_uploads, || format!("open uploads: {uploads:?}"));
    let spools = std::fs::read_dir(case.world.state()).unwrap().filter_map(Result::ok);
    let spools = spools.filter(|file| file.path().extension().is_some_and(|end| end == "spool")).count();
    wrong.unless(spools == 0, || format!("{spools} files of second passes"));
    let objects = case.world.store.snapshot();
    for (key, bytes) in &case.their_objects {
        wrong.unless(objects.get(key) == Some(bytes), || format!("`{key}` of others was touched"));
    }
}

async fn service(case: &Case, wrong: &mut Wrong) {
    for before in &case.containers {
        let now = case.world.docker.container(&before.id).await.unwrap();
        let now = now.map(|now| (now.state, now.restart_policy));
        let want = Some((before.state, before.restart_policy.clone()));
        wrong.unless(now == want, || format!("container {}: {now:?}, not {want:?}", before.name));
    }
    let held = case.world.host().await.catalog().freezes().unwrap();
    wrong.unless(held.is_empty(), || format!("held: {held:?}"));
    let inside = case.inside.look().clone();
    wrong.unless(!inside.is_quiet, || "the hook `after` was not run".to_owned());
    wrong.unless(inside.percentage == "100", || format!("the server's setting is {}", inside.percentage));
    // Nobody stopped and started what was down.
    let idle = case.world.docker.container("id-of-idle").await.unwrap();
    let idle = idle.map(|idle| (idle.state, idle.started_at));
    let want = (ContainerState::Down, case.containers[0].started_at);
    wrong.unless(idle == Some(want), || format!("idle: {idle:?}"));
}

/// What is in the volume, and what restores have kept beside it.
fn in_place(case: &Case) -> (Tree, Tree) {
    let (mut volume, mut kept) = (Tree::new(), Tree::new());
    for (path, line) in finished(case.world.tree("db")) {
        match path.strip_prefix(b".backupd-previous-") {
            None => drop(volume.insert(path, line)),
            // The run, the folder of the content, and then the path in it.
            Some(of_run) => {
                let parts: Vec<_> = of_run.splitn(3, |byte| *byte == b'/').collect();
                if let [_run, b"old", inside] = parts[..] {
                    drop(kept.insert(inside.to_vec(), line.replace(&beside(of_run), "as ")));
                }
            }
        }
    }
    (volume, kept)
}

/// What waits for the next restore is nobody's content.
fn finished(mut tree: Tree) -> Tree {
    tree.retain(|path, _| !path.starts_with(UNFINISHED));
    tree
}

/// How a file that is kept is called by its first name, up to where that begins.
fn beside(of_run: &[u8]) -> String {
    let run = String::from_utf8_lossy(of_run.split(|byte| *byte == b'/').next().unwrap());
    format!("as .backupd-previous-{run}/old/")
}

/// Volumes hold what they held, or all of what was wanted.
async fn targets(template: &Template, case: &Case, said_ok: bool, wrong: &mut Wrong) {
    let (old, now) = (&template.trees[0], template.trees.last().unwrap());
    let (volume, kept) = in_place(case);
    if matches!(template.deed, Deed::RestorePaths | Deed::UndoPaths) {
        places(template, &volume, &kept, said_ok, wrong);
    } else if template.deed == Deed::Undo {
        let [old, now] = [old, now].map(|tree| but_root_time(tree.clone()));
        let volume = but_root_time(volume);
        let is_undone = differences(&volume, &now).is_empty();
        wrong.unless(is_undone || !said_ok, || "it was not undone".to_owned());
        let (want, other) = if is_undone { (&now, &old) } else { (&old, &now) };
        wrong.same("the volume holds neither of the two", &volume, want);
        // All but the root, which is kept as a row.
        let inside = other.iter().filter(|(path, _)| !path.is_empty());
        wrong.same(
            "what is kept is not the other",
            &kept,
            &inside.map(|(k, v)| (k.clone(), v.clone())).collect(),
        );
    } else if matches!(template.deed, Deed::RestoreInPlace | Deed::RestoreGoesOn | Deed::RestoreDelta) {
        let (volume, new) = (but_root_time(volume), but_root_time(old.clone()));
        if said_ok || !differences(&volume, &but_root_time(now.clone())).is_empty() {
            wrong.same("the volume holds neither old nor new content", &volume, &new);
        }
    } else {
        wrong.same("the volume was touched", &volume, now);
    }
    let copy = case.world.docker.volume("copy").await.unwrap();
    let waits = |tree: &Tree| tree.keys().any(|path| path.starts_with(UNFINISHED));
    if copy.is_some() {
        let tree = case.world.tree("copy");
        if template.deed.leaves() && waits(&tree) {
            let only = finished(tree).into_keys().collect::<Vec<_>>();
            wrong.unless(only == [b""], || format!("beside what waits there is {only:?}"));
            wrong.unless(!said_ok, || "it is said to be done, and waits".to_owned());
        } else {
            wrong.same("the new volume is not whole", &tree, old);
        }
    } else {
        let makes = matches!(template.deed, Deed::RestoreNew | Deed::RestoreNewLeft);
        wrong.unless(!said_ok || !makes, || "the new volume is gone".to_owned());
    }
}

/// What of a tree a restore of paths brings, and the folders above that were missing.
fn is_at_a_path(path: &[u8]) -> bool {
    PATHS.iter().any(|place| {
        path == place.as_bytes()
            || path.strip_prefix(place.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
            || (path == b"gone")
    })
}

/// Folders that are there are never replaced, but for their time.
fn but_times_above(mut tree: Tree) -> Tree {
    for above in [&b""[..], b"base", b"conf"] {
        if let Some(line) = tree.get_mut(above) {
            let words: Vec<_> =
                line.split(' ').enumerate().filter(|(i, _)| *i != 2).map(|(_, w)| w).collect();
            *line = words.join(" ");
        }
    }
    tree
}

/// The paths hold all that they held, or all of what was wanted, and everything else what it held.
fn places(template: &Template, volume: &Tree, kept: &Tree, said_ok: bool, wrong: &mut Wrong) {
    let (old, now) = (&template.trees[0], template.trees.last().unwrap());
    let mut new: Tree = now.iter().filter(|(path, _)| !is_at_a_path(path)).map(own).collect();
    new.extend(old.iter().filter(|(path, _)| is_at_a_path(path) && *path != b"gone/not wanted").map(own));
    let [now, new, volume] = [now.clone(), new, volume.clone()].map(but_times_above);
    let is_new = differences(&volume, &new).is_empty();
    if !is_new {
        wrong.same("the volume holds neither of the two", &volume, &now);
    }
    let (done, undone) =
        (said_ok && template.deed == Deed::RestorePaths, said_ok && template.deed == Deed::UndoPaths);
    wrong.unless(!done || is_new, || "the paths were not restored".to_owned());
    wrong.unless(!undone || !is_new, || "it was not undone".to_owned());
    // Each by its number: the second of them is a file, of which there is one in either tree.
    let file = kept.get(&b"1"[..]).map(|line| line.rsplit(' ').next().unwrap().to_owned());
    let of = |tree: &Tree| tree[&b"conf/app.conf"[..]].rsplit(' ').next().unwrap().to_owned();
    let want = match (is_new, template.deed) {
        (true, _) => Some(of(&now)),
        (false, Deed::UndoPaths) => Some(of(&new)),
        (false, _) => None,
    };
    wrong.unless(file == want, || format!("kept is {file:?}, not {want:?}"));
}

fn own((path, line): (&Vec<u8>, &String)) -> (Vec<u8>, String) {
    (path.clone(), line.clone())
}

/// A purge that was cut off left its tombstone, if anything: bringing that back is refused, or gives it whole.
async fn nothing_half_deleted_comes_back(host: &Host, wrong: &mut Wrong) {
    let tombstone = host.store().await.unwrap().head("h1/db/deleted/00000001.manifest").await.unwrap();
    let brought = undelete(host, &snapshot("db@1")).await;
    wrong.unless(brought.is_err() || tombstone.is_some(), || "undeleted what was not deleted".to_owned());
}

/// What is listed restores identically, and what was committed is listed.
async fn history(template: &Template, case: &Case, host: &Host, said_ok: bool, wrong: &mut Wrong) {
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    let lines = snapshots(host, &wanted).await.unwrap().lines;
    let listed: BTreeSet<u64> = lines.iter().map(|line| line.number).collect();
    let all: BTreeSet<u64> = (1..=template.trees.len() as u64).collect();
    let mut surely = all.clone();
    let doubtful = match template.deed {
        Deed::FirstBackup => Some(1),
        Deed::Backup
        | Deed::BackupPaused
        | Deed::BackupStopped
        | Deed::BackupHooked
        | Deed::BackupRedis
        | Deed::BackupDump
        | Deed::Import => Some(3),
        Deed::Purge | Deed::Delete | Deed::Prune | Deed::PruneDeleted | Deed::Undelete => Some(1),
        Deed::RestoreNew
        | Deed::RestoreNewLeft
        | Deed::RestoreInPlace
        | Deed::RestoreGoesOn
        | Deed::RestoreDelta
        | Deed::RestorePaths
        | Deed::Undo
        | Deed::UndoPaths
        | Deed::Drill => None,
    };
    // The content of now belongs to a snapshot only where one was being made.
    if !template.deed.backs_up() {
        surely.remove(&(template.trees.len() as u64));
    }
    let there_when_done = template.deed.backs_up() || template.deed == Deed::Undelete;
    if let Some(doubtful) = doubtful {
        if !said_ok || !there_when_done {
            surely.remove(&doubtful);
        }
        let gone = said_ok && !there_when_done;
        wrong.unless(!gone || !listed.contains(&doubtful), || format!("{doubtful} is still listed"));
    }
    wrong.unless(surely.is_subset(&listed), || format!("listed {listed:?}, not all of {surely:?}"));
    wrong.unless(listed.is_subset(&all), || format!("listed {listed:?}, more than {all:?}"));
    for number in listed.intersection(&all) {
        let into = format!("check-{number}");
        match restore_as(host, &restore_request("db", *number, Some(&into))).await {
            Ok(_) => {
                let want = &template.trees[usize::try_from(*number - 1).unwrap()];
                let mut got = case.world.tree(&into);
                if template.deed == Deed::BackupDump && *number == 3 {
                    let dump = case.world.docker.volume_folder(&into).join(".backupd-dump/all.sql");
                    let is_whole = std::fs::read(dump).is_ok_and(|said| said == b"all of it\n");
                    wrong.unless(is_whole, || "the dump is not what was said".to_owned());
                    got.retain(|path, _| !path.starts_with(b".backupd-dump"));
                }
                wrong.same(&format!("db@{number} is not what was backed up"), &got, want);
            }
            Err(failure) => wrong.0.push(format!("db@{number} is listed and cannot be restored: {failure}")),
        }
    }
}

/// The packs that a manifest names, as keys.
fn needed_by(manifest: &[u8]) -> BTreeSet<String> {
    let body = manifest.split(|byte| *byte == b'\n').next().unwrap();
    let packs = Manifest::parse(body).unwrap().packs;
    packs.into_iter().map(|pack| format!("h1/db/{}", pack.name)).collect()
}

/// The same deeds can be done again, and a second purge finishes the first.
async fn life_goes_on(template: &Template, case: &Case, host: &Host, wrong: &mut Wrong) {
    if matches!(template.deed, Deed::Purge | Deed::PruneDeleted) {
        match plan_delete(host, &snapshot("db@1"), true).await {
            Ok(plan) => {
                let again = delete(host, plan, &Silent::default()).await;
                wrong.unless(again.is_ok(), || format!("purge again: {again:?}"));
            }
            Err(failure) => {
                wrong.unless(failure.class.exit_code() == 10, || format!("plan again: {failure}"));
            }
        }
        let objects = case.world.store.snapshot();
        let needed = needed_by(&objects["h1/db/00000002.manifest"]);
        let left: Vec<_> = objects.into_keys().filter(|key| key.contains("/00000001")).collect();
        let fine = |key: &String| key.starts_with("other/") || needed.contains(key);
        wrong.unless(left.iter().all(fine), || format!("purged twice, and still there: {left:?}"));
    }
    if template.deed.leaves() {
        goes_on(template, case, host, wrong).await;
    }
    let (now, _) = in_place(case);
    match back_up(host, "db").await {
        Ok(report) => {
            let number = snapshot(&report.snapshot).number.unwrap().get();
            let restored = restore_as(host, &restore_request("db", number, Some("after"))).await;
            wrong.unless(restored.is_ok(), || format!("restore {}: {restored:?}", report.snapshot));
            wrong.same("the next backup", &case.world.tree("after"), &now);
        }
        Err(failure) => wrong.0.push(format!("the next backup failed: {failure}")),
    }
}

/// Whatever waits, the next restore ends in what it is of, and nothing waits any more.
async fn goes_on(template: &Template, case: &Case, host: &Host, wrong: &mut Wrong) {
    let copy = case.world.docker.volume("copy").await.unwrap();
    let is_whole = copy.is_some_and(|_| case.world.tree("copy") == template.trees[0]);
    let into = (template.deed == Deed::RestoreNewLeft && !is_whole).then_some("copy");
    let restored = restore_as(host, &restore_request("db", 1, into)).await;
    wrong.unless(restored.is_ok(), || format!("restore again: {restored:?}"));
    let tree = case.world.tree(into.unwrap_or("db"));
    wrong.same("restored again", &but_root_time(tree), &but_root_time(template.trees[0].clone()));
    let left = host.catalog().unfinished_restores().unwrap();
    wrong.unless(left.is_empty(), || format!("said to wait: {left:?}"));
}
