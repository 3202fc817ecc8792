//! What restores have kept of the content that they replaced: which, since when, how much, and how it goes.
//!
//! Always true: only what a restore of ours kept is listed, and of that only what is named is removed.

use archive::channel::{Job, Kept};
use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::Verb;
use crate::failure::{Class, Failure};
use crate::format::names::Lineage;
use crate::lock::LockOn;
use crate::port::docker::{Access, Docker};
use crate::usecase::host::Host;
use crate::usecase::job::{ask, spec};
use crate::usecase::restore_place::Place;
use crate::usecase::run::{Glance, Run};
use crate::usecase::source;
use crate::words::{RunId, SourceName};

/// A source keeps no more than this: what nobody looks at any more fills the disk.
pub const KEPT_MAX: usize = 3;

/// The content that one restore replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptLine {
    /// The run of the restore, by which it is named.
    pub run: String,
    /// When it was replaced.
    pub kept_at: Timestamp,
    /// How long ago.
    pub age_seconds: i64,
    /// Entries in it.
    pub entries: u64,
    /// Bytes that it takes on the disk.
    pub bytes: u64,
    /// All of it is there; without that it cannot come back.
    pub whole: bool,
    /// The paths that it is of; none if it is of all of the source.
    pub paths: Vec<String>,
}

/// Where a source's content is, as it is now.
pub(super) async fn find(host: &Host, docker: &dyn Docker, source: &SourceName) -> Result<Place, Failure> {
    let found = source::resolve(docker, source).await?;
    source::refuse_own_folders(host, &found)?;
    Ok(Place { mount: found.mount, exists: true, users: found.users })
}

/// What restores of a source have kept, oldest first. Changes nothing.
pub async fn kept(host: &Host, source: &SourceName) -> Result<Vec<KeptLine>, Failure> {
    let docker = host.docker().await?;
    let place = find(host, &*docker, source).await?;
    look(host, &*docker, &place).await
}

pub(super) async fn look(host: &Host, docker: &dyn Docker, place: &Place) -> Result<Vec<KeptLine>, Failure> {
    let glance = Glance::begin(host)?;
    let spec = spec(host, glance.id(), &place.mount, Access::Read);
    let found: Vec<Kept> =
        ask(docker, &spec, &Job::Kept, format!("look what is kept in `{}`", place.name())).await?;
    let now = host.clock().now();
    let line = |kept: Kept| {
        // A time that no clock shows is none.
        let kept_at = Timestamp::from_second(kept.kept_at).unwrap_or(Timestamp::UNIX_EPOCH);
        KeptLine {
            age_seconds: now.as_second() - kept_at.as_second(),
            run: kept.run,
            kept_at,
            entries: kept.entries,
            bytes: kept.bytes,
            whole: kept.whole,
            paths: kept.places,
        }
    };
    Ok(found.into_iter().map(line).collect())
}

/// Nothing is kept under that name.
pub(super) fn nothing(source: &SourceName, run: Option<&RunId>) -> Failure {
    match run {
        Some(run) => Failure::not_found(format!("`{source}` has nothing that run `{run}` kept"))
            .hint(format!("`backupctl undo-restore {source} --list` shows what there is")),
        None => Failure::not_found(format!("no restore of `{source}` kept what it replaced")).hint(
            "`backupctl restore --keep-previous` does; what an earlier snapshot holds comes back with `backupctl restore`",
        ),
    }
}

/// Removes what a restore kept, for good.
pub async fn forget(host: &Host, source: &SourceName, kept: &RunId) -> Result<(), Failure> {
    let docker = host.docker().await?;
    let place = find(host, &*docker, source).await?;
    let lineage = Lineage { host: host.settings().host.clone(), source: source.clone() };
    let own = LockOn::Lineage(lineage.clone());
    let run = Run::begin_on(host, Verb::Undo, &lineage, Some(own), Some(place.lock()))?;
    let spec = spec(host, run.id(), &place.mount, Access::Write);
    let work = async {
        run.working(None)?;
        let job = Job::Forget { run: kept.to_string() };
        let removed: bool =
            ask(&*docker, &spec, &job, format!("remove what run `{kept}` kept in `{}`", place.name()))
                .await?;
        if removed { Ok(()) } else { Err(nothing(source, Some(kept))) }
    };
    let done = work.await;
    run.end(done)
}

/// How a restore that keeps what it replaces adds to what is kept already.
pub(super) fn adding(source: &SourceName, kept: &[Kept]) -> Result<Option<String>, Failure> {
    if kept.is_empty() {
        return Ok(None);
    }
    if kept.len() >= KEPT_MAX {
        return Err(Failure::new(
            Class::Unsafe,
            format!("`{source}` keeps what {} restores replaced, and that is the most", kept.len()),
        )
        .hint(format!(
            "`backupctl undo-restore {source} --list`, then remove one with `--forget RUN`; or restore without `--keep-previous`"
        )));
    }
    Ok(Some(format!(
        "what earlier restores replaced is kept as well ({} of at most {KEPT_MAX}): `backupctl undo-restore {source} --list`",
        kept.len() + 1
    )))
}
