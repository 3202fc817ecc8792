//! Stores that are not there, not ours, full, or of another time: what is said, and that nothing is left.

use std::fs;
use std::path::{Path, PathBuf};

use integration::servers::s3::S3Server;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use crate::stores::{BUCKET, KEY_ID, on, scripted, wait};
use crate::world::{World, put};
use integration::noise::noise;

/// A small file system in memory, mounted for as long as this lives.
pub(crate) struct Small(pub(crate) PathBuf);

impl Small {
    pub(crate) fn mount(at: PathBuf, megabytes: u32) -> Self {
        fs::create_dir_all(&at).unwrap();
        let options = std::ffi::CString::new(format!("size={megabytes}m,mode=700")).unwrap();
        mount("tmpfs", &at, "tmpfs", MountFlags::empty(), options.as_c_str()).unwrap();
        Self(at)
    }

    pub(crate) fn make_read_only(&self) {
        mount_remount(&self.0, MountFlags::RDONLY, "").unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Whoever still has something open there keeps it until it lets go.
        match unmount(&self.0, UnmountFlags::DETACH) {
            Ok(()) | Err(_) => {}
        }
    }
}

#[test]
fn nobody_answers() {
    let store = "s3://bucket/p?endpoint=http://127.0.0.1:1&region=us-east-1&path_style=true";
    let world = World::at_store(store.to_owned(), (KEY_ID, "s"));
    let (volume, _) = world.small_volume("v");
    world.run(&["backup", &volume]).fails(1, &["connection refused"]);
    world.assert_only(&[&volume]);
}

#[test]
fn a_bucket_that_is_not_there_and_keys_that_do_not_fit() {
    let server = wait(S3Server::weed());
    let good = on(&server);
    let keys = server.keys();
    let (id, secret) = (keys.id.as_str(), keys.secret.as_str());
    let nowhere = good.store.replace(BUCKET, "no-such-bucket");
    for (store, keys, code, words) in [
        (&nowhere, (id, secret), 10, "no-such-bucket"),
        (&good.store, (id, "another-secret"), 12, "SignatureDoesNotMatch"),
        (&good.store, ("AKNOBODYKNOWSME", secret), 12, "InvalidAccessKeyId"),
    ] {
        let world = World::at_store(store.clone(), keys);
        let (volume, _) = world.small_volume("v");
        for verb in [&["backup", &volume][..], &["snapshots"], &["restore", &volume, "--yes"]] {
            let told = world.run(verb).fails(code, &[words]);
            assert!(!told.stderr.contains(keys.1), "{told}");
        }
        let doctor = world.run(&["--json", "doctor"]).ends(1, &[]).rows();
        let bad: Vec<_> = doctor.iter().filter(|check| check["verdict"] == "bad").collect();
        assert_eq!((bad.len(), &bad[0]["what"]), (1, &"store".into()), "{doctor:?}");
        assert!(bad[0]["fix"].as_str().unwrap().contains("check"), "{doctor:?}");
        world.assert_only(&[&volume]);
    }
    assert_eq!(good.run(&["--json", "snapshots"]).ok().rows().len(), 0);
}

#[test]
fn a_clock_that_is_wrong_is_called_a_clock() {
    let (server, world) = scripted();
    server.settings(|settings| settings.clock_ahead_seconds = Some(3_600));
    let (volume, _) = world.small_volume("v");
    let told = world.run(&["backup", &volume]).fails(1, &["clock is 60 minutes behind"]);
    assert!(told.stderr.contains("timedatectl"), "{told}");
    assert_eq!((server.objects(BUCKET), server.uploads(BUCKET)), (vec![], vec![]));
    world.assert_only(&[&volume]);
}

/// Keys under a folder of a store, without the store's own.
fn kept(folder: &Path) -> Vec<String> {
    let rows = fs::read_dir(folder).into_iter().flatten().map(|row| row.unwrap().file_name());
    let mut names: Vec<_> = rows.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_full_folder_and_a_read_only_one() {
    let world = World::new();
    let disk = Small::mount(world.at("store"), 6);
    let (volume, place) = world.small_volume("v");
    world.back_up(&volume);
    let before = kept(&world.lineage(&volume));
    put(&place.join("large"), &noise(1, 16 << 20));
    let told = world.run(&["backup", &volume]).fails(1, &["write pack", "No space left"]);
    assert!(told.stderr.contains("make room"), "{told}");
    assert_eq!(kept(&world.lineage(&volume)), before, "nothing of it is left");
    world.run(&["verify", "--all"]).ok();
    let free = rustix::fs::statvfs(&disk.0).unwrap();
    assert!(free.f_bavail * free.f_frsize > 5 << 20, "the room is free again");

    fs::remove_file(place.join("large")).unwrap();
    disk.make_read_only();
    world.run(&["backup", &volume]).fails(1, &["Read-only"]);
    world.run(&["verify", "--all"]).ok();
    world.run(&["restore", &volume, "--yes"]).ok();
    world.assert_only(&[&volume]);
}

#[test]
fn a_full_bucket() {
    let (server, world) = scripted();
    let (volume, place) = world.small_volume("v");
    world.back_up(&volume);
    let before = server.objects(BUCKET);
    put(&place.join("large"), &noise(1, 40 << 20));
    server.settings(|settings| settings.quota_bytes = Some(20 << 20));
    let told = world.run(&["backup", &volume]).fails(1, &["write pack"]);
    assert!(told.stderr.contains("make room"), "{told}");
    assert_eq!((server.objects(BUCKET), server.uploads(BUCKET)), (before, vec![]));
    world.assert_only(&[&volume]);
}

/// A folder that was a store and lost its disk is not filled beneath the mount point.
#[test]
fn a_store_that_went_away() {
    let world = World::new();
    let (volume, _) = world.small_volume("v");
    {
        let _disk = Small::mount(world.at("store"), 16);
        world.back_up(&volume);
    }
    world.run(&["backup", &volume]).fails(10, &["is the disk mounted?"]);
    world.run(&["snapshots"]).fails(10, &["is the disk mounted?"]);
    assert_eq!(fs::read_dir(world.at("store")).unwrap().count(), 0);
    world.assert_only(&[&volume]);
}
