//! Colour is where somebody sees it and wants it; letters beyond ASCII where the terminal knows them.

use crate::pane::Pane;
use crate::scene::Scene;

const SEQUENCE: &str = "\u{1b}[";

#[test]
fn colour_needs_a_terminal_that_wants_it() {
    let scene = Scene::new();
    for args in [&["snapshots"][..], &["status"], &["volumes"], &["--help"], &["restore", "no-such-source"]] {
        let pane = Pane::run(&scene.world, 80, args);
        pane.end();
        assert!(pane.painted().contains(SEQUENCE), "{args:?}: {}", pane.painted());
        for env in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let pane = Pane::run_with(&scene.world, 80, &[env], args);
            pane.end();
            assert!(!pane.painted().contains(SEQUENCE), "{args:?} {env:?}: {}", pane.painted());
        }
    }
}

/// `backupctl snapshots | less`, and `2>file`.
#[test]
fn neither_a_pipe_nor_a_file_gets_colour_or_is_made_to_fit() {
    let scene = Scene::new();
    let line = "$backupctl snapshots | cat; $backupctl status 2>&1 | cat; $backupctl --help | head -n 9; \
                $backupctl restore no-such-source 2>errors; cat errors";
    let pane = Pane::shell(&scene.world, 40, line);
    assert_eq!(pane.end(), 0);
    assert!(!pane.painted().contains(SEQUENCE), "{}", pane.painted());
    assert!(!pane.text().contains('\r'));
    let wrapped = pane.wrapped().concat();
    assert!(wrapped.contains("SNAPSHOT") && wrapped.contains("SENT"), "all columns, on one line: {wrapped}");
}

#[test]
fn letters_beyond_ascii_are_for_terminals_that_know_them() {
    let scene = Scene::new();
    let snapshot = format!("{}@latest", scene.db);
    for (locale, want) in [
        ([("LC_ALL", "C.UTF-8"), ("LANG", "C")], "na\u{ef}ve"),
        ([("LC_ALL", ""), ("LANG", "de_DE.UTF-8")], "na\u{ef}ve"),
        ([("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")], "na\\u{ef}ve"),
        ([("LC_ALL", ""), ("LANG", "")], "na\\u{ef}ve"),
    ] {
        let pane = Pane::run_with(&scene.world, 80, &locale, &["ls", &snapshot]);
        assert_eq!(pane.end(), 0);
        assert!(pane.text().contains(want), "{locale:?}: {}", pane.text());
    }
    for args in [&["status"][..], &["snapshots"], &["retention"], &["volumes"], &["--help"]] {
        let pane = Pane::run_with(&scene.world, 40, &[("LC_ALL", "C")], args);
        pane.end();
        assert!(pane.text().is_ascii(), "{args:?}: {}", pane.text());
    }
}
