//! From a volume with everything in it to the store and back, by every way that there is, and nothing is
//! lost: type, mode, owner, times, attributes, links, holes, content.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use integration::servers::s3::S3Server;
use serde_json::{Value, json};

use crate::odd_tree::{DEEP, SPARSE_BYTES, grow};
use crate::ran::has_fields;
use crate::recorded::{Tree, assert_equal, record};
use crate::stores::{on, wait};
use crate::world::{RESTORE_FIELDS, VERIFY_FIELDS, World, put, ran};
use crate::{odd_tree, reader};
use integration::noise::noise;

const ENTRY_FIELDS: &str = "path kind mode uid gid size modified target";

/// A volume with the odd tree in it, which has a driver option and labels to come back too.
struct Planted {
    volume: String,
    shape: Value,
    tree: Tree,
    id: String,
}

fn plant(world: &World) -> Planted {
    let backing = world.at("backing");
    fs::create_dir(&backing).unwrap();
    let options = json!({"type": "none", "o": "bind", "device": backing.display().to_string()});
    // The files lie where the option says; the engine mounts them when somebody uses the volume.
    let (volume, _) =
        world.volume_as("odd", json!({"DriverOpts": options, "Labels": {"shop": "Ünicode = yes"}}));
    grow(&backing);
    let tree = record(&backing);
    let shape = shape(world, &volume);
    let done = world.back_up(&volume);
    assert_eq!(done["snapshot"], format!("{volume}@1"));
    assert_eq!((&done["source"], &done["kind"]), (&json!(volume), &json!("full")));
    assert_eq!((&done["partial"], &done["warnings"]), (&json!(false), &json!([])));
    assert_eq!(done["entries"], tree.len());
    let files = tree.values().filter(|node| node.kind == '-' && node.same_as.is_none()).count();
    assert_eq!(done["files"], files);
    assert!(done["bytes"].as_u64().unwrap() > SPARSE_BYTES);
    let sent = done["sent_bytes"].as_u64().unwrap();
    assert!((5 << 20..7 << 20).contains(&sent), "{sent} bytes were sent of about 5 MiB that are no hole");
    assert_equal(&record(&backing), &tree);
    let id = format!("{volume}@1");
    Planted { volume, shape, tree, id }
}

/// What makes a volume this volume, for compose and people.
fn shape(world: &World, volume: &str) -> Value {
    let found = world.docker.ask("GET", &format!("/volumes/{volume}"), None).unwrap();
    json!([found["Driver"], found["Options"], found["Labels"]])
}

/// Everything that can be asked of a snapshot says what is in the tree.
fn look(world: &World, planted: &Planted) {
    let Planted { volume, tree, id, .. } = planted;
    let rows = world.run(&["--json", "snapshots"]).ok().rows();
    assert_eq!(rows.len(), 1);
    has_fields(
        &rows[0],
        "id source host taken_at kind consistency files bytes sent_bytes proven_at pinned set",
    );
    assert_eq!((&rows[0]["id"], &rows[0]["consistency"]), (&json!(id), &json!("idle")));
    assert_eq!(rows[0]["proven_at"], Value::Null);
    let shown = world.run(&["--json", "show", id]).ok().json();
    has_fields(&shown, "id taken_at signed_by manifest");
    assert_eq!(shown["manifest"]["volume"]["name"], **volume);

    let rows = world.run(&["--json", "ls", id, "-R"]).ok().rows();
    assert_eq!(rows.len(), tree.len() - 1, "everything but the root");
    rows.iter().for_each(|row| has_fields(row, ENTRY_FIELDS));
    let row = |path: &str| rows.iter().find(|row| row["path"] == path).unwrap();
    assert_eq!((&row("setuid")["mode"], &row("setuid")["uid"]), (&json!("4755"), &json!(0)));
    assert_eq!(row("large-ids")["uid"], 3_000_000_000_u64);
    assert_eq!((&row("sparse")["kind"], &row("sparse")["size"]), (&json!("file"), &json!(SPARSE_BYTES)));
    assert_eq!(row("old")["modified"], "1950-01-06T00:00:00.123456789Z");
    assert_eq!((&row("fifo")["kind"], &row("null")["kind"]), (&json!("fifo"), &json!("char_device")));
    assert_eq!(
        (&row("plain again")["kind"], &row("plain again")["target"]),
        (&json!("hardlink"), &json!("plain"))
    );
    assert_eq!(row("names/line\\nfeed")["size"], 9);

    assert!(world.run(&["cat", id, "random"]).ok().stdout == noise(2, (5 << 20) + 17));
    assert_eq!(world.run(&["cat", id, "plain again"]).ok().stdout, b"plain");
    let found = world.run(&["--json", "find", "**/*feed"]).ok().rows();
    assert_eq!((found.len(), &found[0]["snapshot"]), (1, &json!(id)), "{found:?}");

    let verified = world.run(&["--json", "verify", id]).ok().last_event("done", VERIFY_FIELDS);
    assert_eq!((&verified["snapshots"], &verified["damaged"]), (&json!(1), &json!([])));
    assert!(verified["frames"].as_u64().unwrap() >= 5);
    assert!(world.run(&["--json", "snapshots"]).ok().rows()[0]["proven_at"].is_string());
}

