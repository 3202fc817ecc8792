//! The status page: one screen that says whether everything is protected, drawn here, for any browser on this host.
//!
//! Always true: it is whole without scripts, fonts or pictures from anywhere, and its policy forbids them; whatever
//! Docker or a file name says comes out as text; alarms come first.

use std::fmt::Write as _;

use engine::units;
use engine::usecase::history::History;
use engine::usecase::runs::RunLine;
use engine::usecase::vanished::Vanished;
use engine::words::SourceName;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::chart::chart;
use crate::keeping::Sight;
use crate::watching::line;

const STYLE: &str = include_str!("screen.css");

/// What is shown.
pub(super) struct View<'a> {
    /// This host's name in the store.
    pub(super) host: &'a str,
    pub(super) sight: &'a Sight,
    /// What makes the whole service ill.
    pub(super) trouble: &'a [String],
    pub(super) history: &'a History,
    pub(super) now: Timestamp,
    pub(super) zone: &'a TimeZone,
}

/// As text within a page or between quotes; control characters are made visible.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in line(text).chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

/// The page.
pub(super) fn html(view: &View<'_>) -> String {
    let host = escaped(view.host);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"30\">\
         <title>{host}: backups</title><style>{STYLE}</style></head><body>\n\
         <header><h1>{host}</h1><p>as of {}</p></header>\n<main>\n",
        moment(Some(view.now), view.zone)
    );
    let alarms = alarms(view);
    out += &verdict(view, alarms.len());
    if !alarms.is_empty() {
        out += "<ul class=\"alarms\">";
        alarms.iter().for_each(|alarm| out += &format!("<li>{}</li>", escaped(alarm)));
        out += "</ul>\n";
    }
    out += &sources(view);
    out += &runs(&view.history.runs, view.zone);
    out + "</main></body></html>\n"
}

/// Everything that somebody must look at.
fn alarms(view: &View<'_>) -> Vec<String> {
    let mut alarms: Vec<String> = view.trouble.to_vec();
    for health in &view.sight.health {
        alarms.extend(health.alarms());
        let held = health.held.as_ref();
        alarms.extend(held.map(|held| format!("`{}`: nothing of it is pruned: {held}", health.source)));
    }
    alarms.extend(view.sight.vanished.iter().map(Vanished::alarm));
    alarms
}

fn verdict(view: &View<'_>, alarms: usize) -> String {
    let counted = units::counted(view.sight.health.len() as u64, "source", "sources");
    match (alarms, view.sight.health.is_empty()) {
        (0, true) => "<p class=\"verdict unknown\">No source is under a policy</p>\n".to_owned(),
        (0, false) => format!("<p class=\"verdict good\">{counted} under a policy, all is well</p>\n"),
        (n, _) => {
            let alarms = units::counted(n as u64, "alarm", "alarms");
            format!("<p class=\"verdict bad\">{counted} under a policy, {alarms}</p>\n")
        }
    }
}

fn sources(view: &View<'_>) -> String {
    if view.sight.health.is_empty() {
        return String::new();
    }
    let mut out = "<h2>Sources</h2>\n<table><thead><tr><th>Source</th><th>Policy</th><th>Last good</th>\
                   <th>Next</th><th class=\"n\">Size</th><th>Snapshots</th><th>Now</th></tr></thead><tbody>\n"
        .to_owned();
    for health in &view.sight.health {
        let name = health.source.parse::<SourceName>().ok();
        let points = name.and_then(|name| view.history.snapshots.get(&name)).map_or(&[][..], Vec::as_slice);
        let age = health.last_good.map(|at| units::since(at, view.now)).unwrap_or_default();
        let size = points.last().map(|point| units::bytes(point.bytes)).unwrap_or_default();
        let class = if health.is_alarming() { " class=\"bad\"" } else { "" };
        // Writing into a text cannot fail.
        writeln!(
            out,
            "<tr{class}><th>{}</th><td>{}</td><td>{}<br><small>{age}</small></td><td>{}</td>\
             <td class=\"n\">{size}</td><td class=\"chart\">{}</td><td>{}</td></tr>",
            escaped(&health.source),
            escaped(&health.policy),
            health.last_good.map_or_else(|| "never".to_owned(), |at| moment(Some(at), view.zone)),
            moment(health.next, view.zone),
            chart(points, view.now, view.zone),
            health.running.as_ref().map(|run| run.progress(view.now)).unwrap_or_default(),
        )
        .ok();
    }
    out + "</tbody></table>\n<p class=\"legend\"><span class=\"whole\">whole</span> \
           <span class=\"proven\">read back and good</span> <span class=\"partial\">partial</span> \
           <span class=\"damaged\">damaged</span></p>\n"
}

