//! Tables that align, whatever alphabet their cells are in.
//!
//! On a terminal the one column that may give way is cut to the terminal's width; elsewhere nothing is
//! ever cut, so that a script sees all of it.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

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
    gives_way: usize,
    rows: Vec<Vec<Cell>>,
}

/// The narrowest that the column which gives way becomes.
const LEAST: usize = 8;

impl Table {
    /// `gives_way` is the index of the column that is cut first.
    pub(crate) fn new(columns: &[(&'static str, Side)], gives_way: usize) -> Self {
        assert!(gives_way < columns.len(), "BUG: no column {gives_way} can give way");
        Self { columns: columns.to_vec(), gives_way, rows: Vec::new() }
    }

    /// Adds a row, as long as the headings.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        assert!(cells.len() == self.columns.len(), "BUG: a row of {} cells", cells.len());
        self.rows.push(cells);
    }

    /// All lines, each ended; `width` is the terminal's, `None` where there is none.
    pub(crate) fn render(&self, width: Option<usize>, paint: Paint) -> String {
        let widths = self.widths(width);
        let mut out = String::new();
        let headings: Vec<Cell> =
            self.columns.iter().map(|(text, _)| Cell::styled(text, Style::Heading)).collect();
        for row in std::iter::once(&headings).chain(&self.rows) {
            self.line(&mut out, row, &widths, paint);
        }
        out
    }

    fn widths(&self, width: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(text, _)| text.width()).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(cell.text.width());
            }
        }
        if let Some(width) = width {
            let all = widths.iter().sum::<usize>() + 2 * (widths.len() - 1);
            let cut = &mut widths[self.gives_way];
            *cut = cut.saturating_sub(all.saturating_sub(width)).max(LEAST.min(*cut));
        }
        widths
    }

    fn line(&self, out: &mut String, row: &[Cell], widths: &[usize], paint: Paint) {
        for (i, ((cell, (_, side)), width)) in row.iter().zip(&self.columns).zip(widths).enumerate() {
            let text = cut(&cell.text, *width);
            let pad = " ".repeat(width - text.width());
            let last = i + 1 == row.len();
            if *side == Side::Right {
                out.push_str(&pad);
            }
            out.push_str(&paint.style(&text, cell.style));
            if *side == Side::Left && !last {
                out.push_str(&pad);
            }
            if !last {
                out.push_str("  ");
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
}

/// `text` in at most `width` columns, its end replaced by `…` where it is longer.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[("NAME", Side::Left), ("SIZE", Side::Right), ("WHY", Side::Left)], 0);
        table.row(vec!["db-data-of-a-long-name".into(), "1.5 KiB".into(), "".into()]);
        table.row(vec!["漢字".into(), "9 B".into(), "a\x1b[0m".into()]);
        table
    }

    #[test]
    fn columns_align_in_any_alphabet_and_nothing_is_cut_without_a_terminal() {
        let want = "\
NAME                       SIZE  WHY
db-data-of-a-long-name  1.5 KiB
漢字                        9 B  a\\u{1b}[0m
";
        assert_eq!(table().render(None, Paint::OFF), want);
    }

    #[test]
    fn one_column_gives_way_on_a_terminal() {
        let want = "\
NAME             SIZE  WHY
db-data-of-…  1.5 KiB
漢字              9 B  a\\u{1b}[0m
";
        assert_eq!(table().render(Some(33), Paint::OFF), want);
        assert!(
            table().render(Some(5), Paint::OFF).starts_with("NAME         SIZE"),
            "never under 8 columns"
        );
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let painted = table().render(None, Paint::ON);
        assert!(painted.starts_with("\x1b[1mNAME\x1b[0m                   "), "{painted:?}");
    }

    #[test]
    fn a_wide_character_is_never_cut_in_two() {
        assert_eq!(cut("漢字漢字", 6), "漢字…");
        assert_eq!(cut("漢字漢字", 5), "漢字…");
        assert_eq!(cut("漢字漢字", 4), "漢…");
    }
}
