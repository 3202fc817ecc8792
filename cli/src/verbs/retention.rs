//! `backupctl retention`.

use std::collections::BTreeSet;

use engine::failure::Failure;
use engine::usecase::host::Host;
use engine::usecase::retention::{Action, Fate, Retention, retention, sources};
use engine::words::SourceName;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::rule::{RuleArgs, no_rule};
use crate::screen::paint::{Paint, Style};
use crate::screen::table::{Cell, Side, Table};
use crate::screen::{plain, units};
use crate::session::{Ending, Session};

/// Show what is kept, what goes, and why
///
/// Changes nothing. The newest snapshot stays whatever the rule says, as do the newest whole one, the newest that was
/// verified or drilled, pinned ones, and those that were made by hand for 90 days. Buckets that hold snapshots are counted,
/// not days that passed: a host that was off for a month loses nothing.
///
/// Days and weeks are those of the local time zone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl retention db-data --keep daily=7,weekly=4,monthly=12
  backupctl retention --keep within=30d --json")]
pub(crate) struct Args {
    /// Only of this source
    source: Option<SourceName>,

    #[command(flatten)]
    rule: RuleArgs,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let screen = &session.screen;
    let wanted: Vec<SourceName> = args.source.iter().cloned().collect();
    let plans = plans(session, &wanted, &args.rule, false).await?;
    let fates: Vec<&Fate> = plans.iter().flat_map(|(_, plan)| &plan.snapshots).collect();
    if screen.is_json() {
        screen.give_stdout_away();
        screen.value(&fates)?;
    } else if fates.is_empty() {
        screen.say("no snapshots; `backupctl backup SOURCE` makes one\n");
    } else {
        screen.result(&text(&fates, screen.now(), screen.zone(), screen.width(), screen.paint()))?;
    }
    let stores: BTreeSet<String> = plans.iter().map(|(at, _)| at.store_address()).collect();
    for (at, plan) in &plans {
        plan.warnings.iter().for_each(|warning| screen.warn(warning));
        let when = plan.pruned_at.map_or_else(|| "never".to_owned(), |at| units::since(at, screen.now()));
        let place = if stores.len() > 1 { format!(" in {}", at.store_address()) } else { String::new() };
        let told = format!("`{}` was last pruned{place}: {when}", plan.source);
        screen.say(&format!("{}\n", plain::line(&told)));
    }
    Ok(Ending::Done)
}

/// The plans of the wanted sources, each with this host at the store that it is about; of all that this host has in
/// its stores where none is named.
pub(super) async fn plans(
    session: &Session,
    wanted: &[SourceName],
    rule: &RuleArgs,
    to_write: bool,
) -> Result<Vec<(Host, Retention)>, Failure> {
    let host = if to_write { session.open_to_write().await? } else { session.open().await? };
    let stores = session.stores(&host)?;
    let mut all: Vec<(Host, SourceName)> = Vec::new();
    for source in wanted {
        let having = stores.all_having(source).await?;
        all.extend(having.into_iter().map(|at| (at, source.clone())));
    }
    if wanted.is_empty() {
        for at in stores.in_use() {
            all.extend(sources(at).await?.into_iter().map(|source| (at.clone(), source)));
        }
    }
    let rules = rule.rules(&host, session).await?;
    let mut plans = Vec::new();
    for (at, source) in &all {
        let Some((keep, zone)) = rules.of(source)? else {
            if wanted.contains(source) {
                return Err(no_rule(source));
            }
            session.screen.warn(&format!("no rule says how long `{source}` is kept: all of it is"));
            continue;
        };
        plans.push((at.clone(), retention(at, source, &keep, &zone).await?));
    }
    Ok(plans)
}

fn text(fates: &[&Fate], now: Timestamp, zone: &TimeZone, width: Option<usize>, paint: Paint) -> String {
    let columns = [
        ("SNAPSHOT", Side::Left),
        ("TAKEN", Side::Left),
        ("AGE", Side::Right),
        ("PLAN", Side::Left),
        ("WHY", Side::Left),
    ];
    let mut table = Table::new(&columns).spare(&["AGE"]);
    for fate in fates {
        let style = match fate.action {
            Action::Keep => Style::Plain,
            Action::Delete | Action::Held | Action::Purge => Style::Warning,
        };
        table.row(vec![
            fate.snapshot.as_str().into(),
            units::moment(fate.taken_at, zone).into(),
            Cell::styled(&units::since(fate.taken_at, now), Style::Faint),
            Cell::styled(fate.action.word(), style),
            why(fate, now).as_str().into(),
        ]);
    }
    table.render(width, paint)
}

/// All reasons, and how old the proof is where one counts.
fn why(fate: &Fate, now: Timestamp) -> String {
    let proven = fate.proven_at.map(|at| format!("proven {}", units::since(at, now)));
    let all: Vec<_> = fate.reasons.iter().cloned().chain(proven).collect();
    all.join("; ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn fate(number: u64, day: u8, action: Action, reason: &str) -> Fate {
        Fate {
            snapshot: format!("db-data@{number}"),
            source: "db-data".parse().unwrap(),
            number,
            taken_at: format!("2026-11-{day:02}T02:00:00Z").parse().unwrap(),
            action,
            reasons: vec![reason.to_owned()],
            proven_at: None,
        }
    }

    fn fates() -> [Fate; 3] {
        let mut newest = fate(42, 20, Action::Keep, "the newest");
        newest.reasons.push("daily 1 of 7 (2026-11-20)".to_owned());
        newest.proven_at = Some("2026-11-20T14:00:00Z".parse().unwrap());
        [
            newest,
            fate(41, 19, Action::Delete, "@42 stands for 2026-W47 (weekly)"),
            fate(40, 2, Action::Purge, "deleted, and its grace time is over"),
        ]
    }

    #[test]
    fn every_snapshot_has_a_line_with_all_its_reasons() {
        let (fates, now) = (fates(), "2026-11-21T02:00:00Z".parse().unwrap());
        let fates: Vec<&Fate> = fates.iter().collect();
        let want = "\
SNAPSHOT    TAKEN                     AGE  PLAN    WHY
db-data@42  2026-11-20 02:00:00  24 h ago  keep    the newest; daily 1 of 7 (2026-11-20); proven 12 h ago
db-data@41  2026-11-19 02:00:00   2 d ago  delete  @42 stands for 2026-W47 (weekly)
db-data@40  2026-11-02 02:00:00  19 d ago  purge   deleted, and its grace time is over
";
        assert_eq!(text(&fates, now, &TimeZone::UTC, None, Paint::OFF), want);
    }

    #[test]
    fn json_rows_carry_the_fixed_fields() {
        let want = r#"{"snapshot":"db-data@41","source":"db-data","number":41,"taken_at":"2026-11-19T02:00:00Z","action":"delete","reasons":["@42 stands for 2026-W47 (weekly)"],"proven_at":null}"#;
        assert_eq!(serde_json::to_string(&fates()[1]).unwrap(), want);
    }
}
