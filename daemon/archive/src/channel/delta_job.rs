//! A delta restore, as the two sides speak of it.

use serde::{Deserialize, Serialize};

use super::{Notes, Totals};
use crate::base::Base;

/// Settings of a delta restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaJob {
    /// The run, which names the staging folder.
    pub run: String,
    /// Comparing and writing threads.
    pub workers: u32,
    /// The snapshot that the folder is to become.
    pub snapshot: Base,
    /// If more bytes than this differ, nothing is fetched and nothing stays.
    pub most_bytes: u64,
    /// Not the folder is to become the snapshot, but what a restore that was cut off left in it; it is staged then.
    #[serde(default)]
    pub unfinished: bool,
}

/// What a comparison of a folder with a snapshot came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Differing {
    /// What the snapshot holds.
    pub totals: Totals,
    /// Entries that are to be made, changed or removed.
    pub differing: u64,
    /// Bytes of files that are wanted from the store, and will be written.
    pub wanted_bytes: u64,
    /// That is more than the job allows.
    pub too_much: bool,
}

/// What is ready to be carried out, and on the disk; a [`super::Job::Swap`] follows, unless it was too much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    /// What the comparison came to.
    pub compared: Differing,
    /// What will not be as it was.
    pub notes: Notes,
}
