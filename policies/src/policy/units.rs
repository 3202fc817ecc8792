//! Values with units as people write them: times `90s 15m 2h 7d 2w`, speeds `20MiB/s`.
//!
//! Always true: a bare number is no value, for nobody can tell what it counts; and what is printed here is
//! read back as the same value.

use std::time::Duration;

pub use crate::values::parse_bytes;

const TIMES: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
const BYTES: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// The form of a time, as a regular expression.
pub(crate) const TIME_PATTERN: &str = "^[0-9]+ ?[smhdw]$";

/// The form of a number of bytes, as a regular expression.
pub(crate) const BYTES_PATTERN: &str = "^[0-9]+ *[KMGT]iB$";

/// The form of a speed, as a regular expression.
pub(crate) const SPEED_PATTERN: &str = "^[0-9]+ *[KMGT]iB/s$";

/// `15m`, `15 m`; a day has 24 hours.
pub fn parse_time(text: &str) -> Option<Duration> {
    let (seconds, unit) = TIMES.iter().find_map(|(unit, s)| Some((*s, text.strip_suffix(*unit)?)))?;
    let digits = unit.strip_suffix(' ').unwrap_or(unit);
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(digits.parse::<u64>().ok()?.checked_mul(seconds)?))
}

/// In the largest unit that divides it, down to seconds; weeks are told in days.
pub fn print_time(time: Duration) -> String {
    let whole = time.as_secs();
    let unit = TIMES[1..].iter().find(|(_, seconds)| whole > 0 && whole.is_multiple_of(*seconds));
    unit.map_or_else(|| format!("{whole}s"), |(unit, seconds)| format!("{}{unit}", whole / seconds))
}

/// `20MiB/s`.
pub fn parse_speed(text: &str) -> Option<u64> {
    parse_bytes(text.strip_suffix("/s")?)
}

/// In the largest unit that divides it; what is no whole KiB is told in bytes, which no key takes.
pub fn print_bytes(bytes: u64) -> String {
    let unit = BYTES.iter().find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| format!("{bytes} bytes"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_with_their_unit_or_not_at_all() {
        let seconds = |text| parse_time(text).map(|time| time.as_secs());
        for (text, want) in [
            ("90s", Some(90)),
            ("15m", Some(900)),
            ("2h", Some(7_200)),
            ("7d", Some(604_800)),
            ("2w", Some(1_209_600)),
            ("15 m", Some(900)),
            ("0s", Some(0)),
            ("30", None),
            ("", None),
            ("d", None),
            ("-1d", None),
            ("+1d", None),
            ("1.5h", None),
            ("1h30m", None),
            ("7 days", None),
            ("7D", None),
            ("1  d", None),
            ("99999999999999999999d", None),
            ("18446744073709551615w", None),
        ] {
            assert_eq!(seconds(text), want, "{text}");
        }
    }

    #[test]
    fn speeds_are_bytes_in_a_second() {
        assert_eq!(parse_speed("20MiB/s"), Some(20 << 20));
        for bad in ["20MiB", "20MB/s", "20", "MiB/s", "20Mbit/s"] {
            assert_eq!(parse_speed(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(seconds in 0..u64::MAX, kib in 1..(1_u64 << 40)) {
            let time = Duration::from_secs(seconds);
            prop_assert_eq!(parse_time(&print_time(time)), Some(time));
            let bytes = kib << 10;
            prop_assert_eq!(parse_bytes(&print_bytes(bytes)), Some(bytes));
        }
    }
}
