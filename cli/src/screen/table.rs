//! Tables that align, whatever alphabet their cells are in.
//!
//! On a terminal a table fits: the last column, which says why, goes on in a next line; columns that say least are left
//! out; and where even that is not enough, each row becomes a few lines of its own, with all columns. Elsewhere it is one
//! line a row with all columns, so that a script sees all of it.
//!
//! Always true: no cell but one of the last column is divided, and that one between words, as far as these fit.

use super::fit::{broken, columns, pieces};
use super::paint::{Paint, Style};
use super::plain;

/// On which side a column's text begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// One cell, safe to print.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// In a style.
    pub(crate) fn styled(text: &str, style: Style) -> Self {
        Self { text: plain::line(text).into_owned(), style }
    }

    /// Says nothing.
    fn is_empty(&self) -> bool {
        matches!(self.text.as_str(), "" | "-")
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text.as_ref(), Style::Plain)
    }
}

/// Rows under headings.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Side)>,
    spare: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// The last column should be no narrower than this, or than its longest word up to [`WORD_MAX`].
const LAST_GOOD: usize = 20;

/// A longer word, as an address, may be divided.
const WORD_MAX: usize = 28;

/// The last column becomes this narrow before each row becomes a record, whatever its words are.
const LAST_MIN: usize = 12;

/// Between two columns.
const GAP: usize = 2;

impl Table {
    /// Without rows.
    pub(crate) fn new(columns: &[(&'static str, Side)]) -> Self {
        Self { columns: columns.to_vec(), spare: Vec::new(), rows: Vec::new() }
    }

    /// Columns that a narrow terminal does without, the first one first; others tell most of what they do.
    pub(crate) fn spare(self, names: &[&'static str]) -> Self {
        Self { spare: names.to_vec(), ..self }
    }

    /// Adds a row, as long as the headings.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        assert!(cells.len() == self.columns.len(), "BUG: a row of {} cells", cells.len());
        self.rows.push(cells);
    }

    /// All lines, each ended; `width` is the terminal's, `None` where there is none.
    pub(crate) fn render(&self, width: Option<usize>, paint: Paint) -> String {
        let mut sheet = self.sheet(paint);
        let Some(width) = width else { return sheet.lines(usize::MAX, paint) };
        for name in &self.spare {
            if sheet.start() + sheet.last().min(sheet.last_good()) <= width {
                break;
            }
            sheet = sheet.without(name);
        }
        if sheet.start() + sheet.last().min(LAST_MIN) <= width {
            return sheet.lines(width, paint);
        }
        self.sheet(paint).records(width, paint)
    }

    /// All of it, in letters that the stream shows.
    fn sheet(&self, paint: Paint) -> Sheet {
        let cell = |cell: &Cell| Cell { text: paint.letters(&cell.text).into_owned(), style: cell.style };
        let rows = self.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        Sheet { columns: self.columns.clone(), rows }
    }
}

/// The columns that are shown.
struct Sheet {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<Cell>>,
}

impl Sheet {
    fn without(mut self, name: &str) -> Self {
        if let Some(at) = self.columns.iter().position(|(column, _)| *column == name) {
            self.columns.remove(at);
            self.rows.iter_mut().for_each(|row| drop(row.remove(at)));
        }
        self
    }

    /// What each column would take.
    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(name, _)| columns(name)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(columns(&cell.text));
            }
        }
        widths
    }

    /// Where the last column begins.
    fn start(&self) -> usize {
        self.widths().iter().rev().skip(1).map(|width| width + GAP).sum()
    }

    /// What the last column would take.
    fn last(&self) -> usize {
        self.widths().last().copied().unwrap_or_default()
    }

    /// What it should have.
    fn last_good(&self) -> usize {
        let texts = self.rows.iter().filter_map(|row| row.last()).map(|cell| cell.text.as_str());
        let word = texts.flat_map(pieces).map(|piece| columns(piece.trim_end_matches(' '))).max();
        LAST_GOOD.max(word.unwrap_or_default().min(WORD_MAX))
    }

    /// A line for each row, and more where the last cell does not fit.
    fn lines(&self, width: usize, paint: Paint) -> String {
        let widths = self.widths();
        let start = self.start();
        let room = width.saturating_sub(start).max(1);
        let mut out = String::new();
        let headings: Vec<Cell> =
            self.columns.iter().map(|(text, _)| Cell::styled(text, Style::Heading)).collect();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let Some((last, others)) = row.split_last() else { continue };
            for ((cell, (_, side)), width) in others.iter().zip(&self.columns).zip(&widths) {
                let pad = " ".repeat(width - columns(&cell.text));
                let text = paint.style(&cell.text, cell.style);
                match side {
                    Side::Left => out += &format!("{text}{pad}  "),
                    Side::Right => out += &format!("{pad}{text}  "),
                }
            }
            let right = self.columns.last().is_some_and(|(_, side)| *side == Side::Right);
            if right {
                let widest = widths.last().copied().unwrap_or_default();
                out += &" ".repeat(widest - columns(&last.text));
            }
            for (i, line) in divided(&last.text, room).iter().enumerate() {
                if i > 0 {
                    out.push('\n');
                    out += &" ".repeat(start);
                }
                out += &paint.style(line, last.style);
            }
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        out
    }

    /// Each row as lines: its first cell, then every other one that says something beneath its name.
    fn records(&self, width: usize, paint: Paint) -> String {
        let label = self.columns.iter().skip(1).map(|(name, _)| name.len()).max().unwrap_or_default();
        let start = GAP + label + GAP;
        let room = width.saturating_sub(start);
        let mut out = String::new();
        for row in &self.rows {
            for (at, (cell, (name, _))) in row.iter().zip(&self.columns).enumerate() {
                if at == 0 {
                    out += &format!("{}\n", paint.style(&cell.text, Style::Heading));
                } else if !cell.is_empty() {
                    let name = paint.style(&format!("{:<label$}", name.to_lowercase()), Style::Faint);
                    let lines = broken(&cell.text, room, room);
                    let lines: Vec<String> = lines.iter().map(|line| paint.style(line, cell.style)).collect();
                    let text = lines.join(&format!("\n{}", " ".repeat(start)));
                    out += &format!("  {name}  {text}\n");
                }
            }
        }
        out
    }
}