/// What a restore gives back: sockets are noted, and made again by the programs that listen on them.
fn restored(tree: &Tree) -> Tree {
    tree.iter()
        .filter(|(_, node)| node.kind != 's')
        .map(|(path, node)| (path.clone(), node.clone()))
        .collect()
}

/// What GNU tar can give back: no paths that are too long for it.
fn for_tar(tree: &Tree) -> Tree {
    let deep = |path: &[u8]| path == DEEP.as_bytes() || path.starts_with(format!("{DEEP}/").as_bytes());
    let mut tree = restored(tree);
    tree.retain(|path, _| !deep(path));
    tree
}

/// Unpacks what `program` prints with GNU tar, and compares.
fn untar(mut program: Command, tree: &Tree) {
    let into = tempfile::tempdir().unwrap();
    let mut program = program.stdout(Stdio::piped()).spawn().unwrap();
    let mut tar = Command::new("tar");
    tar.args(["x", "-f", "-", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-p", "--same-owner"]);
    tar.arg("--warning=no-timestamp");
    tar.arg(format!("--exclude=./{DEEP}")).arg(format!("--exclude={DEEP}")).arg("-C").arg(into.path());
    let told = ran(tar.stdin(program.stdout.take().unwrap()));
    assert!(told.code == 0 && told.stderr.is_empty(), "{told}");
    assert!(program.wait().unwrap().success());
    assert_equal(&record(into.path()), &for_tar(tree));
}

fn export(world: &World, id: &str, tree: &Tree) {
    let mut export = world.program("backupctl");
    export.args(["--quiet", "export", id]).stderr(Stdio::inherit());
    untar(export, tree);
}

/// A new volume, the same volume after it was removed, and in place over other content, which is a snapshot too: what it
/// was like is given back.
fn restore(world: &World, planted: &Planted) -> Tree {
    let (volume, tree) = (&planted.volume, &restored(&planted.tree));
    let copy = world.volume_name("copy");
    let done = world.run(&["--json", "restore", volume, "--into", &copy, "--yes"]).ok();
    let done = done.last_event("done", RESTORE_FIELDS);
    assert_eq!((&done["target"], &done["verified"]), (&json!(copy), &json!(true)));
    assert_equal(&record(&world.docker.volume(&copy).unwrap().unwrap()), tree);
    let again = world.run(&["restore", volume, "--into", &copy, "--yes"]);
    again.fails(13, &[&copy, "exists already"]);

    // The engine forgets the volume, and the disk behind its option loses what was in it.
    let backing = world.at("backing");
    world.docker.remove_volume(volume).unwrap();
    fs::remove_dir_all(&backing).unwrap();
    fs::create_dir(&backing).unwrap();
    assert_eq!(world.docker.volume(volume).unwrap(), None);
    world.run(&["restore", volume, "--yes"]).ok();
    assert_eq!(shape(world, volume), planted.shape);
    assert_equal(&record(&backing), tree);

    let second = change(world, volume, &backing);
    let stopped = world.run(&["--json", "restore", volume, "--snapshot", "1"]);
    stopped.fails(13, &["nobody"]);
    assert_equal(&record(&backing), &second);
    world.run(&["restore", volume, "--snapshot", "1", "--yes"]).ok();
    assert_equal(&record(&backing), tree);
    second
}

/// Other content, its snapshot, and what `diff` says of the two.
fn change(world: &World, volume: &str, backing: &Path) -> Tree {
    put(&backing.join("plain"), b"changed");
    put(&backing.join("extra"), b"was not there");
    fs::remove_dir_all(backing.join("names")).unwrap();
    odd_tree::set_time(&backing.join("old"), 1, 2);
    let done = world.back_up(volume);
    assert_eq!((&done["snapshot"], &done["kind"]), (&json!(format!("{volume}@2")), &json!("incremental")));
    let second = record(backing);
    let [a, b] = [1, 2].map(|n| format!("{volume}@{n}"));
    let rows = world.run(&["--json", "diff", &a, &b]).ok().rows();
    let of =
        |path: &str| rows.iter().find(|row| row["path"] == path).map(|row| row["change"].as_str().unwrap());
    assert_eq!(of("plain"), Some("changed"));
    assert_eq!(of("extra"), Some("added"));
    assert_eq!(of("old"), Some("attributes"));
    assert_eq!(of("names/-rf"), Some("removed"));
    assert_eq!((of("random"), of("sparse")), (None, None));
    assert_eq!(world.run(&["--json", "diff", &a, &a]).ok().rows(), Vec::<Value>::new());
    second
}

/// The tree of the first snapshot, a full one, and of the second, which leans on it.
fn journey(world: &World) -> (Planted, Tree) {
    let planted = plant(world);
    look(world, &planted);
    export(world, &planted.id, &planted.tree);
    let second = restore(world, &planted);
    export(world, &format!("{}@2", planted.volume), &second);
    world.assert_only(&[&planted.volume, &world.volume_name("copy")]);
    (planted, second)
}

#[test]
fn with_seaweedfs() {
    let server = wait(S3Server::weed());
    journey(&on(&server));
}

#[test]
fn with_rclone() {
    let server = wait(S3Server::rclone());
    journey(&on(&server));
}

/// And what only a folder shows: `zstd` and `tar` alone, and a program that has no code of ours.
#[test]
fn with_a_folder() {
    let world = World::new();
    let (planted, second) = journey(&world);
    let folder = world.lineage(&planted.volume);
    let packs = fs::read_dir(&folder).unwrap().map(|row| row.unwrap().path());
    let mut packs: Vec<PathBuf> = packs.filter(|path| path.to_string_lossy().ends_with(".tar.zst")).collect();
    packs.sort();
    assert_eq!(packs.len(), 2);
    let mut zstd = Command::new("zstd");
    zstd.arg("-dc").arg(&packs[0]);
    untar(zstd, &planted.tree);

    for (number, tree) in [("1", &planted.tree), ("2", &second)] {
        let into = world.at(&format!("read-{number}"));
        reader::read(&world, &planted.volume, &["--number", number, "--check"]).ok();
        reader::read(&world, &planted.volume, &["--number", number, "--into", into.to_str().unwrap()]).ok();
        assert_equal(&record(&into), &restored(tree));
    }
}

/// One small file of a large volume costs what it weighs, and comes back alone.
#[test]
fn a_path_is_fetched_alone() {
    let (server, world) = crate::stores::scripted();
    let (volume, place) = world.volume("large");
    for n in 0..8 {
        put(&place.join(format!("{n}.bin")), &noise(n, 9 << 20));
    }
    fs::create_dir(place.join("etc")).unwrap();
    put(&place.join("etc/app.conf"), b"port = 80\n");
    world.back_up(&volume);
    let pack = server.objects(crate::stores::BUCKET).iter().map(|(_, length)| *length).max().unwrap();
    assert!(pack > 64 << 20);

    let look = world.volume_name("look");
    let before = server.counters().bytes_out;
    let args = ["--json", "restore", &volume, "--into", &look, "--path", "etc/app.conf", "--yes"];
    let done = world.run(&args).ok().last_event("done", RESTORE_FIELDS);
    let fetched = done["fetched_bytes"].as_u64().unwrap();
    let sent = server.counters().bytes_out - before;
    assert!(fetched > 0 && fetched < pack * 3 / 100, "{fetched} of {pack}");
    assert!(sent < pack * 3 / 100, "the server sent {sent} of {pack}");
    let place = world.docker.volume(&look).unwrap().unwrap();
    let paths: Vec<_> = record(&place).into_keys().collect();
    assert_eq!(paths, [&b""[..], b"etc", b"etc/app.conf"]);
    assert_eq!(fs::read(place.join("etc/app.conf")).unwrap(), b"port = 80\n");

    // A folder of the host does as well, by a path as it is typed, if it is there and empty.
    let rescued = world.at("rescued");
    let args = ["restore", &volume, "--to", "rescued", "--path", "etc/app.conf", "--yes"];
    let told = world.run(&args).fails(10, &["rescued"]);
    assert!(told.stderr.contains("`mkdir -p") && !rescued.exists(), "{told}");
    fs::create_dir(&rescued).unwrap();
    world.run(&args).ok();
    assert_eq!(fs::read(rescued.join("etc/app.conf")).unwrap(), b"port = 80\n");
    world.run(&args).fails(13, &["not empty"]);
    world.assert_only(&[&look, &volume]);
}

/// One file and one folder go back to where they were, nothing beside them is touched, and the way back is as narrow.
#[test]
fn paths_come_back_to_where_they_were() {
    let world = World::new();
    let (volume, place) = world.volume("v");
    for folder in ["etc", "orders/march", "rest"] {
        fs::create_dir_all(place.join(folder)).unwrap();
    }
    for name in ["etc/app.conf", "etc/other.conf", "orders/march/1.csv", "orders/march/2.csv", "rest/a"] {
        put(&place.join(name), format!("{name}, as it was\n").as_bytes());
    }
    world.back_up(&volume);
    let old = record(&place);
    put(&place.join("etc/app.conf"), b"spoilt");
    put(&place.join("etc/other.conf"), b"changed on purpose");
    fs::remove_dir_all(place.join("orders")).unwrap();
    put(&place.join("rest/b"), b"new");
    let now = record(&place);

    let paths = ["--path", "etc/app.conf", "--path", "orders/march"];
    let restore =
        |more: &[&str]| world.run(&[&["--json", "restore", &volume], &paths[..], more].concat()).ok();
    let plan = restore(&["--dry-run"]).last_event("plan", "paths absent_paths only_now");
    assert_eq!(plan["paths"], json!(["etc/app.conf", "orders/march"]));
    assert_eq!((&plan["absent_paths"], &plan["only_now"]), (&json!(["orders/march"]), &json!(0)));
    assert_eq!((&plan["files"], &plan["in_place"]), (&json!(3), &json!(true)));
    let done = restore(&["--keep-previous", "--yes"]).last_event("done", RESTORE_FIELDS);
    assert_eq!(done["paths"], plan["paths"]);
    let after = record(&place);
    for (path, node) in &after {
        let text = String::from_utf8_lossy(path);
        let restored = text == "etc/app.conf" || text.starts_with("orders");
        let above = ["", "etc"].contains(&&*text) || text.starts_with(".backupd-previous-");
        if !above {
            assert_eq!(Some(node), if restored { old.get(path) } else { now.get(path) }, "{text}");
        }
    }
    assert_eq!(fs::read(place.join("etc/other.conf")).unwrap(), b"changed on purpose");
    assert!(place.join("rest/b").exists() && place.join("orders/march/2.csv").exists());

    let undone = world.run(&["--json", "undo-restore", &volume, "--discard", "--yes"]).ok();
    let undone = undone.last_event("done", "undone paths");
    assert_eq!(undone["paths"], json!(["etc/app.conf", "orders"]));
    assert_eq!(fs::read(place.join("etc/app.conf")).unwrap(), b"spoilt");
    let names: Vec<_> = record(&place).into_keys().collect();
    assert_eq!(names, now.into_keys().collect::<Vec<_>>());
    world.assert_only(&[&volume]);
}
