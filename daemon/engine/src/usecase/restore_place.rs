//! Where a restore goes, as it is now: a volume or folder, whether it is there, and who uses it. Looking is all that
//! happens here.

use archive::channel::{Job, Looked};

use crate::catalog::journal::RestoreTarget;
use crate::failure::{Class, Failure};
use crate::lock::LockOn;
use crate::port::docker::{Access, Docker, HelperMount};
use crate::usecase::blame;
use crate::usecase::host::Host;
use crate::usecase::job::{ask, spec};
use crate::usecase::restore::Deed;
use crate::usecase::restore_new::users_of;
use crate::usecase::restore_plan::RestoreRequest;
use crate::usecase::run::Glance;
use crate::usecase::source::{self, User};
use crate::usecase::unfinished;
use crate::words::SourceName;

/// Where a restore goes, as it is now.
pub(super) struct Place {
    pub(super) mount: HelperMount,
    pub(super) exists: bool,
    pub(super) users: Vec<User>,
}

impl Place {
    pub(super) fn name(&self) -> &str {
        match &self.mount {
            HelperMount::Volume(name) | HelperMount::Folder(name) => name,
        }
    }

    pub(super) fn lock(&self) -> LockOn {
        match &self.mount {
            HelperMount::Volume(name) => LockOn::Volume(name.clone()),
            HelperMount::Folder(path) => LockOn::Folder(path.clone()),
        }
    }

    pub(super) fn journal_target(&self) -> RestoreTarget {
        match &self.mount {
            HelperMount::Volume(name) => RestoreTarget::Volume(name.clone()),
            HelperMount::Folder(path) => RestoreTarget::Folder(path.clone()),
        }
    }
}

pub(super) async fn place(
    host: &Host,
    docker: &dyn Docker,
    request: &RestoreRequest,
) -> Result<Place, Failure> {
    if let Some(new) = &request.into {
        let found =
            docker.volume(new).await.map_err(|e| blame::docker(format!("look up volume `{new}`"), e))?;
        return match found {
            None => Ok(Place { mount: HelperMount::Volume(new.clone()), exists: false, users: Vec::new() }),
            Some(found) if unfinished::waits_in(host, docker, &found).await? => {
                let users = users_of(docker, new).await?;
                Ok(Place { mount: HelperMount::Volume(new.clone()), exists: true, users })
            }
            Some(_) => {
                Err(Failure::new(Class::Unsafe, format!("volume `{new}` exists already")).hint(format!(
                    "choose another name, or restore `{0}` in place with `backupctl restore {0}`",
                    request.source
                )))
            }
        };
    }
    if let Some(folder) = &request.to {
        let source = source::folder(docker, folder).await?;
        source::refuse_own_folders(host, &source)?;
        return Ok(Place { mount: source.mount, exists: true, users: source.users });
    }
    match source::resolve(docker, &request.source).await {
        Ok(source) => {
            source::refuse_own_folders(host, &source)?;
            Ok(Place { mount: source.mount, exists: true, users: source.users })
        }
        Err(failure) if failure.class == Class::NotFound => match &request.source {
            SourceName::Volume(name) => {
                Ok(Place { mount: HelperMount::Volume(name.clone()), exists: false, users: Vec::new() })
            }
            SourceName::Mount { .. } => {
                Err(failure.hint("create the container first, or restore into a volume with `--into NEW`"))
            }
        },
        Err(failure) => Err(failure),
    }
}

pub(super) async fn look(host: &Host, docker: &dyn Docker, place: &Place) -> Result<Looked, Failure> {
    let glance = Glance::begin(host)?;
    let spec = spec(host, glance.id(), &place.mount, Access::Read);
    ask(docker, &spec, &Job::Look, format!("look at `{}`", place.name())).await
}

impl Deed<'_> {
    /// The target as it is now. The helper is of this run, so that whoever settles it removes that first.
    pub(super) async fn look(&self) -> Result<Looked, Failure> {
        let looking = spec(self.host, self.run.id(), &self.found.place.mount, Access::Read);
        ask(self.docker, &looking, &Job::Look, format!("look at `{}`", self.plan.target)).await
    }

    pub(super) async fn nobody_is_up(&self) -> Result<(), Failure> {
        let users = match &self.plan.request.into {
            Some(new) => users_of(self.docker, new).await?,
            None => place(self.host, self.docker, &self.plan.request).await?.users,
        };
        if let Some(user) = users.iter().find(|user| user.is_up()) {
            return Err(Failure::new(
                Class::Busy,
                format!(
                    "container `{}` was started while `{}` was being restored",
                    user.container.name, self.plan.target
                ),
            )
            .hint("the target is as it was before; repeat the command to restore"));
        }
        Ok(())
    }
}
