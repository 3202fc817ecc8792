//! What keeps the host itself from being backed up or put right, whatever its sources do.
//!
//! Always true: people are told of bad policies at once, and of the rest once it has lasted: Docker is restarted now and
//! then, and a store is away for a moment.

use engine::failure::Failure;
use jiff::{SignedDuration, Timestamp};

use super::Keeping;
use crate::telling::Trouble;

/// So long it may last.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// Since when something is wrong, and what.
type Since = Option<(Timestamp, String)>;

/// What is wrong with the host, as far as it was noted.
#[derive(Debug, Default)]
pub(super) struct Noted {
    looking: Since,
    recovery: Since,
}

impl Keeping {
    /// How the last look went, and what dead runs have left that could not be put right.
    pub(crate) fn note_trouble(&mut self, failed: Option<&Failure>, left: Option<String>) {
        let now = self.host.clock().now();
        let failed = failed.map(|failure| format!("it cannot be looked at: {failure}"));
        note(&mut self.noted.looking, failed, now);
        let left = left.map(|left| format!("what dead runs left cannot be put right: {left}"));
        note(&mut self.noted.recovery, left, now);
    }

    /// What people are told of the host.
    pub(super) fn troubles(&self) -> Vec<(Trouble, String)> {
        let now = self.host.clock().now();
        let lasting = |since: &Since| {
            let (_, text) = since.as_ref().filter(|(since, _)| now.duration_since(*since) >= PATIENCE)?;
            Some(text.clone())
        };
        let all = [
            (Trouble::Policies, self.refused.clone()),
            (Trouble::Looking, lasting(&self.noted.looking)),
            (Trouble::Recovery, lasting(&self.noted.recovery)),
        ];
        all.into_iter().filter_map(|(trouble, text)| Some((trouble, text?))).collect()
    }

    /// What keeps sources from being backed up, whatever Docker and the store do: bad policies, or two for one; and what
    /// could not be put right for a while.
    pub(crate) fn trouble(&self) -> Option<String> {
        let unsettled = self.unsettled.iter().map(|one| one.text.clone());
        let of_host = self.troubles().into_iter().filter(|(trouble, _)| *trouble != Trouble::Looking);
        let all: Vec<String> = of_host.map(|(_, text)| text).chain(unsettled).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

fn note(since: &mut Since, text: Option<String>, now: Timestamp) {
    // By a clock that was ahead, it began later than now.
    let began = since.as_ref().map_or(now, |(began, _)| now.min(*began));
    *since = text.map(|text| (began, text));
}
