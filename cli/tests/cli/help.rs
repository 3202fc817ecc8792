//! Every help text, whole.

use crate::place::Place;

/// All verbs, in the order of the help.
pub(crate) const VERBS: [&str; 34] = [
    "demo",
    "doctor",
    "status",
    "volumes",
    "backup",
    "snapshots",
    "restore",
    "undo-restore",
    "clone",
    "show",
    "ls",
    "cat",
    "find",
    "diff",
    "export",
    "import",
    "verify",
    "drill",
    "delete",
    "undelete",
    "retention",
    "prune",
    "pin",
    "unpin",
    "acknowledge",
    "policy",
    "schedule",
    "runs",
    "cancel",
    "thaw",
    "catalog",
    "explain",
    "completions",
    "man",
];

#[test]
fn the_help_of_the_program_is_as_recorded() {
    let gave = Place::new().run(&["--help"]);
    assert_eq!((gave.code, gave.stderr.as_str()), (0, ""));
    insta::assert_snapshot!("help", gave.stdout);
}

#[test]
fn the_help_names_exactly_the_verbs_that_are_tested_here() {
    let help = Place::new().run(&["-h"]).stdout;
    let listed: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Verbs:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(listed, VERBS);
}

#[test]
fn the_help_of_every_verb_is_as_recorded() {
    let place = Place::new();
    for verb in VERBS {
        let gave = place.run(&[verb, "--help"]);
        assert_eq!((gave.code, gave.stderr.as_str()), (0, ""), "{verb}");
        let (own, global) = halves(&gave.stdout);
        assert!(global.contains("--store <URL>") && global.contains("[env: BACKUPD_STORE]"), "{verb}");
        insta::assert_snapshot!(format!("help-{verb}"), own);
    }
}

#[test]
fn help_fits_into_80_columns_where_the_terminal_has_no_more() {
    let place = Place::new();
    for verb in VERBS {
        let output = place.backupctl().args([verb, "--help"]).env("COLUMNS", "80").output().unwrap();
        let help = place.gave(output).stdout;
        // Examples are commands, and stay on their line.
        let text = help.split("Examples:").next().unwrap();
        assert_eq!(text.lines().find(|line| line.chars().count() > 80), None, "{verb}");
        assert!(text.lines().any(|line| line.chars().count() > 60), "{verb} is not squeezed either");
    }
}

/// The verb's own help, and the global options: these are the same everywhere, and recorded once.
fn halves(help: &str) -> (String, String) {
    let (before, after) = help.split_once("Global options:").unwrap();
    let (global, examples) = after.split_once("Examples:\n").unwrap_or((after, ""));
    let own = format!("{}\n\n{examples}", before.trim_end());
    (own.trim_end().to_owned(), global.to_owned())
}

#[test]
fn version_is_one_line_on_stdout() {
    let gave = Place::new().run(&["--version"]);
    assert_eq!(gave.stdout, format!("backupctl {}\n", env!("CARGO_PKG_VERSION")));
}
