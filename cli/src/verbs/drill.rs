//! `backupctl drill`: plan, print the plan, rehearse, tell the verdict.

use std::time::Duration;

use engine::catalog::DrillResult;
use engine::failure::{Class, Failure};
use engine::usecase::drill::{
    Checker, DrillLine, DrillPlan, DrillReport, DrillRequest, drill, last, plan_drill,
};
use engine::usecase::terms::terms_for;
use engine::words::{HostName, SourceName};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use policies::policy::{parse_bytes, parse_time};
use serde_json::json;

use super::backup::covered;
use super::meant::{self, meant};
use super::restore::number;
use crate::screen::{fields, plain, units};
use crate::session::{Ending, Session};

/// Rehearse a restore, and have the database checked by its own server
///
/// The newest whole snapshot is restored into a scratch volume; the image that used the source is started on it without a
/// network, with nothing else mounted, within limits; and the server's own checker reads all of it: pg_amcheck and a
/// dump, mariadb-check and a dump, redis-check-aof and redis-check-rdb, rrdtool. What is no database is read back and compared file by
/// file. That a server starts and answers proves nothing, so nothing less than the checker says `proven`.
///
/// Nothing of this host is touched, and nothing of the drill is left. What it found, and how long the restore took, is
/// in `status`, `snapshots` and `show`.
///
/// Exit codes: 0 proven, 1 the checker found something wrong or the drill failed, 3 the image has no checker, 10 the image
/// is not on this host, 13 the image is of another major version.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl drill db-data
  backupctl drill db-data --dry-run
  backupctl drill db-data --at yesterday --memory 2GiB --timeout 2h
  backupctl drill db-data --checker files
  backupctl drill shop-db --argument --lower-case-table-names=1
  backupctl drill db-data --last")]
pub(crate) struct Args {
    /// A volume, or `CONTAINER:/MOUNT/POINT`
    source: SourceName,

    /// This snapshot: `42`, `SOURCE@42` or `latest`
    #[arg(long, value_name = "ID", conflicts_with = "at")]
    snapshot: Option<String>,

    /// The newest snapshot taken at or before T: `2026-11-20T14:00`, `2026-11-20`, `yesterday`, `2h ago`, `3d`
    #[arg(long, value_name = "T")]
    at: Option<String>,

    /// Of the snapshots of another host
    #[arg(long, value_name = "HOST")]
    from_host: Option<HostName>,

    /// Who judges: `postgres`, `mysql`, `redis`, `rrd` or `files` [default: as the snapshot was taken, else by its files]
    #[arg(long, value_name = "KIND")]
    checker: Option<Checker>,

    /// Another image than the recorded one; it is never pulled [default: as the policy says, else the recorded one]
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,

    /// The server of this source always runs with this argument; repeat for more [default: as the policy says]
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    argument: Vec<String>,

    /// What the server may use [default: as the policy says, else 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,

    /// A drill that takes longer has failed [default: as the policy says, else 30m]
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    timeout: Option<Duration>,

    /// Print the plan and end
    #[arg(long)]
    dry_run: bool,

    /// Tell what the newest drill found and what its programs said, instead of making one
    #[arg(long, conflicts_with_all = ["snapshot", "at", "from_host", "checker", "image", "argument", "memory", "timeout", "dry_run"])]
    last: bool,
}

