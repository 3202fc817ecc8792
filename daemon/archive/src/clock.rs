//! The moment at which a file is looked at, by the clock that gives files their times.

use std::time::{Duration, SystemTime};

use crate::entry::Stamp;

/// Times may be told in steps of up to two seconds, so what is younger may change again without a trace.
const YOUNG: Duration = Duration::from_secs(2);

/// The present.
#[expect(
    clippy::disallowed_methods,
    reason = "file times come from this clock, and are compared with nothing else"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Whether something that happened at `stamp` was too fresh at `now`, or came later, to tell a later change by.
pub(crate) fn is_young(stamp: Stamp, now: SystemTime) -> bool {
    let now = now.checked_sub(YOUNG).unwrap_or(SystemTime::UNIX_EPOCH);
    let Ok(seconds) = u64::try_from(stamp.seconds) else { return false };
    let since = Duration::new(seconds, stamp.nanoseconds);
    SystemTime::UNIX_EPOCH.checked_add(since).is_none_or(|at| at >= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn young_is_what_happened_just_now_or_has_yet_to_happen() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let check = |seconds, nanoseconds, want| {
            assert_eq!(is_young(Stamp { seconds, nanoseconds }, now), want, "{seconds}.{nanoseconds:09}");
        };
        check(997, 999_999_999, false);
        check(998, 0, true);
        check(1000, 0, true);
        check(5000, 0, true);
        check(i64::MAX, 0, true);
        check(-1, 0, false);
    }
}
