//! `backupctl restore`: plan, print the plan, ask, do exactly what was printed.

use std::path::{Path, PathBuf};

use engine::archive::path::TreePath;
use engine::failure::{Class, Failure};
use engine::usecase::restore::{RestorePlan, RestoreRequest, plan_restore, restore};
use engine::words::{HostName, Number, RunId, SourceName};
use jiff::tz::TimeZone;

use super::backup::covered;
use super::meant::{self, meant};
use super::values::{Named, tree_path};
use crate::screen::proposing::{Consent, Proposal};
use crate::screen::{fields, plain};
use crate::session::{Ending, Session};

mod end;
mod plan;
mod project;
mod set;

use end::End;
pub(super) use end::{again, done};
use plan::PlanText;
pub(super) use plan::named;

/// Bring a source back, whole or in part
///
/// Without `--at` or `--snapshot` the newest snapshot is taken. The plan is printed first: which snapshot,
/// what it replaces, which containers stop and start again. Nothing changes before you agree.
///
/// It goes back to where it was, unless `--into` or `--to` names another place. With `--path` that is true of these
/// paths alone: what lies there is replaced, folders above that are missing are made, and all else stays as it is.
///
/// In place, the new content is unpacked and checked beside the old one and then put in its place at once:
/// an interrupted restore leaves the old content or the new, never a mix, and the next one goes on with what it had
/// fetched. With `--delta` only what differs is
/// fetched and overwritten, with the same promise, and containers are down while all of it is compared. A volume
/// that is gone is made again with its driver, options and labels.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl restore db-data --dry-run
  backupctl restore db-data --at yesterday
  backupctl restore db-data --at \"2026-11-20 14:00\" --into db-data-look
  backupctl restore db-data --path etc/app.conf --path etc/keys --at yesterday
  backupctl restore db-data --snapshot 42 --path etc/app.conf --to ./rescued --yes
  backupctl restore db-data@42 --into db-data-look
  backupctl restore db-data --delta
  backupctl restore db-data --from-host old-vm
  backupctl restore --set 5f2a9c01d4e87b36 --dry-run
  backupctl restore --project shop --at yesterday")]
pub(crate) struct Args {
    /// A volume, or `CONTAINER:/MOUNT/POINT`; or one snapshot as `snapshots` prints it: `SOURCE@42`, `HOST/SOURCE@42`
    #[arg(required_unless_present_any = ["set", "project"])]
    source: Option<Named>,

    /// All sources of a set, each in place; its id is in `backupctl show SNAPSHOT`
    #[arg(long, value_name = "ID", conflicts_with_all = ["source", "at", "snapshot", "into", "to", "paths", "from_host"])]
    set: Option<RunId>,

    /// All sources of this compose project, each in place and as its newest snapshot
    ///
    /// A set that has them all and is not the newest of each is refused, for somebody has to say which is meant:
    /// `--set ID` or `--newest`.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["source", "set", "snapshot", "into", "to", "paths", "from_host", "delta"])]
    project: Option<String>,

    /// With `--project`: the newest of each, though a set has them all as of one earlier moment
    #[arg(long, requires = "project")]
    newest: bool,

    /// The newest snapshot taken at or before T: `2026-11-20 14:00`, `2026-11-20`, `yesterday`, `14:00`, `2h ago`, `3d`
    #[arg(long, value_name = "T", conflicts_with = "snapshot")]
    at: Option<String>,

    /// This snapshot: `42`, `SOURCE@42` or `latest`
    #[arg(long, value_name = "ID")]
    snapshot: Option<String>,

    /// Into a new volume of this name, leaving the source alone
    #[arg(long, value_name = "NEW")]
    into: Option<String>,

    /// Into this folder of the host, which is there and empty, leaving the source alone
    #[arg(long, value_name = "DIR", conflicts_with_all = ["into", "keep_previous"])]
    to: Option<PathBuf>,

    /// Only this file or folder, where it was or in the place that `--into` or `--to` names; may be given several times
    #[arg(long = "path", value_name = "P", value_parser = tree_path())]
    paths: Vec<TreePath>,

    /// From the snapshots of another host
    #[arg(long, value_name = "HOST")]
    from_host: Option<HostName>,

    /// Print the plan and end
    #[arg(long)]
    dry_run: bool,

    /// Agree to the plan beforehand
    #[arg(long)]
    yes: bool,

    /// Keep the content that is replaced, in a folder beside the new one
    #[arg(long)]
    keep_previous: bool,

    /// Fetch and overwrite only what differs, in place; containers are down while it is compared
    #[arg(long, conflicts_with_all = ["set", "into", "to", "keep_previous"])]
    delta: bool,

    /// Begin anew where an earlier restore was cut off, instead of going on with what it had fetched
    #[arg(long, conflicts_with_all = ["delta", "paths"])]
    fresh: bool,

    /// Restore a snapshot that lacks files which could not be read; of a set or project, what of it can be restored
    #[arg(long)]
    accept_partial: bool,

    /// Restore the files of a server under one of another major version
    #[arg(long)]
    accept_version: bool,
}

