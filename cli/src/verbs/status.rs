//! `backupctl status`.

use std::time::Duration;

use engine::failure::{Class, Failure};
use engine::usecase::cover::{Cover, cover};
use engine::usecase::health::{Health, health};
use engine::usecase::host::Host;
use engine::usecase::ledger::Ledger;
use engine::usecase::presence::{AWAY, is_away};
use engine::usecase::remembered::remembered;
use engine::usecase::vanished::{Vanished, vanished};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use policies::select::Verdict;
use serde::Serialize;

use crate::screen::paint::{Paint, Style};
use crate::screen::table::{Cell, Side, Table};
use crate::screen::{fit, plain, units};
use crate::session::{Ending, Session};

/// Say on one screen whether everything is protected
///
/// Ends with exit code 1 when something is not as it should be. Alarms come first: what is overdue, what failed, what no policy can cover. Then every source with its last
/// good snapshot, its next run, and how far a run is that is on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl status
  backupctl status --watch
  backupctl status --json")]
pub(crate) struct Args {
    /// Say it again every 2 seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

const EVERY: Duration = Duration::from_secs(2);

/// All of it.
#[derive(Debug, PartialEq, Serialize)]
struct Status {
    alarms: Vec<String>,
    /// Sources that were under a policy and are missed; each is an alarm.
    vanished: Vec<Vanished>,
    /// Others that were under a policy, and are not there any more.
    gone: Vec<String>,
    unprotected: usize,
    sources: Vec<Health>,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    loop {
        let screen = &session.screen;
        let status = match look(&host, session).await {
            Ok(status) => status,
            // Whoever watches sees when it is over.
            Err(failure) if args.watch && !screen.is_reader_gone() => {
                screen.failure(&failure, serde_json::json!({}));
                session.clock().sleep(EVERY).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        if screen.is_json() {
            screen.value(&status)?;
        } else {
            let clear = if args.watch && screen.stdout_is_terminal() { "\x1b[H\x1b[2J" } else { "" };
            let text = text(&status, screen.now(), screen.zone(), screen.width(), screen.paint());
            screen.result(&format!("{clear}{text}"))?;
        }
        if !args.watch {
            return Ok(if status.alarms.is_empty() { Ending::Done } else { Ending::With(Class::Failed) });
        }
        session.clock().sleep(EVERY).await;
    }
}

async fn look(host: &Host, session: &Session) -> Result<Status, Failure> {
    let ledger = Ledger::read(host)?;
    let cover = match cover(host, &session.places()?).await {
        Ok(cover) => cover,
        // Where nothing was ever under a policy there is nothing to say but that.
        Err(failure) if ledger.sources.is_empty() => return Err(failure),
        Err(failure) => return Ok(blind(&failure, remembered(host, &ledger)?)),
    };
    let sources = health(host, &cover, &ledger)?;
    let vanished = vanished(host, &cover, &ledger)?;
    let mut status = status(&cover, &ledger, vanished, sources);
    if !status.sources.is_empty() && is_away(host) {
        status.alarms.insert(0, AWAY.to_owned());
    }
    Ok(status)
}

/// With policies or Docker out of sight, what is wrong comes first, and then what is known all the same.
fn blind(failure: &Failure, sources: Vec<Health>) -> Status {
    let hint = failure.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    let alarms = vec![
        format!("{failure}{hint}"),
        "what is overdue, missing or without a policy cannot be told; below is what is remembered".to_owned(),
    ];
    Status { alarms, vanished: Vec::new(), gone: Vec::new(), unprotected: 0, sources }
}

fn status(cover: &Cover, ledger: &Ledger, vanished: Vec<Vanished>, sources: Vec<Health>) -> Status {
    let mut alarms: Vec<String> = sources.iter().flat_map(Health::alarms).collect();
    alarms.extend(vanished.iter().map(Vanished::alarm));
    alarms.extend(ledger.lost(cover));
    let mut unprotected = 0;
    for outcome in cover.outcomes() {
        match outcome.verdict {
            Verdict::Clash { why, .. } | Verdict::UnknownPolicy { why, .. } => {
                alarms.push(format!("`{}` is not backed up: {why}", outcome.source.name));
            }
            Verdict::Unprotected { .. } if !outcome.source.is_orphan() => unprotected += 1,
            Verdict::Unprotected { .. } | Verdict::Chosen { .. } | Verdict::DecidedNot { .. } => {}
        }
    }
    let there = |name: &String| cover.sources.iter().any(|source| source.name == *name);
    let told = |name: &String| vanished.iter().any(|gone| gone.source == *name);
    let names = ledger.sources.keys().map(ToString::to_string);
    let gone = names.filter(|name| !there(name) && !told(name)).collect();
    Status { alarms, vanished, gone, unprotected, sources }
}

fn text(status: &Status, now: Timestamp, zone: &TimeZone, width: Option<usize>, paint: Paint) -> String {
    let mut out = String::new();
    for alarm in &status.alarms {
        out += &format!("{} {}\n", paint.style("ALARM", Style::Bad), plain::line(alarm));
    }
    for gone in &status.gone {
        let said = format!("`{}` was under a policy and is not on this host any more", plain::line(gone));
        out += &format!("{} {said}\n", paint.style("GONE", Style::Warning));
    }
    let counted = units::counted(status.sources.len() as u64, "source", "sources");
    let good = if status.alarms.is_empty() { "all is well" } else { "see the alarms" };
    out += &format!("{counted} under a policy, {good}");
    if status.unprotected > 0 {
        out += &format!("; {} unprotected: `backupctl volumes --unprotected`", status.unprotected);
    }
    out += "\n";
    let out = width.map_or_else(|| out.clone(), |width| fit::folded(&out, width));
    if status.sources.is_empty() {
        return out;
    }
    let drilled = status.sources.iter().any(|health| health.drill.is_some());
    let mut columns = vec![
        ("SOURCE", Side::Left),
        ("POLICY", Side::Left),
        ("LAST GOOD", Side::Left),
        ("AGE", Side::Right),
        ("NEXT", Side::Left),
        ("NOW", Side::Left),
    ];
    if drilled {
        columns.insert(4, ("PROVEN", Side::Left));
    }
    // Whether all is protected is told by what then stays: which source, how old its snapshot is, what is wrong.
    let mut table = Table::new(&columns).spare(&["LAST GOOD", "POLICY", "NEXT", "PROVEN"]);
    for health in &status.sources {
        let moment = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| units::moment(at, zone));
        let style = if health.is_alarming() { Style::Bad } else { Style::Plain };
        let mut row = vec![
            Cell::styled(&health.source, style),
            health.policy.as_str().into(),
            health.last_good.map_or("never".to_owned(), |at| units::moment(at, zone)).into(),
            Cell::styled(&health.last_good.map_or("-".to_owned(), |at| units::since(at, now)), style),
            moment(health.next).into(),
            at_now(health, now),
        ];
        if drilled {
            row.insert(4, proven(health, now));
        }
        table.row(row);
    }
    out + "\n" + &table.render(width, paint)
}

/// When a drill last proved it, and how long a restore takes then.
fn proven(health: &Health, now: Timestamp) -> Cell {
    let Some(drill) = &health.drill else { return Cell::styled("-", Style::Faint) };
    let style = if drill.is_alarming() { Style::Bad } else { Style::Plain };
    let took = drill.restore_seconds.map(|took| format!(" in {}", units::seconds(took))).unwrap_or_default();
    let text = match drill.proven_at {
        _ if drill.running => "drill is on".to_owned(),
        Some(at) => format!("{}{took}", units::since(at, now)),
        None => "never".to_owned(),
    };
    Cell::styled(&text, style)
}

/// What happens to it right now.
fn at_now(health: &Health, now: Timestamp) -> Cell {
    match &health.running {
        Some(run) => Cell::styled(&run.progress(now), Style::Good),
        None if health.overdue => Cell::styled("overdue", Style::Bad),
        None if health.failures > 0 => Cell::styled("failed", Style::Bad),
        None if health.held.is_some() => Cell::styled("held", Style::Bad),
        None if health.unpruned.is_some() => Cell::styled("not pruned", Style::Bad),
        None => Cell::styled("-", Style::Faint),
    }
}

#[cfg(test)]
mod tests {
    use engine::usecase::cover::Policies;
    use engine::usecase::drill::DrillStanding;
    use engine::usecase::health::Running;
    use engine::usecase::ledger::Entry;
    use policies::policy::Folder;

    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}:00Z").parse().unwrap()
    }

