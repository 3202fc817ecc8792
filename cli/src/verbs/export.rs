//! `backupctl export`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use engine::durable::rename_synced;
use engine::failure::{Class, Failure};
use engine::usecase::export::{ExportAs, ExportReport, export};
use engine::usecase::host::Host;
use engine::words::SnapshotName;
use serde_json::json;

use crate::screen::{fields, plain, units};
use crate::session::{Ending, Session};

/// Write a snapshot as a plain tarball
///
/// Any snapshot, full or incremental, comes out as one complete pax tarball that `tar x` understands
/// without this program. A file appears under its name only when it is whole.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl export db-data@42 -o db-data.tar.zst
  backupctl export db-data@latest | tar x -C /tmp/look")]
pub(crate) struct Args {
    /// `SOURCE@42` or `SOURCE@latest`, with `HOST/` in front for another host
    #[arg(value_name = "SNAP")]
    name: SnapshotName,

    /// Into this file instead of stdout; a name that ends in `.zst` is compressed
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Compress with zstd
    #[arg(long)]
    zstd: bool,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let compress =
        args.zstd || args.output.as_ref().is_some_and(|path| path.extension() == Some("zst".as_ref()));
    let what = if compress { ExportAs::TarZst } else { ExportAs::Tar };
    let report = match &args.output {
        Some(path) => to_file(args, path, what, session).await?,
        None => to_stdout(args, what, session).await?,
    };
    if session.screen.is_json() {
        let mut value = fields(&report)?;
        value["file"] = json!(args.output.as_ref().map(|path| path.display().to_string()));
        session.screen.event("done", value);
    } else {
        session.screen.say(&text(&report));
    }
    Ok(if report.partial { Ending::With(Class::Partial) } else { Ending::Done })
}

async fn to_stdout(args: &Args, what: ExportAs, session: &Session) -> Result<ExportReport, Failure> {
    if session.screen.stdout_is_terminal() {
        return Err(Failure::new(Class::Usage, "a tarball would be printed on the terminal")
            .hint(format!("backupctl export {} -o FILE", args.name)));
    }
    session.screen.give_stdout_away();
    // Not through `Stdout`, which looks for line ends in everything that is written.
    let out =
        io::stdout().as_fd().try_clone_to_owned().map_err(|e| Failure::failed("open stdout").because(e))?;
    let host = session.open().await?;
    let host = session.having(&host, &args.name).await?;
    let (report, out) = write(&host, args, what, File::from(out), session).await?;
    drop(out);
    Ok(report)
}

async fn to_file(
    args: &Args,
    path: &Path,
    what: ExportAs,
    session: &Session,
) -> Result<ExportReport, Failure> {
    let shown = path.display();
    if path.symlink_metadata().is_ok() {
        return Err(Failure::new(Class::Unsafe, format!("`{shown}` exists already"))
            .hint("name another file, or remove that one first"));
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".tmp-{}", std::process::id()));
    let tmp = path.with_file_name(name);
    let host = session.open().await?;
    let host = session.having(&host, &args.name).await?;
    let failed = |e| Failure::failed(format!("write `{shown}`")).because(e);
    // Volumes hold secrets: nobody else may read the tarball.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&tmp).map_err(failed)?;
    let written = async {
        let (report, file) = write(&host, args, what, file, session).await?;
        file.sync_all().and_then(|()| rename_synced(&tmp, path)).map_err(failed)?;
        Ok(report)
    }
    .await;
    if written.is_err() {
        // It is not whole and its name is never read; the failure itself is what is told.
        drop(std::fs::remove_file(&tmp));
    }
    written
}

/// Gives the file back, all written and not synced yet.
async fn write(
    host: &Host,
    args: &Args,
    what: ExportAs,
    file: File,
    session: &Session,
) -> Result<(ExportReport, File), Failure> {
    let telling = session.attend()?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let result = export(host, &args.name, what, &mut out, &telling).await;
    telling.end();
    let report = result?;
    let file = out
        .flush()
        .and_then(|()| out.into_inner().map_err(io::IntoInnerError::into_error))
        .map_err(|e| Failure::failed("write the tarball").because(e))?;
    Ok((report, file))
}

fn text(report: &ExportReport) -> String {
    format!(
        "{}: {}, BLAKE3 {}\n",
        plain::line(&report.snapshot),
        units::bytes(report.bytes),
        plain::line(&report.blake3)
    )
}
