//! The tables of the status page: how each source stands with its snapshots over time, its drills, and what ran.
//!
//! Always true: whatever Docker or a file name says comes out as text; every cell brings its column's name along, so that a
//! narrow screen shows each row as a card.

use std::fmt::Write as _;

use engine::units;
use engine::usecase::drill::DrillStanding;
use engine::usecase::health::Health;
use engine::usecase::runs::RunLine;
use engine::words::SourceName;

use super::chart::chart;
use super::screen::{View, escaped, moment};

/// A column: its name, and the class of its cells.
type Column = (&'static str, &'static str);

/// The policy stands beneath the name of the source.
const SOURCES: [Column; 5] =
    [("Last good", ""), ("Snapshots", "chart"), ("Size", "n"), ("Next", ""), ("Now", "now")];

const DRILLS: [Column; 6] =
    [("Proven", ""), ("Snapshot", ""), ("Restored in", "n"), ("Every", "n"), ("Next", ""), ("Now", "now")];

const RUNS: [Column; 6] =
    [("Verb", ""), ("Source", ""), ("State", "state"), ("Took", "n"), ("Read", "n"), ("Why", "why")];

/// A table whose rows begin with a heading of their own.
struct Table {
    columns: &'static [Column],
    out: String,
}

impl Table {
    fn new(title: &str, first: &str, columns: &'static [Column]) -> Self {
        let mut out = format!("<section><h2>{title}</h2>\n<table><thead><tr><th>{first}</th>");
        for (name, class) in columns {
            // Writing into a text cannot fail.
            write!(out, "<th{}>{name}</th>", class_of(class)).ok();
        }
        Self { columns, out: out + "</tr></thead><tbody>\n" }
    }

    /// A row; each cell with a class beside its column's, and what is in it, safe already.
    fn row(&mut self, is_bad: bool, first: &str, cells: &[(&str, String)]) {
        assert!(cells.len() == self.columns.len(), "BUG: a row of {} cells", cells.len());
        let bad = if is_bad { class_of("bad") } else { String::new() };
        write!(self.out, "<tr{bad}><th>{first}</th>").ok();
        for ((name, of_column), (class, inside)) in self.columns.iter().zip(cells) {
            let class = class_of(format!("{of_column} {class}").trim());
            write!(self.out, "<td{class} data-name=\"{name}\">{inside}</td>").ok();
        }
        self.out += "</tr>\n";
    }

    fn end(self, legend: &str) -> String {
        self.out + "</tbody></table>\n" + legend + "</section>\n"
    }
}

fn class_of(class: &str) -> String {
    if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") }
}

/// Sources, each with its snapshots over time.
pub(super) fn sources(view: &View<'_>) -> String {
    if view.sight.health.is_empty() {
        return String::new();
    }
    let mut table = Table::new("Sources", "Source", &SOURCES);
    for health in &view.sight.health {
        let name = health.source.parse::<SourceName>().ok();
        let points = name.and_then(|name| view.history.snapshots.get(&name)).map_or(&[][..], Vec::as_slice);
        let first = format!("{} <small>{}</small>", escaped(&health.source), escaped(&health.policy));
        let good = health.last_good.map_or_else(
            || "never".to_owned(),
            |at| {
                let age = units::since(at, view.now);
                format!("<b>{age}</b> <small>{}</small>", moment(Some(at), view.zone))
            },
        );
        let (class, now) = now(health, view);
        let size = points.last().map(|point| units::bytes(point.bytes)).unwrap_or_default();
        table.row(
            health.is_alarming(),
            &first,
            &[
                ("", good),
                ("", chart(points, view.now, view.zone)),
                ("", size),
                ("", moment(health.next, view.zone)),
                (class, now),
            ],
        );
    }
    table.end(
        "<p class=\"legend\"><span class=\"whole\">whole</span> <span class=\"proven\">read back and good</span> \
         <span class=\"partial\">partial</span> <span class=\"damaged\">damaged</span></p>\n",
    )
}

/// What happens to it right now, or what is wrong.
fn now(health: &Health, view: &View<'_>) -> (&'static str, String) {
    match &health.running {
        Some(run) => ("good", escaped(&run.progress(view.now))),
        None if health.overdue => ("bad", "overdue".to_owned()),
        None if health.failures > 0 => ("bad", "failed".to_owned()),
        None if health.held.is_some() => ("some", "pruning is held".to_owned()),
        None => ("", String::new()),
    }
}

/// What drills proved, of the sources that have any.
pub(super) fn drills(view: &View<'_>) -> String {
    let drilled = view.sight.health.iter().filter_map(|health| Some((health, health.drill.as_ref()?)));
    let drilled: Vec<(&Health, &DrillStanding)> = drilled.collect();
    if drilled.is_empty() {
        return String::new();
    }
    let mut table = Table::new("Drills", "Source", &DRILLS);
    for (health, drill) in drilled {
        let proven = drill.proven_at.map_or_else(
            || "never".to_owned(),
            |at| {
                format!(
                    "<b>{}</b> <small>{}</small>",
                    units::since(at, view.now),
                    moment(Some(at), view.zone)
                )
            },
        );
        let every = drill.every_seconds.and_then(|every| u64::try_from(every).ok());
        let every = every.map(|every| units::span(std::time::Duration::from_secs(every)));
        let (class, now) = match (drill.running, drill.trouble()) {
            (true, _) => ("good", "a drill is on".to_owned()),
            (false, Some(trouble)) => ("bad", trouble),
            (false, None) if drill.overdue => ("bad", "overdue".to_owned()),
            (false, None) => ("", String::new()),
        };
        table.row(
            drill.is_alarming(),
            &escaped(&health.source),
            &[
                ("", proven),
                ("", escaped(drill.proven.as_deref().unwrap_or_default())),
                ("", drill.restore_seconds.map(units::seconds).unwrap_or_default()),
                ("", every.unwrap_or_default()),
                ("", moment(drill.next, view.zone)),
                (class, escaped(&now)),
            ],
        );
    }
    table.end("")
}

/// The newest runs.
pub(super) fn runs(view: &View<'_>) -> String {
    if view.history.runs.is_empty() {
        return String::new();
    }
    let mut table = Table::new("Runs", "Began", &RUNS);
    for run in &view.history.runs {
        let took = run.ended_at.map(|end| units::span(end.duration_since(run.began_at).unsigned_abs()));
        table.row(
            false,
            &moment(Some(run.began_at), view.zone),
            &[
                ("", escaped(&run.verb)),
                ("", escaped(run.snapshot.as_ref().unwrap_or(&run.source))),
                (standing(run), escaped(&run.state)),
                ("", took.unwrap_or_default()),
                ("", units::bytes(run.bytes)),
                ("", escaped(&run.message)),
            ],
        );
    }
    table.end("")
}

fn standing(run: &RunLine) -> &'static str {
    match (run.live, run.state.as_str()) {
        (true, _) => "good",
        (false, "done") => "",
        (false, "partial" | "interrupted") => "some",
        (false, _) => "bad",
    }
}
