//! `backupctl runs`.

use engine::failure::Failure;
use engine::usecase::runs::{RunLine, run_of, runs};
use engine::words::RunId;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::screen::paint::{Paint, Style};
use crate::screen::table::{Cell, Side, Table};
use crate::screen::units;
use crate::session::{Ending, Session};

/// List what ran and what runs, newest first
///
/// From this host's catalog; runs of every program on this host are in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl runs
  backupctl runs 00112233445566aa
  backupctl runs --limit 100 --json")]
pub(crate) struct Args {
    /// Only this one
    #[arg(conflicts_with = "limit")]
    run: Option<RunId>,

    /// At most so many
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    let lines = match &args.run {
        Some(run) => vec![run_of(&host, run)?],
        None => runs(&host, args.limit)?,
    };
    let screen = &session.screen;
    if screen.is_json() {
        screen.value(&lines)?;
    } else if lines.is_empty() {
        screen.say("nothing ran yet\n");
    } else {
        screen.result(&text(&lines, screen.now(), screen.zone(), screen.width(), screen.paint()))?;
    }
    Ok(Ending::Done)
}

fn text(lines: &[RunLine], now: Timestamp, zone: &TimeZone, width: Option<usize>, paint: Paint) -> String {
    let columns = [
        ("RUN", Side::Left),
        ("VERB", Side::Left),
        ("SOURCE", Side::Left),
        ("STATE", Side::Left),
        ("BEGAN", Side::Left),
        ("TOOK", Side::Right),
        ("SIZE", Side::Right),
        ("RESULT", Side::Left),
    ];
    let mut table = Table::new(&columns).spare(&["SIZE", "TOOK", "VERB"]);
    for line in lines {
        let took = line.ended_at.unwrap_or(now).duration_since(line.began_at).unsigned_abs();
        let took = match (line.ended_at, line.live) {
            (None, false) => "-".to_owned(),
            (None | Some(_), _) => units::span(took),
        };
        // Its source stands on the same line.
        let snapshot = line.snapshot.as_ref().map(|id| id.strip_prefix(&line.source).unwrap_or(id));
        let result = match (snapshot, line.message.as_str()) {
            (Some(snapshot), "") => snapshot.to_owned(),
            (Some(snapshot), message) => format!("{snapshot}: {message}"),
            (None, message) => message.to_owned(),
        };
        let state = match (line.live, line.ended_at) {
            (true, _) => Cell::styled(&line.state, Style::Good),
            (false, None) => Cell::styled(&line.state, Style::Bad),
            (false, Some(_)) => line.state.as_str().into(),
        };
        table.row(vec![
            line.run.as_str().into(),
            line.verb.as_str().into(),
            line.source.as_str().into(),
            state,
            units::moment(line.began_at, zone).into(),
            took.into(),
            units::bytes(line.bytes).into(),
            result.into(),
        ]);
    }
    table.render(width, paint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-20T{text}Z").parse().unwrap()
    }

    fn rows() -> Vec<RunLine> {
        let done = RunLine {
            run: "00112233445566aa".into(),
            verb: "backup".into(),
            source: "db-data".into(),
            state: "done".into(),
            began_at: at("13:00:00"),
            ended_at: Some(at("13:02:05")),
            snapshot: Some("db-data@42".into()),
            entries: 1300,
            bytes: 5 << 30,
            message: String::new(),
            live: false,
        };
        let live =
            RunLine { state: "reading".into(), ended_at: None, snapshot: None, live: true, ..done.clone() };
        let dead = RunLine {
            state: "reading (cut off)".into(),
            live: false,
            message: "cut \x1b[2Joff".into(),
            ..live.clone()
        };
        vec![live, done, dead]
    }

    #[test]
    fn the_table_tells_live_done_and_dead_apart() {
        let want = "\
RUN               VERB    SOURCE   STATE              BEGAN                     TOOK     SIZE  RESULT
00112233445566aa  backup  db-data  reading            2026-11-20 13:00:00     10 min  5.0 GiB
00112233445566aa  backup  db-data  done               2026-11-20 13:00:00  2 min 5 s  5.0 GiB  @42
00112233445566aa  backup  db-data  reading (cut off)  2026-11-20 13:00:00          -  5.0 GiB  cut \\u{1b}[2Joff
";
        assert_eq!(text(&rows(), at("13:10:00"), &TimeZone::UTC, Some(120), Paint::OFF), want);
    }

    #[test]
    fn json_lines_carry_the_fixed_fields() {
        let value = serde_json::to_value(&rows()[1]).unwrap();
        for field in [
            "run", "verb", "source", "state", "began_at", "ended_at", "snapshot", "entries", "bytes",
            "message", "live",
        ] {
            assert!(!value[field].is_null(), "{field}");
        }
    }
}
