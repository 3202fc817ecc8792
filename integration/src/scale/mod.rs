//! Figures of size: many snapshots, many volumes at one minute, and a service that has nothing to do. Each has a
//! bound; a figure beyond it ends the program with an error, after the table was written.

pub mod planted;
pub mod service;

use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// What it came to.
    pub got: f64,
    /// What it may come to.
    pub most: f64,
    /// Of both.
    pub unit: &'static str,
}

impl Figure {
    /// Within its bound.
    pub fn is_good(&self) -> bool {
        self.got <= self.most
    }
}

const BEGIN: &str = "<!-- scale:begin -->";
const END: &str = "<!-- scale:end -->";

/// The table of all figures.
pub fn table(conditions: &str, figures: &[Figure]) -> String {
    let mut out = format!("{conditions}\n\n| | measured | bound |\n| --- | ---: | ---: |\n");
    for Figure { what, got, most, unit } in figures {
        // Writing into a String cannot fail.
        writeln!(out, "| {what} | {got:.0} {unit} | {most:.0} {unit} |").unwrap_or_default();
    }
    out
}

/// Puts a table between the marks of a document and leaves the rest alone.
pub fn write_into(path: &Path, table: &str) -> io::Result<()> {
    let document = std::fs::read_to_string(path)?;
    let marked =
        document.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) =
        marked.ok_or_else(|| io::Error::other(format!("{} has no marks for the table", path.display())))?;
    let new = format!("{before}{BEGIN}\n{}\n{END}{after}", table.trim());
    engine::durable::replace(path, new.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_beyond_its_bound_is_bad_and_shown() {
        let figure = |got| Figure { what: "`status`".into(), got, most: 200.0, unit: "ms" };
        assert!(figure(200.0).is_good() && !figure(200.1).is_good());
        assert!(table("x", &[figure(12.4)]).ends_with("| `status` | 12 ms | 200 ms |\n"));
    }

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        engine::durable::replace(file.path(), format!("a\n{BEGIN}\nold\n{END}\nb\n").as_bytes(), 0o600)
            .unwrap();
        write_into(file.path(), "new\n").unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
    }
}
