//! Up to which slot the schedule of each source is dealt with: `schedule.json` in the state folder.
//!
//! It is written before a run is started, so that no crash makes a slot run twice. Losing it costs the
//! catching up of slots that were missed meanwhile, and that what vanished is missed; and no snapshot: of a rule that
//! nobody remembers, a plan that deletes more than it keeps is left for a person.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::usecase::cover::Cover;
use crate::usecase::host::Host;
use crate::usecase::state_file::{read, write};
use crate::words::SourceName;

/// What is remembered of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The policy that covers it.
    pub policy: String,
    /// The line and the zone that the two times are about; with another one they mean nothing.
    pub schedule: String,
    /// When this was first noticed: earlier slots are nobody's fault.
    pub since: Timestamp,
    /// Every slot up to here was started, skipped or is older than `since`.
    pub dealt_with: Timestamp,
    /// A label asks for the policy, so the source is missed even if no snapshot of it was made.
    #[serde(default)]
    pub labelled: bool,
    /// Since when the source is not there any more, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<Timestamp>,
    /// The run that was begun for its newest slot, while it has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
}

/// A run that has begun and not ended, or that found somebody else at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// When it began.
    pub began_at: Timestamp,
    /// It made up for one that was cut off, and nothing makes up for it.
    pub again: bool,
    /// What makes up for it begins no sooner.
    pub not_before: Timestamp,
}

/// All sources.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// By their names.
    pub sources: BTreeMap<SourceName, Entry>,
    /// By which rule each was pruned last.
    #[serde(default)]
    pub pruned: BTreeMap<SourceName, String>,
    /// Since when the policy of each is known to want drills.
    #[serde(default)]
    pub drills: BTreeMap<SourceName, Timestamp>,
    /// Whose newest pruning was left undone.
    #[serde(default)]
    pub unpruned: BTreeMap<SourceName, Unpruned>,
}

/// A pruning that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpruned {
    /// When.
    pub at: Timestamp,
    /// Why, for people.
    pub why: String,
}

/// No more sources than these are named in one alarm.
const NAMED: usize = 3;

const FILE: &str = "schedule.json";

impl Ledger {
    /// What was written last; nothing where nothing was.
    pub fn read(host: &Host) -> Result<Self, Failure> {
        read(host, FILE, "schedules are kept from now on, and only slots that were missed are forgotten")
    }

    /// What is wrong where policies went, all of them, that sources were under.
    pub fn lost(&self, cover: &Cover) -> Option<String> {
        let lost = self.sources.iter().filter(|(_, entry)| cover.is_lost(&entry.policy));
        let lost: Vec<String> = lost.map(|(source, _)| format!("`{source}`")).collect();
        let more = match lost.len().saturating_sub(NAMED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let named = lost.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        (!lost.is_empty()).then(|| {
            format!(
                "no policy is left of those that backed up {named}{more}; put the folder of policies back, or make one \
                 that says what is wanted now"
            )
        })
    }

    /// Survives a power cut after `Ok`.
    pub fn write(&self, host: &Host) -> Result<(), Failure> {
        write(host, FILE, self)
    }
}
