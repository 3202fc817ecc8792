//! Tables: what lines mean, what is refused, and where slots lie when clocks are set.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::schedule::{Field, Schedule, ScheduleError};

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(local: &str, zone: &TimeZone) -> Timestamp {
    zone.to_ambiguous_zoned(local.parse::<DateTime>().unwrap()).unambiguous().unwrap().timestamp()
}

/// The slots of `line` from `from`, which has to come before the first, shown as `MM-DD HH:MM +offset`.
#[track_caller]
fn check(line: &str, zone_name: &str, from: &str, want: &[&str]) {
    let (schedule, zone) = (Schedule::parse(line).unwrap(), zone(zone_name));
    let after = at(from, &zone);
    let slots: Vec<_> = schedule.slots_between(after, Timestamp::MAX, &zone).take(want.len()).collect();
    let shown: Vec<_> =
        slots.iter().map(|s| s.to_zoned(zone.clone()).strftime("%m-%d %H:%M:%S %:z").to_string()).collect();
    let want: Vec<_> = want.iter().map(|w| (*w).to_owned()).collect();
    assert_eq!(shown, want, "{line} in {zone_name}");
    for pair in slots.windows(2) {
        assert_eq!(schedule.previous_at_or_before(pair[1], &zone), Some(pair[1]), "{line}");
        let before = pair[1] - jiff::SignedDuration::from_nanos(1);
        assert_eq!(schedule.previous_at_or_before(before, &zone), Some(pair[0]), "{line}");
    }
}

#[test]
fn a_missing_hour_runs_once_just_after_it() {
    let from = "2026-03-28T12:00";
    check("30 2 * * *", "Europe/Berlin", from, &["03-29 03:00:00 +02:00", "03-30 02:30:00 +02:00"]);
    check(
        "*/15 2-3 * * *",
        "Europe/Berlin",
        from,
        &["03-29 03:00:00 +02:00", "03-29 03:15:00 +02:00", "03-29 03:30:00 +02:00"],
    );
    check(
        "0 * * * *",
        "Europe/Berlin",
        "2026-03-29T01:00",
        &["03-29 03:00:00 +02:00", "03-29 04:00:00 +02:00"],
    );
    // Half an hour only, and a change at midnight.
    check("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", &["10-04 02:30:00 +11:00"]);
    check("@daily", "Africa/Cairo", "2026-04-23T12:00", &["04-24 01:00:00 +03:00", "04-25 00:00:00 +03:00"]);
    // A day that a whole country skipped.
    check(
        "0 9 * * *",
        "Pacific/Apia",
        "2011-12-29T10:00",
        &["12-31 00:00:00 +14:00", "12-31 09:00:00 +14:00"],
    );
}

#[test]
fn a_repeated_hour_runs_once_when_it_is_first_shown() {
    let from = "2026-10-24T12:00";
    check("30 2 * * *", "Europe/Berlin", from, &["10-25 02:30:00 +02:00", "10-26 02:30:00 +01:00"]);
    check(
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-10-25T01:30",
        &["10-25 02:00:00 +02:00", "10-25 02:30:00 +02:00", "10-25 03:00:00 +01:00"],
    );
    check("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", &["04-05 01:45:00 +11:00"]);
    check("30 1 1 11 *", "America/New_York", "2026-10-01T00:00", &["11-01 01:30:00 -04:00"]);
    check("0 2 * * *", "America/New_York", "2026-10-31T12:00", &["11-01 02:00:00 -05:00"]);
}

