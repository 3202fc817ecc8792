//! `backupctl verify`.

use engine::failure::{Class, Failure};
use engine::usecase::host::Host;
use engine::usecase::stores::{Standing, Stores};
use engine::usecase::verify::{VerifyReport, VerifyRequest, verify};
use engine::words::SnapshotName;
use serde_json::json;

use crate::screen::{fields, plain, units};
use crate::session::{Ending, Session};

/// Read snapshots back and check every byte
///
/// Names what is damaged: snapshot, object, frame, files. Exit code 1 when anything is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl verify db-data@latest
  backupctl verify --all --quick")]
#[command(group = clap::ArgGroup::new("which").required(true).args(["names", "all"]))]
pub(crate) struct Args {
    /// `SOURCE@42` or `SOURCE@latest`, with `HOST/` in front for another host
    #[arg(value_name = "SNAP")]
    names: Vec<SnapshotName>,

    /// All snapshots of this host
    #[arg(long)]
    all: bool,

    /// Manifests, tables and lengths only; no content is fetched
    #[arg(long)]
    quick: bool,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    let parts = parts(&session.stores(&host)?, args).await?;
    let telling = session.attend()?;
    let mut report = VerifyReport { snapshots: 0, frames: 0, bytes: 0, damaged: Vec::new(), seconds: 0.0 };
    let mut failed = Vec::new();
    for (at, names) in &parts {
        match verify(at, &VerifyRequest { names: names.clone(), quick: args.quick }, &telling).await {
            Ok(more) => add(&mut report, more),
            // Of several stores, one that cannot be asked keeps nobody from looking at the others.
            Err(failure) if parts.len() > 1 && failure.class != Class::Interrupted => {
                failed.push((at.store_address(), failure));
            }
            Err(failure) => {
                telling.end();
                return Err(failure);
            }
        }
    }
    telling.end();
    for (store, failure) in &failed {
        session.screen.failure(failure, json!({ "store": store }));
    }
    if session.screen.is_json() {
        session.screen.event("done", fields(&report)?);
    } else {
        session.screen.prose(&text(&report, args.quick))?;
    }
    let good = report.damaged.is_empty() && failed.is_empty();
    Ok(if good { Ending::Done } else { Ending::With(Class::Failed) })
}

/// What is to be verified in each store; all that it has where nothing is named.
async fn parts(stores: &Stores, args: &Args) -> Result<Vec<(Host, Vec<SnapshotName>)>, Failure> {
    let mut parts: Vec<(Host, Vec<SnapshotName>)> = Vec::new();
    for name in &args.names {
        let at = stores.having(name, Standing::Live).await?;
        match parts.iter_mut().find(|(other, _)| other.store_address() == at.store_address()) {
            Some((_, names)) => names.push(name.clone()),
            None => parts.push((at, vec![name.clone()])),
        }
    }
    if args.names.is_empty() {
        parts.extend(stores.in_use().into_iter().map(|at| (at.clone(), Vec::new())));
    }
    Ok(parts)
}

fn add(report: &mut VerifyReport, more: VerifyReport) {
    report.snapshots += more.snapshots;
    report.frames += more.frames;
    report.bytes += more.bytes;
    report.damaged.extend(more.damaged);
    report.seconds += more.seconds;
}

fn text(report: &VerifyReport, quick: bool) -> String {
    let mut out = String::new();
    for damage in &report.damaged {
        let frame = damage.frame.map(|frame| format!(", frame {frame}")).unwrap_or_default();
        out += &format!(
            "damaged: {}: {}{frame}: {}\n",
            plain::line(&damage.snapshot),
            plain::line(&damage.object),
            plain::line(&damage.what)
        );
        for file in &damage.files {
            out += &format!("  file {}\n", plain::line(file));
        }
    }
    let damages = report.damaged.len() as u64;
    let verdict = match (damages, quick) {
        (0, false) => "all whole".to_owned(),
        (0, true) => "nothing wrong found; content was not read".to_owned(),
        _ => units::counted(damages, "damage", "damages"),
    };
    out + &format!(
        "{}, {}, {} in {}: {verdict}\n",
        units::counted(report.snapshots, "snapshot", "snapshots"),
        units::counted(report.frames, "frame", "frames"),
        units::bytes(report.bytes),
        units::seconds(report.seconds),
    )
}

#[cfg(test)]
mod tests {
    use engine::usecase::verify::Damage;

    use super::*;

    fn report(damaged: Vec<Damage>) -> VerifyReport {
        VerifyReport { snapshots: 2, frames: 5120, bytes: 5 << 30, damaged, seconds: 9.0 }
    }

    fn damage() -> Damage {
        Damage {
            snapshot: "db-data@42".into(),
            object: "vm-1/db-data/00000042-x.tar.zst".into(),
            frame: Some(17),
            files: vec!["base/1".into(), "base/\u{1b}[2J".into()],
            what: "hash does not match".into(),
        }
    }

    #[test]
    fn damage_is_named_down_to_the_files() {
        let want = "\
damaged: db-data@42: vm-1/db-data/00000042-x.tar.zst, frame 17: hash does not match
  file base/1
  file base/\\u{1b}[2J
damaged: db-data@42: vm-1/db-data/00000042.manifest: hash does not match
2 snapshots, 5,120 frames, 5.0 GiB in 9.0 s: 2 damages
";
        let manifest = Damage {
            object: "vm-1/db-data/00000042.manifest".into(),
            frame: None,
            files: Vec::new(),
            ..damage()
        };
        assert_eq!(text(&report(vec![damage(), manifest]), false), want);
    }

    #[test]
    fn only_a_full_reading_says_that_all_is_whole() {
        assert_eq!(
            text(&report(Vec::new()), false),
            "2 snapshots, 5,120 frames, 5.0 GiB in 9.0 s: all whole\n"
        );
        assert!(text(&report(Vec::new()), true).ends_with(": nothing wrong found; content was not read\n"));
    }

    #[test]
    fn the_done_event_carries_the_fixed_fields() {
        let value = fields(&report(vec![damage()])).unwrap();
        assert_eq!(
            (&value["snapshots"], &value["frames"], &value["bytes"]),
            (&2.into(), &5120.into(), &(5_u64 << 30).into())
        );
        let damaged = &value["damaged"][0];
        for field in ["snapshot", "object", "frame", "files", "what"] {
            assert!(!damaged[field].is_null(), "{field}");
        }
    }
}
