//! `backupctl schedule`.

use engine::failure::Failure;
use engine::usecase::cover::policies;
use engine::usecase::foresight::next_start;
use engine::usecase::health::jitter_of;
use engine::words::HostName;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use policies::policy::{Folder, Terms};
use policies::schedule::Jitter;
use serde::Serialize;

use crate::screen::paint::Paint;
use crate::screen::table::{Side, Table};
use crate::screen::units;
use crate::session::{Ending, Session};

/// List when policies run next on this host
///
/// Times are those of the policy's own zone and of this terminal, with the delay that `jitter` gives this host.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl schedule
  backupctl schedule -n 1 --json
  backupctl schedule --policies ./policies")]
pub(crate) struct Args {
    /// So many runs of each policy
    #[arg(short, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    n: u16,
}

/// A run to come.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    policy: String,
    at: Timestamp,
    #[serde(skip)]
    zone: TimeZone,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let found = policies(&session.places()?)?;
    let screen = &session.screen;
    let lines = lines(&found.folder, &session.host_name()?, screen.now(), args.n.into());
    if screen.is_json() {
        screen.value(&lines)?;
    } else if lines.is_empty() {
        screen.say("no policy backs anything up; `backupctl policy show` lists them\n");
    } else {
        screen.result(&text(&lines, screen.zone(), screen.width(), screen.paint()))?;
    }
    Ok(Ending::Done)
}

/// The next `n` runs of each policy, in the order of time.
fn lines(folder: &Folder, host: &HostName, now: Timestamp, n: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for policy in folder.policies() {
        let Some(terms) = policy.terms() else { continue };
        let jitter = jitter_of(host.as_str(), policy, terms);
        lines.extend(next(terms, jitter, now, n).into_iter().map(|at| Line {
            policy: policy.name.clone(),
            at,
            zone: terms.time_zone.clone(),
        }));
    }
    lines.sort_by(|a, b| (a.at, &a.policy).cmp(&(b.at, &b.policy)));
    lines
}

fn next(terms: &Terms, jitter: Jitter, now: Timestamp, n: usize) -> Vec<Timestamp> {
    let follow = |last: &(Timestamp, Timestamp)| next_start(terms, jitter, last.1);
    let starts = std::iter::successors(next_start(terms, jitter, now), follow);
    starts.map(|(start, _)| start).take(n).collect()
}

fn text(lines: &[Line], local: &TimeZone, width: Option<usize>, paint: Paint) -> String {
    let columns = [("AT", Side::Left), ("HERE", Side::Left), ("POLICY", Side::Left)];
    let mut table = Table::new(&columns).spare(&["HERE"]);
    for line in lines {
        let zone = line.zone.iana_name().unwrap_or("UTC");
        table.row(vec![
            format!("{} {zone}", units::moment(line.at, &line.zone)).into(),
            units::moment_with_zone(line.at, local).into(),
            line.policy.as_str().into(),
        ]);
    }
    table.render(width, paint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_told_in_the_policys_zone_and_the_local_one() {
        let policy = |line: &str, zone: &str| {
            format!("schedule = \"{line}\"\ntime_zone = \"{zone}\"\nconsistency.mode = \"live\"\n")
        };
        let night = policy("30 2 * * *", "Europe/Berlin");
        let hours = policy("0 */6 * * *", "UTC");
        let folder = Folder::judge([
            ("night.toml", night.as_str()),
            ("hours.toml", hours.as_str()),
            ("not.toml", "nothing = \"a cache\"\n"),
        ])
        .unwrap();
        // The clocks of Berlin go forward in the night of 29 March: 02:30 does not exist.
        let now = "2026-03-28T20:00:00Z".parse().unwrap();
        let lines = lines(&folder, &"h".parse().unwrap(), now, 2);
        let want = "\
AT                                 HERE                        POLICY
2026-03-29 00:00:00 UTC            2026-03-29 01:00:00 +01:00  hours
2026-03-29 03:00:00 Europe/Berlin  2026-03-29 02:00:00 +01:00  night
2026-03-29 06:00:00 UTC            2026-03-29 07:00:00 +01:00  hours
2026-03-30 02:30:00 Europe/Berlin  2026-03-30 01:30:00 +01:00  night
";
        let local = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(text(&lines, &local, None, Paint::OFF), want);
        let value = serde_json::to_value(&lines[0]).unwrap();
        assert_eq!(value, serde_json::json!({ "policy": "hours", "at": "2026-03-29T00:00:00Z" }));
    }
}
