//! What a process is doing when it dies.

use std::io::Cursor;

use archive::path::TreePath;
use engine::catalog::DrillResult;
use engine::failure::Failure;
use engine::usecase::backup::{BackupRequest, backup};
use engine::usecase::delete::{delete, plan_delete, undelete};
use engine::usecase::drill::{DrillRequest, drill, plan_drill};
use engine::usecase::host::Host;
use engine::usecase::import::import;
use engine::usecase::prune::prune;
use engine::usecase::restore::RestoreRequest;
use engine::usecase::retention::retention;
use engine::usecase::undo::{UndoRequest, plan_undo, undo};
use engine::usecase::watch::Silent;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use policies::policy::{Consistency, Dump, Mode, OnUnfreezable};
use policies::retention::{Keep, Terms};

use crate::support::tree::tarball;
use crate::support::world::{back_up, backup_request, import_request, restore_as, restore_request, snapshot};

/// The image that a drill starts.
pub(crate) const IMAGE: &str = "db:14";

/// A deed, the same each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The first of a host: it also says who writes here.
    FirstBackup,
    /// One with two snapshots before it.
    Backup,
    /// The same, which reads twice and pauses writers for the second time.
    BackupPaused,
    /// It stops them.
    BackupStopped,
    /// It runs hooks in one of them.
    BackupHooked,
    /// It keeps a server in one of them from writing its log anew.
    BackupRedis,
    /// It keeps what a program in one of them says.
    BackupDump,
    /// The older snapshot, into a volume that does not exist.
    RestoreNew,
    /// The older snapshot, over a volume that containers use.
    RestoreInPlace,
    /// The same where an earlier one was cut off, and left of the newer snapshot what it had.
    RestoreGoesOn,
    /// Into a volume that does not exist, and what it has when it is cut off is left to the next.
    RestoreNewLeft,
    /// The same, by changing what differs.
    RestoreDelta,
    /// A file, a folder and what lies in one that is missing, over such a volume; what was there is kept.
    RestorePaths,
    /// That is undone.
    UndoPaths,
    /// A restore of that is undone.
    Undo,
    /// The older snapshot goes for good.
    Purge,
    /// The older snapshot is soft-deleted.
    Delete,
    /// Retention does the same.
    Prune,
    /// It was soft-deleted, and retention takes it away for good.
    PruneDeleted,
    /// It comes back.
    Undelete,
    /// The older snapshot, into a scratch volume with a server on it.
    Drill,
    /// An archive becomes the next snapshot.
    Import,
}

fn dump() -> Dump {
    let (file, run) = ("all.sql".to_owned(), vec!["dump".to_owned()]);
    Dump { file, run, ..Dump::default() }
}

/// What is restored where only some paths are.
pub(crate) const PATHS: [&str; 4] = ["base/1", "conf/app.conf", "gone/deep", "only-1"];

/// Two that are there, one whose folder is not, and one that is not.
pub(crate) fn paths_request() -> RestoreRequest {
    let paths = PATHS.map(|path| TreePath::parse(path.as_bytes().to_vec()).unwrap()).to_vec();
    RestoreRequest { paths, keep_previous: true, ..restore_request("db", 1, None) }
}

impl Deed {
    /// Whatever it has when it is cut off is left to the next.
    pub(crate) fn leaves(self) -> bool {
        matches!(self, Self::RestoreGoesOn | Self::RestoreNewLeft)
    }

    pub(crate) fn backs_up(self) -> bool {
        matches!(self, Self::FirstBackup | Self::Backup | Self::Import) || self.mode().is_some()
    }

    /// Of a backup that does more than read.
    fn mode(self) -> Option<Mode> {
        match self {
            Self::BackupPaused => Some(Mode::Pause),
            Self::BackupStopped => Some(Mode::Stop),
            Self::BackupHooked => Some(Mode::Hooks),
            Self::BackupRedis => Some(Mode::Redis),
            Self::BackupDump => Some(Mode::Dump),
            Self::FirstBackup
            | Self::Backup
            | Self::RestoreNew
            | Self::RestoreInPlace
            | Self::RestoreGoesOn
            | Self::RestoreNewLeft
            | Self::RestoreDelta
            | Self::RestorePaths
            | Self::Undo
            | Self::UndoPaths
            | Self::Purge
            | Self::Delete
            | Self::Prune
            | Self::PruneDeleted
            | Self::Undelete
            | Self::Drill
            | Self::Import => None,
        }
    }

    pub(crate) async fn run(self, host: &Host) -> Result<(), Failure> {
        let old = snapshot("db@1");
        match self {
            Self::FirstBackup | Self::Backup => drop(back_up(host, "db").await?),
            Self::BackupPaused
            | Self::BackupStopped
            | Self::BackupHooked
            | Self::BackupRedis
            | Self::BackupDump => {
                let mut consistency = Consistency { mode: self.mode().unwrap(), ..Consistency::default() };
                if self == Self::BackupRedis {
                    // There is another writer, for whom no server answers.
                    consistency.on_unfreezable = OnUnfreezable::Live;
                }
                if self == Self::BackupHooked {
                    consistency.before = ["hook", "before"].map(str::to_owned).into();
                    consistency.after = ["hook", "after"].map(str::to_owned).into();
                }
                if self == Self::BackupDump {
                    // As the other snapshots, so that all are read alike; the dump comes on top.
                    consistency.only = false;
                    consistency.dumps = vec![dump()];
                }
                let request = BackupRequest { consistency, ..backup_request("db") };
                drop(backup(host, &request, &Silent::default()).await?);
            }
            Self::RestoreNew | Self::RestoreNewLeft => {
                drop(restore_as(host, &restore_request("db", 1, Some("copy"))).await?);
            }
            Self::RestoreInPlace | Self::RestoreGoesOn => {
                drop(restore_as(host, &restore_request("db", 1, None)).await?);
            }
            Self::RestoreDelta => {
                let request = RestoreRequest { delta: true, ..restore_request("db", 1, None) };
                let report = restore_as(host, &request).await?;
                assert!(
                    report.delta.is_some_and(|delta| delta.differing > 0 && !delta.too_much),
                    "{report:?}"
                );
            }
            Self::RestorePaths => drop(restore_as(host, &paths_request()).await?),
            Self::Undo | Self::UndoPaths => {
                let request = UndoRequest { source: old.source, run: None, discard: false };
                let plan = plan_undo(host, &request).await?;
                drop(undo(host, plan, &Silent::default()).await?);
            }
            Self::Purge | Self::Delete => {
                let plan = plan_delete(host, &old, self == Self::Purge).await?;
                delete(host, plan, &Silent::default()).await?;
            }
            Self::Prune | Self::PruneDeleted => {
                let terms = Terms { last: 1, grace: SignedDuration::ZERO, ..Terms::default() };
                let keep = Keep::new(terms).map_err(|e| Failure::failed("keep").because(e))?;
                let plan = retention(host, &old.source, &keep, &TimeZone::UTC).await?;
                prune(host, &plan, &Silent::default()).await?;
            }
            Self::Undelete => undelete(host, &old).await?,
            Self::Import => {
                let archive = Cursor::new(tarball(3));
                drop(import(host, &import_request("db"), Box::new(archive), &Silent::default()).await?);
            }
            Self::Drill => {
                let image = Some(IMAGE.to_owned());
                let request =
                    DrillRequest { number: old.number, image, ..DrillRequest::of(old.source, None) };
                let plan = plan_drill(host, &request).await?;
                let report = drill(host, plan, &Silent::default()).await?;
                assert_eq!(report.result, DrillResult::Proven, "{report:?}");
            }
        }
        Ok(())
    }
}
