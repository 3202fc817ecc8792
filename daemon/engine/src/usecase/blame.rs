//! Turns errors of the ports into what a person is told: class and next command.

use archive::channel::FailedCause;

use crate::failure::{Class, Failure};
use crate::pipeline::channel::ChannelError;
use crate::pipeline::feed::FeedError;
use crate::pipeline::reading::ReadError;
use crate::port::docker::{DockerError, DockerErrorKind};
use crate::port::store::{StoreError, StoreErrorKind};

/// The store could not do its part of `what`.
pub(crate) fn store(what: impl Into<String>, error: StoreError) -> Failure {
    let (class, hint) = match error.kind {
        StoreErrorKind::NotFound => (Class::NotFound, None),
        StoreErrorKind::NoBucket => (
            Class::NotFound,
            Some("create the bucket or mount the folder, check `--store`, then `backupctl doctor`"),
        ),
        StoreErrorKind::Denied => (
            Class::WrongKey,
            Some(
                "check the credentials (AWS_ACCESS_KEY_ID or a profile) and the bucket's policy, then `backupctl doctor`",
            ),
        ),
        StoreErrorKind::ClockSkew => {
            (Class::Failed, Some("set this host's clock (`timedatectl set-ntp true`), then try again"))
        }
        StoreErrorKind::Exists => {
            (Class::Busy, Some("another writer was faster: `backupctl snapshots`, then try again"))
        }
        StoreErrorKind::Full => (
            Class::Failed,
            Some("make room: `backupctl snapshots`, then `backupctl delete --purge SNAPSHOT`"),
        ),
        StoreErrorKind::ReadOnly => {
            (Class::Failed, Some("the store is mounted read-only; remount it writable"))
        }
        StoreErrorKind::Unavailable => {
            (Class::Failed, Some("see what is wrong with `backupctl doctor`; trying again may help"))
        }
        StoreErrorKind::Garbled => (Class::Failed, Some("see what is damaged with `backupctl verify --all`")),
        StoreErrorKind::Settings => {
            (Class::Usage, Some("`--store` takes `file:///dir` or `s3://bucket/prefix?endpoint=…`"))
        }
        StoreErrorKind::Other => (Class::Failed, Some("`backupctl doctor`")),
    };
    let failure = Failure::new(class, what).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Docker could not do its part of `what`.
pub(crate) fn docker(what: impl Into<String>, error: DockerError) -> Failure {
    let (class, hint) = match error.kind {
        DockerErrorKind::Unreachable => {
            (Class::Failed, Some("is Docker running? `systemctl start docker`, or set DOCKER_HOST"))
        }
        DockerErrorKind::Denied => {
            (Class::Failed, Some("run it as root, or as a member of the group `docker`"))
        }
        DockerErrorKind::NotFound => {
            (Class::NotFound, Some("`docker volume ls` and `docker ps -a` show what there is"))
        }
        DockerErrorKind::Conflict => (Class::Busy, None),
        DockerErrorKind::Unsupported => {
            (Class::Failed, Some("Docker Engine 20.10 or newer is needed: `docker version`"))
        }
        DockerErrorKind::HelperDied => {
            (Class::Failed, Some("`journalctl -u docker` may tell why; trying again is safe"))
        }
        DockerErrorKind::Other => (Class::Failed, Some("`backupctl doctor`")),
    };
    let failure = Failure::new(class, what).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The helper, or the channel to it, failed.
pub(crate) fn channel(what: impl Into<String>, error: ChannelError) -> Failure {
    let (class, hint) = match &error {
        ChannelError::Failed(failed) => match failed.cause {
            FailedCause::Full => (
                Class::Failed,
                Some("make room on the disk that holds the volume (`df -h`, `df -i`), then try again"),
            ),
            FailedCause::ReadOnly => (
                Class::Failed,
                Some("the target is mounted read-only; restore into another volume with `--into NEW`"),
            ),
            FailedCause::Damaged => (
                Class::Failed,
                Some(
                    "`backupctl verify --all` names what is damaged; an older snapshot may be whole: `backupctl snapshots`",
                ),
            ),
            FailedCause::Hostile => (
                Class::Unsafe,
                Some(
                    "the snapshot holds what no backup of ours contains; choose another: `backupctl snapshots`",
                ),
            ),
            FailedCause::Updating => (
                Class::Failed,
                Some(
                    "who updates it was held in the middle of that each time, or is paused by somebody else: `docker ps`; \
                     `mode = \"stop\"` in its policy (`--consistency stop` by hand) waits for its end",
                ),
            ),
            FailedCause::Occupied => (Class::Unsafe, Some("restore into a new volume with `--into NEW`")),
            FailedCause::Tree => (Class::Failed, None),
            FailedCause::Channel => (Class::Failed, Some("trying again is safe")),
        },
        ChannelError::Cut | ChannelError::Silent => {
            (Class::Failed, Some("`journalctl -u docker` may tell why; trying again is safe"))
        }
        ChannelError::Protocol(_) | ChannelError::Version(_) => (Class::Failed, Some("`backupctl doctor`")),
    };
    let failure = Failure::new(class, what).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// A snapshot could not be read.
pub(crate) fn read(what: impl Into<String>, error: ReadError) -> Failure {
    match error {
        ReadError::Store(error) if error.kind == StoreErrorKind::NotFound => Failure::failed(what)
            .because(error)
            .hint("an object of the snapshot is missing: `backupctl verify --all` tells which snapshots are whole"),
        ReadError::Store(error) => store(what, error),
        damaged @ ReadError::Damaged { .. } => Failure::failed(what)
            .because(damaged)
            .hint("`backupctl verify --all` names what is damaged; `backupctl snapshots` shows what else there is"),
    }
}

/// A restore stream broke off.
pub(crate) fn feed(what: impl Into<String>, error: FeedError) -> Failure {
    match error {
        FeedError::Read(error) => read(what, error),
        FeedError::Channel(error) => channel(what, error),
        missing @ FeedError::NoSuchPath(_) => Failure::new(Class::NotFound, what)
            .because(missing)
            .hint("`backupctl ls SNAPSHOT` and `backupctl find GLOB` show what there is"),
    }
}
