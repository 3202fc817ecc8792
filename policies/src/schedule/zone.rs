//! Where nominal times lie in time, in a zone whose clocks are set forward and back.
//!
//! Always true, for zones that do not set their clocks twice within the length of one change (no zone does between
//! 2020 and 2040): a nominal time later than another never lies before it, and
//! `first_instant(n) <= t` exactly if `n <= shown_until(t)`.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// The instant at which a clock in `zone` first shows `time`, or first has skipped it.
pub(super) fn first_instant(time: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(time).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(time).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            // Read with the offset of afterwards, a skipped time lies just before the change.
            let just_before = after.to_timestamp(time).ok()?;
            zone.following(just_before).find(|change| change.offset() == after).map(|c| c.timestamp())
        }
    }
}

/// The latest time, in whole seconds, that a clock in `zone` has shown or skipped when it is `instant`.
///
/// It is what the clock shows, except while an hour repeats: then it is the end of that hour.
pub(super) fn shown_until(instant: Timestamp, zone: &TimeZone) -> DateTime {
    let shown = zone.to_datetime(instant);
    let ambiguous = zone.to_ambiguous_timestamp(shown).offset();
    if let AmbiguousOffset::Fold { before, after } = ambiguous
        && zone.to_offset(instant) == after
    {
        let second = SignedDuration::from_secs(1);
        let changes = zone.preceding(instant.saturating_add(second).unwrap_or(instant));
        let mut just_before = changes.filter_map(|change| change.timestamp().checked_sub(second).ok());
        if let Some(last) = just_before.find(|last| zone.to_offset(*last) == before) {
            return before.to_datetime(last);
        }
    }
    shown.with().subsec_nanosecond(0).build().unwrap_or(shown)
}
