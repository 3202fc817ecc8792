//! One field of a crontab line: `*/15`, `1-5`, `JAN,JUL`.
//!
//! Grammar: `item[,item…]`, item `*`, `N`, `N-M`, `*/S` or `N-M/S`; N and M are numbers or, for months and
//! weekdays, English names, whole or by their first three letters. `N/S` is refused: half of all crons read it as
//! `N-max/S`, the others as `N`. A step counts from where its range begins, and one that is longer than its field is
//! refused: `*/90` minutes would run at minute 0 of every hour, and nobody means that.
//!
//! Always true: a set that comes out of here holds at least one value, and only values of its field.

use std::collections::BTreeSet;
use std::fmt;

use crate::schedule::error::{ScheduleError, quoted};

/// The fields of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 0 to 59, may be left out.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or a name.
    Month,
    /// 0 to 7, both ends Sunday, or a name.
    Weekday,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

impl Field {
    /// In the order of a line.
    pub(super) const ALL: [Self; 6] =
        [Self::Second, Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::Weekday];

    /// The values that `*` stands for.
    fn bounds(self) -> (u32, u32) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::Weekday => (0, 6),
        }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Second | Self::Minute | Self::Hour | Self::DayOfMonth => &[],
            Self::Month => &MONTHS,
            Self::Weekday => &WEEKDAYS,
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => "are 0 to 59, `*`, `1-5`, `*/15`, and lists of these",
            Self::Hour => "are 0 to 23, `*`, `8-18`, `*/6`, and lists of these",
            Self::DayOfMonth => "are 1 to 31, `*`, `1-7`, `*/2`, and lists of these",
            Self::Month => "are 1 to 12, JAN to DEC, `*`, `4-9`, `*/3`, and lists of these",
            Self::Weekday => {
                "are 0 to 7 (0 and 7 are Sunday), SUN to SAT, `*`, `MON-FRI`, and lists of these"
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::Weekday => "weekday",
        })
    }
}

/// What a field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Values {
    /// Weekdays count from 0, which is Sunday.
    pub(super) set: BTreeSet<u32>,
    /// Whether the text does not begin with `*`: what the rule of days asks for.
    pub(super) restricted: bool,
}

impl Values {
    pub(super) fn one(value: u32) -> Self {
        Self { set: BTreeSet::from([value]), restricted: true }
    }

    /// Reads `text`, which begins at `column` of its line.
    pub(super) fn parse(field: Field, text: &str, column: usize) -> Result<Self, ScheduleError> {
        let mut set = BTreeSet::new();
        let mut column = column;
        for item in text.split(',') {
            let refused = |allowed: String| {
                let found = quoted(if item.is_empty() { text } else { item });
                ScheduleError::Field { column, field, found, allowed }
            };
            set.extend(values_of(field, item).map_err(refused)?);
            column += item.chars().count() + 1;
        }
        Ok(Self { set, restricted: !text.starts_with('*') })
    }
}

/// The values of one item, or what is allowed instead.
fn values_of(field: Field, item: &str) -> Result<impl Iterator<Item = u32>, String> {
    let (first, last) = field.bounds();
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    let (from, to) = match range.split_once('-') {
        _ if range == "*" => (first, last),
        Some((from, to)) => match (value(field, from), value(field, to)) {
            (Some(from), Some(to)) if from <= to => (from, to),
            // The week is a circle.
            (Some(from), Some(to)) if field == Field::Weekday => (from, to + 7),
            (Some(from), Some(to)) => {
                return Err(format!("is a range that goes up, as in `{from}-{last},{first}-{to}`"));
            }
            _ => return Err(field.allowed().to_owned()),
        },
        None => {
            let value = value(field, range).ok_or(field.allowed())?;
            if step.is_some() {
                return Err(format!("is a step after `*` or after a range, as in `{value}-{last}/2`"));
            }
            (value, value)
        }
    };
    let most = last - first + 1;
    let step = match step {
        None => 1,
        Some(step) => number(step)
            .filter(|step| (1..=most).contains(step))
            .ok_or_else(|| format!("is a step of 1 to {most}"))?,
    };
    // A step that does not fit into `usize` was refused above.
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    Ok((from..=to).step_by(step).map(move |value| if field == Field::Weekday { value % 7 } else { value }))
}

fn value(field: Field, text: &str) -> Option<u32> {
    let (first, last) = field.bounds();
    // Sunday is 7 too.
    let last = if field == Field::Weekday { 7 } else { last };
    if let Some(number) = number(text) {
        return (first..=last).contains(&number).then_some(number);
    }
    let text = text.to_ascii_lowercase();
    let place = field.names().iter().position(|name| text == *name || text == name[..3])?;
    u32::try_from(place).ok().map(|place| place + first)
}

/// Digits only: `+5` and ` 5` parse as numbers and are none here.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
