//! What a new operator types first: `doctor`, `demo`, the manual, the completions.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::ran::has_fields;
use crate::world::World;

fn verdicts(world: &World, code: i32) -> Vec<(String, String)> {
    let checks = world.run(&["--json", "doctor"]).ends(code, &[]).rows();
    checks.iter().for_each(|check| has_fields(check, "what verdict found fix"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    checks.iter().map(|check| (text(&check["what"]), text(&check["verdict"]))).collect()
}

#[test]
fn doctor_finds_nothing_wrong_where_all_is_well_and_what_is_wrong_elsewhere() {
    let world = World::new();
    let first = verdicts(&world, 0);
    assert!(first.contains(&("store".to_owned(), "good".to_owned())), "the first backup makes it: {first:?}");
    assert!(!world.at("store").exists(), "it only looks");
    let (volume, _) = world.small_volume("v");
    world.back_up(&volume);
    let good = verdicts(&world, 0);
    for what in [
        "state folder",
        "catalog",
        "store",
        "conditional writes",
        "writing",
        "deleting",
        "clock",
        "docker",
        "helper",
        "policies",
    ] {
        assert!(good.contains(&(what.to_owned(), "good".to_owned())), "{what}: {good:?}");
    }
    let objects = fs::read_dir(world.at("store")).unwrap().count();
    fs::remove_file(world.at("store/.backupd-store")).unwrap();
    assert!(verdicts(&world, 1).contains(&("store".to_owned(), "bad".to_owned())));
    assert_eq!(fs::read_dir(world.at("store")).unwrap().count(), objects - 1, "it only looks");
    fs::set_permissions(world.state(), fs::Permissions::from_mode(0o755)).unwrap();
    let told = world.run(&["doctor"]).ends(1, &[]);
    assert!(told.text().contains("chmod 700"), "{told}");
    world.assert_only(&[&volume]);
}

#[test]
fn the_tour_ends_well_and_leaves_nothing() {
    let world = World::new();
    let told = world.run(&["demo"]).ok();
    let text = told.text().into_owned();
    let volume = text.split_whitespace().find(|word| word.starts_with("backupd-demo-")).unwrap();
    let volume = volume.split('@').next().unwrap();
    assert_eq!(world.docker.volume(volume).unwrap(), None, "{told}");
    let folders: Vec<_> = fs::read_dir(world.at("")).unwrap().map(|row| row.unwrap().file_name()).collect();
    assert_eq!(folders, ["backupd.toml"], "neither its folder nor a state of ours");
    let done = world.run(&["--json", "demo"]).ok().last_event("done", "first second identical");
    assert_eq!(done["identical"], true);
}

#[test]
fn the_manual_and_the_completions_are_there_for_the_asking() {
    let world = World::new();
    for (args, words) in [
        (&["man"][..], ".TH"),
        (&["completions", "bash"], "complete "),
        (&["completions", "zsh"], "#compdef backupctl"),
        (&["completions", "fish"], "complete -c backupctl"),
    ] {
        let told = world.run(args).ok();
        assert!(told.text().contains(words) && told.stderr.is_empty(), "{told}");
    }
    assert!(!world.state().exists());
}
