//! `backupctl backup`.

use std::time::Duration;

use engine::failure::{Class, Failure};
use engine::usecase::backup::{BackupReport, BackupRequest, backup};
use engine::usecase::cover::{Cover, cover};
use engine::usecase::host::Host;
use engine::usecase::set::backup_set;
use engine::usecase::terms::terms_for;
use engine::words::SourceName;
use policies::policy::{Consistency, Mode, Terms, parse_time};
use serde_json::json;

use crate::screen::{fields, plain, units};
use crate::session::{Ending, Session};

mod chosen;

/// Back sources up now, one after another
///
/// Containers go on running; the snapshot says whether any of them could write meanwhile. With `--consistency`, those that
/// write are paused or stopped while the last changes are read, for seconds, and run again as they did. What the policy of
/// a source says of this, and in which store its snapshots live, holds here too.
///
/// The first snapshot of a source is full, and one every 30 days; others read what changed and send only that.
///
/// Ends with the worst exit code of all sources: 3 when a snapshot was made but lacks files that could not
/// be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl backup db-data
  backupctl backup db-data web:/var/lib/app
  backupctl backup db-data --consistency pause --max-freeze 30s
  backupctl backup db-data queue-data --set --consistency pause
  backupctl backup --project shop")]
pub(crate) struct Args {
    /// A volume, or `CONTAINER:/MOUNT/POINT`
    #[arg(required_unless_present_any = ["policy", "project"], value_name = "SOURCE")]
    sources: Vec<SourceName>,

    /// All sources that this policy backs up
    #[arg(long, value_name = "NAME", conflicts_with_all = ["sources", "project"])]
    policy: Option<String>,

    /// All sources of this compose project that a policy backs up
    #[arg(long, value_name = "NAME", conflicts_with = "sources")]
    project: Option<String>,

    /// As one set: those who write to any of them are held at one moment; a policy with `set = true` says so itself
    #[arg(long)]
    set: bool,

    /// Take a snapshot of an empty source too; without this it is refused, as a sign of a wrong mount
    #[arg(long)]
    allow_empty: bool,

    /// Read and send everything, instead of what changed since the last snapshot
    #[arg(long)]
    full: bool,

    /// What becomes of containers that write: `live` lets them go on, `pause` and `stop` hold them for a moment,
    /// `postgres`, `mysql`, `redis` and `rrd` do what such a server needs [default: as the source's policy says, else
    /// `live`]
    #[arg(long, value_name = "MODE", value_parser = mode)]
    consistency: Option<Mode>,

    /// They are held no longer than this; a backup that needs more fails [default: as the policy says, else 60s]
    #[arg(long, value_name = "TIME", value_parser = max_freeze)]
    max_freeze: Option<Duration>,
}

fn mode(text: &str) -> Result<Mode, String> {
    // These run programs, which only a policy names.
    let mut known = Mode::ALL.iter().copied().filter(|mode| !matches!(mode, Mode::Hooks | Mode::Dump));
    known
        .find(|mode| mode.word() == text)
        .ok_or("it is one of `live`, `pause`, `stop`, `postgres`, `mysql`, `redis` and `rrd`".to_owned())
}

fn max_freeze(text: &str) -> Result<Duration, String> {
    let hour = Duration::from_secs(3600);
    let time = parse_time(text).filter(|time| (Duration::from_secs(1)..=hour).contains(time));
    time.ok_or("it is a time from `1s` to `1h`".to_owned())
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open_to_write().await?;
    let cover = match args.consistency {
        Some(_) => covered(&host, session).await?,
        None => in_force(&host, session).await?,
    };
    let mut classes = Vec::new();
    for group in chosen::groups(args, cover.as_ref())? {
        if args.consistency.is_none() {
            chosen::settled(&group, cover.as_ref())?;
        }
        let terms = |source: &SourceName| cover.as_ref().and_then(|cover| terms_for(cover, source));
        let requests: Vec<BackupRequest> =
            group.sources.iter().map(|source| args.request(source, terms(source))).collect();
        let at = one_store(group.sources.iter().map(|source| session.at_store_of(&host, terms(source))))?;
        match one(&at, &requests, group.is_set, session).await {
            Ok(Ending::Done) => {}
            Ok(Ending::With(class)) => classes.push(class),
            Err(failure) => {
                let names: Vec<String> = group.sources.iter().map(ToString::to_string).collect();
                session.screen.failure(&failure, json!({ "source": names.join(", ") }));
                classes.push(failure.class);
                if failure.class == Class::Interrupted {
                    break;
                }
            }
        }
    }
    Ok(worst(&classes).map_or(Ending::Done, Ending::With))
}

