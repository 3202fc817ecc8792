//! A run, as the catalog remembers it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalog::journal::RestoreJournal;
use crate::catalog::run_state::RunState;
use crate::failure::Class;
use crate::words::{HostName, Number, RunId, SourceName};

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Makes a snapshot.
    Backup,
    /// Puts one back.
    Restore,
    /// Reads one back.
    Verify,
    /// Writes one as a plain tarball.
    Export,
    /// Deletes or undeletes.
    Delete,
    /// Deletes what retention no longer keeps.
    Prune,
    /// Reads the index back from a store.
    Rebuild,
    /// Finishes or undoes what a crash left.
    Recover,
    /// Rehearses a restore.
    Drill,
    /// Makes a snapshot of a foreign archive.
    Import,
    /// Brings back what a restore replaced, or removes it.
    Undo,
}

impl Verb {
    pub(super) const ALL: [Self; 11] = [
        Self::Backup,
        Self::Restore,
        Self::Verify,
        Self::Export,
        Self::Delete,
        Self::Prune,
        Self::Rebuild,
        Self::Recover,
        Self::Drill,
        Self::Import,
        Self::Undo,
    ];

    /// One word, for rows and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Verify => "verify",
            Self::Export => "export",
            Self::Delete => "delete",
            Self::Prune => "prune",
            Self::Rebuild => "rebuild",
            Self::Recover => "recover",
            Self::Drill => "drill",
            Self::Import => "import",
            Self::Undo => "undo",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// In another way.
    Not(Class),
}

impl Outcome {
    pub(super) const ALL: [Self; 9] = [
        Self::Done,
        Self::Not(Class::Failed),
        Self::Not(Class::Usage),
        Self::Not(Class::Partial),
        Self::Not(Class::NotFound),
        Self::Not(Class::Busy),
        Self::Not(Class::WrongKey),
        Self::Not(Class::Unsafe),
        Self::Not(Class::Interrupted),
    ];

    /// One word, for rows and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Not(class) => class.word(),
        }
    }
}

/// A pack on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// The key that it will have.
    pub key: String,
    /// The store's name for the upload, once it is known.
    pub id: Option<String>,
}

/// How far a run has come, for people. Nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Entries done.
    pub entries: u64,
    /// Bytes done.
    pub bytes: u64,
    /// Of late.
    pub bytes_per_second: u64,
    /// What it is at.
    pub path: String,
}

/// A run that is about to begin.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// What it does.
    pub verb: Verb,
    /// To whose sources.
    pub host: HostName,
    /// To which, if it is one.
    pub source: Option<SourceName>,
    /// In which store, if it uses one.
    pub store: Option<String>,
    /// By which process.
    pub pid: u32,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// What it does.
    pub verb: Verb,
    /// To whose sources.
    pub host: HostName,
    /// To which, if it is one.
    pub source: Option<SourceName>,
    /// In which store, if it uses one.
    pub store: Option<String>,
    /// How far it is.
    pub state: RunState,
    /// By which process. Another one may have this number now: a lock tells who lives.
    pub pid: u32,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How.
    pub outcome: Option<Outcome>,
    /// In words, without secrets.
    pub message: Option<String>,
    /// The snapshot that it makes or uses.
    pub snapshot: Option<Number>,
    /// A backup's packs.
    pub uploads: Vec<Upload>,
    /// A restore's journal.
    pub journal: Option<RestoreJournal>,
    /// Someone asked it to stop.
    pub cancel_requested: bool,
    /// How far it has come.
    pub progress: Progress,
}
