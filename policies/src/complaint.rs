//! What is wrong with a file, and where: `backupd.toml:3:1: unknown key `stroe`; did you mean `store`?`
//!
//! Lines and columns count from 1, columns in characters, as editors show them.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What, in words.
    pub message: String,
}

/// Everything that is wrong with one file, in the order of its lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Complaints {
    /// The file's name, as it was given.
    pub file: String,
    /// In the order of the file.
    pub all: Vec<Complaint>,
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Complaint { line, column, message }) in self.all.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{line}:{column}: {message}", self.file)?;
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

    /// `value`, if nothing was wrong.
    pub(crate) fn verdict<T>(mut self, file: &str, value: T) -> Result<T, Complaints> {
        if self.all.is_empty() {
            return Ok(value);
        }
        self.all.sort_by_key(|(offset, _)| *offset);
        let all = self.all.iter().map(|(offset, message)| locate(self.text, *offset, message)).collect();
        Err(Complaints { file: file.to_owned(), all })
    }
}

fn locate(text: &str, offset: usize, message: &str) -> Complaint {
    let before = &text[..text.floor_char_boundary(offset)];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    Complaint { line, column, message: message.to_owned() }
}

/// `unknown key `stroe`` with the nearest key that exists, or with all of them where none is near.
pub(crate) fn unknown_key(key: &str, known: &[&str]) -> String {
    let key: String = key.escape_debug().take(60).collect();
    let nearest = known.iter().map(|k| (distance(&key, k), *k)).min();
    match nearest {
        Some((far, known)) if far <= known.len().max(3) / 2 => {
            format!("unknown key `{key}`; did you mean `{known}`?")
        }
        _ => format!("unknown key `{key}`; known here: `{}`", known.join("`, `")),
    }
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
        assert_eq!(locate(text, 0, ""), Complaint { line: 1, column: 1, message: String::new() });
        assert_eq!(locate(text, 6, ""), Complaint { line: 2, column: 3, message: String::new() });
        assert_eq!(locate(text, 5, "").column, 2, "an offset inside a character is that character");
    }
}