/// The store that all have.
fn one_store(mut hosts: impl Iterator<Item = Host>) -> Result<Host, Failure> {
    let Some(first) = hosts.next() else { return Err(Failure::new(Class::Usage, "back up what?")) };
    match hosts.find(|other| other.store_address() != first.store_address()) {
        None => Ok(first),
        Some(other) => Err(Failure::new(Class::Usage, "a set lives in one store")
            .because(format!("policies name `{}` and `{}`", first.store_address(), other.store_address()))
            .hint("name one for all of them with `--store`")),
    }
}

impl Args {
    /// As the source's policy says, and the command line before it.
    fn request(&self, source: &SourceName, terms: Option<&Terms>) -> BackupRequest {
        let usual = BackupRequest::scheduled(source.clone(), terms);
        BackupRequest {
            by_hand: true,
            allow_empty: self.allow_empty,
            full: self.full,
            consistency: Consistency {
                mode: self.consistency.unwrap_or(usual.consistency.mode),
                max_freeze: self.max_freeze.unwrap_or(usual.consistency.max_freeze),
                ..usual.consistency
            },
            ..usual
        }
    }
}

/// The policies, where nothing else says how those who write are to be held: a database that is read while it is written to
/// would be no copy, and nobody would know.
async fn in_force(host: &Host, session: &Session) -> Result<Option<Cover>, Failure> {
    let places = session.places()?;
    if places.are_left_out() {
        return Ok(None);
    }
    let cover = cover(host, &places).await;
    cover.map(Some).map_err(|failure| match failure.class == Class::Usage {
        true => failure.hint(
            "correct them until `backupctl policy check` is content, or say how writers are held: `--consistency`",
        ),
        false => failure,
    })
}

/// The policies, for what they say of each source. What is done by hand does not wait for a policy to be corrected.
pub(super) async fn covered(host: &Host, session: &Session) -> Result<Option<Cover>, Failure> {
    let places = session.places()?;
    if places.are_left_out() {
        return Ok(None);
    }
    Ok(match cover(host, &places).await {
        Ok(cover) => Some(cover),
        Err(failure) => {
            session.screen.warn(&format!("policies are left out of this: {failure}"));
            None
        }
    })
}

/// Backs one source up, or a set.
async fn one(
    host: &Host,
    requests: &[BackupRequest],
    is_set: bool,
    session: &Session,
) -> Result<Ending, Failure> {
    session.still_wanted()?;
    let telling = session.attend()?;
    let result = match requests {
        [request] if !is_set => backup(host, request, &telling).await.map(|report| vec![report]),
        _ => backup_set(host, requests, &telling).await,
    };
    let heard = telling.end();
    let mut partial = false;
    for report in result? {
        partial |= report.partial;
        tell(&report, &heard, session)?;
    }
    Ok(if partial { Ending::With(Class::Partial) } else { Ending::Done })
}

fn tell(report: &BackupReport, heard: &[String], session: &Session) -> Result<(), Failure> {
    for warning in report.warnings.iter().filter(|warning| !heard.contains(warning)) {
        session.screen.warn(warning);
    }
    if report.partial {
        session.screen.warn(&format!(
            "`{0}` is partial: some of it could not be read; `backupctl show {0}` says what",
            report.snapshot
        ));
    }
    if session.screen.is_json() {
        session.screen.event("done", fields(report)?);
    } else {
        session.screen.prose(&text(report))?;
    }
    Ok(())
}

/// An interruption ends everything; different failures together are a failure; partial is the least.
pub(super) fn worst(classes: &[Class]) -> Option<Class> {
    if classes.contains(&Class::Interrupted) {
        return Some(Class::Interrupted);
    }
    let mut failures = classes.iter().filter(|class| **class != Class::Partial);
    match failures.next() {
        Some(first) if failures.all(|other| other == first) => Some(*first),
        Some(_) => Some(Class::Failed),
        None => classes.first().copied(),
    }
}

