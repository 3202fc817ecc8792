//! Whatever the width: nothing is broken within a word, tables align, and what matters is there.

use crate::pane::Pane;
use crate::scene::Scene;

/// Every verb that is looked at, and the exit code that it ends with.
fn looked_at(scene: &Scene) -> Vec<(Vec<&str>, i32)> {
    vec![
        // Nobody keeps the schedules of this host, so all is overdue, and that is an alarm.
        (vec!["status"], 1),
        (vec!["snapshots"], 0),
        (vec!["volumes"], 0),
        (vec!["retention"], 0),
        (vec!["runs"], 0),
        (vec!["restore", &scene.db, "--dry-run"], 0),
        (vec!["policy", "show"], 0),
    ]
}

#[test]
fn nothing_is_broken_within_a_word_at_80_120_and_40_columns() {
    let scene = Scene::new();
    for columns in [80, 120, 40] {
        for (args, code) in looked_at(&scene) {
            let pane = Pane::run(&scene.world, columns, &args);
            assert_eq!(pane.end(), code, "{args:?}: {}", pane.text());
            let wrapped = pane.wrapped();
            // A hint is a command to copy, which has to stay in one piece; so does a name that is longer than the terminal.
            let one_word = |line: &str| !line.trim().contains(' ');
            let wrapped: Vec<_> =
                wrapped.iter().filter(|line| !line.contains("hint:") && !one_word(line)).collect();
            assert!(wrapped.is_empty(), "{args:?} at {columns}: {wrapped:#?}\n{}", pane.text());
        }
    }
}

/// Where the columns of a table are: each heading's first and last place.
fn places(heading: &str) -> Vec<(usize, usize)> {
    let chars: Vec<char> = heading.chars().collect();
    let mut places: Vec<(usize, usize)> = Vec::new();
    for (at, c) in chars.iter().enumerate().filter(|(_, c)| **c != ' ') {
        match places.last_mut() {
            // Two words of one heading have one space between them.
            Some((_, end)) if at - *end <= 2 => *end = at,
            Some(_) | None => places.push((at, at)),
        }
        assert!(c.is_ascii_uppercase(), "{heading}");
    }
    places
}

/// Fails unless every line has something that begins where a heading begins, or ends where it ends, and nothing across.
#[track_caller]
fn assert_aligned(heading: &str, rows: &[String]) {
    for row in rows {
        let chars: Vec<char> = row.chars().collect();
        let at = |place: usize| chars.get(place).copied().unwrap_or(' ');
        for (start, end) in places(heading) {
            let begins = at(start) != ' ' && (start == 0 || at(start - 1) == ' ');
            let ends = at(end) != ' ' && at(end + 1) == ' ';
            let empty = (start..=end).all(|place| at(place) == ' ');
            assert!(begins || ends || empty, "{start}-{end}\n{heading}\n{row}");
        }
    }
}

#[test]
fn tables_align_and_have_what_matters_at_every_width() {
    let scene = Scene::new();
    let tables: [(&[&str], &str, usize); 5] = [
        (&["status"], "SOURCE", 2),
        (&["snapshots"], "SNAPSHOT", 3),
        (&["volumes"], "SOURCE", 3),
        (&["retention"], "SNAPSHOT", 3),
        (&["runs"], "RUN", 3),
    ];
    for columns in [80, 120] {
        for (args, first, rows) in tables {
            let pane = Pane::run(&scene.world, columns, args);
            pane.end();
            let lines = pane.lines();
            let start = lines.iter().position(|line| line.starts_with(first) && line.contains("  "));
            let start = start.unwrap_or_else(|| panic!("{args:?} at {columns}: no table\n{}", pane.text()));
            // What else is on this host, and what is said behind the table, is not ours to judge.
            let ours = |line: &&String| line.contains(&scene.world.name) && !line.starts_with('`');
            let table: Vec<String> = lines[start + 1..].iter().filter(ours).cloned().collect();
            assert_aligned(&lines[start], &table);
            assert!(table.len() >= rows, "{args:?} at {columns}: {table:#?}\n{}", pane.text());
            assert!(table.iter().all(|line| line.chars().count() <= usize::from(columns)), "{table:#?}");
        }
    }
}

#[test]
fn on_40_columns_every_snapshot_is_a_record_with_all_that_is_known() {
    let scene = Scene::new();
    let pane = Pane::run(&scene.world, 40, &["snapshots"]);
    assert_eq!(pane.end(), 0);
    let lines = pane.lines();
    let starts: Vec<usize> =
        (0..lines.len()).filter(|at| lines[*at].starts_with(&format!("{}@", scene.db))).collect();
    assert_eq!(starts.len(), 3, "{}", pane.text());
    let names: Vec<&str> =
        lines[1..starts[1]].iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["taken", "age", "kind", "files", "size", "sent", "notes"], "{}", pane.text());

    let pane = Pane::run(&scene.world, 40, &["volumes"]);
    assert_eq!(pane.end(), 0);
    let text = pane.text();
    assert!(text.contains(&format!("{}\n", scene.cache)) && text.contains("! unprotected"), "{text}");
    assert!(text.contains("`nothing = \"because "), "all of the reason: {text}");
}

#[test]
fn help_fits_too() {
    let scene = Scene::new();
    for columns in [80, 120, 40] {
        for args in [&["--help"][..], &["restore", "--help"], &["backup", "-h"]] {
            let pane = Pane::run(&scene.world, columns, args);
            assert_eq!(pane.end(), 0);
            // An example is a command to copy; and there are words that no line of 40 columns takes.
            let excused = |line: &String| {
                let long = line.split_whitespace().any(|word| word.chars().count() >= 28);
                columns == 40 && (long || line.starts_with("Usage:"))
            };
            let wrapped: Vec<String> = pane
                .wrapped()
                .into_iter()
                .filter(|line| !line.trim_start().starts_with("backupctl ") && !excused(line))
                .collect();
            assert!(wrapped.is_empty(), "{args:?} at {columns}: {wrapped:#?}\n{}", pane.text());
            assert!(pane.text().is_ascii(), "{}", pane.text());
        }
    }
}

#[test]
fn warnings_and_errors_go_on_between_words() {
    let scene = Scene::new();
    let pane = Pane::run(&scene.world, 40, &["restore", "nobody-has-ever-heard-of", "--dry-run"]);
    assert_eq!(pane.end(), 10);
    let text = pane.text();
    assert!(text.starts_with("error: "), "{text}");
    let wrapped = pane.wrapped();
    assert!(wrapped.iter().all(|line| line.contains("hint:")), "{wrapped:?}\n{text}");
}
