//! `backupctl undo-restore`: what a restore replaced comes back, or goes for good.

use engine::failure::Failure;
use engine::usecase::host::Host;
use engine::usecase::kept::{KeptLine, forget, kept};
use engine::usecase::undo::{UndoPlan, UndoReport, UndoRequest, plan_undo, undo};
use engine::words::{RunId, SourceName};
use jiff::tz::TimeZone;
use serde_json::json;

use crate::screen::paint::Paint;
use crate::screen::proposing::{Consent, Proposal};
use crate::screen::table::{Side, Table};
use crate::screen::{fields, plain, units};
use crate::session::{Ending, Session};
use crate::verbs::restore::{again, named};

/// Bring back what was there before a restore
///
/// Works after `backupctl restore --keep-previous`, and for what that kept: nothing is fetched, the two contents change places. What is there now is kept in its turn, so undoing can be undone.
///
/// The plan is printed first: what comes back, and which containers stop and start again. Nothing changes before
/// you agree.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl undo-restore db-data
  backupctl undo-restore db-data --list
  backupctl undo-restore db-data --run 00112233445566aa --discard
  backupctl undo-restore db-data --forget 00112233445566aa")]
pub(crate) struct Args {
    /// A volume, or `CONTAINER:/MOUNT/POINT`
    source: SourceName,

    /// What this restore replaced; without it, what the last one did
    #[arg(long, value_name = "RUN")]
    run: Option<RunId>,

    /// Remove what is there now, instead of keeping it
    #[arg(long)]
    discard: bool,

    /// List what restores of the source have kept, and end
    #[arg(long, conflicts_with_all = ["run", "discard", "forget", "dry_run", "yes"])]
    list: bool,

    /// Remove for good what this restore kept
    #[arg(long, value_name = "RUN", conflicts_with_all = ["run", "discard", "dry_run"])]
    forget: Option<RunId>,

    /// Print the plan and end
    #[arg(long)]
    dry_run: bool,

    /// Agree to the plan beforehand
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let looks = args.list || args.dry_run;
    let host = if looks { session.open().await? } else { session.open_to_write().await? };
    match &args.forget {
        _ if args.list => list(args, &host, session).await,
        Some(run) => remove(run, args, &host, session).await,
        None => go_back(args, &host, session).await,
    }
}

async fn list(args: &Args, host: &Host, session: &Session) -> Result<Ending, Failure> {
    let (screen, lines) = (&session.screen, kept(host, &args.source).await?);
    if screen.is_json() {
        screen.value(&lines)?;
    } else if lines.is_empty() {
        screen.say("no restore kept what it replaced\n");
    } else {
        screen.result(&listed(&lines, screen.zone(), screen.width(), screen.paint()))?;
    }
    Ok(Ending::Done)
}

fn listed(lines: &[KeptLine], zone: &TimeZone, width: Option<usize>, paint: Paint) -> String {
    let columns = [
        ("RUN", Side::Left),
        ("REPLACED", Side::Left),
        ("AGE", Side::Left),
        ("ENTRIES", Side::Right),
        ("SIZE", Side::Right),
        ("", Side::Left),
    ];
    let mut table = Table::new(&columns).spare(&["ENTRIES", "REPLACED"]);
    for line in lines {
        table.row(vec![
            line.run.as_str().into(),
            units::moment(line.kept_at, zone).into(),
            units::age(line.age_seconds).into(),
            units::count(line.entries).into(),
            units::bytes(line.bytes).into(),
            remark(line).into(),
        ]);
    }
    table.render(width, paint)
}

/// What is special about it.
fn remark(line: &KeptLine) -> String {
    match (line.whole, &line.paths[..]) {
        (false, _) => "what was left of it; cannot come back".to_owned(),
        (true, []) => String::new(),
        (true, paths) => format!("of {} alone", named(paths)),
    }
}

async fn remove(run: &RunId, args: &Args, host: &Host, session: &Session) -> Result<Ending, Failure> {
    let (screen, source) = (&session.screen, args.source.to_string());
    let source = plain::line(&source);
    if let Some(line) = kept(host, &args.source).await?.into_iter().find(|line| line.run == run.as_str()) {
        let text = format!(
            "run {run} kept {} of `{source}`, {}\n",
            units::counted(line.entries, "entry", "entries"),
            units::bytes(line.bytes)
        );
        let question = format!("Remove what run `{run}` kept of `{source}`, for good?");
        let deed = format!("forget what run `{run}` kept");
        screen.agree(Proposal { text: &text, question: &question, deed: &deed }, args.yes)?;
    }
    forget(host, &args.source, run).await?;
    if screen.is_json() {
        screen.event("done", json!({ "source": args.source.to_string(), "forgotten": run.as_str() }));
    } else {
        screen.result(&format!("what run {run} kept of {source} is gone\n"))?;
    }
    Ok(Ending::Done)
}

