//! Documents with a part that a program writes: all that stands between two marks, and nothing else.

use std::io;
use std::path::Path;

/// Which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Beside other tools.
    Bench,
    /// By the size of a volume.
    Growth,
    /// Databases, again and again.
    Torture,
    /// A large database that is held.
    Freeze,
}

impl Part {
    fn marks(self) -> (&'static str, &'static str) {
        match self {
            Self::Bench => ("<!-- bench:begin -->", "<!-- bench:end -->"),
            Self::Growth => ("<!-- growth:begin -->", "<!-- growth:end -->"),
            Self::Torture => ("<!-- torture:begin -->", "<!-- torture:end -->"),
            Self::Freeze => ("<!-- freeze:begin -->", "<!-- freeze:end -->"),
        }
    }

    /// Puts `text` between the marks of a document and leaves the rest alone; `None` if it has none.
    pub fn replace(self, document: &str, text: &str) -> Option<String> {
        let (begin, end) = self.marks();
        let (before, rest) = document.split_once(begin)?;
        let (_old, after) = rest.split_once(end)?;
        Some(format!("{before}{begin}\n{}\n{end}{after}", text.trim()))
    }

    /// What stands between the marks of a file.
    pub fn read(self, path: &Path) -> io::Result<String> {
        let document = std::fs::read_to_string(path)?;
        let (begin, end) = self.marks();
        let part = document.split_once(begin).and_then(|(_before, rest)| rest.split_once(end));
        let (part, _after) = part
            .ok_or_else(|| io::Error::other(format!("{} has no `{begin}` with its end", path.display())))?;
        Ok(part.to_owned())
    }

    /// Replaces what stands between the marks of a file.
    pub fn write(self, path: &Path, text: &str) -> io::Result<()> {
        let document = std::fs::read_to_string(path)?;
        let (begin, _end) = self.marks();
        let new = self
            .replace(&document, text)
            .ok_or_else(|| io::Error::other(format!("{} has no `{begin}` with its end", path.display())))?;
        engine::durable::replace(path, new.as_bytes(), 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let (begin, end) = Part::Growth.marks();
        let document = format!("a\n{begin}\nold\n{end}\nb\n");
        assert_eq!(Part::Growth.replace(&document, "new\n"), Some(format!("a\n{begin}\nnew\n{end}\nb\n")));
        assert_eq!(Part::Bench.replace(&document, "new"), None);
    }
}
