//! Keys of the store stay in the environment of our own program: they are in no argument, helper, log, row
//! or object.

use std::fs;
use std::path::Path;
use std::process::Command;

use integration::scripted_s3::{Action, Op, Rule, When};

use crate::running::{Hanging, large};
use crate::stores::{KEY_ID, SECRET};

#[track_caller]
fn hidden(place: &str, bytes: &[u8]) {
    for canary in [SECRET, KEY_ID] {
        let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
        assert!(!found, "`{canary}` is in {place}");
    }
}

fn files(folder: &Path, each: &mut dyn FnMut(&Path)) {
    for row in fs::read_dir(folder).unwrap().map(|row| row.unwrap()) {
        match row.file_type().unwrap() {
            kind if kind.is_dir() => files(&row.path(), each),
            kind if kind.is_file() => each(&row.path()),
            _ => {}
        }
    }
}

#[test]
fn keys_leave_no_trace() {
    let (server, world, volume) = large();
    let hanging = Hanging::begin(&server, &world, &volume);
    let helpers = world.helpers();
    assert_eq!(helpers.len(), 1);
    let inspected = Command::new("docker").arg("inspect").args(&helpers).output().unwrap();
    assert!(inspected.status.success() && inspected.stdout.len() > 1000);
    hidden("the helper", &inspected.stdout);
    let found: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let helper = found[0]["State"]["Pid"].as_u64().unwrap();
    for process in [hanging.pid().as_raw_nonzero().get().to_string(), helper.to_string()] {
        let arguments = fs::read(format!("/proc/{process}/cmdline")).unwrap();
        assert!(!arguments.is_empty());
        hidden("arguments", &arguments);
    }
    hidden("the helper's environment", &fs::read(format!("/proc/{helper}/environ")).unwrap());
    world.run(&["cancel", &hanging.run]).ok();
    let told = hanging.end().fails(130, &[]);
    hidden("its log", &[told.stdout, told.stderr.into_bytes()].concat());

    server.forget_rules();
    server.rule(Rule::new(Op::Part, When::From(1, 1), Action::Status(500, "InternalError")));
    let logged = world.run(&["-vv", "--json", "backup", &volume]).ok();
    assert!(logged.stderr.contains("try again"), "{logged}");
    hidden("a detailed log", &[logged.stdout, logged.stderr.into_bytes()].concat());
    for args in [&["--json", "show", &format!("{volume}@1")][..], &["doctor"], &["--json", "runs"]] {
        hidden(args[0], &world.run(args).ok().stdout);
    }
    let mut looked = 0;
    files(&world.state(), &mut |path| {
        looked += 1;
        hidden(&path.display().to_string(), &fs::read(path).unwrap());
    });
    assert!(looked >= 3, "catalog, key and owner are there");
}