fn runs(runs: &[RunLine], zone: &TimeZone) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let mut out = "<h2>Runs</h2>\n<table><thead><tr><th>Began</th><th>Verb</th><th>Source</th><th>State</th>\
                   <th class=\"n\">Took</th><th class=\"n\">Read</th><th>Why</th></tr></thead><tbody>\n"
        .to_owned();
    for run in runs {
        let took = run.ended_at.map(|end| units::span(end.duration_since(run.began_at).unsigned_abs()));
        writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td>{}</td></tr>",
            moment(Some(run.began_at), zone),
            escaped(&run.verb),
            escaped(run.snapshot.as_ref().unwrap_or(&run.source)),
            escaped(&run.state),
            took.unwrap_or_default(),
            units::bytes(run.bytes),
            escaped(&run.message),
        )
        .ok();
    }
    out + "</tbody></table>\n"
}

fn moment(at: Option<Timestamp>, zone: &TimeZone) -> String {
    at.map(|at| format!("<time>{}</time>", units::moment_with_zone(at, zone))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::health;

    fn run(message: &str) -> RunLine {
        let at = |text: &str| text.parse().unwrap();
        RunLine {
            run: "r".into(),
            verb: "backup".into(),
            source: "db".into(),
            state: "failed".into(),
            began_at: at("2026-11-20T02:00:00Z"),
            ended_at: Some(at("2026-11-20T02:00:09Z")),
            snapshot: None,
            entries: 1,
            bytes: 2048,
            message: message.into(),
            live: false,
        }
    }

    fn page(sight: &Sight, trouble: &[String], history: &History) -> String {
        let now = "2026-11-20T03:00:00Z".parse().unwrap();
        html(&View { host: "vm-1", sight, trouble, history, now, zone: &TimeZone::UTC })
    }

    #[test]
    fn it_says_at_once_whether_all_is_well_and_alarms_come_first() {
        let well = Sight { health: vec![health("db", false)], vanished: Vec::new() };
        let good = page(&well, &[], &History::default());
        assert!(good.contains("class=\"verdict good\">1 source under a policy, all is well"), "{good}");
        assert!(!good.contains("class=\"alarms\"") && good.contains("1 h ago"), "{good}");

        let mut held = health("web", false);
        held.held = Some("lost 90 % of its files".into());
        let since = "2026-11-20T01:00:00Z".parse().unwrap();
        let gone = Vanished { source: "old".into(), policy: "p".into(), since };
        let ill = Sight { health: vec![health("db", true), held], vanished: vec![gone] };
        let bad = page(
            &ill,
            &["Docker is away".into()],
            &History { runs: vec![run("no space")], ..History::default() },
        );
        assert!(bad.contains("class=\"verdict bad\">2 sources under a policy, 4 alarms"), "{bad}");
        let places = [
            "Docker is away",
            "`db` is overdue",
            "lost 90 %",
            "`old` is not there",
            "<h2>Sources",
            "no space",
        ];
        let places: Vec<usize> = places.iter().map(|text| bad.find(text).unwrap()).collect();
        assert!(places.is_sorted(), "{places:?}\n{bad}");
        assert!(page(&Sight::default(), &[], &History::default()).contains("No source is under a policy"));
    }

    #[test]
    fn what_others_have_named_is_text() {
        let evil = "<script>alert(1)</script>\u{1b}[2J\"'&";
        let mut sick = health(evil, true);
        sick.policy = evil.into();
        sick.message = Some(evil.into());
        let sight = Sight { health: vec![sick], vanished: Vec::new() };
        let out = page(&sight, &[evil.into()], &History { runs: vec![run(evil)], ..History::default() });
        assert!(!out.contains("<script") && !out.contains('\u{1b}'), "{out}");
        assert!(out.contains("&lt;script&gt;alert(1)&lt;/script&gt;\\u{1b}[2J&quot;&#39;&amp;"), "{out}");
    }

    /// Its own security policy would refuse them, and a page on a host without a way out would hang.
    #[test]
    fn it_needs_nothing_from_elsewhere() {
        let sight = Sight { health: vec![health("db", false)], vanished: Vec::new() };
        let out = page(&sight, &[], &History::default());
        for what in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!out.contains(what), "{what}");
        }
    }
}