impl Args {
    /// All of `source` into the new volume `new`, leaving it alone.
    pub(super) fn into_new(source: SourceName, new: String, at: Option<String>) -> Self {
        Self {
            source: Some(Named::of(source)),
            set: None,
            project: None,
            newest: false,
            at,
            snapshot: None,
            into: Some(new),
            to: None,
            paths: Vec::new(),
            from_host: None,
            dry_run: false,
            yes: false,
            keep_previous: false,
            delta: false,
            fresh: false,
            accept_partial: false,
            accept_version: false,
        }
    }

    /// What was agreed to beforehand.
    pub(super) fn agreed(self, dry_run: bool, yes: bool) -> Self {
        Self { dry_run, yes, ..self }
    }
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let screen = &session.screen;
    if let Some(id) = &args.set {
        return set::run(id, args, session).await;
    }
    if let Some(name) = &args.project {
        return project::run(name, args, session).await;
    }
    let Some(named) = &args.source else {
        return Err(Failure::new(Class::Usage, "restore what?").hint("name a source, a set or a project"));
    };
    meant::check(args.at.as_deref(), session)?;
    let request = request(named, args)?;
    let source = &named.source;
    let host = if args.dry_run { session.open().await? } else { session.open_to_write().await? };
    // Who names this host means no other.
    let from_host = request.host.clone().filter(|whose| *whose != host.settings().host);
    let request = RestoreRequest { host: from_host.clone(), ..request };
    let cover = match (&args.at, &from_host) {
        (Some(_), None) => covered(&host, session).await?,
        _ => None,
    };
    let at = meant(args.at.as_deref(), source, cover.as_ref(), session)?;
    let request = RestoreRequest { at, ..request };
    let RestoreRequest { source, host: whose, number, at, .. } = &request;
    let host = session.at_store_with(&host, whose.as_ref(), source, *number, *at).await?;
    let plan = plan_restore(&host, &request).await?;
    let text = plan_text(&plan, from_host.as_ref(), screen.zone());
    let (question, deed) = (question(&plan), format!("restore `{}`", plan.target));
    let proposal = Proposal { text: &text, question: &question, deed: &deed };
    if !screen.propose(&plan, proposal, Consent { dry_run: args.dry_run, yes: args.yes })? {
        return Ok(Ending::Done);
    }
    let end = End::of(&plan);
    let telling = session.attend()?;
    let result = restore(&host, plan, &telling).await;
    let heard = telling.end();
    let report = result?;
    for warning in report.warnings.iter().filter(|warning| !heard.contains(warning)) {
        screen.warn(warning);
    }
    if screen.is_json() {
        screen.event("done", fields(&report)?);
    } else {
        screen.prose(&end.line(&report))?;
    }
    Ok(Ending::Done)
}

/// All but the moment, which depends on policies.
fn request(named: &Named, args: &Args) -> Result<RestoreRequest, Failure> {
    let usage = |e: &dyn std::fmt::Display| Failure::new(Class::Usage, e.to_string());
    let Named { host, source, number: own } = named;
    if own.is_some() && (args.snapshot.is_some() || args.at.is_some()) {
        return Err(usage(&"the snapshot is named twice: leave out `@…`, or `--snapshot` and `--at`"));
    }
    if let (Some(host), Some(from)) = (host, &args.from_host)
        && host != from
    {
        return Err(usage(&format!(
            "`{host}` and `{from}` are two hosts: leave out `--from-host`, or `{host}/`"
        )));
    }
    let number = match &args.snapshot {
        None => *own,
        Some(text) => number(source, text).map_err(|why| usage(&format!("--snapshot: {why}")))?,
    };
    Ok(RestoreRequest {
        source: source.clone(),
        host: args.from_host.clone().or_else(|| host.clone()),
        number,
        at: None,
        into: args.into.clone(),
        to: args.to.as_deref().map(folder).transpose()?,
        paths: args.paths.clone(),
        keep_previous: args.keep_previous,
        delta: args.delta,
        fresh: args.fresh,
        accept_partial: args.accept_partial,
        accept_version: args.accept_version,
    })
}

/// The folder as Docker has to hear of it.
fn folder(dir: &Path) -> Result<String, Failure> {
    let named = |why: &str| {
        Failure::new(Class::Usage, format!("--to: `{}` {why}", plain::line(&dir.to_string_lossy())))
    };
    let whole = std::path::absolute(dir).map_err(|e| named("cannot be found").because(e))?;
    match whole.into_os_string().into_string() {
        Ok(text) => Ok(text),
        Err(_) => Err(named("is not UTF-8, and Docker takes no other names")),
    }
}

/// `42`, `@42`, `SOURCE@42`, `latest`: `None` is the newest.
pub(super) fn number(source: &SourceName, text: &str) -> Result<Option<Number>, String> {
    let which = match text.rsplit_once('@') {
        None | Some(("", _)) => text.trim_start_matches('@'),
        Some((named, which)) if named == source.to_string() => which,
        Some((named, _)) => {
            return Err(format!(
                "`{}` is a snapshot of `{}`, not of `{source}`",
                text.escape_debug(),
                named.escape_debug()
            ));
        }
    };
    if which == "latest" {
        return Ok(None);
    }
    let number = which.parse().ok().and_then(Number::new);
    number
        .map(Some)
        .ok_or_else(|| format!("`{}` is no snapshot; write `42` or `latest`", text.escape_debug()))
}

