//! From measurements to medians, ratios and the table of the document.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::peers::Tool;

/// Where the table begins in the document.
pub const BEGIN: &str = "<!-- bench:begin -->";

/// Where it ends.
pub const END: &str = "<!-- bench:end -->";

/// What one run of one tool on one volume gave; seconds and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// Backing up.
    pub back_up: f64,
    /// Restoring all.
    pub restore: f64,
    /// Restoring one file.
    pub one: f64,
    /// Backing up to SeaweedFS.
    pub seaweedfs: f64,
    /// Sent for the backup.
    pub sent: f64,
    /// Fetched for the one file.
    pub one_fetched: f64,
    /// The most memory of all.
    pub peak: f64,
    /// Backing up after a day of changes.
    pub changed: f64,
    /// Sent for that.
    pub changed_sent: f64,
    /// Backing up when nothing changed.
    pub unchanged: f64,
    /// Sent for that.
    pub unchanged_sent: f64,
}

impl Outcome {
    const WHOLE: [fn(&Self) -> f64; 7] =
        [|o| o.back_up, |o| o.restore, |o| o.one, |o| o.seaweedfs, |o| o.sent, |o| o.one_fetched, |o| o.peak];

    const AGAIN: [fn(&Self) -> f64; 4] =
        [|o| o.changed, |o| o.unchanged, |o| o.changed_sent, |o| o.unchanged_sent];
}

/// The outcomes of one tool on one volume.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which tool.
    pub tool: Tool,
    /// One for each run.
    pub outcomes: Vec<Outcome>,
}

impl Row {
    fn medians<const N: usize>(&self, figures: [fn(&Outcome) -> f64; N]) -> [f64; N] {
        figures.map(|figure| median(self.outcomes.iter().map(figure).collect()))
    }
}

/// The middle of the values, or the mean of the two in the middle; zero of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match (n, n % 2) {
        (0, _) => 0.0,
        (_, 1) => values[n / 2],
        _ => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// The tables of one volume: seconds, megabytes, and how we stand to the best of the others.
pub fn of_volume(title: &str, rows: &[Row]) -> String {
    let mut out = format!("### {title}\n\n");
    out.push_str("| | back up, s | restore, s | one file, s | back up to SeaweedFS, s | sent, MB | one file fetched, MB | peak memory, MB |\n");
    out.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    body(&mut out, rows, Outcome::WHOLE, |i, value| if i < 4 { seconds(value) } else { megabytes(value) });
    let again: Vec<Row> = rows.iter().filter(|row| row.tool.is_incremental()).cloned().collect();
    if !again.is_empty() {
        out.push_str("\n| | back up what changed, s | nothing changed, s | sent of what changed, MB | sent of nothing, MB |\n");
        out.push_str("| --- | ---: | ---: | ---: | ---: |\n");
        body(
            &mut out,
            &again,
            Outcome::AGAIN,
            |i, value| if i < 2 { seconds(value) } else { megabytes(value) },
        );
    }
    out.push('\n');
    out
}

fn body<const N: usize>(
    out: &mut String,
    rows: &[Row],
    figures: [fn(&Outcome) -> f64; N],
    show: fn(usize, f64) -> String,
) {
    let shown = |values: [f64; N]| -> Vec<String> {
        values.into_iter().enumerate().map(|(i, value)| show(i, value)).collect()
    };
    for row in rows {
        line(out, row.tool.name(), &shown(row.medians(figures)));
    }
    for other in rows.iter().filter(|row| row.tool != Tool::Backupctl) {
        if let Some(ours) = rows.iter().find(|row| row.tool == Tool::Backupctl) {
            let (ours, theirs) = (ours.medians(figures), other.medians(figures));
            let ratios: Vec<_> = ours.iter().zip(theirs).map(|(ours, theirs)| ratio(*ours, theirs)).collect();
            line(out, &format!("ours to {}", other.tool.name()), &ratios);
        }
    }
}

fn line(out: &mut String, name: &str, cells: &[String]) {
    // Writing into a String cannot fail.
    writeln!(out, "| {name} | {} |", cells.join(" | ")).unwrap_or_default();
}

fn seconds(value: f64) -> String {
    format!("{value:.2}")
}

fn megabytes(value: f64) -> String {
    match value / 1e6 {
        mb if mb < 1.0 => format!("{mb:.3}"),
        mb if mb < 10.0 => format!("{mb:.1}"),
        mb => format!("{mb:.0}"),
    }
}

fn ratio(ours: f64, best: f64) -> String {
    if best > 0.0 { format!("{:.2}", ours / best) } else { "-".to_owned() }
}

/// Puts `table` between the marks of a document and leaves the rest alone.
pub fn replace_marked(document: &str, table: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_old, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", table.trim()))
}

/// The same for a file.
pub fn write_into(path: &Path, table: &str) -> io::Result<()> {
    let document = std::fs::read_to_string(path)?;
    let new = replace_marked(&document, table)
        .ok_or_else(|| io::Error::other(format!("{} has no marks for the table", path.display())))?;
    engine::durable::replace(path, new.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_the_middle() {
        for (values, want) in
            [(vec![], 0.0), (vec![3.0], 3.0), (vec![9.0, 1.0, 2.0], 2.0), (vec![1.0, 4.0], 2.5)]
        {
            assert!((median(values.clone()) - want).abs() < 1e-9, "{values:?}");
        }
    }

    #[test]
    fn a_table_names_tools_and_ratios() {
        let outcome = |back_up| Outcome { back_up, sent: 5e6, peak: 50e6, ..Outcome::default() };
        let row = |tool, back_up| Row { tool, outcomes: vec![outcome(back_up)] };
        let rows = [row(Tool::Backupctl, 2.0), row(Tool::TarZstd, 4.0), row(Tool::Restic, 8.0)];
        let table = of_volume("small", &rows);
        assert!(table.contains("| backupctl | 2.00 | 0.00 | 0.00 | 0.00 | 5.0 | 0.000 | 50 |"), "{table}");
        assert!(table.contains("| ours to tar+zstd | 0.50 | - | - | - | 1.00 | - | 1.00 |"), "{table}");
        assert!(table.contains("| ours to restic | 0.25 | - | - | - | 1.00 | - | 1.00 |"), "{table}");
        assert!(table.contains("| restic | 0.00 | 0.00 | 0.000 | 0.000 |"), "{table}");
    }

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let document = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(replace_marked(&document, "new\n"), Some(format!("a\n{BEGIN}\nnew\n{END}\nb\n")));
        assert_eq!(replace_marked("nothing", "new"), None);
    }
}
