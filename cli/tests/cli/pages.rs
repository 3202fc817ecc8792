//! Manual pages and completions.

use std::process::Stdio;

use crate::help::VERBS;
use crate::place::Place;

#[test]
fn there_is_one_manual_page_for_each_verb() {
    let place = Place::new();
    let gave = place.run(&["man", "--dir", "pages"]);
    assert_eq!((gave.code, gave.stdout.as_str(), gave.stderr.as_str()), (0, "", "41 pages are in pages\n"));
    let pages = place.path().join("pages");
    for verb in VERBS.iter().chain(&[
        "catalog-rebuild",
        "catalog-check",
        "policy-check",
        "policy-show",
        "policy-plan",
        "policy-schema",
    ]) {
        let page = std::fs::read_to_string(pages.join(format!("backupctl-{verb}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{verb}");
    }
    assert!(pages.join("backupctl.1").exists());
}

#[test]
fn completions_know_every_verb() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let gave = place.run(&["completions", shell]);
        assert_eq!((gave.code, gave.stderr.as_str()), (0, ""), "{shell}");
        for verb in VERBS {
            assert!(gave.stdout.contains(verb), "{shell} {verb}");
        }
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let place = Place::new();
    for args in [&["man"][..], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place.backupctl().args(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let gave = place.gave(output);
        assert_eq!((gave.code, gave.stderr.as_str()), (0, ""), "{args:?}");
    }
}
