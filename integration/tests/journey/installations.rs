//! Two installations on one host: each puts right what is its own, and leaves the other's alone.

use integration::scripted_s3::{Action, Rule, When};

use crate::running::{Hanging, large};
use crate::stores::BUCKET;
use crate::world::{World, ran};

fn backupd_once(world: &World) -> crate::ran::Ran {
    ran(world.program("backupd").arg("--once"))
}

#[test]
fn each_cleans_up_after_itself_alone() {
    let (server, ours, volume) = large();
    let theirs = World::new();
    let (small, _) = theirs.small_volume("small");

    let hanging = Hanging::begin(&server, &ours, &volume);
    theirs.back_up(&small);
    backupd_once(&theirs).ok();
    backupd_once(&ours).ok();
    assert_eq!(ours.helpers().len(), 1, "a run that lives keeps its helper");
    hanging.kill();
    theirs.back_up(&small);
    backupd_once(&theirs).ok();
    assert_eq!(ours.helpers().len(), 1, "a helper of another installation is nobody else's business");
    assert_eq!(server.uploads(BUCKET).len(), 1);

    server.forget_rules();
    backupd_once(&ours).ends(0, &["was cut off before its commit"]);
    assert_eq!(server.uploads(BUCKET), Vec::<String>::new());
    ours.assert_only(&[&volume]);
    theirs.assert_only(&[&small]);
    backupd_once(&ours).ok();
    ours.back_up(&volume);
}

/// A container may be down, or a helper left over: that what could not be put right must not pass in silence.
#[test]
fn what_cannot_be_put_right_is_said() {
    let (server, ours, volume) = large();
    let (other, _place) = ours.small_volume("other");
    Hanging::begin(&server, &ours, &volume).kill();
    server.forget_rules();
    server.rule(Rule::all(When::Always, Action::Status(403, "AccessDenied")));
    let elsewhere = format!("file://{}", ours.at("elsewhere").display());
    let told =
        ours.run(&["--store", &elsewhere, "backup", &other]).ends(0, &["not put right yet: backup run"]);
    assert!(told.stderr.contains("backupctl"), "no next command in {told}");
    assert_eq!(server.uploads(BUCKET).len(), 1);

    server.forget_rules();
    backupd_once(&ours).ends(0, &["was cut off before its commit"]);
    assert_eq!(server.uploads(BUCKET), Vec::<String>::new());
    ours.run(&["--store", &elsewhere, "backup", &other]).ok();
}

/// A clone with another state folder and the same name does not write over the first one's history.
#[test]
fn two_of_one_name_do_not_mix() {
    let ours = World::new();
    let mut theirs = World::new();
    theirs.store.clone_from(&ours.store);
    let (volume, _) = ours.small_volume("v");
    ours.back_up(&volume);
    let told = theirs.run(&["backup", &volume]).fails(13, &[]);
    assert!(told.stderr.contains("--host"), "{told}");
    assert_eq!(ours.run(&["--json", "snapshots"]).ok().rows().len(), 1);
    // It may read and restore all the same, as a new machine after a fire does.
    let new = theirs.volume_name("new");
    theirs.run(&["restore", &volume, "--into", &new, "--yes"]).ok();
}
