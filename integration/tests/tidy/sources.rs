//! How a source file reads.

use crate::keep;
use crate::tree::{rust, texts};

/// Lines of code in one file, unit tests apart.
const CODE_LINES_MAX: usize = 300;

/// Lines in one file, whatever they are.
const LINES_MAX: usize = 500;

#[test]
fn files_are_small() {
    let mut broken = Vec::new();
    for file in rust() {
        let (code, all) = (file.code_lines().count(), file.text.lines().count());
        if !file.is_test() && code > CODE_LINES_MAX {
            broken.push(format!("{}: {code} lines of code, at most {CODE_LINES_MAX}", file.path));
        } else if all > LINES_MAX {
            broken.push(format!("{}: {all} lines, at most {LINES_MAX}", file.path));
        }
    }
    keep("one file, one concept", "find the second concept in it, and give it a file", &broken);
}

#[test]
fn every_module_says_first_what_it_is_for() {
    let silent = rust().into_iter().filter(|file| !file.text.starts_with("//! "));
    let broken: Vec<_> = silent.map(|file| file.path).collect();
    keep("a module begins with `//!`", "say what it is for and what is always true of it", &broken);
}

#[test]
fn nothing_is_left_behind() {
    // In pieces, or this file would break its own rule.
    let words =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["todo", "!"], ["unimplemented", "!"]].map(|w| w.concat());
    find("work that was put off", "do it, or leave it out", |line| {
        words.iter().any(|word| has_word(line, word))
    });
}

#[test]
fn nothing_points_to_the_machine_it_was_written_on() {
    let places = [["/wo", "rk/"], ["/ro", "ot/"]].map(|pieces| pieces.concat());
    find("a path of one machine", "use a path that a reader has too", |line| {
        places.iter().any(|place| line.contains(place.as_str()))
    });
}

#[test]
fn text_is_plain() {
    let strange = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    find("a character that no editor shows", "write it as an escape", |line| line.contains(strange));
    find("a space at the end of a line", "remove it", |line| line.ends_with([' ', '\t']));
}

/// Applies a rule to every line of every text.
#[track_caller]
fn find(rule: &str, mend: &str, breaks: impl Fn(&str) -> bool) {
    let mut broken = Vec::new();
    for file in texts() {
        let bad = file.text.split('\n').enumerate().filter(|(_, line)| breaks(line));
        broken
            .extend(bad.map(|(i, line)| format!("{}:{}: {}", file.path, i + 1, line.trim().escape_debug())));
    }
    keep(rule, mend, &broken);
}

/// Whether `word` stands in `line` on its own.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let ends_itself = word.ends_with('!');
        !before.is_some_and(part_of_word) && (ends_itself || !after.is_some_and(part_of_word))
    })
}

#[test]
fn a_word_is_found_only_on_its_own() {
    for (line, word, want) in [
        ("// ABC: later", "ABC", true),
        ("mktemp ABCABC", "ABC", false),
        ("let x = abc!();", "abc!", true),
        ("let x = my_abc!();", "abc!", false),
    ] {
        assert_eq!(has_word(line, word), want, "{line}");
    }
}
