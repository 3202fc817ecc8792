//! The tables of one volume: medians, and how ours stand to those of each other tool.

use std::fmt::Write as _;

use super::results::{Figure, Results};
use super::tools::Tool;

/// A column: its heading, its figure, and how it is shown.
type Column = (&'static str, Figure, fn(f64) -> String);

const WHOLE: &[Column] = &[
    ("back up, s", Figure::BackUp, seconds),
    ("restore, s", Figure::Restore, seconds),
    ("one file, s", Figure::One, seconds),
    ("back up to SeaweedFS once, s", Figure::SeaweedFs, seconds),
    ("sent, MB", Figure::Sent, megabytes),
    ("one file fetched, MB", Figure::OneFetched, megabytes),
    ("peak memory, MB", Figure::Peak, megabytes),
];

const AGAIN: &[Column] = &[
    ("back up what changed, s", Figure::Changed, seconds),
    ("nothing changed, s", Figure::Unchanged, seconds),
    ("sent of what changed, MB", Figure::ChangedSent, megabytes),
    ("sent of nothing, MB", Figure::UnchangedSent, megabytes),
];

/// Both tables: what all tools do, and what those do that know what they have sent.
pub fn of_volume(results: &Results) -> String {
    let tools = results.tools();
    let again: Vec<Tool> = tools.iter().copied().filter(|tool| tool.is_incremental()).collect();
    let mut out = table(results, &tools, WHOLE);
    if !again.is_empty() {
        out.push('\n');
        out.push_str(&table(results, &again, AGAIN));
    }
    out
}

fn table(results: &Results, tools: &[Tool], columns: &[Column]) -> String {
    let headings: Vec<String> = columns.iter().map(|(heading, ..)| (*heading).to_owned()).collect();
    let mut out = String::new();
    line(&mut out, "", "runs", &headings);
    line(&mut out, "---", "---:", &vec!["---:".to_owned(); columns.len()]);
    let median = |tool, figure| results.median(tool, figure);
    for tool in tools {
        let cells = columns.iter().map(|(_, figure, show)| median(*tool, *figure).map_or_else(nothing, show));
        line(&mut out, tool.name(), &results.runs(*tool).to_string(), &cells.collect::<Vec<_>>());
    }
    let ours = |figure| median(Tool::Backupctl, figure);
    for other in tools.iter().filter(|tool| **tool != Tool::Backupctl && tools.contains(&Tool::Backupctl)) {
        let cells = columns.iter().map(|(_, figure, _)| {
            let both = ours(*figure).zip(median(*other, *figure)).filter(|(_, theirs)| *theirs > 0.0);
            both.map_or_else(nothing, |(ours, theirs)| format!("{:.2}", ours / theirs))
        });
        line(&mut out, &format!("ours to {}", other.name()), "", &cells.collect::<Vec<_>>());
    }
    out
}

fn line(out: &mut String, name: &str, runs: &str, cells: &[String]) {
    // Writing into a String cannot fail.
    writeln!(out, "| {name} | {runs} | {} |", cells.join(" | ")).unwrap_or_default();
}

fn nothing() -> String {
    "-".to_owned()
}

/// As all tables show them.
pub fn seconds(value: f64) -> String {
    format!("{value:.2}")
}

/// As all tables show bytes: three digits or so.
pub fn megabytes(bytes: f64) -> String {
    match bytes / 1e6 {
        mb if mb < 1.0 => format!("{mb:.3}"),
        mb if mb < 10.0 => format!("{mb:.1}"),
        mb => format!("{mb:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_tools_and_ratios() {
        let mut results = Results::default();
        for (tool, back_up) in
            [(Tool::Backupctl, 1.0), (Tool::Backupctl, 3.0), (Tool::TarZstd, 4.0), (Tool::Borg, 8.0)]
        {
            results.note(tool, Figure::BackUp, back_up);
            results.note(tool, Figure::Sent, 5e6);
            results.note(tool, Figure::Peak, 50e6);
        }
        results.note(Tool::Backupctl, Figure::Unchanged, 0.5);
        let table = of_volume(&results);
        assert!(table.contains("| backupctl | 2 | 2.00 | - | - | - | 5.0 | - | 50 |"), "{table}");
        assert!(table.contains("| ours to tar+zstd |  | 0.50 | - | - | - | 1.00 | - | 1.00 |"), "{table}");
        assert!(table.contains("| ours to borg |  | 0.25 | - | - | - | 1.00 | - | 1.00 |"), "{table}");
        assert!(table.contains("| backupctl | 2 | - | 0.50 | - | - |"), "{table}");
        assert_eq!(table.matches("tar+zstd").count(), 2, "no second table of what sends all again: {table}");
    }

    #[test]
    fn small_things_are_not_shown_as_nothing() {
        let shown = [1_500.0, 1_500_000.0, 150_400_000.0].map(megabytes);
        assert_eq!(shown, ["0.002", "1.5", "150"]);
    }
}