async fn go_back(args: &Args, host: &Host, session: &Session) -> Result<Ending, Failure> {
    let screen = &session.screen;
    let request = UndoRequest { source: args.source.clone(), run: args.run.clone(), discard: args.discard };
    let plan = plan_undo(host, &request).await?;
    let text = text(&plan, screen.zone());
    let target = plain::line(&plan.target).into_owned();
    let place = match plan.paths.len() {
        0 => format!("in `{target}`"),
        _ => format!("at {} in `{target}`", named(&plan.paths)),
    };
    let question = format!("Replace what is {place} by what was there before run `{}`?", plan.run);
    let deed = format!("undo the restore of `{target}`");
    let proposal = Proposal { text: &text, question: &question, deed: &deed };
    let Args { dry_run, yes, .. } = *args;
    if !screen.propose(&plan, proposal, Consent { dry_run, yes })? {
        return Ok(Ending::Done);
    }
    let telling = session.attend()?;
    let result = undo(host, plan, &telling).await;
    let heard = telling.end();
    let report = result?;
    for warning in report.warnings.iter().filter(|warning| !heard.contains(warning)) {
        screen.warn(warning);
    }
    if screen.is_json() {
        screen.event("done", fields(&report)?);
    } else {
        screen.prose(&done(&report))?;
    }
    Ok(Ending::Done)
}

/// The plan as people read it.
fn text(plan: &UndoPlan, zone: &TimeZone) -> String {
    let mut out = format!("undo run {} in {}\n", plan.run, plain::line(&plan.target));
    let mut line = |name: &str, text: String| out += &format!("  {name:<9} {text}\n");
    line(
        "replaced",
        format!("{} ({})", units::moment_with_zone(plan.kept_at, zone), units::age(plan.age_seconds)),
    );
    for path in &plan.paths {
        line("path", plain::line(path).into_owned());
    }
    if !plan.paths.is_empty() {
        line("rest", "all else stays as it is".to_owned());
    }
    let size = units::bytes(plan.bytes);
    line("content", format!("{}, {size} on the disk", units::counted(plan.entries, "entry", "entries")));
    line(
        "now",
        if plan.keeps_current { "what is there now is kept" } else { "what is there now is removed" }
            .to_owned(),
    );
    for stop in &plan.stops {
        let what = format!("{} (image {})", plain::line(&stop.container), plain::line(&stop.image));
        if stop.running {
            line("stops", format!("{what}, and starts it again"));
        } else {
            line("leaves", format!("{what} stopped, as it is"));
        }
    }
    out
}

/// What was done.
fn done(report: &UndoReport) -> String {
    let target = plain::line(&report.target);
    let what = match report.paths.len() {
        0 => target.to_string(),
        _ => format!("{} in {target}", named(&report.paths)),
    };
    let mut out = format!(
        "{what} holds again what it held before run {}: {}, in {}\n",
        report.undone,
        units::counted(report.entries, "entry", "entries"),
        units::seconds(report.seconds),
    );
    if let Some(again) = again(&report.health) {
        out += &format!("{again}\n");
    }
    if let Some(previous) = &report.previous {
        let source = plain::line(&report.source);
        out += &format!(
            "what was there until now is kept in {}; `backupctl undo-restore {source}` brings it back\n",
            plain::line(previous)
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use engine::usecase::restore::PlannedStop;
    use engine::usecase::runs_again::{Condition, RunsAgain};

    use super::*;

    #[test]
    fn the_plan_says_what_comes_back_and_who_stops() {
        let stop = |container: &str, running| PlannedStop {
            container: container.into(),
            image: "postgres:17".into(),
            running,
        };
        let plan = UndoPlan {
            source: "db-data".into(),
            target: "db-data".into(),
            run: "00112233445566aa".into(),
            kept_at: "2026-11-20T13:00:05Z".parse().unwrap(),
            age_seconds: 75_600,
            entries: 1300,
            bytes: 5 << 30,
            paths: vec!["etc/app.conf".into()],
            keeps_current: true,
            stops: vec![stop("db", true), stop("old", false)],
            request: UndoRequest { source: "db-data".parse().unwrap(), run: None, discard: false },
        };
        let want = "\
undo run 00112233445566aa in db-data
  replaced  2026-11-20 13:00:05 +00:00 (21 h ago)
  path      etc/app.conf
  rest      all else stays as it is
  content   1,300 entries, 5.0 GiB on the disk
  now       what is there now is kept
  stops     db (image postgres:17), and starts it again
  leaves    old (image postgres:17) stopped, as it is
";
        assert_eq!(text(&plan, &TimeZone::UTC), want);
    }

    #[test]
    fn the_end_says_what_is_there_and_how_to_go_forth_again() {
        let report = UndoReport {
            source: "db-data".into(),
            target: "db-data".into(),
            undone: "00112233445566aa".into(),
            entries: 2,
            paths: Vec::new(),
            previous: Some(".backupd-previous-bb".into()),
            started: vec!["db".into()],
            health: vec![RunsAgain { container: "db".into(), health: Condition::Healthy, seconds: 1.0 }],
            warnings: Vec::new(),
            run: "bb".into(),
            seconds: 1.0,
        };
        let want = "\
db-data holds again what it held before run 00112233445566aa: 2 entries, in 1.0 s
started again: db (healthy)
what was there until now is kept in .backupd-previous-bb; `backupctl undo-restore db-data` brings it back
";
        assert_eq!(done(&report), want);
    }
}