#[test]
fn lines_mean_what_crontab_says() {
    let utc = |line: &str, want: &[&str]| {
        let want: Vec<_> = want.iter().map(|w| format!("{w}:00 +00:00")).collect();
        check(line, "UTC", "2026-11-20T12:00", &want.iter().map(String::as_str).collect::<Vec<_>>());
    };
    // 2026-11-20 is a Friday.
    for sunday in ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "0 0 * * Sunday", "@weekly", " @WEEKLY "] {
        utc(sunday, &["11-22 00:00", "11-29 00:00"]);
    }
    utc("0 0 * * 1", &["11-23 00:00", "11-30 00:00"]);
    utc("0 0 * * FRI-MON", &["11-21 00:00", "11-22 00:00", "11-23 00:00", "11-27 00:00"]);
    utc("0 0 * * 5-7", &["11-21 00:00", "11-22 00:00", "11-27 00:00"]);
    utc("0 0 * * 6-1", &["11-21 00:00", "11-22 00:00", "11-23 00:00", "11-28 00:00"]);
    utc("0 0 * * FRI-MON/2", &["11-22 00:00", "11-27 00:00"]);
    utc("0 0 * * 7-2", &["11-22 00:00", "11-23 00:00", "11-24 00:00", "11-29 00:00"]);
    utc("0 0 * * */2", &["11-21 00:00", "11-22 00:00", "11-24 00:00", "11-26 00:00", "11-28 00:00"]);
    utc("0 0 * jan,MARCH *", &["01-01 00:00"]);
    utc("0 0 31 * *", &["12-31 00:00", "01-31 00:00", "03-31 00:00", "05-31 00:00"]);
    utc("5-20/7 13 * * *", &["11-20 13:05", "11-20 13:12", "11-20 13:19", "11-21 13:05"]);
    utc("0 */24 * * *", &["11-21 00:00"]);
    utc("@monthly", &["12-01 00:00", "01-01 00:00"]);
    utc("@annually", &["01-01 00:00"]);
    utc("@hourly", &["11-20 13:00", "11-20 14:00"]);
    check(
        "10-30/10 5 12 * * *",
        "UTC",
        "2026-11-20T12:00",
        &["11-20 12:05:10 +00:00", "11-20 12:05:20 +00:00", "11-20 12:05:30 +00:00", "11-21 12:05:10 +00:00"],
    );
}

#[test]
fn either_day_is_enough_unless_one_begins_with_a_star() {
    let utc = |line: &str, want: &[&str]| {
        let want: Vec<_> = want.iter().map(|w| format!("{w} 00:00:00 +00:00")).collect();
        check(line, "UTC", "2026-11-01T00:00", &want.iter().map(String::as_str).collect::<Vec<_>>());
    };
    utc("0 0 13 * FRI", &["11-06", "11-13", "11-20", "11-27", "12-04", "12-11", "12-13"]);
    utc("0 0 1-31/15 * FRI", &["11-06", "11-13", "11-16", "11-20"]);
    // Vixie cron's rule: both, since one of them begins with a star.
    utc("0 0 */2 * FRI", &["11-13", "11-27", "12-11", "12-25"]);
    utc("0 0 13 * */5", &["11-13", "12-13"]);
    utc("0 0 *,13 * FRI", &["11-06", "11-13", "11-20"]);
    // With both restricted a date that never comes does not matter.
    utc("0 0 31 2 MON", &["02-01", "02-08", "02-15", "02-22", "02-07"]);
}

#[test]
fn leap_days_come_when_they_come() {
    let zone = TimeZone::UTC;
    let schedule = Schedule::parse("0 0 29 2 *").unwrap();
    let years = |line: &Schedule| -> Vec<i16> {
        let slots = line.slots_between(at("2026-01-01T00:00", &zone), Timestamp::MAX, &zone);
        slots.map(|s| zone.to_datetime(s).year()).collect()
    };
    assert_eq!(years(&schedule)[..3], [2028, 2032, 2036]);
    assert_eq!(*years(&schedule).last().unwrap(), 2096, "2100 is none");
    // `*/7` begins with a star, so that both must fit: leap days on a Sunday.
    assert_eq!(years(&Schedule::parse("0 0 29 2 */7").unwrap()), [2032, 2060, 2088]);
}

#[test]
fn slots_end_where_the_generator_ends() {
    let (schedule, zone) = (Schedule::parse("@daily").unwrap(), zone("Europe/Berlin"));
    assert_eq!(schedule.next_after(Timestamp::MAX, &zone), None);
    assert_eq!(schedule.previous_at_or_before(Timestamp::MIN, &zone), None);
    assert_eq!(schedule.next_after(Timestamp::MIN, &zone), Some(at("1970-01-01T00:00", &zone)));
    assert_eq!(schedule.previous_at_or_before(Timestamp::MAX, &zone), Some(at("2100-12-31T00:00", &zone)));
}

