//! What the engine of the twin knows.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::changes::Listeners;
use super::helper::{Cut, Running};
use super::program::Installed;
use super::trial::KeptTrial;
use crate::port::docker::{Container, DockerErrorKind, HelperMount, HelperSpec, Leftover, MountOf, Volume};
use crate::port::trial::TrialSpec;

/// What the engine knows.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) volumes: BTreeMap<String, Volume>,
    pub(super) containers: BTreeMap<String, Container>,
    /// By the leftover's id.
    pub(super) helpers: BTreeMap<String, Kept>,
    /// All that were started, the first one first.
    pub(super) specs: Vec<HelperSpec>,
    /// How each coming helper dies, the next one first.
    pub(super) cuts: Vec<Cut>,
    pub(super) made: u64,
    pub(super) listeners: Listeners,
    /// How containers end that do not end well, by id.
    pub(super) ends: BTreeMap<String, i64>,
    pub(super) installed: Installed,
    /// By name, their ids.
    pub(super) images: BTreeMap<String, String>,
    /// By the leftover's id.
    pub(super) trials: BTreeMap<String, KeptTrial>,
    /// All that were started, the first one first.
    pub(super) trial_specs: Vec<TrialSpec>,
}

/// A helper that was not removed yet.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) leftover: Leftover,
    pub(super) mount: HelperMount,
    pub(super) running: Running,
}

pub(super) type Trouble = (DockerErrorKind, String);

pub(super) fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn missing(what: &str) -> Trouble {
    (DockerErrorKind::NotFound, format!("no such {what}"))
}

pub(super) fn not_running() -> Trouble {
    (DockerErrorKind::Conflict, "the container is not running".to_owned())
}

impl World {
    /// By id or by name, as the engine takes either.
    pub(super) fn container(&mut self, id: &str) -> Result<&mut Container, Trouble> {
        let trials = self.trials.values_mut().map(|kept| &mut kept.container);
        let mut all = self.containers.values_mut().chain(trials);
        all.find(|c| c.id == id || c.name == id).ok_or_else(|| missing("container"))
    }

    pub(super) fn is_held(&self, volume: &str) -> bool {
        let by_container = self.containers.values().flat_map(|c| &c.mounts);
        let mut by_container =
            by_container.filter(|m| matches!(&m.of, MountOf::Volume { name } if name == volume));
        let mut by_helper = self.helpers.values();
        let mut by_trial = self.trials.values();
        by_container.next().is_some()
            || by_trial.any(|kept| kept.volume.as_deref() == Some(volume))
            || by_helper.any(|kept| matches!(&kept.mount, HelperMount::Volume(name) if name == volume))
    }

    /// A time that grows with each use, whatever the clock says.
    pub(super) fn now(&mut self) -> Timestamp {
        self.made += 1;
        let seconds = i64::try_from(self.made).unwrap_or(i64::MAX);
        Timestamp::from_second(1_767_225_600 + seconds).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
