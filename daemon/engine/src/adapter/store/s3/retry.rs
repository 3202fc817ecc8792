//! Whether to try again, and when.

use std::time::Duration;

use super::super::limits::Limits;
use super::fault::Fault;

/// What to do after a try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait that long, then try again.
    Again(Duration),
    /// Tell the caller.
    GiveUp,
}

/// Decides. `tries` have been made, `spent` has passed since the first began, `chance` is between 0 and 1.
///
/// The wait is drawn from the whole span below the bound ("full jitter"), so that many hosts that failed
/// together do not return together. A second try is always made: one slow part may have used up the budget.
pub(super) fn next(fault: &Fault, tries: u32, spent: Duration, chance: f64, limits: &Limits) -> Next {
    let late = tries >= 2 && spent >= limits.budget;
    if !fault.again || tries >= limits.tries_max || late {
        return Next::GiveUp;
    }
    let doublings = tries.saturating_sub(1).min(16);
    let bound = limits.backoff_first.saturating_mul(1 << doublings).min(limits.backoff_max);
    let wait = bound.mul_f64(chance.clamp(0.0, 1.0));
    if tries >= 2 && spent + wait >= limits.budget {
        return Next::GiveUp;
    }
    Next::Again(wait)
}

/// A number between 0 and 1.
pub(super) fn chance() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        // Without randomness the wait is the longest one: late is better than in step with everybody.
        Err(_no_randomness) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::store::StoreErrorKind as K;

    #[track_caller]
    fn check(kind: K, tries: u32, spent_secs: u64, want: Option<u64>) {
        let limits = Limits {
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_millis(1_000),
            budget: Duration::from_secs(60),
            tries_max: 8,
            ..Limits::default()
        };
        let fault = Fault::new(kind, "x");
        let want = want.map_or(Next::GiveUp, |millis| Next::Again(Duration::from_millis(millis)));
        let got = next(&fault, tries, Duration::from_secs(spent_secs), 1.0, &limits);
        assert_eq!(got, want, "{kind:?} after {tries} tries and {spent_secs} s");
        if let Next::Again(longest) = got {
            assert_eq!(next(&fault, tries, Duration::ZERO, 0.5, &limits), Next::Again(longest / 2));
        }
    }

    #[test]
    fn waits_double_up_to_a_bound_and_end_with_tries_or_budget() {
        check(K::Unavailable, 1, 0, Some(100));
        check(K::Unavailable, 2, 0, Some(200));
        check(K::Unavailable, 4, 0, Some(800));
        check(K::Unavailable, 5, 0, Some(1_000));
        check(K::Unavailable, 7, 58, Some(1_000));
        check(K::Unavailable, 7, 59, None);
        check(K::Unavailable, 8, 0, None);
        check(K::Unavailable, 1, 3_600, Some(100));
        check(K::Unavailable, 2, 3_600, None);
        check(K::Garbled, 1, 0, Some(100));
    }

    #[test]
    fn what_trying_again_cannot_help_is_told_at_once() {
        for kind in
            [K::NotFound, K::NoBucket, K::Denied, K::ClockSkew, K::Exists, K::Full, K::Settings, K::Other]
        {
            check(kind, 1, 0, None);
        }
    }
}
