//! `--at T`: from what people type to a moment. A pure function of (now, zone, text).
//!
//! The newest snapshot taken at or before that moment is meant. So a day without a time means its end, and
//! a time that the clocks showed twice means the first of the two; and a time without a day, the last time it was
//! that late.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

/// What can be typed, for error messages.
const FORMS: &str = "`2026-11-20 14:00`, `2026-11-20`, `yesterday 14:00`, `14:00`, `2h ago` or `3d`";

/// Why a text is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WhenError {
    /// In no form that is known.
    #[error("`{0}` is no time; write {FORMS}")]
    Unknown(String),
    /// Nothing was taken yet by then.
    #[error("`{0}` lies in the future")]
    Future(String),
    /// Too long ago to count.
    #[error("`{0}` is too long ago")]
    TooFar(String),
}

/// The moment that `text` means to somebody in `zone` at `now`.
pub(crate) fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, WhenError> {
    let trimmed = text.trim();
    let here = now.to_zoned(zone.clone());
    let shown = || trimmed.escape_debug().take(60).collect::<String>();
    if let Some(span) = ago(trimmed) {
        // Days and weeks are of the calendar: over a change of the clocks a day has 23 or 25 hours.
        let then = span.and_then(|span| here.checked_sub(span).ok());
        return then.map(|then| then.timestamp()).ok_or_else(|| WhenError::TooFar(shown()));
    }
    let (at, whole_day) = exact(trimmed, &here, zone).ok_or_else(|| WhenError::Unknown(shown()))?;
    if at <= now {
        return Ok(at);
    }
    // Today is not over: its end is now.
    let today = whole_day && at.to_zoned(zone.clone()).date() == here.date();
    if today { Ok(now) } else { Err(WhenError::Future(shown())) }
}

/// A moment, and whether it is the end of a day that was given without a time.
fn exact(text: &str, here: &Zoned, zone: &TimeZone) -> Option<(Timestamp, bool)> {
    let end = |date: Date| {
        let midnight = date.tomorrow().ok()?.to_zoned(zone.clone()).ok()?;
        Some((midnight.timestamp().checked_sub(Span::new().nanoseconds(1)).ok()?, true))
    };
    let at = |civil: DateTime| Some((civil.to_zoned(zone.clone()).ok()?.timestamp(), false));
    let (today, yesterday) = (here.date(), here.date().yesterday().ok()?);
    for (word, date) in [("today", today), ("yesterday", yesterday)] {
        let Some(rest) = text.strip_prefix(word) else { continue };
        return match rest.trim_start() {
            "" => end(date),
            time if rest.starts_with(' ') => at(date.to_datetime(clock_time(time)?)),
            _ => None,
        };
    }
    if let Some(time) = clock_time(text) {
        let this_day = at(today.to_datetime(time))?;
        return if this_day.0 <= here.timestamp() { Some(this_day) } else { at(yesterday.to_datetime(time)) };
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some((timestamp, false));
    }
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time.trim())),
        None => (text, None),
    };
    // Only the usual form: a lone `2026` or `20261120` is more likely a slip than a date.
    let shaped = date.len() == 10 && date.bytes().filter(|b| *b == b'-').count() == 2;
    let date: Date = shaped.then(|| date.parse().ok())??;
    match time {
        None => end(date),
        Some(time) => at(date.to_datetime(clock_time(time)?)),
    }
}

/// `14:00`, `9:15` or `14:00:30`.
fn clock_time(text: &str) -> Option<Time> {
    let colons = text.bytes().filter(|b| *b == b':').count();
    // A date in front would be read over.
    let shaped = text.bytes().all(|b| b.is_ascii_digit() || b == b':') && (colons == 1 || colons == 2);
    let padded = if text.find(':') == Some(1) { format!("0{text}") } else { text.to_owned() };
    shaped.then(|| padded.parse().ok())?
}

