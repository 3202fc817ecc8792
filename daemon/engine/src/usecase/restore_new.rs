//! A volume that a restore makes because there is none: whose it is, until all of it is there.
//!
//! It is filled like any other target, beside what is there, which is nothing; so nobody finds part of it.
//!
//! Always true: what is removed again is the very volume that the run made, as far as the engine tells volumes apart, and
//! only if nothing is in it but what is ours, and no container has run on it. Whoever has begun to use it wins; one that only
//! waits for it keeps recovery trying.
//!
//! An engine tells them apart by the time of their making. Before version 23, which speaks 1.42, the time that it gives moves
//! on with what is written into the volume, so there a volume of that name which is no older has to be taken for it.

use archive::channel::{Job, Looked};
use jiff::Timestamp;

use crate::catalog::RunRow;
use crate::catalog::journal::RestoreJournal;
use crate::catalog::run_state::RunState;
use crate::failure::{Class, Failure};
use crate::port::docker::{Access, Docker, DockerErrorKind, HelperMount, MountOf, NewVolume, Volume};
use crate::usecase::blame;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::job::{ask, spec};
use crate::usecase::restore::Deed;
use crate::usecase::resume::Settled;
use crate::usecase::source::{User, users};

/// The engine tells creation times in whole seconds.
const CREATED_SLACK_SECONDS: i64 = 2;

/// From this version of its API on, an engine's time of a volume's making stays what it was.
const TIMES_STAND: (u32, u32) = (1, 42);

impl Deed<'_> {
    /// Makes it, and writes down at once when the engine says that it did: with one of that name which somebody makes
    /// after it is gone, recovery has nothing to do.
    pub(super) async fn make_volume(&self, journal: &RestoreJournal) -> Result<(), Failure> {
        let (new, number) = (self.new_volume(), self.found.opened.signed.manifest.number);
        let blamed = |e| blame::docker(format!("make volume `{}`", new.name), e);
        match self.docker.create_volume(&new).await {
            Ok(made) => {
                let noted = RestoreJournal { volume_made_at: made.created_at, ..journal.clone() };
                self.run.preparing(number, &noted)
            }
            // Somebody else was first, and it is theirs.
            Err(e) if e.kind == DockerErrorKind::Conflict => {
                self.run.preparing(number, &RestoreJournal { created_volume: false, ..journal.clone() })?;
                Err(blamed(e).hint("repeat the command, which then plans what to do with what is there"))
            }
            Err(e) => Err(blamed(e)),
        }
    }

    /// A volume that is gone is made again as it was. One beside it is a plain one: its own options may name the
    /// very place where the first one's files are, and its labels make it part of a project.
    fn new_volume(&self) -> NewVolume {
        let name = self.plan.target.clone();
        if self.plan.request.into.is_some() {
            return NewVolume { name, ..NewVolume::default() };
        }
        let shape = self.found.opened.signed.manifest.volume.clone();
        NewVolume { name, driver: shape.driver, options: shape.options, labels: shape.labels }
    }

    /// Nobody has run on it before all of it was there.
    pub(super) async fn nobody_began(&self) -> Result<(), Failure> {
        let name = &self.plan.target;
        let what = || format!("look who uses `{name}`");
        if self.docker.volume(name).await.map_err(|e| blame::docker(what(), e))?.is_none() {
            return Err(Failure::failed(format!("volume `{name}` was removed while it was being restored"))
                .hint("repeat the command"));
        }
        let row = self.host.catalog().run(self.run.id()).map_err(|e| catalog_failure(what(), e))?;
        let made = row.journal.and_then(|journal| journal.volume_made_at);
        match users_of(self.docker, name).await?.into_iter().find(|user| has_run(user, made)) {
            // One that was removed when it ended leaves what it wrote.
            None if self.look().await?.top_entries > 0 => Err(Failure::new(
                Class::Busy,
                format!("somebody wrote to `{name}` while it was being restored"),
            )
            .hint("repeat the command, which then plans what to do with what is there")),
            None => Ok(()),
            Some(user) => {
                let used_by = &user.container.name;
                let what =
                    format!("container `{used_by}` was started on `{name}` while it was being restored");
                Err(Failure::new(Class::Busy, what)
                    .hint("repeat the command, which then plans what to do with what it wrote"))
            }
        }
    }
}

