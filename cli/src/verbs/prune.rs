//! `backupctl prune`: plan, print the plan, ask, do exactly what was printed.

use engine::failure::{Class, Failure};
use engine::usecase::host::Host;
use engine::usecase::prune::{Pruned, prune};
use engine::usecase::retention::{Action, Fate, Retention};
use engine::words::SourceName;
use jiff::Timestamp;
use serde_json::json;

use super::backup::worst;
use super::retention::plans;
use super::rule::RuleArgs;
use crate::screen::proposing::Proposal;
use crate::screen::{fields, plain, units};
use crate::session::{Ending, Session};

/// Delete what the rule no longer keeps
///
/// What is deleted can be undeleted for the grace time; a prune after that removes it for good. `backupctl retention`
/// shows each snapshot with its reason. While the guard has flagged a snapshot, nothing of its source is pruned.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl prune db-data --keep daily=7,weekly=4,monthly=12
  backupctl prune --keep last=30 --dry-run
  backupctl prune --keep last=30 --yes")]
pub(crate) struct Args {
    /// Volumes, or `CONTAINER:/MOUNT/POINT`; all sources of this host if none is named
    #[arg(value_name = "SOURCE")]
    sources: Vec<SourceName>,

    #[command(flatten)]
    rule: RuleArgs,

    /// Print the plan and end
    #[arg(long)]
    dry_run: bool,

    /// Agree to the plan beforehand
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let screen = &session.screen;
    let plans = plans(session, &args.sources, &args.rule, !args.dry_run).await?;
    let text: String = plans.iter().map(|(at, plan)| text(plan, &at.store_address(), screen.now())).collect();
    for (at, plan) in plans.iter().filter(|_| screen.is_json()) {
        let mut value = fields(plan)?;
        value["store"] = json!(at.store_address());
        screen.event("plan", value);
    }
    if args.dry_run {
        if !screen.is_json() {
            screen.prose(&text)?;
        }
        return Ok(Ending::Done);
    }
    let to_do = plans.iter().filter(|(_, plan)| !plan.is_idle()).count();
    let sources = units::counted(u64::try_from(to_do).unwrap_or(u64::MAX), "source", "sources");
    let (question, deed) = (format!("Prune {sources}?"), format!("prune {sources}"));
    // Where there is nothing to do, there is nothing to agree to.
    screen.agree(Proposal { text: &text, question: &question, deed: &deed }, args.yes || to_do == 0)?;
    let mut classes = Vec::new();
    for (at, plan) in &plans {
        if let Err(failure) = one(at, plan, session).await {
            screen.failure(&failure, json!({ "source": plan.source }));
            classes.push(failure.class);
            if failure.class == Class::Interrupted {
                break;
            }
        }
    }
    Ok(worst(&classes).map_or(Ending::Done, Ending::With))
}

/// A plan without anything to do is carried out too: that it was is remembered.
async fn one(host: &Host, plan: &Retention, session: &Session) -> Result<(), Failure> {
    session.still_wanted()?;
    let telling = session.attend()?;
    let result = prune(host, plan, &telling).await;
    telling.end();
    let pruned = result?;
    let screen = &session.screen;
    pruned.warnings.iter().for_each(|warning| screen.warn(warning));
    if screen.is_json() {
        screen.event("done", fields(&pruned)?);
        return Ok(());
    }
    screen.prose(&told(&pruned))
}

fn text(plan: &Retention, store: &str, now: Timestamp) -> String {
    let mut out = format!("prune {}\n", plain::line(&plan.source.to_string()));
    let mut line = |name: &str, text: &str| out += &format!("  {name:<9} {}\n", plain::line(text));
    line("store", store);
    let of = |action| plan.snapshots.iter().filter(move |fate| fate.action == action);
    let kept = u64::try_from(of(Action::Keep).count()).unwrap_or(u64::MAX);
    line("keeps", &units::counted(kept, "snapshot", "snapshots"));
    for (name, action) in [("deletes", Action::Delete), ("removes", Action::Purge), ("holds", Action::Held)] {
        of(action).for_each(|fate| line(name, &why(fate, now)));
    }
    if plan.is_idle() {
        line("so", "there is nothing to do");
    }
    if plan.is_sweeping() {
        line("warning", "it deletes more than it keeps");
    }
    for warning in &plan.warnings {
        line("warning", warning);
    }
    out
}

fn why(fate: &Fate, now: Timestamp) -> String {
    let age = units::since(fate.taken_at, now);
    let first = fate.reasons.first().map_or("", String::as_str);
    let more = if fate.reasons.len() > 1 { "; …" } else { "" };
    format!("{} ({age}): {first}{more}", fate.snapshot)
}

fn told(pruned: &Pruned) -> String {
    let count = |all: &[String]| u64::try_from(all.len()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    let mut say = |all: &[String], words: &str| {
        if !all.is_empty() {
            parts.push(format!("{} {words}", units::counted(count(all), "snapshot", "snapshots")));
        }
    };
    say(&pruned.deleted, "deleted, which `backupctl undelete` brings back");
    let freed = format!("removed for good, {} freed", units::bytes(pruned.freed_bytes));
    say(&pruned.purged, &freed);
    say(&pruned.spared, "spared, since things changed");
    say(&pruned.pending, "pending until the store allows deletes");
    if parts.is_empty() {
        parts.push("nothing to prune".to_owned());
    }
    format!("{}: {}\n", plain::line(&pruned.source.to_string()), parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pruned() -> Pruned {
        Pruned {
            source: "db-data".parse().unwrap(),
            deleted: vec!["db-data@1".into(), "db-data@2".into()],
            purged: vec!["db-data@0".into()],
            freed_bytes: 3 << 20,
            pending: vec!["db-data@3".into()],
            spared: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_line_says_what_was_done_and_what_was_not() {
        let want = "db-data: 2 snapshots deleted, which `backupctl undelete` brings back; 1 snapshot removed for good, \
            3.0 MiB freed; 1 snapshot pending until the store allows deletes\n";
        assert_eq!(told(&pruned()), want);
        let [deleted, purged, pending] = [Vec::new(), Vec::new(), Vec::new()];
        assert_eq!(told(&Pruned { deleted, purged, pending, ..pruned() }), "db-data: nothing to prune\n");
    }

    #[test]
    fn the_report_carries_the_fixed_fields() {
        let want = r#"{"source":"db-data","deleted":["db-data@1","db-data@2"],"purged":["db-data@0"],"freed_bytes":3145728,"pending":["db-data@3"],"spared":[],"warnings":[]}"#;
        assert_eq!(serde_json::to_string(&pruned()).unwrap(), want);
    }

    #[test]
    fn a_snapshot_that_goes_is_named_with_its_reason() {
        let fate =
            super::super::retention::tests::fate(41, 19, Action::Delete, "older than all that `keep` counts");
        let now = "2026-11-21T02:00:00Z".parse().unwrap();
        assert_eq!(why(&fate, now), "db-data@41 (2 d ago): older than all that `keep` counts");
    }
}
