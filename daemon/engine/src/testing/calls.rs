//! One sequence of all calls that a run makes to its ports, and a switch that ends the run at one of them.
//!
//! Twins of several ports share one log. A recording run lists its calls; then each is a place to crash, before
//! its effect or after it. From the crash on nothing gets through any more: that is what a dead process does.

use std::future::{Future, pending};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// On which side of the effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    /// The call has no effect.
    Before,
    /// The call has its effect, and its answer is lost.
    After,
}

/// Where a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CrashPoint {
    /// The number of the call, from 1.
    pub call: u64,
    /// Which side.
    pub when: When,
}

/// What a call of a dead process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dead {
    /// Gives an error, so that the run unwinds and the test goes on.
    #[default]
    Errs,
    /// Never returns: the test drops the run's future.
    Hangs,
}

/// Counts calls, remembers their names, and crashes at one of them.
#[derive(Debug, Default)]
pub struct CallLog {
    state: Mutex<State>,
    died: Notify,
}

#[derive(Debug, Default)]
struct State {
    names: Vec<String>,
    crash: Option<CrashPoint>,
    dead_calls: Dead,
    dead: bool,
}

impl CallLog {
    /// Only records.
    pub fn recording() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Crashes at that point.
    pub fn crashing(crash: CrashPoint, dead_calls: Dead) -> Arc<Self> {
        let state = State { crash: Some(crash), dead_calls, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), died: Notify::new() })
    }

    /// Whether the crash has happened.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// What the calls of the dead do.
    pub fn dead_calls(&self) -> Dead {
        self.state().dead_calls
    }

    /// Crashes now.
    pub fn kill(&self) {
        self.state().dead = true;
        self.died.notify_waiters();
    }

    /// Returns when the crash has happened, for whoever drops the run that hangs.
    pub async fn death(&self) {
        loop {
            let woken = self.died.notified();
            if self.is_dead() {
                return;
            }
            woken.await;
        }
    }

    /// How many calls there were, the last of the living included.
    pub fn count(&self) -> u64 {
        self.state().names.len() as u64
    }

    /// Every call, in order: `store.put h/s/00000001.manifest`.
    pub fn names(&self) -> Vec<String> {
        self.state().names.clone()
    }

    /// Both sides of every call that was recorded.
    pub fn crash_points(&self) -> Vec<CrashPoint> {
        let calls = 1..=self.count();
        calls.flat_map(|call| [When::Before, When::After].map(|when| CrashPoint { call, when })).collect()
    }

    /// Passes a call through, if the process lives. `died` makes the error of a call that gets no answer.
    pub async fn call<T, E>(
        &self,
        name: impl Into<String>,
        died: impl FnOnce() -> E,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let crash = self.enter(name.into());
        if crash != Some(When::Before) {
            let done = work.await;
            if crash.is_none() && !self.is_dead() {
                return done;
            }
        }
        self.kill();
        let dead_calls = self.state().dead_calls;
        match dead_calls {
            Dead::Errs => Err(died()),
            Dead::Hangs => pending().await,
        }
    }

    /// Counts the call; `Some` when it must not get through, or not come back.
    fn enter(&self, name: String) -> Option<When> {
        let mut state = self.state();
        if state.dead {
            return Some(When::Before);
        }
        state.names.push(name);
        let number = state.names.len() as u64;
        let when = state.crash.filter(|crash| crash.call == number).map(|crash| crash.when);
        if when == Some(When::Before) {
            state.dead = true;
        }
        when
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn run(log: &CallLog, effects: &Cell<u32>) -> Result<(), &'static str> {
        for name in ["a", "b", "c"] {
            let work = async {
                effects.set(effects.get() + 1);
                Ok(())
            };
            log.call(name, || "dead", work).await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn every_call_is_a_place_to_crash() {
        let recorded = CallLog::recording();
        run(&recorded, &Cell::default()).await.unwrap();
        assert_eq!(recorded.names(), ["a", "b", "c"]);
        for point in recorded.crash_points() {
            let (log, effects) = (CallLog::crashing(point, Dead::Errs), Cell::default());
            run(&log, &effects).await.unwrap_err();
            let before = u32::from(point.when == When::Before);
            assert_eq!(u64::from(effects.get() + before), point.call, "{point:?}");
            assert!(log.is_dead());
            run(&log, &effects).await.unwrap_err();
            assert_eq!(u64::from(effects.get() + before), point.call, "the dead do nothing");
        }
    }

    #[tokio::test]
    async fn the_dead_may_also_hang() {
        let log = CallLog::crashing(CrashPoint { call: 2, when: When::After }, Dead::Hangs);
        let effects = Cell::default();
        let hung = tokio::time::timeout(std::time::Duration::from_millis(20), run(&log, &effects)).await;
        assert!(hung.is_err());
        assert_eq!(effects.get(), 2);
    }
}
