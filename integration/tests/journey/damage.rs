//! Stores that somebody, or a disk, has changed: what is damaged is named, refused, and never restored.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use engine::format::key::HostKey;
use engine::format::signed::seal;
use serde_json::{Value, json};

use crate::reader;
use crate::recorded::assert_equal;
use crate::world::{BACKUP_FIELDS, HOST, VERIFY_FIELDS, World, content, put};
use integration::noise::noise;

fn only_pack(folder: &Path) -> PathBuf {
    let mut rows = fs::read_dir(folder).unwrap().map(|row| row.unwrap().path());
    rows.find(|path| path.to_string_lossy().ends_with(".tar.zst")).unwrap()
}

#[test]
fn a_flipped_bit_is_named_with_snapshot_frame_and_file() {
    let world = World::new();
    let (volume, place) = world.volume("v");
    put(&place.join("a"), &noise(1, 3 << 20));
    put(&place.join("b"), &noise(2, 3 << 20));
    world.back_up(&volume);
    let id = format!("{volume}@1");
    world.run(&["verify", &id]).ok();
    let pack = only_pack(&world.lineage(&volume));
    let file = fs::OpenOptions::new().read(true).write(true).open(&pack).unwrap();
    // Frames of what nothing compresses are as long as what they hold, so this is in the middle of `b`.
    let at = (4 << 20) + 500_000;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();

    world.run(&["verify", "--quick", &id]).ok();
    let verified = world.run(&["--json", "verify", &id]).ends(1, &[]).last_event("done", VERIFY_FIELDS);
    let damaged = &verified["damaged"];
    assert_eq!(damaged.as_array().unwrap().len(), 1, "{damaged}");
    let name = pack.file_name().unwrap().to_str().unwrap();
    assert_eq!(damaged[0]["snapshot"], id);
    assert_eq!(damaged[0]["object"], format!("{HOST}/{volume}/{name}"));
    assert_eq!((&damaged[0]["frame"], &damaged[0]["files"]), (&json!(4), &json!(["b"])));
    let text = world.run(&["verify", &id]).ends(1, &[]);
    assert!(text.text().contains("frame 4") && text.text().contains("file b"), "{text}");
    assert_eq!(world.run(&["--json", "snapshots"]).ok().rows()[0]["proven_at"], Value::Null);
    reader::read(&world, &volume, &["--check"]).ends(1, &[]);

    let before = content(&place);
    let new = world.volume_name("new");
    for args in [&["restore", &volume, "--yes"][..], &["restore", &volume, "--into", &new, "--yes"]] {
        let told = world.run(args).fails(1, &[&id, "`b` is damaged"]);
        assert!(told.stderr.contains("backupctl verify"), "{told}");
        assert_equal(&content(&place), &before);
        world.assert_only(&[&volume]);
    }
    world.run(&["export", &id, "-o", "out.tar"]).fails(1, &["damaged"]);
    assert!(!world.at("out.tar").exists());
    // What does not need that frame is as good as ever.
    world.run(&["restore", &volume, "--into", &new, "--path", "a", "--yes"]).ok();
    assert!(world.run(&["cat", &id, "a"]).ok().stdout == noise(1, 3 << 20));
}

#[test]
fn a_pack_that_is_gone_or_cut() {
    let world = World::new();
    let (volume, place) = world.small_volume("v");
    world.back_up(&volume);
    let pack = only_pack(&world.lineage(&volume));
    let length = pack.metadata().unwrap().len();
    let id = format!("{volume}@1");
    let before = content(&place);
    // Without its last byte a pack is damaged, and all that a restore needs is there all the same.
    for (cut, code) in [(Some(length - 1), 0), (Some(0), 1), (None, 1)] {
        match cut {
            Some(length) => fs::OpenOptions::new().write(true).open(&pack).unwrap().set_len(length).unwrap(),
            None => fs::remove_file(&pack).unwrap(),
        }
        let verified = world.run(&["--json", "verify", "--quick", &id]).ends(1, &[]);
        assert_eq!(verified.last_event("done", VERIFY_FIELDS)["damaged"][0]["snapshot"], id);
        let alarms: &[&str] = if code == 0 { &[] } else { &["error: "] };
        world.run(&["restore", &volume, "--yes"]).ends(code, alarms);
        assert_equal(&content(&place), &before);
    }
    world.assert_only(&[&volume]);
}

/// A manifest of another version is refused by its number; one that was changed, or that a stranger signed,
/// by its signature.
#[test]
fn manifests_that_are_not_ours() {
    let world = World::new();
    let (volume, place) = world.small_volume("v");
    world.back_up(&volume);
    let before = content(&place);
    let path = world.lineage(&volume).join("00000001.manifest");
    let good = fs::read(&path).unwrap();
    let line = good.split(|byte| *byte == b'\n').next().unwrap();
    let mut newer: Value = serde_json::from_slice(line).unwrap();
    newer["format"] = json!(2);
    let ours = HostKey::load_or_make(&world.state().join("host.key")).unwrap();
    let strange = HostKey::load_or_make(&world.at("strange.key")).unwrap();
    let body: Value = serde_json::from_slice(line).unwrap();
    let changed =
        String::from_utf8(good.clone()).unwrap().replacen("\"by_hand\":true", "\"by_hand\":!rue", 1);
    assert_ne!(changed.as_bytes(), good);
    let id = format!("{volume}@1");
    for (bytes, code, words, is_damage) in [
        (seal(&newer, &ours).unwrap().to_vec(), 1, "format version 2", false),
        (seal(&body, &strange).unwrap().to_vec(), 12, "unknown key", false),
        (good[..good.len() - 1].to_vec(), 12, "signature", true),
        (changed.into_bytes(), 12, "signature", true),
    ] {
        put(&path, &bytes);
        for args in [&["restore", &volume, "--yes"][..], &["show", &id]] {
            world.run(args).fails(code, &["00000001.manifest", words]);
        }
        if !is_damage {
            world.run(&["backup", &volume]).fails(code, &["00000001.manifest", words]);
        }
        let verified = world.run(&["--json", "verify", &id]).ends(1, &[]);
        assert_eq!(verified.last_event("done", VERIFY_FIELDS)["damaged"][0]["snapshot"], id);
        assert_equal(&content(&place), &before);
    }
    // It is damaged now, and costs a full snapshot, not the backup.
    let done = world.run(&["--json", "backup", &volume]).ends(0, &["00000001.manifest"]);
    let done = done.last_event("done", BACKUP_FIELDS);
    assert_eq!((&done["snapshot"], &done["kind"]), (&json!(format!("{volume}@2")), &json!("full")));
    assert_eq!(world.back_up(&volume)["kind"], "incremental");
    world.run(&["restore", &volume, "--yes"]).ok();
    assert_equal(&content(&place), &before);
    put(&path, &good);
    world.run(&["restore", &id, "--yes"]).ok();
    world.assert_only(&[&volume]);
}
