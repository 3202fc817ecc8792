//! What a restore did to the host, so that it can be finished or undone after a crash.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a restore writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RestoreTarget {
    /// A volume, by name.
    Volume(String),
    /// A folder of the host.
    Folder(String),
}

/// A restore's journal; how far it came says the run's state.
///
/// It is written before a volume is made and before the first container is stopped, and may grow (a
/// container that turns up later) before that one is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreJournal {
    /// Where it writes.
    pub target: RestoreTarget,
    /// We are making the volume: as long as the restore is not done, nothing in it is anybody's.
    pub created_volume: bool,
    /// When the engine says that it made it, once it has: so it is known from another one of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_made_at: Option<Timestamp>,
    /// The previous content stays beside the new.
    pub keep_previous: bool,
    /// What is stopped meanwhile, in the order in which it is stopped; it starts in reverse.
    pub containers: Vec<StoppedContainer>,
    /// The engine has been, or is about to be, told to stop them. It goes on with that when we die: one that
    /// still runs may be on its way down.
    #[serde(default)]
    pub stopping: bool,
    /// It was cut off, and what it had unpacked waits in the target for the next one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
    /// The new content is in place, whatever becomes of the containers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swapped: bool,
}

/// A container as it was before we stopped it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoppedContainer {
    /// Its id then. `compose up --force-recreate` gives another to its successor.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Taken away while it is stopped, and put back.
    pub restart_policy: String,
    /// One that was down stays down.
    pub was_running: bool,
    /// If this changes, a human or the engine started it meanwhile.
    pub started_at: Option<Timestamp>,
    /// Compose project and service, by which a successor is known.
    pub compose: Option<ComposeService>,
}

/// A service of a compose project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComposeService {
    /// The project.
    pub project: String,
    /// The service.
    pub service: String,
}