/// One line that says what was done.
pub(crate) fn text(report: &BackupReport) -> String {
    let kind = match report.kind {
        engine::format::manifest::SnapshotKind::Full => "full",
        engine::format::manifest::SnapshotKind::Incremental => "incremental",
    };
    let frozen = if report.freeze_seconds > 0.0 {
        format!(", frozen for {}", units::seconds(report.freeze_seconds))
    } else {
        String::new()
    };
    format!(
        "{}  {kind}{}, {}, {}, sent {} in {}{frozen}\n",
        plain::line(&report.snapshot),
        if report.partial { ", partial" } else { "" },
        units::counted(report.files, "file", "files"),
        units::bytes(report.bytes),
        units::bytes(report.sent_bytes),
        units::seconds(report.seconds),
    )
}

#[cfg(test)]
mod tests {
    use engine::format::manifest::{Consistency, SnapshotKind};

    use super::*;

    fn report() -> BackupReport {
        BackupReport {
            snapshot: "db-data@42".into(),
            source: "db-data".into(),
            kind: SnapshotKind::Incremental,
            files: 1234,
            bytes: 5 << 30,
            sent_bytes: 3 << 20,
            set: None,
            consistency: Consistency::Live,
            freeze_seconds: 0.0,
            seconds: 8.25,
            warnings: vec!["`x` vanished".into()],
            partial: false,
            entries: 1300,
            run: "00112233445566aa".into(),
        }
    }

    #[test]
    fn a_backup_by_hand_is_done_as_the_policy_says_and_the_command_line_before_it() {
        let text = "schedule = \"0 2 * * *\"\n[consistency]\nmode = \"pause\"\nmax_freeze = \"9s\"\n[limits]\nnice = 7\n";
        let folder = policies::policy::Folder::judge([("night.toml", text)]).unwrap();
        let terms = folder.find("night").and_then(policies::policy::Policy::terms);
        let request = |words: &[&str], terms| {
            use clap::{Args as _, FromArgMatches as _};
            let command = Args::augment_args(clap::Command::new("backup").no_binary_name(true));
            let args = Args::from_arg_matches(&command.get_matches_from(words)).unwrap();
            let BackupRequest { consistency, terms, .. } = args.request(&"db".parse().unwrap(), terms);
            (consistency.mode, consistency.max_freeze.as_secs(), terms.nice)
        };
        assert_eq!(request(&["db"], None), (Mode::Live, 60, 0));
        assert_eq!(request(&["db"], terms), (Mode::Pause, 9, 7));
        assert_eq!(request(&["db", "--consistency", "live"], terms), (Mode::Live, 9, 7));
        assert_eq!(request(&["db", "--max-freeze", "2s"], terms), (Mode::Pause, 2, 7));
    }

    #[test]
    fn one_line_says_what_was_done() {
        assert_eq!(text(&report()), "db-data@42  incremental, 1,234 files, 5.0 GiB, sent 3.0 MiB in 8.2 s\n");
        let frozen =
            BackupReport { freeze_seconds: 1.5, partial: true, kind: SnapshotKind::Full, ..report() };
        assert_eq!(
            text(&frozen),
            "db-data@42  full, partial, 1,234 files, 5.0 GiB, sent 3.0 MiB in 8.2 s, frozen for 1.5 s\n"
        );
    }

    #[test]
    fn the_done_event_carries_the_fixed_fields() {
        let value = fields(&report()).unwrap();
        for (field, want) in [
            ("snapshot", json!("db-data@42")),
            ("source", json!("db-data")),
            ("kind", json!("incremental")),
            ("files", json!(1234)),
            ("bytes", json!(5_368_709_120_u64)),
            ("sent_bytes", json!(3_145_728)),
            ("consistency", json!("live")),
            ("freeze_seconds", json!(0.0)),
            ("seconds", json!(8.25)),
            ("warnings", json!(["`x` vanished"])),
            ("partial", json!(false)),
        ] {
            assert_eq!(value[field], want, "{field}");
        }
    }

    #[test]
    fn the_worst_exit_code_wins() {
        use Class::{Busy, Failed, Interrupted, NotFound, Partial};
        for (classes, want) in [
            (&[][..], None),
            (&[Partial], Some(Partial)),
            (&[Partial, Busy], Some(Busy)),
            (&[Busy, Busy], Some(Busy)),
            (&[Busy, NotFound], Some(Failed)),
            (&[Failed, Interrupted], Some(Interrupted)),
        ] {
            assert_eq!(worst(classes), want, "{classes:?}");
        }
    }
}
