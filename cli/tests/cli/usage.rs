//! What makes no sense: exit code 2, nothing on stdout, and words that help.

use crate::place::Place;

#[track_caller]
fn check(args: &[&str], want: &str) {
    let gave = Place::new().run(args);
    assert_eq!((gave.code, gave.stdout.as_str()), (2, ""), "{args:?}: {}", gave.stderr);
    assert!(gave.stderr.contains(want), "{args:?} said: {}", gave.stderr);
}

#[test]
fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    check(&[], "Usage: backupctl");
    check(&["bakup"], "unrecognized subcommand 'bakup'");
    check(&["bakup"], "'backup'");
    check(&["backup"], "<SOURCE>");
    check(&["backup", "../etc"], "`../etc` is not a volume, or `container:/mount/point`");
    check(&["backup", "web:/a/../b"], "is not a container and a mount point");
    check(&["show", "db-data"], "`db-data` is not a snapshot (`SOURCE@42` or `SOURCE@latest`)");
    check(&["show", "db-data@0"], "is not a snapshot");
    check(&["cat", "db@1", "../x"], "has a `.` or `..` component");
    check(&["restore", "db", "--at", "2h", "--snapshot", "3"], "cannot be used with");
    check(&["snapshots", "--all-hosts", "--from-host", "x"], "cannot be used with");
    check(&["verify"], "<SNAP|--all>");
    check(&["verify", "db@1", "--all"], "cannot be used with");
    check(&["prune", "db", "--keep", "daily=7,dayly=7"], "`dayly` is none of `last`, `hourly`");
    check(&["prune", "db", "--keep", "grace=7d"], "`keep` keeps nothing");
    check(&["pin", "db"], "`db` is not a snapshot");
    check(&["acknowledge"], "<SOURCE>");
    check(&["cancel", "1"], "`1` is not a run id");
    check(&["completions", "cmd.exe"], "[possible values: bash, elvish, fish, powershell, zsh]");
}

#[test]
fn a_restore_of_a_time_that_is_none_changes_nothing_and_says_what_to_write() {
    let place = Place::new();
    for (flag, value, want) in [
        (
            "--at",
            "noon-ish",
            "error: --at: `noon-ish` is no time; write `2026-11-20 14:00`, `2026-11-20`, `yesterday 14:00`, `14:00`, `2h ago` or `3d`\n",
        ),
        ("--at", "9000-01-01", "error: --at: `9000-01-01` lies in the future\n"),
        ("--snapshot", "x", "error: --snapshot: `x` is no snapshot; write `42` or `latest`\n"),
        ("--snapshot", "y@4", "error: --snapshot: `y@4` is a snapshot of `y`, not of `db`\n"),
    ] {
        let gave = place.run(&["restore", "db", flag, value]);
        assert_eq!((gave.code, gave.stdout.as_str(), gave.stderr.as_str()), (2, "", want));
    }
    assert!(!place.path().join("state").exists());
}

#[test]
fn without_a_rule_nothing_is_planned_and_the_way_out_is_told() {
    let place = Place::new();
    for verb in ["retention", "prune"] {
        let gave = place.run(&[verb, "db-data"]);
        // Policies are matched with the sources that Docker has, and here is no Docker.
        assert_eq!((gave.code, gave.stdout.as_str()), (1, ""), "{verb}");
        let want = "error: look for the policies that say how long snapshots are kept: ";
        assert!(gave.stderr.contains(want), "{verb}: {}", gave.stderr);
    }
}
