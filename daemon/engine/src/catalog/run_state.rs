//! How far a run has come, as a closed machine.

use std::fmt;

/// How far a run has come, and so what whoever opens the catalog next has to finish or undo.
///
/// The row is written *before* the outside world changes:
///
/// * `Planned`: nothing has been touched.
/// * `Working`: verify, export, delete, rebuild and the like. Done again, they do no harm; nothing to undo. Of a drill,
///   whatever carries the run's label goes.
/// * `Uploading`: the row names the packs on their way and, once known, their upload ids. Recovery aborts
///   these uploads; a pack that was complete is an orphan that nothing names.
/// * `Committing`: the row has the snapshot's number, and its manifest may or may not be in the store.
///   Recovery reads it back: if it is this run's, the backup was good.
/// * `Preparing`: the row's journal names the target, and the containers that are about to be stopped.
/// * `Unpacking`: the target has a staging folder, or is a volume that we made, with part of the content.
///   Once it has all of it, the journal tells that the containers are being stopped.
/// * `Swapping`: new content is changing places with old. The staging folder's own journal tells whether
///   to finish or to undo.
/// * `Resuming`: the content is decided; containers are on their way up.
/// * `Ended`: nothing is left to do.
///
/// A restore that has begun to touch the host ends through `Resuming` only, whether it went well or not: so
/// no run is over while something that it stopped is down.
///
/// Nothing here reads a clock or the network; callers pass in what they saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    /// Nothing touched.
    Planned,
    /// Busy with what needs no undo.
    Working,
    /// Packs on their way.
    Uploading,
    /// Manifest on its way.
    Committing,
    /// Containers about to be stopped.
    Preparing,
    /// Content arriving.
    Unpacking,
    /// Content changing places.
    Swapping,
    /// Containers about to be started.
    Resuming,
    /// Over.
    Ended,
}

/// What a run is about to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunEvent {
    /// Begins work that needs no undo.
    Work,
    /// Begins a pack; a second one may follow.
    Upload,
    /// PUTs the manifest.
    Commit,
    /// Stops containers, makes a volume; also when the journal tells more.
    Prepare,
    /// Writes content.
    Unpack,
    /// Swaps.
    Swap,
    /// Brings containers back.
    Resume,
    /// Is over.
    Finish,
}

/// A run cannot do that now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {event} when {state}")]
pub struct IllegalEvent {
    /// Where it is.
    pub state: RunState,
    /// What it wanted.
    pub event: RunEvent,
}

impl RunState {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Planned,
        Self::Working,
        Self::Uploading,
        Self::Committing,
        Self::Preparing,
        Self::Unpacking,
        Self::Swapping,
        Self::Resuming,
        Self::Ended,
    ];

    /// Returns the state after `event`, or says which pair makes no sense.
    pub fn next(self, event: RunEvent) -> Result<Self, IllegalEvent> {
        use RunEvent as E;
        match (self, event) {
            (Self::Planned | Self::Working, E::Work) => Ok(Self::Working),
            (Self::Planned | Self::Uploading, E::Upload) => Ok(Self::Uploading),
            (Self::Uploading, E::Commit) => Ok(Self::Committing),
            (Self::Planned | Self::Preparing, E::Prepare) => Ok(Self::Preparing),
            // The journal tells more; the staging folder is there all the same.
            (Self::Preparing, E::Unpack) | (Self::Unpacking, E::Prepare) => Ok(Self::Unpacking),
            (Self::Unpacking, E::Swap) => Ok(Self::Swapping),
            (Self::Preparing | Self::Unpacking | Self::Swapping | Self::Resuming, E::Resume) => {
                Ok(Self::Resuming)
            }
            (
                Self::Planned | Self::Working | Self::Uploading | Self::Committing | Self::Resuming,
                E::Finish,
            ) => Ok(Self::Ended),
            (state, event) => Err(IllegalEvent { state, event }),
        }
    }

    /// One word, for rows and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Working => "working",
            Self::Uploading => "uploading",
            Self::Committing => "committing",
            Self::Preparing => "preparing",
            Self::Unpacking => "unpacking",
            Self::Swapping => "swapping",
            Self::Resuming => "resuming",
            Self::Ended => "ended",
        }
    }
}

impl RunEvent {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Work,
        Self::Upload,
        Self::Commit,
        Self::Prepare,
        Self::Unpack,
        Self::Swap,
        Self::Resume,
        Self::Finish,
    ];

    /// The bare verb.
    pub fn word(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Upload => "upload",
            Self::Commit => "commit",
            Self::Prepare => "prepare",
            Self::Unpack => "unpack",
            Self::Swap => "swap",
            Self::Resume => "resume",
            Self::Finish => "finish",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for RunEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair of state and event, so that a new arm must be written down here too.
    #[test]
    fn every_pair_is_decided() {
        #[rustfmt::skip]
        let table = "
                       work     upload     commit      prepare    unpack     swap      resume    finish
            planned    working  uploading  -           preparing  -          -         -         ended
            working    working  -          -           -          -          -         -         ended
            uploading  -        uploading  committing  -          -          -         -         ended
            committing -        -          -           -          -          -         -         ended
            preparing  -        -          -           preparing  unpacking  -         resuming  -
            unpacking  -        -          -           unpacking  -          swapping  resuming  -
            swapping   -        -          -           -          -          -         resuming  -
            resuming   -        -          -           -          -          -         resuming  ended
            ended      -        -          -           -          -          -         -         -";
        let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).skip(1);
        let events = lines.next().unwrap();
        assert_eq!(events, RunEvent::ALL.map(RunEvent::word));
        for (state, row) in RunState::ALL.into_iter().zip(lines) {
            assert_eq!(row[0], state.word());
            for (event, want) in RunEvent::ALL.into_iter().zip(&row[1..]) {
                let got = state.next(event);
                assert_eq!(got.map_or("-", RunState::word), *want, "{event} when {state}");
                if let Err(illegal) = got {
                    assert_eq!(illegal.to_string(), format!("cannot {event} when {state}"));
                }
            }
        }
    }

    /// Whatever we stopped runs again: from no state in which containers may be down can a run just end.
    #[test]
    fn a_restore_ends_through_resuming_only() {
        let before = |end: RunState| {
            RunState::ALL.into_iter().filter(move |s| RunEvent::ALL.iter().any(|e| s.next(*e) == Ok(end)))
        };
        let down = [RunState::Preparing, RunState::Unpacking, RunState::Swapping];
        assert!(before(RunState::Ended).all(|state| !down.contains(&state)));
        for state in down {
            assert_eq!(state.next(RunEvent::Resume), Ok(RunState::Resuming));
        }
    }
}