#[track_caller]
fn refused(line: &str, want: &str) {
    assert_eq!(Schedule::parse(line).map_err(|e| e.to_string()), Err(want.to_owned()), "{line}");
}

#[test]
fn errors_say_where_and_what_is_allowed() {
    let minutes = "allowed are 0 to 59, `*`, `1-5`, `*/15`, and lists of these";
    for (line, column, found) in [
        ("60 2 * * *", 1, "60"),
        ("  a 2 * * *", 3, "a"),
        ("1,2,x 2 * * *", 5, "x"),
        ("1,,2 2 * * *", 3, "1,,2"),
        ("-5 2 * * *", 1, "-5"),
        ("+5 2 * * *", 1, "+5"),
        ("5- 2 * * *", 1, "5-"),
        ("*-5 2 * * *", 1, "*-5"),
        ("99999999999 2 * * *", 1, "99999999999"),
        ("\u{1b}[2 2 * * *", 1, "\\u{1b}[2"),
    ] {
        refused(line, &format!("column {column}, minute: found `{found}`, {minutes}"));
    }
    refused(
        "0 22-4 * * *",
        "column 3, hour: found `22-4`, allowed is a range that goes up, as in `22-23,0-4`",
    );
    refused(
        "5/15 * * * *",
        "column 1, minute: found `5/15`, allowed is a step after `*` or after a range, as in `5-59/2`",
    );
    refused("*/90 * * * *", "column 1, minute: found `*/90`, allowed is a step of 1 to 60");
    refused("0 */0 * * *", "column 3, hour: found `*/0`, allowed is a step of 1 to 24");
    refused(
        "0\t0 L * *",
        "column 5, day-of-month: found `L`, allowed are 1 to 31, `*`, `1-7`, `*/2`, and lists of these",
    );
    refused(
        "0 0 ? * *",
        "column 5, day-of-month: found `?`, allowed are 1 to 31, `*`, `1-7`, `*/2`, and lists of these",
    );
    refused(
        "ü 0 0 * * 8",
        "column 1, second: found `ü`, allowed are 0 to 59, `*`, `1-5`, `*/15`, and lists of these",
    );
    refused(
        "0 0 1 13 *",
        "column 7, month: found `13`, allowed are 1 to 12, JAN to DEC, `*`, `4-9`, `*/3`, and lists of these",
    );
    refused(
        "0 0 * * 5#2",
        "column 9, weekday: found `5#2`, allowed are 0 to 7 (0 and 7 are Sunday), SUN to SAT, `*`, `MON-FRI`, and \
         lists of these",
    );
    refused(
        "@reboot",
        "column 1: found `@reboot`, allowed are `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` and \
         `@annually`",
    );
    for (line, found) in [("", 0), ("0 2 * *", 4), ("0 0 2 * * * 2027", 7), ("@daily x", 2)] {
        assert_eq!(Schedule::parse(line), Err(ScheduleError::Count { found }), "{line}");
    }
    let column = |line: &str| Schedule::parse(line).unwrap_err().column();
    assert_eq!((column(""), column("0 0 * * 8"), column(" @x")), (1, 9, 2));
}

#[test]
fn a_line_that_never_runs_is_an_error() {
    let want = "column 5: this never runs, day-of-month `30` does not come in month `2`; the last day that every month \
                has is 28";
    refused("0 0 30 2 *", want);
    for line in ["0 0 31 4,JUN,9,11 *", "0 0 30-31 feb *", "0 0 30 2 */2", "0 0 0 31 2 *"] {
        assert!(matches!(Schedule::parse(line), Err(ScheduleError::Never { .. })), "{line}");
    }
}

#[test]
fn a_schedule_prints_as_it_was_written() {
    assert_eq!(Schedule::parse("  0 2 * * MON ").unwrap().to_string(), "0 2 * * MON");
    assert_eq!(Field::DayOfMonth.to_string(), "day-of-month");
}
