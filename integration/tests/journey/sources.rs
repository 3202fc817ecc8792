//! What can be backed up, how it is called, and what happens to wrong names: an error, never a new volume.

use std::fs;
use std::path::PathBuf;

use crate::containers::Containers;
use crate::recorded::{assert_equal, record};
use crate::world::{World, put};

/// The folder behind what a container has mounted at `at`.
fn behind(world: &World, container: &str, at: &str) -> PathBuf {
    let found = world.docker.ask("GET", &format!("/containers/{container}/json"), None).unwrap();
    let mut mounts = found["Mounts"].as_array().unwrap().iter();
    let mount = mounts.find(|mount| mount["Destination"] == at).unwrap();
    PathBuf::from(mount["Source"].as_str().unwrap())
}

#[test]
fn mounts_of_a_container_that_never_ran() {
    let world = World::new();
    let mut containers = Containers::new();
    let bound = world.at("bound");
    fs::create_dir(&bound).unwrap();
    let bind = format!("{}:/bind", bound.display());
    let name = containers.create(&world, "data", &["-v", "/data", "-v", &bind]);
    for at in ["/data", "/bind"] {
        let source = format!("{name}:{at}");
        let place = behind(&world, &name, at);
        fs::create_dir_all(place.join("a/b")).unwrap();
        put(&place.join("a/b/file"), at.as_bytes());
        let tree = record(&place);
        assert_eq!(world.back_up(&source)["snapshot"], format!("{source}@1"));
        put(&place.join("a/b/file"), b"lost");
        let args = ["--json", "restore", &source, "--yes"];
        let done = world.run(&args).ok().last_event("done", crate::world::RESTORE_FIELDS);
        assert_eq!(done["started"].as_array().unwrap().len(), 0, "what was down stays down");
        assert_equal(&record(&behind(&world, &name, at)), &tree);
        let copy = world.volume_name(&format!("copy-{}", &at[1..]));
        world.run(&["restore", &source, "--into", &copy, "--yes"]).ok();
        assert_equal(&record(&world.docker.volume(&copy).unwrap().unwrap()), &tree);
    }
    let ids: Vec<_> = world.run(&["--json", "snapshots"]).ok().rows();
    assert_eq!(ids.len(), 2);
}

#[test]
fn a_wrong_name_is_an_error_that_helps_and_makes_nothing() {
    let world = World::new();
    let mut containers = Containers::new();
    let (volume, _) = world.small_volume("named");
    let mounts = format!("{volume}:/named");
    let name =
        containers.create(&world, "web", &["-v", &mounts, "--mount", "type=tmpfs,dst=/tmp", "-v", "/data"]);
    let before = world.volumes();
    let near = format!("{volume}x");
    let gone = format!("{name}x:/data");
    let [nothing, named, temporary] = ["/nothing", "/named", "/tmp"].map(|at| format!("{name}:{at}"));
    for (source, code, words, hint) in [
        (near.as_str(), 10, near.as_str(), volume.as_str()),
        (&name, 10, &name, &format!("{name}:/data")),
        (&gone, 10, &format!("{name}x"), "docker ps -a"),
        (&nothing, 10, "/nothing", &format!("{name}:/data")),
        (&named, 2, &volume, &volume),
        (&temporary, 2, "/tmp", ""),
    ] {
        let ran = world.run(&["backup", source]);
        assert_eq!(ran.code, code, "{ran}");
        let error = ran.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(error.contains(words), "{ran}");
        assert!(ran.stderr.contains(hint), "{ran}");
        assert_eq!((world.volumes(), world.helpers()), (before.clone(), vec![]), "{source}");
    }
    assert!(!world.at("store").exists(), "nothing was written anywhere");
    for args in
        [["restore", &near, "--yes"], ["show", &format!("{volume}@9"), "-q"], ["snapshots", &near, "-q"]]
    {
        world.run(&args).fails(10, &[]);
    }
    assert_eq!(world.volumes(), before);
}

#[test]
fn an_empty_source_is_refused_unless_it_is_meant() {
    let world = World::new();
    let (volume, _) = world.volume("empty");
    world.run(&["backup", &volume]).fails(13, &[&volume, "is empty"]);
    let packs = fs::read_dir(world.lineage(&volume)).map(|rows| rows.count());
    assert!(packs.is_err() || packs.is_ok_and(|packs| packs == 0), "nothing is left in the store");
    world.run(&["backup", &volume, "--allow-empty"]).ok();
    world.run(&["verify", &format!("{volume}@latest")]).ok();
    world.assert_only(&[&volume]);
}

/// Backed up, it would grow by itself; restored, it would take away what it is restored from.
#[test]
fn what_holds_the_store_or_the_state_is_no_source() {
    let mut world = World::new();
    let mut containers = Containers::new();
    let whole = format!("{}:/all", world.at("").display());
    let name = containers.create(&world, "all", &["-v", &whole]);
    world.run(&["backup", &format!("{name}:/all")]).fails(13, &["holds", "of backupd itself"]);

    let (volume, place) = world.small_volume("self");
    let plain = world.store.clone();
    world.back_up(&volume);
    let link = world.at("link");
    std::os::unix::fs::symlink(&place, &link).unwrap();
    for store in [place.join("store"), link.join("deeper/store")] {
        world.store = format!("file://{}", store.display());
        world.run(&["backup", &volume]).fails(13, &["holds", "store"]);
        assert!(!store.exists());
    }
    fs::create_dir(place.join("state")).unwrap();
    fs::set_permissions(place.join("state"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    world.store = plain;
    world.set("BACKUPD_STATE", place.join("state").to_str().unwrap());
    let before = record(&place);
    world.run(&["restore", &volume, "--yes"]).fails(13, &["holds", "state"]);
    let after = record(&place);
    let kept = |path: &Vec<u8>| !path.starts_with(b"state") && !path.is_empty();
    assert!(before.iter().filter(|(p, _)| kept(p)).eq(after.iter().filter(|(p, _)| kept(p))));
}
