//! The status page: one screen that says whether everything is protected, drawn here, for any browser on this host.
//!
//! Always true: it is whole without scripts, fonts or pictures from anywhere, and its policy forbids them; whatever
//! Docker or a file name says comes out as text; alarms come first.

use engine::units;
use engine::usecase::history::History;
use engine::usecase::vanished::Vanished;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::tables::{drills, runs, sources};
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
    out += &drills(view);
    out += &runs(view);
    out + "</main></body></html>\n"
}

/// Everything that somebody must look at.
fn alarms(view: &View<'_>) -> Vec<String> {
    let mut alarms: Vec<String> = view.trouble.to_vec();
    for health in &view.sight.health {
        alarms.extend(health.alarms());
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

pub(super) fn moment(at: Option<Timestamp>, zone: &TimeZone) -> String {
    at.map(|at| format!("<time>{}</time>", units::moment_with_zone(at, zone))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use engine::usecase::runs::RunLine;

    use super::*;
    use crate::page::tests::{drilled, health};

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
            "<h2>Runs",
            "no space",
        ];
        let places: Vec<usize> = places.iter().map(|text| bad.find(text).unwrap()).collect();
        assert!(places.is_sorted(), "{places:?}\n{bad}");
        assert!(page(&Sight::default(), &[], &History::default()).contains("No source is under a policy"));
    }

    #[test]
    fn what_drills_proved_has_a_table_where_there_are_drills() {
        let mut proven = health("db", false);
        proven.drill = Some(drilled(false));
        let mut late = health("web", false);
        late.drill = Some(drilled(true));
        let sight = Sight { health: vec![proven, late, health("no", false)], vanished: Vec::new() };
        let out = page(&sight, &[], &History::default());
        let (_, drills) = out.split_once("<h2>Drills</h2>").unwrap();
        assert_eq!(drills.matches("<tr><th>").count(), 2, "heading and one that is well: {drills}");
        assert!(drills.contains("<tr class=\"bad\"><th>web</th>"), "{drills}");
        assert!(drills.contains("a@1") && drills.contains("2.5 s") && drills.contains("7 d"), "{drills}");
        let none = Sight { health: vec![health("no", false)], vanished: Vec::new() };
        assert!(!page(&none, &[], &History::default()).contains("Drills"));
    }

    #[test]
    fn every_cell_brings_its_columns_name_along_for_narrow_screens() {
        let sight = Sight { health: vec![health("db", false)], vanished: Vec::new() };
        let history = History { runs: vec![run("no space")], ..History::default() };
        let out = page(&sight, &[], &history);
        assert_eq!(out.matches("<td").count(), out.matches("data-name=\"").count(), "{out}");
        assert!(out.contains("<td class=\"state bad\" data-name=\"State\">failed</td>"), "{out}");
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
