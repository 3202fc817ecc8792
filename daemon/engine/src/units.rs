//! Numbers as people read them: bytes, spans of time, ages, moments. JSON carries the numbers themselves.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `0 B`, `999 B`, `1.5 KiB`, `312 MiB`: at most three digits that mean something.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut unit = 0;
    let mut scaled = n;
    // Rounded to a tenth; 1023.95 KiB must become 1.0 MiB, never 1024.0 KiB.
    while unit + 1 < UNITS.len() && tenths(scaled) >= 10_240 {
        scaled /= 1024;
        unit += 1;
    }
    let tenths = tenths(scaled);
    if tenths < 100 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", (tenths + 5) / 10, UNITS[unit])
    }
}

/// `n` bytes in tenths of KiB, rounded.
fn tenths(n: u64) -> u128 {
    (u128::from(n) * 10 + 512) / 1024
}

/// `12,345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `12,345 files`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A span in its two largest units: `0.4 s`, `8.2 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    if seconds < 60 {
        let tenths = span.as_millis() / 100;
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let (large, small) = match seconds {
        ..3600 => ((seconds / 60, "min"), (seconds % 60, "s")),
        3600..86_400 => ((seconds / 3600, "h"), (seconds % 3600 / 60, "min")),
        _ => ((seconds / 86_400, "d"), (seconds % 86_400 / 3600, "h")),
    };
    match small.0 {
        0 => format!("{} {}", large.0, large.1),
        _ => format!("{} {} {} {}", large.0, large.1, small.0, small.1),
    }
}

/// Seconds as a report gives them; what is no span of time is none.
pub fn seconds(seconds: f64) -> String {
    span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// `5 min ago` in one unit; `in the future` for a clock that was set back.
pub fn age(seconds: i64) -> String {
    let Ok(seconds) = u64::try_from(seconds) else {
        return "in the future".to_owned();
    };
    match seconds {
        ..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// The age of a moment.
pub fn since(then: Timestamp, now: Timestamp) -> String {
    age(now.duration_since(then).as_secs())
}

/// `2026-11-20 14:00:05`, local.
pub fn moment(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// With the zone, for plans, where a wrong hour would cost data: `2026-11-20 14:00:05 +01:00`.
pub fn moment_with_zone(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_never_show_more_than_three_digits_that_mean_something() {
        for (n, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10_189, "10 KiB"),
            (1_048_525, "1.0 MiB"),
            (327_155_712, "312 MiB"),
            (1 << 40, "1.0 TiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(n), want, "{n}");
        }
    }

    #[test]
    fn spans_and_ages_are_in_words() {
        for (millis, want) in [
            (0, "0.0 s"),
            (440, "0.4 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 5 min"),
            (356_400_000, "4 d 3 h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), want);
        }
        for (seconds, want) in [
            (-5, "in the future"),
            (59, "just now"),
            (300, "5 min ago"),
            (100_000, "27 h ago"),
            (172_800, "2 d ago"),
        ] {
            assert_eq!(age(seconds), want);
        }
        assert_eq!(seconds(f64::NAN), "0.0 s");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "file", "files"), "1 file");
    }

    #[test]
    fn moments_are_local_and_plans_name_the_zone() {
        let at: Timestamp = "2026-11-20T13:00:05Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(moment(at, &zone), "2026-11-20 14:00:05");
        assert_eq!(moment_with_zone(at, &zone), "2026-11-20 14:00:05 +01:00");
    }
}
