//! What is not there any more, and who is told of that and of everything else.

use std::collections::BTreeSet;

use engine::failure::Failure;
use engine::usecase::health::Health;
use engine::usecase::vanished::{Vanished, note, vanished};
use tracing::info;

use super::Keeping;
use crate::telling::{Stand, gone_text};
use crate::watching::{line, tell_failure};

/// How everything stands, after a look at the catalog.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    pub(crate) health: Vec<Health>,
    pub(crate) vanished: Vec<Vanished>,
}

impl Keeping {
    /// Brings the ledger up to date with what was seen.
    pub(super) fn note_gone(&mut self) -> Result<(), Failure> {
        self.looked = true;
        if note(&self.host, &self.cover, &mut self.ledger)?
            && let Err(failure) = self.ledger.write(&self.host)
        {
            // This process remembers.
            tell_failure(&failure);
        }
        Ok(())
    }

    /// How every source stands, and what is missed. What has changed is logged, and told to whom it may concern.
    pub(crate) fn sight(&mut self) -> Result<Sight, Failure> {
        let health = self.health()?;
        let troubles = self.troubles();
        if !self.looked {
            self.tell(&Stand { troubles: &troubles, unseen: true, ..Stand::default() });
            return Ok(Sight { health, vanished: Vec::new() });
        }
        let vanished = vanished(&self.host, &self.cover, &self.ledger)?;
        let now: BTreeSet<&str> = vanished.iter().map(|gone| gone.source.as_str()).collect();
        for gone in vanished.iter().filter(|gone| !self.missed.contains(&gone.source)) {
            self.alarm(&gone_text(gone));
        }
        for source in self.missed.iter().filter(|source| !now.contains(source.as_str())) {
            info!(source = line(source), "is there again, or was let go");
        }
        self.missed = now.into_iter().map(str::to_owned).collect();
        let unsettled = self.unsettled.clone();
        self.tell(&Stand {
            health: &health,
            vanished: &vanished,
            unsettled: &unsettled,
            troubles: &troubles,
            unseen: false,
        });
        Ok(Sight { health, vanished })
    }

    fn tell(&mut self, stand: &Stand<'_>) {
        let known = self.ledger.sources.keys().map(ToString::to_string);
        let known: BTreeSet<String> =
            known.chain(self.unsettled.iter().map(|one| one.source.clone())).collect();
        let told = self.teller.tell(&self.host, &self.policies.folder, stand, |name| known.contains(name));
        if let Err(failure) = told {
            // Not to remember what was told is no reason not to keep schedules.
            tell_failure(&failure);
        }
    }
}
