//! Targets that cannot take a restore, engines that do not answer, state that others could read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::bad_store::Small;
use crate::recorded::assert_equal;
use crate::world::{World, content, put};
use integration::noise::noise;

/// The plan refuses what cannot fit; what turns out not to fit leaves the old content.
#[test]
fn a_target_without_room() {
    let world = World::new();
    let (volume, place) = world.volume("v");
    put(&place.join("noise"), &noise(1, 8_500 << 10));
    world.back_up(&volume);
    fs::remove_file(place.join("noise")).unwrap();
    // More than it seems: each takes two blocks.
    for n in 0..1_100 {
        put(&place.join(format!("{n}")), &[7; 4_097]);
    }
    world.back_up(&volume);

    // The volume lies on a small disk now, with something in it.
    let disk = Small::mount(world.at("disk"), 8);
    put(&disk.0.join("before"), b"what was there");
    world.docker.remove_volume(&volume).unwrap();
    let options = json!({"type": "none", "o": "bind", "device": disk.0.display().to_string()});
    world.volume_as("v", json!({"DriverOpts": options}));
    let before = content(&disk.0);
    for (number, words) in [("1", "MiB"), ("2", "No space left")] {
        let told = world.run(&["restore", &volume, "--snapshot", number, "--yes"]).fails(1, &[words]);
        assert!(told.stderr.contains("make room"), "{told}");
        assert_equal(&content(&disk.0), &before);
        assert_eq!(world.helpers(), Vec::<String>::new());
    }
    disk.make_read_only();
    let told = world.run(&["restore", &volume, "--yes"]).fails(1, &["ead-only"]);
    assert!(told.stderr.contains("--into NEW"), "{told}");
    assert_equal(&content(&disk.0), &before);
    world.assert_only(&[&volume]);
}

#[test]
fn a_path_that_is_not_in_the_snapshot_makes_no_volume() {
    let world = World::new();
    let (volume, _) = world.small_volume("v");
    world.back_up(&volume);
    let new = world.volume_name("new");
    world.run(&["restore", &volume, "--into", &new, "--path", "no/such", "--yes"]).fails(10, &["no/such"]);
    world.run(&["restore", &volume, "--path", "no/such", "--yes"]).fails(10, &["no/such"]);
    world.run(&["restore", &volume, "--path", "file", "--delta", "--yes"]).fails(2, &["--path"]);
    world.run(&["cat", &format!("{volume}@1"), "no/such"]).fails(10, &["no/such"]);
    world.assert_only(&[&volume]);
}

#[test]
fn an_engine_that_does_not_answer() {
    let mut world = World::new();
    let (volume, _) = world.small_volume("v");
    world.back_up(&volume);
    let nobody = format!("unix://{}", world.at("nobody.sock").display());
    world.set("DOCKER_HOST", &nobody);
    for verb in [["backup", &volume, "-q"], ["restore", &volume, "--yes"]] {
        let told = world.run(&verb).fails(1, &[]);
        assert!(told.stderr.contains("is Docker running?"), "{told}");
    }
    let doctor = world.run(&["--json", "doctor"]).ends(1, &[]).rows();
    let bad: Vec<_> =
        doctor.iter().filter(|check| check["verdict"] == "bad").map(|check| &check["what"]).collect();
    assert_eq!(bad, ["docker"]);
    // What is in the store can be looked at and taken out all the same.
    let id = format!("{volume}@1");
    assert_eq!(world.run(&["cat", &id, "file"]).ok().stdout, b"v");
    world.run(&["verify", &id]).ok();
    assert_eq!(world.run(&["--json", "snapshots"]).ok().rows().len(), 1);
}

#[test]
fn a_state_folder_that_others_can_enter() {
    let world = World::new();
    let (volume, _) = world.small_volume("v");
    fs::create_dir(world.state()).unwrap();
    fs::set_permissions(world.state(), fs::Permissions::from_mode(0o777)).unwrap();
    for verb in [["backup", &volume], ["snapshots", "-q"]] {
        let told = world.run(&verb).fails(1, &["0777"]);
        assert!(told.stderr.contains("chmod 700"), "{told}");
    }
    assert_eq!(fs::read_dir(world.state()).unwrap().count(), 0, "nothing was put there");
    assert!(!world.at("store").exists());
    world.assert_only(&[&volume]);
}

