//! `backupctl import`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use engine::archive::path::TreePath;
use engine::failure::{Class, Failure};
use engine::usecase::import::{ImportReport, ImportRequest, import};
use engine::usecase::terms::terms_for;
use engine::words::SourceName;

use super::backup::covered;
use super::values::tree_path;
use crate::screen::{fields, plain, units};
use crate::session::{Ending, Session};
use crate::when;

/// Make a snapshot of an archive that other software made
///
/// Takes a tar archive, plain or in gzip or zstd, as GNU tar, bsdtar, restic and docker-volume-backup write it. The archive
/// is unpacked into a scratch volume by a confined helper, and that is backed up like any source. One that is cut short
/// or damaged is refused; what cannot be carried is named, and makes the snapshot partial.
///
/// There must be room for the unpacked archive where Docker keeps its volumes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl import db-data.tar.gz --as db-data
  backupctl import backup.tar.gz --as db-data --beneath backup/db-data --taken-at '2026-11-20 03:00'
  restic dump latest /srv/db --archive tar | backupctl import - --as db-data --beneath srv/db")]
pub(crate) struct Args {
    /// The archive; `-` reads stdin
    file: PathBuf,

    /// The source that it becomes a snapshot of: a volume, which need not exist, or `CONTAINER:/MOUNT/POINT`
    #[arg(long = "as", value_name = "SOURCE")]
    source: SourceName,

    /// When the copy was made: `2026-11-20 03:00`, `yesterday`, `3d` [default: now]
    #[arg(long, value_name = "T")]
    taken_at: Option<String>,

    /// Take only what lies beneath this folder of the archive, which becomes the top
    #[arg(long, value_name = "PATH", value_parser = tree_path())]
    beneath: Option<TreePath>,

    /// Take so many folders off the front of every name
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    strip: u32,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let taken_at = match &args.taken_at {
        Some(text) => {
            let moment = when::parse(text, session.screen.now(), session.screen.zone());
            Some(moment.map_err(|e| Failure::new(Class::Usage, "read `--taken-at`").because(e))?)
        }
        None => None,
    };
    let archive = open(&args.file)?;
    let host = session.open_to_write().await?;
    let cover = covered(&host, session).await?;
    let terms = cover.as_ref().and_then(|cover| terms_for(cover, &args.source));
    let host = session.at_store_of(&host, terms);
    let name = args.file.file_name().unwrap_or_default();
    let request = ImportRequest {
        source: args.source.clone(),
        taken_at,
        archive: plain::line(&name.to_string_lossy()).into_owned(),
        beneath: args.beneath.clone().unwrap_or_else(TreePath::root),
        strip: args.strip,
    };
    let telling = session.attend()?;
    let result = import(&host, &request, archive, &telling).await;
    let heard = telling.end();
    let report = result?;
    for warning in report.backup.warnings.iter().filter(|warning| !heard.contains(warning)) {
        session.screen.warn(warning);
    }
    if report.backup.partial {
        session.screen.warn(&format!(
            "`{0}` is partial: some of the archive could not be carried; `backupctl show {0}` says what",
            report.backup.snapshot
        ));
    }
    if session.screen.is_json() {
        session.screen.event("done", fields(&report)?);
    } else {
        session.screen.prose(&text(&report, session))?;
    }
    Ok(if report.backup.partial { Ending::With(Class::Partial) } else { Ending::Done })
}

/// Nothing of it is read yet.
fn open(path: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    if path == Path::new("-") {
        let stdin = io::stdin().as_fd().try_clone_to_owned();
        return Ok(Box::new(File::from(stdin.map_err(|e| Failure::failed("open stdin").because(e))?)));
    }
    let what = || format!("open `{}`", path.display());
    let file = File::open(path).map_err(|e| match e.kind() == io::ErrorKind::NotFound {
        true => Failure::not_found(what()).because(e),
        false => Failure::failed(what()).because(e),
    })?;
    let is_folder = file.metadata().is_ok_and(|metadata| metadata.is_dir());
    if is_folder {
        return Err(Failure::new(Class::Usage, format!("`{}` is a folder", path.display())).hint(
            "name an archive; `tar -cf - -C FOLDER . | backupctl import - --as SOURCE` makes one of a folder",
        ));
    }
    Ok(Box::new(file))
}

fn text(report: &ImportReport, session: &Session) -> String {
    format!(
        "{}  of {} ({}), taken {}{}, {}, {}, sent {} in {}\n",
        plain::line(&report.backup.snapshot),
        plain::line(&report.archive),
        units::bytes(report.archive_bytes),
        units::moment_with_zone(report.taken_at, session.screen.zone()),
        if report.backup.partial { ", partial" } else { "" },
        units::counted(report.backup.files, "file", "files"),
        units::bytes(report.backup.bytes),
        units::bytes(report.backup.sent_bytes),
        units::seconds(report.backup.seconds),
    )
}