pub(super) async fn users_of(docker: &dyn Docker, volume: &str) -> Result<Vec<User>, Failure> {
    let containers = docker.containers().await;
    let containers = containers.map_err(|e| blame::docker(format!("look who uses `{volume}`"), e))?;
    Ok(users(&containers, &MountOf::Volume { name: volume.to_owned() }))
}

/// It is up, or was, since the volume was made. The engine tells times of its making in whole seconds.
fn has_run(user: &User, made: Option<Timestamp>) -> bool {
    user.is_up() || made.zip(user.container.started_at).is_some_and(|(made, started)| started >= made)
}

/// Whether somebody has begun to use what a run made.
pub(super) async fn is_used(docker: &dyn Docker, row: &RunRow, volume: &Volume) -> Result<bool, Failure> {
    let made = row.journal.as_ref().and_then(|journal| journal.volume_made_at).unwrap_or(row.began_at);
    Ok(users_of(docker, &volume.name).await?.iter().any(|user| has_run(user, Some(made))))
}

/// Removes what a run made, and what is in it.
pub(super) async fn take_back(
    host: &Host,
    docker: &dyn Docker,
    row: &RunRow,
    found: &Volume,
) -> Result<Settled, Failure> {
    let name = &found.name;
    if !is_ours(host, docker, row, found).await? {
        return Ok(Settled::Back);
    }
    let looking = spec(host, &row.id, &HelperMount::Volume(name.clone()), Access::Read);
    let looked: Looked = ask(docker, &looking, &Job::Look, format!("look at `{name}`")).await?;
    // What was made is filled in our own folder, so anything beside that is somebody's.
    let holds_more = looked.top_entries > 0 || !looked.kept.is_empty() || !looked.staged.is_empty();
    if holds_more || is_used(docker, row, found).await? {
        return Ok(Settled::Left);
    }
    docker.remove_volume(name).await.map_err(|e| {
        let waits = e.kind == DockerErrorKind::Conflict;
        let failure = blame::docker(format!("remove the unfinished volume `{name}`"), e);
        if waits {
            failure.hint("remove the container that waits for it; each look tries again")
        } else {
            failure
        }
    })?;
    Ok(Settled::Back)
}

/// Whether it is the one that the run made.
pub(super) async fn is_ours(
    host: &Host,
    docker: &dyn Docker,
    row: &RunRow,
    found: &Volume,
) -> Result<bool, Failure> {
    let (Some(journal), Some(made)) = (&row.journal, found.created_at) else { return Ok(false) };
    if matches!(row.state, RunState::Planned | RunState::Preparing) {
        // It had not come to that.
        return Ok(false);
    }
    if let Some(noted) = journal.volume_made_at {
        let about = docker.about().await.map_err(|e| blame::docker("ask Docker for its version", e))?;
        return Ok(is_the_same(noted, made, &about.api));
    }
    // It died between the two, so there was no time to fill it: anything in it is somebody else's.
    if made.as_second() < row.began_at.as_second() - CREATED_SLACK_SECONDS {
        return Ok(false);
    }
    let looking = spec(host, &row.id, &HelperMount::Volume(found.name.clone()), Access::Read);
    let looked: Looked = ask(docker, &looking, &Job::Look, format!("look at `{}`", found.name)).await?;
    Ok(looked.top_entries == 0)
}

fn is_the_same(noted: Timestamp, made: Timestamp, api: &str) -> bool {
    let number = |part: &str| part.parse::<u32>().ok();
    let version = api.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
    if version >= Some(TIMES_STAND) { made == noted } else { made >= noted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_known_by_its_time_where_that_stands_still() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (made, api, want) in [
            (7, "1.42", true),
            (8, "1.42", false),
            (6, "1.51", false),
            (8, "2.0", false),
            (7, "1.41", true),
            (8, "1.41", true),
            (6, "1.41", false),
            (8, "", true),
        ] {
            assert_eq!(is_the_same(at(7), at(made), api), want, "{made} {api}");
        }
    }
}
