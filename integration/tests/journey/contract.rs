//! What `--json` prints, held to its contract: every line fits the schema of its verb in `docs/json/`, and no field is
//! printed that `docs/json.md` does not name.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::ran::Ran;
use crate::running::{Hanging, large};
use crate::schema::{Schema, names, written_words};
use crate::world::{World, put};

/// Whatever it ended with: what it printed is what counts here.
#[track_caller]
fn hold(ran: &Ran, schema: &str) -> Vec<Value> {
    // A list may go over lines; events are a line each.
    let values = serde_json::Deserializer::from_slice(&ran.stdout).into_iter();
    let lines: Vec<Value> = values.map(|value| value.unwrap_or_else(|e| panic!("{e}: {ran}"))).collect();
    assert!(!lines.is_empty(), "nothing on stdout: {ran}");
    let (judge, written) = (Schema::read(schema), written_words());
    for line in &lines {
        judge.judge(line).unwrap_or_else(|why| panic!("`docs/json/{schema}.json`: {why}\nin {ran}"));
        let unknown: Vec<_> = names(line).into_iter().filter(|name| !written.contains(name)).collect();
        assert!(unknown.is_empty(), "docs/json.md does not name {unknown:?}, which stand in {ran}");
    }
    lines
}

/// Runs a verb with `--json`, and gives its last line.
#[track_caller]
fn last(world: &World, schema: &str, args: &[&str]) -> Value {
    let ran = world.run(&[&["--json"][..], args].concat());
    hold(&ran, schema).pop().unwrap()
}

/// The same, and it must have done what it was told.
#[track_caller]
fn done(world: &World, schema: &str, args: &[&str]) {
    let last = last(world, schema, args);
    assert_eq!(last["event"], "done", "{args:?}: {last}");
}

/// The same of a list or an object, with something in it.
#[track_caller]
fn told(world: &World, schema: &str, args: &[&str]) {
    let last = last(world, schema, args);
    let empty = last.as_array().is_some_and(Vec::is_empty);
    assert!(last.get("event").is_none() && !empty, "{args:?}: {last}");
}

#[test]
fn what_each_verb_prints_is_what_was_promised() {
    let world = World::new();
    let (volume, place) = world.small_volume("v");
    let [first, second] = [1, 2].map(|n| format!("{volume}@{n}"));
    let [new, copy, imported] = ["new", "copy", "imported"].map(|name| world.volume_name(name));
    done(&world, "backup", &["backup", &volume]);
    std::os::unix::fs::symlink("file", place.join("link")).unwrap();
    put(&place.join("file"), b"changed");
    done(&world, "backup", &["backup", &volume]);
    done(&world, "verify", &["verify", &first]);

    told(&world, "snapshots", &["snapshots"]);
    told(&world, "show", &["show", &second]);
    told(&world, "ls", &["ls", &second, "-R"]);
    told(&world, "find", &["find", "*"]);
    told(&world, "diff", &["diff", &first, &second]);
    told(&world, "runs", &["runs"]);
    told(&world, "volumes", &["volumes"]);
    told(&world, "doctor", &["doctor"]);
    told(&world, "explain", &["explain"]);
    told(&world, "explain", &["explain", "13"]);
    told(&world, "explain", &["explain", "overdue"]);
    told(&world, "catalog-check", &["catalog", "check"]);
    told(&world, "retention", &["retention", &volume, "--keep", "last=1"]);

    assert_eq!(last(&world, "restore", &["restore", &volume, "--dry-run"])["event"], "plan");
    done(&world, "restore", &["restore", &volume, "--keep-previous", "--yes"]);
    done(&world, "restore", &["restore", &volume, "--snapshot", "1", "--delta", "--yes"]);
    told(&world, "undo-restore", &["undo-restore", &volume, "--list"]);
    assert_eq!(last(&world, "undo-restore", &["undo-restore", &volume, "--dry-run"])["event"], "plan");
    let undone = last(&world, "undo-restore", &["undo-restore", &volume, "--yes"]);
    let run = undone["run"].as_str().unwrap();
    done(&world, "undo-restore", &["undo-restore", &volume, "--forget", run, "--yes"]);
    done(&world, "restore", &["restore", &volume, "--into", &new, "--path", "file", "--yes"]);
    done(&world, "clone", &["clone", &volume, &copy, "--yes"]);
    done(&world, "export", &["export", &second, "-o", "out.tar"]);
    done(&world, "import", &["import", "out.tar", "--as", &imported]);
    told(&world, "show", &["show", &format!("{imported}@1")]);
    done(&world, "pin", &["pin", &first]);
    done(&world, "unpin", &["unpin", &first]);
    assert_eq!(last(&world, "delete", &["delete", &first, "--purge", "--dry-run"])["event"], "plan");
    done(&world, "delete", &["delete", &first, "--yes"]);
    done(&world, "undelete", &["undelete", &first]);
    done(&world, "prune", &["prune", &volume, "--keep", "last=1", "--yes"]);
    done(&world, "acknowledge", &["acknowledge", &volume]);
    done(&world, "thaw", &["thaw"]);
    done(&world, "catalog-rebuild", &["catalog", "rebuild"]);
    done(&world, "demo", &["demo"]);
    world.assert_only(&[&volume, &new, &copy]);
}

