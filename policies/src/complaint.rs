//! What is wrong with a file, and where: `backupd.toml:3:1: unknown key `stroe`; did you mean `store`?`
//!
//! Lines and columns count from 1, columns in characters, as editors show them.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The file's name, as it was given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What, in words.
    pub message: String,
}

/// Everything that is wrong with a file, or with all files of a folder; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Complaints {
    /// File by file, each in the order of its lines.
    pub all: Vec<Complaint>,
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Complaint { file, line, column, message }) in self.all.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{file}:{line}:{column}: {message}")?;
        }
        Ok(())
    }
}

/// Collects while a file is read, so that all that is wrong is told at once.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    text: &'a str,
    all: Vec<(usize, String)>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, all: Vec::new() }
    }

    pub(crate) fn blame(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.all.push((span.start.min(self.text.len()), message.into()));
    }

    /// Behind the last character: the place of what is missing.
    pub(crate) fn end(&self) -> Range<usize> {
        self.text.len()..self.text.len()
    }

    /// How much was blamed so far.
    pub(crate) fn blamed(&self) -> usize {
        self.all.len()
    }

    /// `value`, if nothing was wrong.
    pub(crate) fn verdict<T>(self, file: &str, value: T) -> Result<T, Complaints> {
        let all = self.complaints(file);
        if all.is_empty() { Ok(value) } else { Err(Complaints { all }) }
    }

    /// What was blamed, in the order of the file.
    pub(crate) fn complaints(mut self, file: &str) -> Vec<Complaint> {
        self.all.sort_by_key(|(offset, _)| *offset);
        self.all.iter().map(|(offset, message)| locate(file, self.text, *offset, message)).collect()
    }
}

pub(crate) fn locate(file: &str, text: &str, offset: usize, message: &str) -> Complaint {
    let before = &text[..text.floor_char_boundary(offset)];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    Complaint { file: file.to_owned(), line, column, message: message.to_owned() }
}

/// `unknown key `stroe`` with the nearest key that exists, or with all of them where none is near.
pub(crate) fn unknown_key(key: &str, known: &[&str]) -> String {
    let shown = shown(key);
    match nearest(key, known.iter().copied()) {
        Some(known) => format!("unknown key `{shown}`; did you mean `{known}`?"),
        None => format!("unknown key `{shown}`; known here: `{}`", known.join("`, `")),
    }
}

/// A text of others inside a sentence of ours: escaped, and cut where it is long.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let cut = if text.chars().nth(CHARS_MAX).is_some() { "…" } else { "" };
    let head: String = text.chars().take(CHARS_MAX).collect();
    format!("{}{cut}", head.escape_debug().to_string().replace('`', "\\u{60}"))
}

/// The one of `known` that somebody who typed `word` meant, if one is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Words of others may be long; what is meant is not.
    let word: String = word.chars().take(80).collect();
    let (far, known) = known.into_iter().map(|k| (distance(&word, k), k)).min()?;
    (far <= known.len().max(3) / 2).then_some(known)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_named() {
        let known = ["store", "host", "state", "docker", "effort"];
        for (typed, want) in [
            ("stroe", "did you mean `store`?"),
            ("Store", "did you mean `store`?"),
            ("stat", "did you mean `state`?"),
            ("hots", "did you mean `host`?"),
            ("schedule", "known here: `store`, `host`, `state`, `docker`, `effort`"),
            ("", "known here: `store`, `host`, `state`, `docker`, `effort`"),
        ] {
            assert_eq!(unknown_key(typed, &known), format!("unknown key `{typed}`; {want}"));
        }
    }

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let text = "a\nüü = 1\n";
        let place = |offset| {
            let at = locate("f", text, offset, "");
            (at.line, at.column)
        };
        assert_eq!(place(0), (1, 1));
        assert_eq!(place(6), (2, 3));
        assert_eq!(place(5), (2, 2), "an offset inside a character is that character");
    }

    #[test]
    fn what_others_wrote_is_never_shown_raw() {
        assert_eq!(shown("a\u{1b}[2J`\u{202e}\n"), r"a\u{1b}[2J\u{60}\u{202e}\n");
        assert_eq!(shown(&"x".repeat(61)), format!("{}…", "x".repeat(60)));
        assert_eq!(nearest(&"x".repeat(1 << 20), ["store"]), None);
    }
}
