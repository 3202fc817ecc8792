//! Up to which slot the schedule of each source is dealt with: `schedule.json` in the state folder.
//!
//! It is written before a run is started, so that no crash makes a slot run twice. Losing it costs the
//! catching up of slots that were missed meanwhile, and no snapshot: of a rule that nobody remembers, a plan that
//! deletes more than it keeps is left for a person.

use std::collections::BTreeMap;
use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::failure::Failure;
use crate::usecase::host::Host;
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
}

/// All sources.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// By their names.
    pub sources: BTreeMap<SourceName, Entry>,
    /// By which rule each was pruned last.
    #[serde(default)]
    pub pruned: BTreeMap<SourceName, String>,
}

const FILE: &str = "schedule.json";

impl Ledger {
    /// What was written last; nothing where nothing was.
    pub fn read(host: &Host) -> Result<Self, Failure> {
        let path = host.settings().state.join(FILE);
        let what = || format!("read `{}`", path.display());
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                Failure::failed(what()).because(e).hint(format!(
                    "`rm {}`: schedules are kept from now on, and only slots that were missed are forgotten",
                    path.display()
                ))
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(Failure::failed(what()).because(e)),
        }
    }

    /// Survives a power cut after `Ok`.
    pub fn write(&self, host: &Host) -> Result<(), Failure> {
        let path = host.settings().state.join(FILE);
        let what = || format!("write `{}`", path.display());
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| Failure::failed(what()).because(e))?;
        durable::replace(&path, &bytes, 0o600).map_err(|e| Failure::failed(what()).because(e))
    }
}