/// Several sources as one deed; and a file of one, which comes on stdout as it is.
#[test]
fn what_is_printed_of_sets_and_projects_is_what_was_promised() {
    let world = World::new();
    let project = world.volume_name("shop");
    let [db, uploads] = ["db", "uploads"].map(|what| {
        let labels = json!({ "Labels": { "com.docker.compose.project": project } });
        let (name, place) = world.volume_as(what, labels);
        put(&place.join("file"), what.as_bytes());
        name
    });
    done(&world, "backup", &["backup", &db, &uploads, "--set", "--consistency", "pause"]);
    let set = last(&world, "show", &["show", &format!("{db}@1")])["set"].as_str().unwrap().to_owned();
    let of_set = last(&world, "restore", &["restore", "--set", &set, "--dry-run"]);
    assert_eq!((&of_set["event"], &of_set["set"]), (&json!("plan"), &json!(set)));
    done(&world, "restore", &["restore", "--set", &set, "--yes"]);
    let of_project = last(&world, "restore", &["restore", "--project", &project, "--dry-run"]);
    assert_eq!((&of_project["event"], &of_project["set"]), (&json!("plan"), &json!(set)));
    done(&world, "restore", &["restore", "--project", &project, "--yes"]);
    let cat = world.run(&["--json", "cat", &format!("{db}@1"), "file"]);
    assert_eq!((cat.code, &cat.stdout[..]), (0, &b"db"[..]), "{cat}");
    world.assert_only(&[&db, &uploads]);
}

#[test]
fn what_is_printed_of_drills_is_what_was_promised() {
    let world = World::new();
    let (volume, _place) = world.small_volume("v");
    done(&world, "backup", &["backup", &volume]);
    let plan = last(&world, "drill", &["drill", &volume, "--checker", "files", "--dry-run"]);
    assert_eq!(plan["event"], "plan", "{plan}");
    done(&world, "drill", &["drill", &volume, "--checker", "files"]);
    told(&world, "drill", &["drill", &volume, "--last"]);
    world.assert_only(&[&volume]);
}

#[test]
fn what_is_printed_of_policies_is_what_was_promised() {
    let world = World::new();
    let (volume, _place) = world.small_volume("v");
    let policies = world.at("policies");
    fs::create_dir(&policies).unwrap();
    let text = format!(
        "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\n[select]\nvolumes = [\"{volume}\"]\n"
    );
    put(&policies.join("v.toml"), text.as_bytes());
    put(&policies.join("cache.toml"), b"nothing = \"a cache\"\n");
    let folder = policies.to_str().unwrap();
    told(&world, "policy-show", &["--policies", folder, "policy", "show"]);
    told(&world, "policy-show", &["--policies", folder, "policy", "show", "cache"]);
    told(&world, "schedule", &["--policies", folder, "schedule"]);
    told(&world, "volumes", &["--policies", folder, "volumes"]);
    told(&world, "policy-plan", &["policy", "plan", folder]);
    assert_eq!(last(&world, "policy-check", &["policy", "check", folder]), json!([]));
    done(&world, "backup", &["--policies", folder, "backup", &volume]);
    told(&world, "status", &["--policies", folder, "status"]);
    put(&policies.join("bad.toml"), b"shedule = 1\n");
    told(&world, "policy-check", &["policy", "check", folder]);
}

#[test]
fn what_fails_prints_what_was_promised() {
    let world = World::new();
    for args in [
        &["backup", "nowhere"][..],
        &["restore", "nowhere"],
        &["verify", "nowhere@1"],
        &["export", "nowhere@1", "-o", "file"],
        &["delete", "nowhere@1"],
        &["pin", "nowhere@1"],
        &["cancel", "0011223344556677"],
        &["prune", "nowhere", "--keep", "last=1", "--yes"],
    ] {
        assert_eq!(last(&world, args[0], args)["event"], "error", "{args:?}");
    }
}

#[test]
fn what_is_printed_of_a_run_that_lives_is_what_was_promised() {
    let (server, world, volume) = large();
    let hanging = Hanging::begin(&server, &world, &volume);
    told(&world, "runs", &["runs", &hanging.run]);
    let run = hanging.run.clone();
    done(&world, "cancel", &["cancel", &run]);
    let ended = hanging.end();
    assert_eq!(hold(&ended, "backup").pop().unwrap()["event"], "error");
    ended.fails(130, &["interrupted"]);
}

#[test]
fn every_schema_is_of_a_verb_and_names_what_the_page_names() {
    let written = written_words();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/json");
    let mut fields = BTreeSet::new();
    for row in fs::read_dir(folder).unwrap() {
        let value: Value = serde_json::from_slice(&fs::read(row.unwrap().path()).unwrap()).unwrap();
        promised(&value, &mut fields);
    }
    let unknown: Vec<_> = fields.iter().filter(|name| !written.contains(*name)).collect();
    assert!(unknown.is_empty(), "schemas promise what docs/json.md does not name: {unknown:?}");
}

/// The names of all properties in a schema.
fn promised(schema: &Value, fields: &mut BTreeSet<String>) {
    match schema {
        Value::Object(words) => {
            let properties = words.get("properties").and_then(Value::as_object);
            fields.extend(properties.into_iter().flatten().map(|(name, _)| name.clone()));
            words.values().for_each(|word| promised(word, fields));
        }
        Value::Array(items) => items.iter().for_each(|item| promised(item, fields)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