    fn good() -> Health {
        Health {
            source: "db-data".into(),
            policy: "db".into(),
            last_good: Some(at("20T02:05")),
            age_seconds: Some(28_500),
            last_seconds: Some(8.5),
            last_bytes: Some(5 << 20),
            next: Some(at("21T02:05")),
            overdue: false,
            failures: 0,
            message: None,
            running: None,
            held: None,
            pruned_at: None,
            unpruned: None,
            drill: None,
        }
    }

    fn drilled(proven: Option<&str>) -> DrillStanding {
        DrillStanding {
            every_seconds: Some(604_800),
            proven_at: proven.map(at),
            proven: Some("db-data@7".into()),
            restore_seconds: Some(42.0),
            last: None,
            message: None,
            next: None,
            overdue: false,
            running: false,
        }
    }

    #[test]
    fn what_drills_proved_has_a_column_where_there_are_drills() {
        let proven = Health { drill: Some(drilled(Some("18T02:00"))), ..good() };
        let late = DrillStanding { overdue: true, restore_seconds: None, ..drilled(None) };
        let late = Health { source: "web".into(), drill: Some(late), ..good() };
        let held = Some("has 1 files after 8".to_owned());
        let none = Health { source: "other".into(), held, ..good() };
        let folder = Folder::judge([("x.toml", "nothing = \"x\"\n")]).unwrap();
        let cover = Cover { policies: Policies { folder, shipped: false }, sources: Vec::new() };
        let status = status(&cover, &Ledger::default(), Vec::new(), vec![proven, late, none]);
        let want = "\
ALARM `web` was never proven by a drill; `backupctl drill web`
ALARM `other` has 1 files after 8; nothing of it is pruned: look at it, then `backupctl acknowledge other`
3 sources under a policy, see the alarms

SOURCE   POLICY  LAST GOOD                AGE  PROVEN             NEXT                 NOW
db-data  db      2026-11-20 02:05:00  7 h ago  2 d ago in 42.0 s  2026-11-21 02:05:00  -
web      db      2026-11-20 02:05:00  7 h ago  never              2026-11-21 02:05:00  -
other    db      2026-11-20 02:05:00  7 h ago  -                  2026-11-21 02:05:00  held
";
        let now = "2026-11-20T10:00:30Z".parse().unwrap();
        assert_eq!(text(&status, now, &TimeZone::UTC, None, Paint::OFF), want);
    }

