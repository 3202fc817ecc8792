//! `backupd` as systemd and people meet it, as far as that needs no Docker.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Command, Output};

fn backupd(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_backupd"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("COLUMNS", "100")
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_help_says_what_it_does() {
    let output = backupd(&["--help"]);
    assert!(output.status.success());
    let help = text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["when its slot comes", "--once", "[default: 60]", "[default: 2]", "[env: BACKUPD_POLICIES]"]
    {
        assert!(help.contains(words), "{words}: {help}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    for args in [
        &["--every", "0"][..],
        &["--every", "soon"],
        &["--at-once", "0"],
        &["--listen", "0.0.0.0:9620"],
        &["backup"],
        &["--twice"],
    ] {
        let output = backupd(args);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}");
    }
}

#[test]
fn settings_that_make_no_sense_end_it_with_one_line_that_names_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.toml");
    for (settings, code, want) in [
        ("[retention]\nx = 1\n", 2, "b.toml:1:2: unknown key `retention`; known here: "),
        ("sotre = 1\nhost = \"/\"\n", 2, "did you mean `store`?; "),
    ] {
        std::fs::File::create(&file).unwrap().write_all(settings.as_bytes()).unwrap();
        let output = backupd(&["--once", "--config", file.to_str().unwrap()]);
        let log = text(&output.stderr);
        assert_eq!((output.status.code(), log.lines().count()), (Some(code), 1), "{log}");
        assert!(log.contains(want) && log.contains("ERROR") && log.contains("class=\"usage\""), "{log}");
    }
    let output = backupd(&["--once", "--config", "/nowhere/b.toml"]);
    assert_eq!(output.status.code(), Some(10));
}
