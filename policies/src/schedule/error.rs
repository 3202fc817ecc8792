//! What is wrong with a crontab line, and where in it.
//!
//! Always true: columns count from 1, in characters of the text that was parsed; texts of the user are quoted
//! shortened and escaped.

use crate::schedule::field::Field;

/// Why a line is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Too few or too many fields.
    #[error(
        "a schedule has five fields, `minute hour day-of-month month weekday`, or six with seconds in front; \
         found {found}: `0 2 * * *` is every day at 02:00"
    )]
    Count {
        /// How many there are.
        found: usize,
    },
    /// Something in a field that is not allowed there.
    #[error("column {column}, {field}: found `{found}`, allowed {allowed}")]
    Field {
        /// Where it begins.
        column: usize,
        /// In which field.
        field: Field,
        /// What is there.
        found: String,
        /// What may be there, in words.
        allowed: String,
    },
    /// An `@…` that is none of ours.
    #[error(
        "column {column}: found `{found}`, allowed are `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, \
         `@yearly` and `@annually`"
    )]
    Alias {
        /// Where it begins.
        column: usize,
        /// What is there.
        found: String,
    },
    /// Every field is fine, and together they name a day that does not exist.
    #[error(
        "column {column}: this never runs, day-of-month `{days}` does not come in month `{months}`; the last day \
         that every month has is 28"
    )]
    Never {
        /// Where the day-of-month begins.
        column: usize,
        /// The field day-of-month.
        days: String,
        /// The field month.
        months: String,
    },
}

impl ScheduleError {
    /// Where in the text, from 1, in characters.
    #[must_use]
    pub fn column(&self) -> usize {
        match self {
            Self::Count { .. } => 1,
            Self::Field { column, .. } | Self::Alias { column, .. } | Self::Never { column, .. } => *column,
        }
    }
}

/// A piece of a line as a message may show it.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut quoted: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().count() > LONGEST {
        quoted.push('…');
    }
    quoted
}