/// The lines of a cell; a word that is wider than the column is divided.
fn divided(text: &str, room: usize) -> Vec<String> {
    let mut out = Vec::new();
    for line in broken(text, room, room) {
        let mut rest = line.as_str();
        while columns(rest) > room {
            let too_far = |(at, c): &(usize, char)| columns(&rest[..at + c.len_utf8()]) > room;
            let Some((end, _)) = rest.char_indices().skip(1).find(too_far) else { break };
            out.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        out.push(rest.to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns =
            [("NAME", Side::Left), ("SIZE", Side::Right), ("SENT", Side::Right), ("WHY", Side::Left)];
        let mut table = Table::new(&columns).spare(&["SENT"]);
        table.row(vec!["db-data-of-a-long-name".into(), "1.5 KiB".into(), "9 B".into(), "".into()]);
        let why = Cell::styled("the newest of all, and kept", Style::Good);
        table.row(vec!["漢字".into(), "9 B".into(), "1 B".into(), why]);
        table.row(vec!["b".into(), "-".into(), "1 B".into(), "a\x1b[0m".into()]);
        table
    }

    #[test]
    fn columns_align_in_any_alphabet_and_nothing_is_left_out_without_a_terminal() {
        let want = "\
NAME                       SIZE  SENT  WHY
db-data-of-a-long-name  1.5 KiB   9 B
漢字                        9 B   1 B  the newest of all, and kept
b                             -   1 B  a\\u{1b}[0m
";
        assert_eq!(table().render(None, Paint::OFF), want);
        assert_eq!(table().render(Some(66), Paint::OFF), want);
    }

    #[test]
    fn the_last_column_goes_on_in_a_next_line() {
        let want = "\
NAME                       SIZE  SENT  WHY
db-data-of-a-long-name  1.5 KiB   9 B
漢字                        9 B   1 B  the newest of all,
                                       and kept
b                             -   1 B  a\\u{1b}[0m
";
        assert_eq!(table().render(Some(59), Paint::OFF), want);
    }

    #[test]
    fn then_spare_columns_are_left_out_and_in_the_end_each_row_is_a_record() {
        let want = "\
NAME                       SIZE  WHY
db-data-of-a-long-name  1.5 KiB
漢字                        9 B  the newest of all,
                                 and kept
b                             -  a\\u{1b}[0m
";
        assert_eq!(table().render(Some(53), Paint::OFF), want);
        let want = "\
db-data-of-a-long-name
  size  1.5 KiB
  sent  9 B
漢字
  size  9 B
  sent  1 B
  why   the newest of all,
        and kept
b
  sent  1 B
  why   a\\u{1b}[0m
";
        assert_eq!(table().render(Some(26), Paint::OFF), want);
    }

    #[test]
    fn only_a_word_of_the_last_column_that_is_very_long_is_divided() {
        let mut table = Table::new(&[("CHECK", Side::Left), ("FOUND", Side::Left)]);
        table.row(vec!["store".into(), format!("at {}", "x".repeat(40)).into()]);
        let want = format!("CHECK  FOUND\nstore  at\n       {}\n       {}\n", "x".repeat(33), "x".repeat(7));
        assert_eq!(table.render(Some(40), Paint::OFF), want);
    }

    #[test]
    fn colour_does_not_count_as_width_and_letters_are_those_of_the_terminal() {
        let painted = table().render(None, Paint::ON);
        assert!(painted.starts_with("\x1b[1mNAME\x1b[0m                   "), "{painted:?}");
        let old = table().render(None, Paint::ASCII);
        assert!(old.is_ascii() && old.contains("\\u{6f22}\\u{5b57}            9 B"), "{old}");
    }
}