/// `2h`, `3d ago`, `90 min ago`, `1h 30m`: `None` if it has no such form, `Some(None)` if a number is too large.
fn ago(text: &str) -> Option<Option<Span>> {
    let mut rest = text.strip_suffix("ago").unwrap_or(text).trim();
    let mut span = Some(Span::new());
    loop {
        let (digits, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        if digits.is_empty() {
            return None;
        }
        let (unit, more) = behind.split_at(behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len()));
        let n = digits.parse::<i64>().ok();
        let with = |make: fn(Span, i64) -> Result<Span, jiff::Error>| make(span?, n?).ok();
        span = match unit.trim() {
            "m" | "min" | "minute" | "minutes" => with(Span::try_minutes),
            "h" | "hour" | "hours" => with(Span::try_hours),
            "d" | "day" | "days" => with(Span::try_days),
            "w" | "week" | "weeks" => with(Span::try_weeks),
            _ => return None,
        };
        if more.is_empty() {
            return Some(span);
        }
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Berlin by rule, so that the test needs no time zone files.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[track_caller]
    fn check(now: &str, rows: &[(&str, &str)]) {
        let now: Timestamp = now.parse().unwrap();
        for (text, want) in rows {
            let got = match parse(text, now, &berlin()) {
                Ok(at) => at.to_string(),
                Err(e) => e.to_string().split("; ").next().unwrap_or_default().to_owned(),
            };
            assert_eq!(got, *want, "{text}");
        }
    }

    #[test]
    fn what_people_type_is_a_moment() {
        check(
            "2026-11-21T10:30:00Z",
            &[
                ("2026-11-20T14:00", "2026-11-20T13:00:00Z"),
                ("2026-11-20 14:00", "2026-11-20T13:00:00Z"),
                ("2026-11-20T14:00:05", "2026-11-20T13:00:05Z"),
                ("2026-11-20T14:00:00Z", "2026-11-20T14:00:00Z"),
                ("2026-11-20T14:00:00+09:00", "2026-11-20T05:00:00Z"),
                ("2026-11-20", "2026-11-20T22:59:59.999999999Z"),
                ("2026-11-21", "2026-11-21T10:30:00Z"),
                ("yesterday", "2026-11-20T22:59:59.999999999Z"),
                ("yesterday 14:00", "2026-11-20T13:00:00Z"),
                ("today", "2026-11-21T10:30:00Z"),
                ("today 9:15", "2026-11-21T08:15:00Z"),
                ("today 09:15", "2026-11-21T08:15:00Z"),
                ("11:30", "2026-11-21T10:30:00Z"),
                ("11:31", "2026-11-20T10:31:00Z"),
                ("03:00:30", "2026-11-21T02:00:30Z"),
                ("2h", "2026-11-21T08:30:00Z"),
                ("90 min ago", "2026-11-21T09:00:00Z"),
                ("3d", "2026-11-18T10:30:00Z"),
                ("1h30m", "2026-11-21T09:00:00Z"),
                ("1d 2h ago", "2026-11-20T08:30:00Z"),
                ("3 days ago", "2026-11-18T10:30:00Z"),
                (" 1w ago ", "2026-11-14T10:30:00Z"),
            ],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        check(
            "2026-11-21T10:30:00Z",
            &[
                ("", "`` is no time"),
                ("2026", "`2026` is no time"),
                ("20261120", "`20261120` is no time"),
                ("2026-11-20T25:00", "`2026-11-20T25:00` is no time"),
                ("2026-02-30", "`2026-02-30` is no time"),
                ("14", "`14` is no time"),
                ("h", "`h` is no time"),
                ("-2h", "`-2h` is no time"),
                ("2y", "`2y` is no time"),
                ("2h3", "`2h3` is no time"),
                ("2h3y", "`2h3y` is no time"),
                ("todays", "`todays` is no time"),
                ("today 12:00", "`today 12:00` lies in the future"),
                ("yesterdays", "`yesterdays` is no time"),
                ("\u{1b}[2J", "`\\u{1b}[2J` is no time"),
                ("2026-11-21T12:00", "`2026-11-21T12:00` lies in the future"),
                ("2026-12-20", "`2026-12-20` lies in the future"),
                ("99999999999999999999d", "`99999999999999999999d` is too long ago"),
                ("9999999w", "`9999999w` is too long ago"),
            ],
        );
    }

    #[test]
    fn days_are_of_the_calendar_and_a_doubled_hour_means_its_first() {
        // The clocks went back on 25 October 2026, 03:00 to 02:00, and forward on 29 March, 02:00 to 03:00.
        check(
            "2026-10-26T10:00:00Z",
            &[
                ("2d", "2026-10-24T09:00:00Z"),
                ("48h", "2026-10-24T10:00:00Z"),
                ("2026-10-25T02:30", "2026-10-25T00:30:00Z"),
                ("2026-03-29T02:30", "2026-03-29T01:30:00Z"),
                ("2026-10-25", "2026-10-25T22:59:59.999999999Z"),
            ],
        );
    }
}