fn memory(text: &str) -> Result<u64, String> {
    let size = parse_bytes(text).filter(|size| (32 << 20..=1 << 40).contains(size));
    size.ok_or("it is a size from `32MiB` to `1TiB`".to_owned())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let week = Duration::from_secs(7 * 86_400);
    let time = parse_time(text).filter(|time| (Duration::from_secs(10)..=week).contains(time));
    time.ok_or("it is a time from `10s` to `7d`".to_owned())
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let screen = &session.screen;
    if args.last {
        return tell_last(args, session).await;
    }
    meant::check(args.at.as_deref(), session)?;
    let host = if args.dry_run { session.open().await? } else { session.open_to_write().await? };
    let cover = covered(&host, session).await?;
    let terms = cover.as_ref().and_then(|cover| terms_for(cover, &args.source));
    let usual = DrillRequest::of(args.source.clone(), terms.and_then(|terms| terms.drill.as_ref()));
    let own = cover.as_ref().filter(|_| args.from_host.is_none());
    let at = meant(args.at.as_deref(), &args.source, own, session)?;
    let request = DrillRequest { at, ..request(args, usual)? };
    let whose = request.host.as_ref();
    let host = session.at_store_with(&host, whose, &request.source, request.number, request.at).await?;
    let plan = plan_drill(&host, &request).await?;
    let text = plan_text(&plan, screen.zone());
    screen.plan(&plan, &text, args.dry_run)?;
    if args.dry_run {
        return Ok(Ending::Done);
    }
    screen.say(&text);
    let telling = session.attend()?;
    let result = drill(&host, plan, &telling).await;
    telling.end();
    let report = result?;
    report.warnings.iter().for_each(|warning| screen.warn(warning));
    if screen.is_json() {
        screen.event("done", fields(&report)?);
    } else {
        screen.prose(&done(&report))?;
    }
    Ok(ending(report.result))
}

/// A verdict that is none says so as well.
fn ending(result: DrillResult) -> Ending {
    match result {
        DrillResult::Proven => Ending::Done,
        DrillResult::Unproven | DrillResult::Failed => Ending::With(Class::Failed),
        DrillResult::Unchecked => Ending::With(Class::Partial),
    }
}

async fn tell_last(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    let host = session.at_store_with(&host, None, &args.source, None, None).await?;
    let Some((line, output)) = last(&host, &args.source)? else {
        return Err(Failure::not_found(format!("no drill of `{}` was made here", args.source))
            .hint(format!("`backupctl drill {}`", args.source)));
    };
    if session.screen.is_json() {
        let mut value = fields(&line)?;
        value["output"] = json!(output);
        session.screen.value(&value)?;
    } else {
        session.screen.result(&last_text(&line, &output, session.screen.now()))?;
    }
    Ok(ending(line.result))
}

/// As the policy says, and the command line before it.
fn request(args: &Args, usual: DrillRequest) -> Result<DrillRequest, Failure> {
    let usage = |e: &dyn std::fmt::Display| Failure::new(Class::Usage, e.to_string());
    let number = match &args.snapshot {
        None => None,
        Some(text) => number(&args.source, text).map_err(|why| usage(&format!("--snapshot: {why}")))?,
    };
    Ok(DrillRequest {
        host: args.from_host.clone(),
        number,
        checker: args.checker,
        image: args.image.clone().or(usual.image),
        arguments: Some(args.argument.clone()).filter(|own| !own.is_empty()).unwrap_or(usual.arguments),
        memory_bytes: args.memory.unwrap_or(usual.memory_bytes),
        timeout: args.timeout.unwrap_or(usual.timeout),
        ..usual
    })
}

fn plan_text(plan: &DrillPlan, zone: &TimeZone) -> String {
    let mut out = format!("drill {}\n", plain::line(&plan.snapshot));
    let mut line = |name: &str, text: String| out += &format!("  {name:<9} {}\n", plain::line(&text));
    let taken = units::moment_with_zone(plan.taken_at, zone);
    line("taken", format!("{taken} ({}), {}", units::age(plan.age_seconds), plan.consistency.word()));
    line("chosen", plan.why.clone());
    line("checker", format!("{}: {}", plan.checker, plan.checker_why));
    if let Some(version) = &plan.version {
        line("version", version.clone());
    }
    if let (Some(image), Some(at)) = (&plan.image, &plan.mounted_at) {
        line("image", format!("{image}, with the copy at {at}, no network and nothing else"));
        if !plan.arguments.is_empty() {
            line("with", format!("{:?}", plan.arguments));
        }
        let memory = units::bytes(plan.memory_bytes);
        line(
            "limits",
            format!("{memory} of memory, {}", units::span(Duration::from_secs(plan.timeout_seconds))),
        );
    }
    line(
        "content",
        format!(
            "{}, {}; {} to fetch",
            units::counted(plan.files, "file", "files"),
            units::bytes(plan.bytes),
            units::bytes(plan.fetch_bytes),
        ),
    );
    line("target", "a scratch volume, which is removed afterwards".to_owned());
    for warning in &plan.warnings {
        line("warning", warning.clone());
    }
    out
}

