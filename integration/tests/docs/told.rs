//! Commands that the programs themselves, alert rules and the prose of documents tell people to type.
//!
//! They stand between backticks or quotes, or on a line of their own under `Examples:`. What is filled in when the
//! program runs, `{source}`, counts as any word.

use std::path::Path;

/// A command as it stands in some text, and the line at which it begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) line: usize,
    pub(crate) command: String,
}

/// Longer than any command: a quote that was not closed.
const COMMAND_BYTES_MAX: usize = 200;

/// What a text tells people to type.
pub(crate) fn told(text: &str) -> Vec<Told> {
    let mut found = Vec::new();
    for program in ["backupctl ", "backupd --"] {
        for (at, _) in text.match_indices(program) {
            let (before, rest) = text.split_at(at);
            let command = match before.chars().next_back() {
                Some(quote @ ('`' | '"')) => until_unescaped(rest, quote),
                Some(' ') if starts_a_line(before) => rest.lines().next(),
                Some(_) | None => None,
            };
            let Some(command) = command.filter(|command| command.len() < COMMAND_BYTES_MAX) else { continue };
            found.push(Told { line: before.matches('\n').count() + 1, command: filled(command) });
        }
    }
    found
}

/// The part of a source file that people meet; what tests make up is left out.
pub(crate) fn product(path: &Path, text: &str) -> String {
    let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
    if is_test {
        return String::new();
    }
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

fn starts_a_line(before: &str) -> bool {
    before.rsplit('\n').next().is_some_and(|start| start.trim().is_empty())
}

fn until_unescaped(rest: &str, quote: char) -> Option<&str> {
    let mut escaped = false;
    let end = rest.char_indices().find(|(_, c)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map(|(end, _)| &rest[..end])
}

/// As somebody would type it: words for what is filled in, without the marks of a Rust string.
fn filled(command: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in command.trim_end_matches("\")]").replace("\\\"", "\"").chars() {
        match c {
            '{' => {
                inside = true;
                out.push('X');
            }
            '}' => inside = false,
            _ if inside => {}
            _ => out.push(c),
        }
    }
    out
}

#[test]
fn commands_are_found_between_quotes_and_on_lines_of_their_own() {
    let text = "see `backupctl runs {0}`, or \"backupctl export {} -o FILE\"\n  backupctl at \\\"2 h\\\"\")]\n\
                the backupctl program, `backupd --once --store {}` and backupd --more\n";
    let found = told(text);
    let seen: Vec<_> = found.iter().map(|told| (told.line, told.command.as_str())).collect();
    let want = [
        (1, "backupctl runs X"),
        (1, "backupctl export X -o FILE"),
        (2, "backupctl at \"2 h\""),
        (3, "backupd --once --store X"),
    ];
    assert_eq!(seen, want);
}