fn question(plan: &RestorePlan) -> String {
    let (snapshot, target) = (plain::line(&plan.snapshot), plain::line(&plan.target));
    if plan.in_place && !plan.paths.is_empty() {
        let paths = named(&plan.paths);
        format!("Replace what is at {paths} in `{target}` by what `{snapshot}` has there?")
    } else if plan.in_place && plan.target_exists {
        let what = if plan.delta { "what differs" } else { "what is" };
        format!("Replace {what} in `{target}` by `{snapshot}`?")
    } else {
        format!("Restore `{snapshot}` into `{target}`?")
    }
}

/// The plan as people read it.
pub(crate) fn plan_text(plan: &RestorePlan, from_host: Option<&HostName>, zone: &TimeZone) -> String {
    PlanText::of(plan, from_host).text(zone)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use engine::usecase::restore::RestoreReport;

    use super::*;

    pub(super) fn report() -> RestoreReport {
        RestoreReport {
            snapshot: "db-data@42".into(),
            target: "db-data".into(),
            files: 1234,
            bytes: 5 << 30,
            fetched_bytes: 1 << 30,
            verified: true,
            seconds: 75.0,
            entries: 1300,
            paths: Vec::new(),
            run: "00112233445566aa".into(),
            warnings: Vec::new(),
            previous: Some(".backupd-previous".into()),
            started: Vec::new(),
            health: Vec::new(),
            delta: None,
        }
    }

    pub(super) fn plan(into: Option<&str>, to: Option<&str>) -> RestorePlan {
        let request = RestoreRequest {
            source: "db-data".parse().unwrap(),
            host: None,
            number: None,
            at: None,
            into: into.map(str::to_owned),
            to: to.map(str::to_owned),
            paths: Vec::new(),
            keep_previous: false,
            delta: false,
            fresh: false,
            accept_partial: false,
            accept_version: false,
        };
        RestorePlan {
            snapshot: "db-data@42".into(),
            taken_at: "2026-11-20T13:00:05Z".parse().unwrap(),
            age_seconds: 1,
            why: "it is the newest".into(),
            consistency: engine::format::manifest::Consistency::Idle,
            proven_at: None,
            target: into.or(to).unwrap_or("db-data").into(),
            target_exists: into.is_none(),
            creates_volume: into.is_some(),
            in_place: into.is_none() && to.is_none(),
            delta: false,
            replaces_entries: 0,
            unfinished_at: None,
            paths: Vec::new(),
            absent_paths: None,
            only_now: None,
            only_now_named: Vec::new(),
            differing: None,
            files: 1,
            entries: 2,
            bytes: 3,
            data_bytes: 3,
            fetch_bytes: 3,
            free_bytes: None,
            free_inodes: None,
            stops: Vec::new(),
            warnings: Vec::new(),
            request,
            name: "db-data@42".parse().unwrap(),
        }
    }

    #[test]
    fn the_question_names_the_paths() {
        let whole = question(&plan(None, None));
        assert_eq!(whole, "Replace what is in `db-data` by `db-data@42`?");
        let mut some = plan(None, None);
        some.paths = ["a\x1b", "b/c"].map(str::to_owned).to_vec();
        let want = "Replace what is at `a\\u{1b}`, `b/c` in `db-data` by what `db-data@42` has there?";
        assert_eq!(question(&some), want);
        some.in_place = false;
        assert_eq!(question(&some), "Restore `db-data@42` into `db-data`?");
    }

    #[test]
    fn the_done_event_carries_the_fixed_fields() {
        let value = fields(&report()).unwrap();
        for (field, want) in [
            ("snapshot", json!("db-data@42")),
            ("target", json!("db-data")),
            ("files", json!(1234)),
            ("bytes", json!(5_368_709_120_u64)),
            ("fetched_bytes", json!(1_073_741_824)),
            ("verified", json!(true)),
            ("seconds", json!(75.0)),
        ] {
            assert_eq!(value[field], want, "{field}");
        }
    }

    #[test]
    fn a_snapshot_is_named_by_number_or_in_full() {
        let source: SourceName = "db-data".parse().unwrap();
        for (text, want) in [
            ("42", Ok(Number::new(42))),
            ("@42", Ok(Number::new(42))),
            ("db-data@42", Ok(Number::new(42))),
            ("latest", Ok(None)),
            ("db-data@latest", Ok(None)),
            ("0", Err("`0` is no snapshot; write `42` or `latest`")),
            ("x@42", Err("`x@42` is a snapshot of `x`, not of `db-data`")),
            ("yesterday", Err("`yesterday` is no snapshot; write `42` or `latest`")),
        ] {
            assert_eq!(number(&source, text), want.map_err(str::to_owned), "{text}");
        }
    }
}
