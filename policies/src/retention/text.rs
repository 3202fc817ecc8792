//! A rule in one line, as people type it: `last=3,daily=7,within=30d`.
//!
//! Always true: a name that does not exist, or that stands twice, is an error, never passed over.

use std::str::FromStr;

use jiff::SignedDuration;

use crate::policy::parse_time;
use crate::retention::keep::{Keep, KeepError, Terms};

/// Why a line is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepTextError {
    /// No name, or no value.
    #[error("`{0}` is not `NAME=VALUE`, as in `daily=7,weekly=4`")]
    Form(String),
    /// No such name.
    #[error("`{name}` is none of {all}", name = .0, all = names())]
    Unknown(String),
    /// Said before.
    #[error("`{0}` stands twice")]
    Twice(&'static str),
    /// Not how many.
    #[error("`{0}` takes a number, as in `{0}=7`")]
    Number(&'static str),
    /// Not how long.
    #[error("`{0}` takes a time, as in `{0}=30d`")]
    Time(&'static str),
    /// It can be read, and makes no sense.
    #[error(transparent)]
    Keep(#[from] KeepError),
}

const COUNTS: [&str; 6] = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];
const TIMES: [&str; 4] = ["within", "by_hand", "after_failure", "grace"];

fn names() -> String {
    let quoted: Vec<String> = COUNTS.iter().chain(&TIMES).map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

impl FromStr for Keep {
    type Err = KeepTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut terms = Terms::default();
        let mut said = Vec::new();
        for part in text.split(',').map(str::trim) {
            let form = || KeepTextError::Form(part.escape_default().take(80).collect());
            let (name, value) = part.split_once('=').ok_or_else(form)?;
            let name = set(&mut terms, name.trim(), value.trim())?;
            if said.contains(&name) {
                return Err(KeepTextError::Twice(name));
            }
            said.push(name);
        }
        Ok(Self::new(terms)?)
    }
}

fn set(terms: &mut Terms, name: &str, value: &str) -> Result<&'static str, KeepTextError> {
    let counts = [
        &mut terms.last,
        &mut terms.hourly,
        &mut terms.daily,
        &mut terms.weekly,
        &mut terms.monthly,
        &mut terms.yearly,
    ];
    for (known, count) in COUNTS.into_iter().zip(counts) {
        if known == name {
            *count = value.parse().map_err(|_none: std::num::ParseIntError| KeepTextError::Number(known))?;
            return Ok(known);
        }
    }
    let times = [&mut terms.within, &mut terms.by_hand, &mut terms.after_failure, &mut terms.grace];
    for (known, time) in TIMES.into_iter().zip(times) {
        if known == name {
            let read = parse_time(value).and_then(|read| SignedDuration::try_from(read).ok());
            *time = read.ok_or(KeepTextError::Time(known))?;
            return Ok(known);
        }
    }
    Err(KeepTextError::Unknown(name.escape_default().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_all_its_names_or_not_at_all() {
        let keep: Keep = "last=3, daily=7,weekly = 4,within=30d,grace=0s".parse().unwrap();
        let want = Terms {
            last: 3,
            daily: 7,
            weekly: 4,
            within: SignedDuration::from_hours(720),
            grace: SignedDuration::ZERO,
            ..Terms::default()
        };
        assert_eq!(keep.terms(), &want);
        for (text, want) in [
            ("", "`` is not `NAME=VALUE`, as in `daily=7,weekly=4`"),
            ("daily", "`daily` is not `NAME=VALUE`, as in `daily=7,weekly=4`"),
            ("daily=7,", "`` is not `NAME=VALUE`, as in `daily=7,weekly=4`"),
            ("daily=-1", "`daily` takes a number, as in `daily=7`"),
            ("daily=7d", "`daily` takes a number, as in `daily=7`"),
            ("within=30", "`within` takes a time, as in `within=30d`"),
            ("daily=7,daily=8", "`daily` stands twice"),
            ("last=20000", "`last` is 20000, at most 10000 are counted; `within` keeps all of a time"),
        ] {
            assert_eq!(text.parse::<Keep>().unwrap_err().to_string(), want, "{text}");
        }
        let unknown = "dayly=7".parse::<Keep>().unwrap_err().to_string();
        assert!(unknown.starts_with("`dayly` is none of `last`, `hourly`, `daily`"), "{unknown}");
        assert_eq!("grace=7d".parse::<Keep>(), Err(KeepTextError::Keep(KeepError::Nothing)));
    }
}