    #[test]
    fn with_docker_out_of_sight_it_says_so_and_what_it_remembers() {
        let failure = Failure::failed("reach Docker").because("nobody answers").hint("is it running?");
        let known = Health { next: None, ..good() };
        let want = "\
ALARM reach Docker: nobody answers; is it running?
ALARM what is overdue, missing or without a policy cannot be told; below is what is remembered
1 source under a policy, see the alarms

SOURCE   POLICY  LAST GOOD                AGE  NEXT  NOW
db-data  db      2026-11-20 02:05:00  7 h ago  -     -
";
        let now = "2026-11-20T10:00:30Z".parse().unwrap();
        let status = blind(&failure, vec![known]);
        assert_eq!(text(&status, now, &TimeZone::UTC, None, Paint::OFF), want);
    }

    #[test]
    fn alarms_come_first_and_then_every_source() {
        let bad = Health {
            source: "web:/var/app".into(),
            overdue: true,
            failures: 2,
            message: Some("no \x1b[2Jspace".into()),
            ..good()
        };
        let never = Health { source: "new".into(), last_good: None, ..good() };
        let run =
            Running { run: "r".into(), began_at: at("20T10:00"), bytes: 3 << 30, bytes_per_second: 1 << 27 };
        let runs = Health { source: "big".into(), running: Some(run), ..good() };
        let folder = Folder::judge([("x.toml", "nothing = \"x\"\n")]).unwrap();
        let cover = Cover { policies: Policies { folder, shipped: false }, sources: Vec::new() };
        let entry = Entry {
            policy: "db".into(),
            schedule: "0 2 * * * UTC".into(),
            since: at("01T00:00"),
            dealt_with: at("19T02:00"),
            labelled: false,
            gone: None,
            open: None,
        };
        let sources = [("lost".parse().unwrap(), entry.clone()), ("old".parse().unwrap(), entry)];
        let ledger = Ledger { sources: sources.into(), ..Ledger::default() };
        let lost = Vanished { source: "lost".into(), policy: "db".into(), since: at("20T01:00") };
        let status = status(&cover, &ledger, vec![lost], vec![good(), bad, never, runs]);
        let want = "\
ALARM `web:/var/app` is overdue; 2 runs failed, the last one: no \\u{1b}[2Jspace
ALARM `lost` is not there any more, and policy `db` backs it up; if that is meant, `backupctl acknowledge lost`
GONE `old` was under a policy and is not on this host any more
4 sources under a policy, see the alarms

SOURCE        POLICY  LAST GOOD                AGE  NEXT                 NOW
db-data       db      2026-11-20 02:05:00  7 h ago  2026-11-21 02:05:00  -
web:/var/app  db      2026-11-20 02:05:00  7 h ago  2026-11-21 02:05:00  overdue
new           db      never                      -  2026-11-21 02:05:00  -
big           db      2026-11-20 02:05:00  7 h ago  2026-11-21 02:05:00  reading, 3.0 GiB in 30.0 s, 128 MiB/s
";
        let now = "2026-11-20T10:00:30Z".parse().unwrap();
        assert_eq!(text(&status, now, &TimeZone::UTC, None, Paint::OFF), want);
    }
}