fn verdict(result: DrillResult) -> &'static str {
    match result {
        DrillResult::Proven => "is proven",
        DrillResult::Unproven => "is NOT proven",
        DrillResult::Unchecked => "is not proven: nobody could check it",
        DrillResult::Failed => "is not proven: the drill failed",
    }
}

fn done(report: &DrillReport) -> String {
    let mut out = format!(
        "{} {}: {}\nrestored in {}, {}; all of it in {}\n",
        plain::line(&report.snapshot),
        verdict(report.result),
        plain::line(&report.what),
        units::seconds(report.restore_seconds),
        units::bytes(report.bytes),
        units::seconds(report.seconds),
    );
    if report.result != DrillResult::Proven {
        out += &last_words(&report.output);
    }
    out
}

fn last_text(line: &DrillLine, output: &str, now: Timestamp) -> String {
    let restored = line.restore_seconds.map(|took| format!("; restored in {}", units::seconds(took)));
    let out = format!(
        "{} {} ({}): {}\n{}{}; all of it took {}\n",
        plain::line(&line.snapshot),
        verdict(line.result),
        plain::line(&line.checker),
        plain::line(&line.what),
        units::since(line.at, now),
        restored.unwrap_or_default(),
        units::seconds(line.seconds),
    );
    out + &last_words(output)
}

/// Lines that are shown of what programs said; the catalog has more.
const LINES: usize = 20;

fn last_words(output: &str) -> String {
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(LINES);
    lines[from..].iter().map(|line| format!("  | {}\n", plain::line(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(result: DrillResult, what: &str) -> DrillReport {
        DrillReport {
            snapshot: "db-data@42".into(),
            checker: Checker::Postgres,
            result,
            what: what.into(),
            image: Some("postgres:15".into()),
            restore_seconds: 42.0,
            seconds: 75.0,
            files: 1234,
            bytes: 5 << 30,
            fetched_bytes: 1 << 30,
            run: "00112233445566aa".into(),
            output: (0..30).map(|n| format!("LOG: {n}\x1b[2J\n\n")).collect(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn the_verdict_comes_first_and_the_servers_words_where_it_is_a_bad_one() {
        let want = "db-data@42 is proven: pg_amcheck found nothing\nrestored in 42.0 s, 5.0 GiB; all of it in 1 min 15 s\n";
        assert_eq!(done(&report(DrillResult::Proven, "pg_amcheck found nothing")), want);
        let bad = done(&report(DrillResult::Unproven, "pg_amcheck: heap table \x1b[1m"));
        assert!(
            bad.starts_with("db-data@42 is NOT proven: pg_amcheck: heap table \\u{1b}[1m\nrestored in "),
            "{bad}"
        );
        assert!(bad.ends_with("  | LOG: 29\\u{1b}[2J\n") && bad.lines().count() == 22, "{bad}");
        assert_eq!(ending(DrillResult::Unchecked), Ending::With(Class::Partial));
        assert_eq!(ending(DrillResult::Unproven), Ending::With(Class::Failed));
    }

    #[test]
    fn the_done_event_carries_the_fixed_fields() {
        let value = fields(&report(DrillResult::Unchecked, "the image has no `pg_amcheck`")).unwrap();
        for (field, want) in [
            ("snapshot", json!("db-data@42")),
            ("checker", json!("postgres")),
            ("result", json!("unchecked")),
            ("restore_seconds", json!(42.0)),
            ("seconds", json!(75.0)),
        ] {
            assert_eq!(value[field], want, "{field}");
        }
    }

    #[test]
    fn sizes_and_times_are_those_of_policies() {
        assert_eq!((memory("2GiB"), timeout("2h")), (Ok(2 << 30), Ok(Duration::from_secs(7200))));
        assert!(memory("1MiB").is_err() && memory("lots").is_err() && timeout("1s").is_err());
    }
}
