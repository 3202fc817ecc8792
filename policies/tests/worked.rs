//! The worked examples of `docs/retention.md` are what the planner says.
//!
//! A block marked `text worked` stands behind one with a `[keep]`, and shows a history, a line a snapshot: its number, when it
//! was taken, what is special about it, and what becomes of it. The last is made anew here, from the rest.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use policies::retention::guard::Flag;
use policies::retention::{Clock, Keep, Lineage, Snapshot, plan};

/// A rule, and the lines of a history.
struct Example {
    keep: Keep,
    lines: Vec<String>,
}

fn examples(document: &str) -> Vec<Example> {
    let (mut found, mut keep, mut block) = (Vec::new(), None, None::<(String, Vec<String>)>);
    for line in document.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(mark)) => block = Some((mark.to_owned(), Vec::new())),
            (None, None) => {}
            (Some((_, lines)), None) => lines.push(line.to_owned()),
            (Some(_), Some(_)) => {
                let (mark, lines) = block.take().unwrap();
                match mark.as_str() {
                    "toml" if lines[0] == "[keep]" => keep = Some(rule(&lines[1..])),
                    "text worked" => found.push(Example { keep: keep.take().unwrap(), lines }),
                    _ => {}
                }
            }
        }
    }
    found
}

/// `daily = 7` and `within = "2d"`, a line each, as people write them in one line.
fn rule(lines: &[String]) -> Keep {
    let parts: Vec<_> =
        lines.iter().map(|line| line.split('#').next().unwrap().replace([' ', '"'], "")).collect();
    parts.join(",").parse().unwrap()
}

fn moment(text: &str) -> Timestamp {
    text.parse::<DateTime>().unwrap().to_zoned(TimeZone::UTC).unwrap().timestamp()
}

/// The columns of a line, which two blanks part.
fn columns(line: &str) -> [&str; 4] {
    let found: Vec<_> = line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
    found.try_into().unwrap()
}

/// An hour after the newest, the plan of a history.
fn planned(example: &Example) -> Vec<String> {
    let mut lineage = Lineage::default();
    for line in &example.lines {
        let [number, taken, special, _] = columns(line);
        let is = |word: &str| special.split(", ").any(|one| one == word);
        let snapshot = Snapshot {
            number: number.trim_start_matches('@').parse().unwrap(),
            taken_at: moment(taken),
            by_hand: is("by hand"),
            partial: is("partial"),
            proven: is("proven"),
            pinned: is("pinned"),
            needs: Vec::new(),
            deleted_at: special.strip_prefix("deleted ").map(moment),
        };
        if is("holds a tenth") {
            let flag = Flag::Shrunk { from: 40 << 30, to: 4 << 30, limit: 50 };
            lineage.flags.push((snapshot.number, flag));
        }
        lineage.snapshots.push(snapshot);
    }
    let newest = lineage.snapshots.iter().map(|snapshot| snapshot.taken_at).max().unwrap();
    let clock = Clock { now: newest + jiff::SignedDuration::from_hours(1), store: None };
    let plan = plan(&lineage, &example.keep, &TimeZone::UTC, &clock);
    let widest = example.lines.iter().map(|line| columns(line)[2].len()).max().unwrap();
    let lines = plan.all.iter().zip(&example.lines).map(|(decided, line)| {
        let [number, taken, special, _] = columns(line);
        format!("{number:<4}  {taken}  {special:<widest$}  {}", decided.decision)
    });
    lines.collect()
}

#[test]
fn the_examples_are_what_the_planner_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/retention.md");
    let examples = examples(&std::fs::read_to_string(path).unwrap());
    assert!(examples.len() >= 5, "only {} examples: are they still marked?", examples.len());
    let differ = |example: &Example| Some(planned(example)).filter(|now| *now != example.lines);
    let broken: Vec<_> = examples.iter().filter_map(differ).map(|lines| lines.join("\n")).collect();
    assert!(broken.is_empty(), "these should stand there:\n\n{}\n", broken.join("\n\n"));
}
