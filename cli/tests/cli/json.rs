//! The contract of `--json` that needs no Docker; that of each report stands beside the verb.

use serde_json::{Value, json};

use crate::place::Place;

#[test]
fn a_command_that_fails_prints_one_error_event_on_stdout() {
    let place = Place::new();
    for verb in [&["snapshots"][..], &["backup", "db"], &["ls", "db@1"], &["runs"]] {
        let args: Vec<&str> =
            ["--json", "--config", "/nowhere/b.toml"].into_iter().chain(verb.iter().copied()).collect();
        let gave = place.run(&args);
        assert_eq!(gave.code, 10, "{verb:?}");
        let event: Value = serde_json::from_str(&gave.stdout).unwrap();
        let want = json!({
            "event": "error", "class": "not_found", "hint": null,
            "message": "settings file `/nowhere/b.toml` does not exist",
        });
        assert_eq!(event, want, "{verb:?}");
        assert_eq!(gave.stderr, "error: settings file `/nowhere/b.toml` does not exist\n");
    }
}

#[test]
fn the_environment_may_ask_for_json_and_for_its_absence() {
    let place = Place::new();
    for (value, want) in [("1", true), ("true", true), ("0", false), ("", false)] {
        let output = place
            .backupctl()
            .args(["--config", "/nowhere", "runs"])
            .env("BACKUPD_JSON", value)
            .output()
            .unwrap();
        assert_eq!(place.gave(output).stdout.starts_with("{\"class\""), want, "{value:?}");
    }
}

#[test]
fn a_tour_without_docker_fails_with_a_hint_and_leaves_nothing() {
    let place = Place::new();
    let gave = place.run(&["demo"]);
    assert_eq!(gave.code, 1, "{}", gave.stderr);
    assert!(gave.stderr.contains("\n  hint: "), "{}", gave.stderr);
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["backupd.toml"], "the tour's folder is gone");
}