#[test]
fn settings_that_make_no_sense() {
    let mut world = World::new();
    put(&world.at("backupd.toml"), b"stor = \"file:///x\"\n");
    world.run(&["snapshots"]).fails(2, &["backupd.toml:1:1", "store"]);
    put(&world.at("backupd.toml"), b"");
    world.store = "ftp://somewhere".to_owned();
    world.run(&["snapshots"]).fails(2, &["ftp"]);
}

/// Whoever cannot read how writers are to be held does not guess.
#[test]
fn a_backup_under_a_policy_that_cannot_be_read_wants_to_be_told_how() {
    let world = World::new();
    let (volume, _place) = world.small_volume("v");
    let policies = world.at("policies");
    fs::create_dir(&policies).unwrap();
    put(&policies.join("v.toml"), format!("select.volumes = [\"{volume}\"]\n").as_bytes());
    let back_up = |more: &[&str]| {
        world.run(&[&["--policies", policies.to_str().unwrap(), "backup", &volume], more].concat())
    };
    back_up(&[]).fails(2, &["v.toml"]);
    let warned = back_up(&["--consistency", "live"]);
    assert!(warned.code == 0 && warned.stderr.contains("policies are left out"), "{warned:?}");
    // All can be read, and a label names one that is not there.
    let text = "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\nselect.volumes = [\"elsewhere\"]\n";
    put(&policies.join("v.toml"), text.as_bytes());
    back_up(&[]).ok();
    let labelled = format!("{volume}-labelled");
    let body = serde_json::json!({ "Name": labelled, "Labels": { "backupd.policy": "elsewere" } });
    world.docker.ask("POST", "/volumes/create", Some(&body)).unwrap();
    let of_labelled = |more: &[&str]| {
        world.run(
            &[&["--policies", policies.to_str().unwrap(), "backup", &labelled, "--allow-empty"], more]
                .concat(),
        )
    };
    of_labelled(&[]).fails(2, &[&labelled, "no policy says how"]);
    of_labelled(&["--consistency", "live"]).ok();
    world.assert_only(&[&volume, &labelled]);
}

/// A time without a zone is of the policy that takes the snapshots; the same words mean another moment where there is none.
#[test]
fn times_are_read_in_the_zone_of_the_policy() {
    // Fourteen hours ahead of the terminal of these tests, so what is now there is not yet here.
    const ZONE: &str = "Pacific/Kiritimati";
    let world = World::new();
    let (volume, _place) = world.small_volume("v");
    let policies = world.at("policies");
    fs::create_dir(&policies).unwrap();
    let text = format!(
        "schedule = \"0 2 * * *\"\ntime_zone = \"{ZONE}\"\nconsistency.mode = \"live\"\nselect.volumes = [\"{volume}\"]\n"
    );
    put(&policies.join("v.toml"), text.as_bytes());
    world.back_up(&volume);
    let listed = world.run(&["--json", "snapshots", &volume]).ok();
    let taken: jiff::Timestamp = listed.json()[0]["taken_at"].as_str().unwrap().parse().unwrap();
    // Seconds are typed whole.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let there = |at: jiff::Timestamp| at.in_tz(ZONE).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let folder = policies.to_str().unwrap();
    let restore =
        |at: &str, more: &[&str]| world.run(&[more, &["restore", &volume, "--at", at, "--dry-run"]].concat());
    let now = there(taken + jiff::SignedDuration::from_secs(1));
    let ran = restore(&now, &["--policies", folder]).ok();
    assert!(ran.stderr.contains(&format!("is read in {ZONE}")), "{ran:?}");
    assert!(ran.text().contains(&format!("{volume}@1")), "{ran:?}");
    let before = there(taken - jiff::SignedDuration::from_mins(1));
    restore(&before, &["--policies", folder]).fails(10, &[&volume]);
    let here = restore(&now, &[]);
    assert!(here.code == 2 && here.stderr.contains("lies in the future"), "{here:?}");
    world.assert_only(&[&volume]);
}
